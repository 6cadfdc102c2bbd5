/**
 * The laws of `Lock`, as tests. An adapter passes when `suite(name, layer, elapse)` passes with its
 * own layer. One whose store keeps its own time, and cannot be aged, gives a short `ttl` and lets
 * `elapse` sleep.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                                                                        |
 * | --- | ------------------------------------------------------------------------------ |
 * | L1  | its own holder gets it again                                                   |
 * | L2  | fence starts anew after a release                                              |
 * | L3  | never expires; an expired lease is renewed                                     |
 * | L4  | renewing does nothing                                                          |
 * | L5  | released whatever the fence                                                    |
 * | L6  | a release wakes nobody; one before the wait is forgotten; time up is a release |
 * | L7  | claims to be durable                                                           |
 * | L8  | what has expired is listed; the prefix is ignored; the limit is ignored        |
 */
import { assert } from "@effect/vitest"
import {
  Clock,
  Duration,
  Effect,
  Fiber,
  type Layer,
  Option,
  Random,
  Result,
  type Scope,
} from "effect"
import { type Lease, LockKey } from "../domain/Lease.ts"
import { Lock } from "../services/Lock.ts"
import {
  block,
  type Elapse,
  fresh,
  oneOf,
  type Options,
  pass,
  type Tests,
  times,
  together,
} from "./world.ts"

export interface LockOptions<R> extends Options {
  /** Of the leases in these tests. */
  readonly ttl?: Duration.Duration
  /** How many random histories are compared with a model. */
  readonly sequences?: number
  /**
   * Ends what keeps the locks, as killing it would, and opens what it kept again: what is given runs
   * on locks over the same data. Absent: a crash may forget them, and the adapter says so.
   */
  readonly reopened?: <A, E>(
    then: Effect.Effect<A, E, Lock>,
  ) => Effect.Effect<A, unknown, R | Scope.Scope>
}

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Lock | R, E>,
  elapse: Elapse<R>,
  options: LockOptions<R> = {},
): void => block(`Lock, ${adapter}`, layer, options, (it) => laws(it, elapse, options))

const freshKey = () => LockKey.make(fresh("key"))

/** The lease that nobody else's stands in the way of. */
const granted = (key: LockKey, holder: string, ttl: Duration.Duration) =>
  Effect.map(
    Lock.use((lock) => lock.acquire(key, holder, ttl)),
    Option.getOrThrowWith(() => new Error(`${key} is held`)),
  )

const isLive = (lease: Lease, ttl: Duration.Duration) =>
  Effect.gen(function* () {
    const lock = yield* Lock
    const renewed = yield* Effect.result(lock.renew(lease, ttl))
    if (Result.isSuccess(renewed)) return true
    assert.strictEqual(renewed.failure._tag, "LeaseLost")
    return false
  })

export const laws = <R>(
  it: Tests<Lock | R>,
  elapse: Elapse<R>,
  options: LockOptions<R> = {},
): void => {
  const ttl = options.ttl ?? Duration.seconds(30)
  const most = Duration.times(ttl, 0.7)
  const past = Duration.times(ttl, 1.25)

  it.effect("L1 exclusive: a live lease keeps everybody out, its holder included", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const lease = yield* granted(key, "ada", ttl)
      assert.deepInclude({ ...lease }, { key, holder: "ada" })
      assert.isTrue(Option.isNone(yield* lock.acquire(key, "bob", ttl)))
      assert.isTrue(Option.isNone(yield* lock.acquire(key, "ada", ttl)))
      assert.isTrue(yield* isLive(lease, ttl), "and was not disturbed by them")
    }))

  it.effect("L1 exclusive: of many at once one gets it", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      for (const _ of times(5)) {
        const key = freshKey()
        const answers = yield* together(
          times(8).map((n) => lock.acquire(key, `holder ${n}`, ttl)),
        )
        assert.strictEqual(answers.filter(Option.isSome).length, 1)
      }
    }))

  it.effect("L1 exclusive: keys are apart, whatever they are made of", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const base = freshKey()
      const keys = [
        base,
        `${base}/`,
        `${base} `,
        `${base.toUpperCase()}`,
        `${base}%_\\'"\n`,
        `${base}é🎩`,
        `${base}${"x".repeat(512 - base.length)}`,
        `${base}${"x".repeat(511 - base.length)}y`,
      ].map((key) => LockKey.make(key))
      for (const key of keys) assert.strictEqual((yield* granted(key, "ада", ttl)).key, key)
      for (const key of keys) {
        assert.isTrue(Option.isNone(yield* lock.acquire(key, "bob", ttl)), key)
      }
    }))

  it.effect("L2 fenced: the fence rises across release and expiry", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const fences: Array<number> = []
      for (const n of times(6)) {
        const lease = yield* granted(key, n % 2 ? "ada" : "bob", ttl)
        fences.push(lease.fence)
        yield* (n % 3 ? lock.release(lease) : elapse(past))
      }
      assert.isAbove(fences[0]!, 0)
      for (const n of times(5)) assert.isAbove(fences[n + 1]!, fences[n]!)
    }))

  it.effect("L2 fenced: the fence outlives a key that nobody wanted for long", () =>
    Effect.gen(function* () {
      const key = freshKey()
      const first = yield* granted(key, "ada", ttl)
      yield* elapse(past)
      yield* elapse(past)
      yield* elapse(past)
      assert.isAbove((yield* granted(key, "ada", ttl)).fence, first.fence)
    }))

  it.effect("L3 expiring: an expired lease frees its key, and is not renewed", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const lease = yield* granted(key, "ada", ttl)
      yield* elapse(most)
      assert.isTrue(Option.isNone(yield* lock.acquire(key, "bob", ttl)), "not before its time")
      yield* elapse(Duration.subtract(past, most))
      assert.isFalse(yield* isLive(lease, ttl), "nobody else has it, and yet it is over")
      const next = yield* granted(key, "bob", ttl)
      assert.isFalse(yield* isLive(lease, ttl))
      assert.isTrue(yield* isLive(next, ttl))
    }))

  it.effect("L3 expiring: of many who find it expired one gets it", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const lease = yield* granted(key, "ada", ttl)
      yield* elapse(past)
      const answers = yield* together(
        times(8).map((n) => lock.acquire(key, `holder ${n}`, ttl)),
      )
      const [next, ...others] = answers.flatMap(Option.toArray)
      assert.deepStrictEqual(others, [])
      assert.isAbove(next!.fence, lease.fence)
    }))

  it.effect("L4 renewable: a renewed lease lives on, with its fence", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const lease = yield* granted(key, "ada", ttl)
      for (const _ of times(3)) {
        yield* elapse(most)
        yield* lock.renew(lease, ttl)
      }
      yield* elapse(most)
      assert.isTrue(Option.isNone(yield* lock.acquire(key, "bob", ttl)))
      yield* lock.release(lease)
      assert.strictEqual((yield* granted(key, "bob", ttl)).holder, "bob")
    }))

  it.effect("L4 renewable: the last renewal says how long, also when it is shorter", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const lease = yield* granted(key, "ada", Duration.times(ttl, 10))
      yield* lock.renew(lease, ttl)
      yield* elapse(past)
      assert.isTrue(Option.isSome(yield* lock.acquire(key, "bob", ttl)))
    }))

  it.effect("L5 exact: releasing what is no longer current changes nothing", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const released = yield* granted(key, "ada", ttl)
      yield* lock.release(released)
      yield* lock.release(released)
      assert.isFalse(yield* isLive(released, ttl))
      const expired = yield* granted(key, "ada", ttl)
      yield* elapse(past)
      // The same holder again, so that only the fence tells them apart.
      const current = yield* granted(key, "ada", ttl)
      for (const old of [released, expired]) {
        yield* lock.release(old)
        assert.isFalse(yield* isLive(old, ttl))
        assert.isTrue(Option.isNone(yield* lock.acquire(key, "bob", ttl)))
      }
      assert.isTrue(yield* isLive(current, ttl))
    }))

  /** How long `waiting` takes to end; looks as often as the clock is let go on. */
  const millisUntilEnded = (waiting: Fiber.Fiber<boolean>, atMost: number) =>
    Effect.gen(function* () {
      const startedAt = yield* Clock.currentTimeMillis
      for (;;) {
        const millis = (yield* Clock.currentTimeMillis) - startedAt
        if (waiting.pollUnsafe() !== undefined) {
          assert.isTrue(yield* Fiber.join(waiting), "it has seen the release")
          return millis
        }
        assert.isBelow(millis, atMost, "the release was missed")
        yield* pass(options)("5 millis")
      }
    })

  it.effect("L6 watched: a release ends the wait within 200 ms, of all who watch", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const watches = [yield* lock.watch(key), yield* lock.watch(key)]
      const all: Array<number> = []
      for (const _ of times(5)) {
        const lease = yield* granted(key, "ada", ttl)
        for (const { arm } of watches) yield* arm
        const waiting = yield* Effect.forEach(
          watches,
          ({ wait }) => Effect.forkChild(wait(Duration.seconds(10)), { startImmediately: true }),
        )
        yield* pass(options)("30 millis")
        yield* lock.release(lease)
        for (const each of waiting) all.push(yield* millisUntilEnded(each, 5000))
      }
      // A machine that is busy with something else may hold one of them up.
      assert.isAtMost(all.toSorted((a, b) => a - b).at(-2)!, 200)
    }))

  it.effect("L6 watched: a release between arm and wait is not missed", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const { arm, wait } = yield* lock.watch(key)
      for (const _ of times(3)) {
        const lease = yield* granted(key, "ada", ttl)
        yield* arm
        yield* lock.release(lease)
        yield* pass(options)("50 millis")
        const waiting = yield* Effect.forkChild(wait(Duration.seconds(10)))
        yield* millisUntilEnded(waiting, 5000)
      }
    }))

  it.effect("L6 watched: a wait in which nothing was released ends at its time", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const key = freshKey()
      const { arm, wait } = yield* lock.watch(key)
      yield* granted(key, "ada", ttl)
      yield* arm
      const waiting = yield* Effect.forkChild(wait(Duration.millis(200)), {
        startImmediately: true,
      })
      yield* pass(options)("100 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* pass(options)("300 millis")
      assert.isFalse(yield* Fiber.join(waiting))
    }))

  it.effect("L7 honest: fences are durable if they and the leases outlive a crash", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const { reopened } = options
      if (reopened === undefined) return assert.strictEqual(lock.fences, "advisory")
      assert.strictEqual(lock.fences, "durable")
      const key = freshKey()
      const other = freshKey()
      const last = yield* granted(other, "ada", ttl)
      yield* lock.release(last)
      const lease = yield* granted(key, "ada", ttl)
      yield* reopened(Effect.gen(function* () {
        const lock = yield* Lock
        assert.strictEqual(lock.fences, "durable")
        assert.isTrue(Option.isNone(yield* lock.acquire(key, "bob", ttl)), "still held")
        yield* lock.renew(lease, ttl)
        assert.isAbove((yield* granted(other, "bob", ttl)).fence, last.fence)
        yield* lock.release(lease)
        assert.isAbove((yield* granted(key, "bob", ttl)).fence, lease.fence)
      }))
    }))

  it.effect("L8 listed: live leases whose keys start as asked, and no others", () =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const prefix = `${fresh("listed")}/%_`
      const key = (name: string) => LockKey.make(`${prefix}${name}`)
      const names = ["d", "b", "a", "c"]
      const leases = yield* Effect.forEach(names, (name) => granted(key(name), "ada", ttl))
      yield* granted(freshKey(), "ada", ttl)
      yield* lock.release(leases[1]!)
      yield* elapse(most)
      yield* lock.renew(leases[0]!, ttl)
      yield* lock.renew(leases[2]!, ttl)
      yield* elapse(most)
      const held = yield* lock.held({ prefix, limit: 10 })
      assert.deepEqual(held.map(({ lease }) => lease), [leases[2]!, leases[0]!])
      for (const { endsIn } of held) {
        assert.isAbove(Duration.toMillis(endsIn), 0)
        assert.isAtMost(Duration.toMillis(endsIn), Duration.toMillis(Duration.subtract(ttl, most)))
      }
      assert.deepEqual((yield* lock.held({ prefix, limit: 1 })).map(({ lease }) => lease), [
        leases[2]!,
      ])
      // What is listed is enough to release it in its holder's stead.
      yield* lock.release(held[0]!.lease)
      assert.isFalse(yield* isLive(leases[2]!, ttl))
      assert.strictEqual((yield* lock.held({ prefix, limit: 10 })).length, 1)
      assert.deepEqual(yield* lock.held({ prefix: `${prefix}no`, limit: 10 }), [])
    }))

  for (const seed of times(options.sequences ?? 8)) {
    it.effect(`L1 to L5: a random history is as the model has it, SEED=${seed}`, () =>
      history(elapse, ttl).pipe(Random.withSeed(seed)))
  }
}

/** The model's clock goes in steps of half a ttl, and a renewed lease lives for three quarters. */
const history = <R>(elapse: Elapse<R>, ttl: Duration.Duration) =>
  Effect.gen(function* () {
    const lock = yield* Lock
    const life = Duration.times(ttl, 1.5)
    const keys = [freshKey(), freshKey()]
    const current = new Map<LockKey, { readonly lease: Lease; until: number }>()
    const leases: Array<Lease> = []
    const lastFence = new Map<LockKey, number>()
    let now = 0

    const live = (lease: Lease): boolean => {
      const entry = current.get(lease.key)
      return entry?.lease.fence === lease.fence && entry.until > now
    }
    for (const _ of times(40)) {
      const act = yield* oneOf(["acquire", "acquire", "renew", "release", "elapse"])
      if (act === "elapse") {
        yield* elapse(ttl)
        now += 1
      } else if (act === "acquire") {
        const key = yield* oneOf(keys)
        const holder = yield* oneOf(["ada", "bob"])
        const known = current.get(key)
        const isFree = known === undefined || known.until <= now
        const answer = yield* lock.acquire(key, holder, life)
        assert.strictEqual(Option.isSome(answer), isFree)
        if (Option.isNone(answer)) continue
        assert.isAbove(answer.value.fence, lastFence.get(key) ?? 0)
        lastFence.set(key, answer.value.fence)
        leases.push(answer.value)
        current.set(key, { lease: answer.value, until: now + 1.5 })
      } else if (leases.length > 0) {
        const lease = yield* oneOf(leases)
        const isCurrent = live(lease)
        if (act === "release") {
          yield* lock.release(lease)
          if (isCurrent) current.delete(lease.key)
        } else {
          assert.strictEqual(yield* isLive(lease, life), isCurrent)
          if (isCurrent) current.get(lease.key)!.until = now + 1.5
        }
      }
    }
  })
