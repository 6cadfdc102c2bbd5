import { Effect, Layer } from "effect"
import * as LockContract from "../../core/contract/LockContract.ts"
import * as StorageContract from "../../core/contract/StorageContract.ts"
import * as WakeupsContract from "../../core/contract/WakeupsContract.ts"
import * as Postgres from "./mod.ts"
import { elapse, layer, TestStorage } from "./TestStorage.ts"

const runner = "live"
/** On the oldest PostgreSQL, which nobody uses by hand here, more random histories than usual. */
const isOldest = process.env["BELFRY_TEST_POSTGRES"] !== undefined

StorageContract.suite("postgres", layer, elapse, {
  runner,
  ...(isOldest && { sequences: 100 }),
  reopened: (then) =>
    TestStorage.use(({ url }) => Effect.provide(then, Layer.fresh(Postgres.layer({ url })))),
})
LockContract.suite("postgres", layer, elapse, { runner })
WakeupsContract.suite("postgres", layer, elapse, { runner })
