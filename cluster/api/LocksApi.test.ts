import { assert, layer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { LockKey } from "../../core/domain/Lease.ts"
import { Lock } from "../../core/services/Lock.ts"
import { api, Main, post, problem } from "../Server.fixture.ts"

layer(Main, { excludeTestServices: true })("locks, over REST", (it) => {
  it.effect("shows who holds a lock, and releases it", () =>
    Effect.gen(function* () {
      const client = yield* api
      const lock = yield* Lock
      const ttl = Duration.minutes(1)
      for (const key of ["api/lock/longer", "api/lock", "other"]) {
        yield* lock.acquire(LockKey.make(key), "ada", ttl)
      }
      const { fences, items, technology } = yield* client.locks.list({ query: { prefix: "api/" } })
      assert.deepStrictEqual([technology, fences], ["memory", "advisory"])
      assert.deepStrictEqual(items.map(({ key }) => String(key)), ["api/lock", "api/lock/longer"])
      assert.isAtMost(items[0]!.endsInMillis, 60_000)
      const { fence, key } = items[0]!
      const wrong = yield* post("/api/v1/locks/release", { key, fence: fence + 1 })
      assert.strictEqual(problem(wrong, "lock-free", 404).field, "fence")
      const released = yield* client.locks.release({ payload: { key, fence } })
      assert.strictEqual(released.holder, "ada")
      problem(yield* post("/api/v1/locks/release", { key }), "lock-free", 404)
      const left = yield* client.locks.list({ query: { prefix: "api/" } })
      assert.deepStrictEqual(left.items.map(({ key }) => String(key)), ["api/lock/longer"])
    }))
})
