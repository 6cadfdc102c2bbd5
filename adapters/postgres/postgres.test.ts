import { Effect, Layer } from "effect"
import * as LockContract from "../../core/contract/LockContract.ts"
import * as LocksContract from "../../core/contract/LocksContract.ts"
import * as StorageContract from "../../core/contract/StorageContract.ts"
import * as WakeupsContract from "../../core/contract/WakeupsContract.ts"
import type { Lock } from "../../core/services/Lock.ts"
import type { Storage } from "../../core/services/Storage.ts"
import * as Postgres from "./mod.ts"
import { elapse, layer, TestStorage } from "./TestStorage.ts"

const runner = "live"

const reopened = <A, E>(then: Effect.Effect<A, E, Storage | Lock>) =>
  TestStorage.use(({ url }) => Effect.provide(then, Layer.fresh(Postgres.layer({ url }))))

StorageContract.suite("postgres", layer, elapse, { runner, reopened })
LockContract.suite("postgres", layer, elapse, { runner, reopened })
LocksContract.suite("postgres", layer)
WakeupsContract.suite("postgres", layer, elapse, { runner })
