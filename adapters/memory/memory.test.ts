import { assert, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import * as LockContract from "../../core/contract/LockContract.ts"
import * as LocksContract from "../../core/contract/LocksContract.ts"
import * as QuietContract from "../../core/contract/QuietContract.ts"
import * as StorageContract from "../../core/contract/StorageContract.ts"
import * as WakeupsContract from "../../core/contract/WakeupsContract.ts"
import { LockKey } from "../../core/domain/Lease.ts"
import { Lock } from "../../core/services/Lock.ts"
import * as Memory from "./mod.ts"

StorageContract.suite("memory", Memory.layer, TestClock.adjust, { edits: 10_000 })
LockContract.suite("memory", Memory.layer, TestClock.adjust)
LocksContract.suite("memory", Memory.layer)
WakeupsContract.suite("memory", Memory.layer, TestClock.adjust)
QuietContract.suite("memory", Memory.layer, TestClock.adjust)

// `tidy.test.ts` sees that no module of the adapter could do I/O; nor does anything wait for any.
it.effect("locks in memory are local: whatever is asked is done when the call returns", () =>
  Effect.gen(function* () {
    const lock = Context.get(yield* Layer.build(Memory.layer), Lock)
    const key = LockKey.make("key")
    const ttl = Duration.seconds(30)
    const { arm, wait } = yield* lock.watch(key)
    const lease = Option.getOrThrow(Effect.runSync(lock.acquire(key, "ada", ttl)))
    Effect.runSync(lock.renew(lease, ttl))
    assert.strictEqual(Effect.runSync(lock.held({ prefix: "", limit: 2 })).length, 1)
    Effect.runSync(arm)
    Effect.runSync(lock.release(lease))
    assert.isTrue(Effect.runSync(wait(Duration.seconds(1))))
    assert.isTrue(Option.isSome(Effect.runSync(lock.acquire(key, "bob", ttl))))
  }))
