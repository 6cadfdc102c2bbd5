/**
 * What `Locks` promises, over any `Lock`: as tests that an adapter joins with its own layer. They
 * wait in real time.
 *
 * Tried over the memory adapter, and caught:
 *
 * | test                          | mistake                                           |
 * | ----------------------------- | ------------------------------------------------- |
 * | is woken by the release       | it polls, and watches nothing                     |
 * | does not miss a release       | no look after the watch was armed                 |
 * | is told that the lock is held | it waits for ever                                 |
 * | keeps the lock                | it never renews                                   |
 * | runs work under a lock        | not released at the end                           |
 * | refuses                       | renewals as far apart as the ttl; advisory fences |
 */
import { assert } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Layer } from "effect"
import { LockKey } from "../domain/Lease.ts"
import { Locks } from "../engine/Locks.ts"
import { Lock } from "../services/Lock.ts"
import { block, fresh, times } from "./world.ts"

export const suite = <E>(adapter: string, layer: Layer.Layer<Lock, E>): void => {
  const program = Locks.layer.pipe(Layer.provideMerge(layer))

  block(`Locks, ${adapter}`, program, { runner: "live" }, (it) => {
    const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.gen(function* () {
        const startedAt = yield* Clock.currentTimeMillis
        const answer = yield* effect
        return [(yield* Clock.currentTimeMillis) - startedAt, answer] as const
      })

    it.effect("runs work under a lock, one holder at a time, with rising fences", () =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const key = fresh("lock")
        const fences: Array<number> = []
        let under = 0
        const work = locks.withLock(key, ({ fence }) =>
          Effect.gen(function* () {
            assert.strictEqual(++under, 1)
            fences.push(fence)
            yield* Effect.sleep("5 millis")
            under--
          }))
        yield* Effect.all(times(8).map(() => work), { concurrency: 8 })
        assert.strictEqual(fences.length, 8)
        assert.deepEqual(fences, fences.toSorted((a, b) => a - b))
        assert.strictEqual(new Set(fences).size, 8)
      }))

    it.effect("is woken by the release, within 200 ms", () =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const key = fresh("lock")
        const all: Array<number> = []
        for (const _ of times(6)) {
          let releasedAt = 0
          const holding = yield* Effect.forkChild(
            locks.withLock(key, () =>
              Effect.andThen(
                Effect.sleep("80 millis"),
                Effect.map(Clock.currentTimeMillis, (now) => {
                  releasedAt = now
                }),
              )),
            { startImmediately: true },
          )
          yield* Effect.sleep("30 millis")
          const grantedAt = yield* locks.withLock(key, () => Clock.currentTimeMillis)
          yield* Fiber.join(holding)
          all.push(grantedAt - releasedAt)
        }
        // By polling alone, half a second apart, they would take twice as long on average.
        assert.isAtMost(all.toSorted((a, b) => a - b).at(-2)!, 200)
      }))

    it.effect("does not miss a release between its first look and its watch", () =>
      Effect.gen(function* () {
        const lock = yield* Lock
        const key = LockKey.make(fresh("lock"))
        const lease = yield* Effect.fromOption(
          yield* lock.acquire(key, "ada", Duration.minutes(1)),
        )
        const racing = Lock.of({
          ...lock,
          watch: (key) => Effect.andThen(Effect.orDie(lock.release(lease)), lock.watch(key)),
        })
        const [millis] = yield* timed(
          Locks.use((locks) => locks.withLock(key, () => Effect.void)).pipe(
            Effect.provide(
              Layer.fresh(Locks.layer).pipe(Layer.provide(Layer.succeed(Lock, racing))),
            ),
          ),
        )
        assert.isBelow(millis, 400)
      }))

    it.effect("is told that the lock is held, at once or when its time is up", () =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const key = fresh("lock")
        const holding = yield* Effect.forkChild(locks.withLock(key, () => Effect.never))
        yield* Effect.sleep("100 millis")
        const [atOnce, held] = yield* timed(
          Effect.flip(locks.tryWithLock(key, () => Effect.void)),
        )
        assert.strictEqual(held._tag, "LockHeld")
        assert.isBelow(atOnce, 250)
        const [later, stillHeld] = yield* timed(Effect.flip(
          locks.tryWithLock(key, () => Effect.void, { waitAtMost: "300 millis" }),
        ))
        assert.strictEqual(stillHeld._tag, "LockHeld")
        assert.isAtLeast(later, 290)
        assert.isBelow(later, 1000)
        yield* Fiber.interrupt(holding)
        yield* locks.tryWithLock(key, () => Effect.void)
      }))

    it.effect("keeps the lock for longer than its ttl, and interrupts work that has lost it", () =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const lock = yield* Lock
        const key = LockKey.make(fresh("lock"))
        let isInterrupted = false
        const working = yield* Effect.forkChild(Effect.flip(locks.withLock(
          key,
          () =>
            Effect.onInterrupt(Effect.never, () =>
              Effect.sync(() => {
                isInterrupted = true
              })),
          { ttl: "1 second", holder: "ada" },
        )))
        yield* Effect.sleep("1600 millis")
        const [held] = yield* lock.held({ prefix: key, limit: 1 })
        assert(held !== undefined)
        assert.strictEqual(held.lease.holder, "ada")
        assert.isUndefined(working.pollUnsafe())
        // As an operator would.
        yield* lock.release(held.lease)
        const lost = yield* Fiber.join(working)
        assert.strictEqual(lost._tag, "LeaseLost")
        assert.isTrue(isInterrupted)
      }))

    it.effect("refuses what would lose the lease, or nobody could hold", () =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const { fences } = yield* Lock
        const wrong = [
          ["key", "", {}],
          ["key", "x".repeat(513), {}],
          ["holder", "k", { holder: "" }],
          ["ttl", "k", { ttl: "900 millis" }],
          ["ttl", "k", { ttl: Duration.infinity }],
          ["renewEvery", "k", { ttl: "30 seconds", renewEvery: "11 seconds" }],
          ["renewEvery", "k", { renewEvery: 0 }],
          ...(fences === "advisory" ? [["fences", "k", { fences: "durable" }] as const] : []),
        ] as const
        for (const [field, key, options] of wrong) {
          const refused = yield* Effect.flip(locks.withLock(key, () => Effect.void, options))
          assert.strictEqual(refused._tag, "Refused")
          assert.strictEqual("field" in refused && refused.field, field)
        }
        yield* locks.withLock(fresh("lock"), () => Effect.void, {
          ttl: "30 seconds",
          renewEvery: "10 seconds",
          fences,
        })
      }))

    it.effect("leaves alone what the work itself fails with", () =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const [outer, inner] = [fresh("lock"), fresh("lock")]
        const held = yield* Effect.flip(
          locks.withLock(
            inner,
            () => locks.withLock(outer, () => locks.tryWithLock(inner, () => Effect.void)),
          ),
        )
        assert.strictEqual(held._tag, "LockHeld")
      }))
  })
}
