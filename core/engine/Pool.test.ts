import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Random, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { BreakerName } from "../domain/Breaker.ts"
import type * as GivenBack from "../domain/GivenBack.ts"
import { Fence } from "../domain/Lease.ts"
import * as PoolSizes from "../domain/PoolSizes.ts"
import * as Retry from "../domain/Retry.ts"
import { RunId } from "../domain/RunId.ts"
import { type Policy, usualPolicy } from "../domain/Task.ts"
import type { Grant } from "../services/RunStorage.ts"
import type { Hooks } from "./Handler.ts"
import type * as Pool from "./Pool.ts"
import { failed, grantOf, serving, task } from "./Pool.fixture.ts"

describe("a run whose start is marked", () => {
  /** A pool of one place with the grant in it; the marked start is answered a second later. */
  const carried = Effect.fnUntraced(function* (
    mayStart: boolean,
    freshMillis: number,
    policy: Policy = usualPolicy,
  ) {
    let starts = 0
    const pool = yield* serving(
      () => Effect.sync(() => void starts++).pipe(Effect.as(undefined)),
      { mark: () => Effect.as(Effect.sleep("1 second"), mayStart), policy },
    )
    const now = Number((yield* Clock.Clock).monotonicTimeNanosUnsafe()) / 1e6
    pool.keepFresh(now + freshMillis)
    pool.take([grantOf(1, { isCareful: true })])
    yield* TestClock.adjust("1 second")
    const reports = pool.takeReports(9).map(({ _tag }) => _tag)
    return { starts, reports, known: pool.known().length }
  })

  it.effect("starts while the lease is fresh", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* carried(true, 2000), { starts: 1, reports: ["Succeed"], known: 0 })
    }))

  it.effect("is given back when the answer came after the lease may have run out", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* carried(true, 500), { starts: 0, reports: ["Release"], known: 0 })
    }))

  it.effect("is given back when what was left with the mark would be said before it is up", () =>
    Effect.gen(function* () {
      const timed = (timeoutMillis: number) =>
        carried(true, 2000, { ...usualPolicy, timeoutMillis })
      assert.deepEqual(yield* timed(700), { starts: 0, reports: ["Release"], known: 0 })
      assert.deepEqual(yield* timed(800), { starts: 1, reports: ["Succeed"], known: 0 })
    }))

  it.effect("that is suspended before that is given back, as one that never began", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => Effect.succeed(undefined), {
        mark: () => Effect.as(Effect.sleep("1 second"), true),
      })
      const grant = grantOf(1, { isCareful: true })
      pool.take([grant])
      yield* TestClock.adjust("500 millis")
      pool.revoke({ run: grant.run, fence: grant.fence, isSuspending: true })
      yield* TestClock.adjust("1 second")
      assert.deepEqual(pool.takeReports(9).map(({ _tag }) => _tag), ["Release"])
    }))

  it.effect("is not marked if its payload is for others: nobody has begun it", () =>
    Effect.gen(function* () {
      let marks = 0
      const pool = yield* serving(
        (payload) => Effect.fail({ ...failed("Newer"), isGivenBack: payload === "new" }),
        {
          mark: () => Effect.sync(() => ++marks > 0),
          isForOthers: (payload) => payload === "new",
        },
      )
      pool.take([grantOf(1, { isCareful: true, payload: "new" })])
      assert.deepEqual(pool.takeReports(9).map(({ _tag }) => _tag), ["Release"])
      assert.strictEqual(marks, 0)
      pool.take([grantOf(2, { isCareful: true })])
      assert.strictEqual(marks, 1)
    }))

  it.effect("does nothing when somebody else holds it by now", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* carried(false, 2000), { starts: 0, reports: [], known: 0 })
    }))
})

describe("a run that asks what its task keeps", () => {
  for (const [freshMillis, reports] of [[2000, ["Succeed"]], [500, ["Release"]]] as const) {
    it.effect(`is given back if somebody else may have it by then: fresh for ${freshMillis} ms`, () =>
      Effect.gen(function* () {
        let told = 0
        const pool = yield* serving(
          (_, run) => Effect.map(run.recall("key"), () => void told++),
          { recall: () => Effect.as(Effect.sleep("1 second"), "state") },
        )
        const now = Number((yield* Clock.Clock).monotonicTimeNanosUnsafe()) / 1e6
        pool.keepFresh(now + freshMillis)
        pool.take([grantOf(1)])
        yield* TestClock.adjust("1 second")
        assert.deepEqual(pool.takeReports(9).map(({ _tag }) => _tag), [...reports])
        assert.strictEqual(told, reports[0] === "Succeed" ? 1 : 0)
      }))
  }
})

describe("a run whose retries are bounded by its age", () => {
  const retry = Retry.exponential({ attempts: 9, delayMillis: 1000, jitter: 0, withinMillis: 5000 })
  const policy = { ...usualPolicy, retry }
  /** The reports of a handler that fails two seconds after the grant. */
  const reported = Effect.fnUntraced(function* (grant: Partial<Grant>, hooks?: Hooks) {
    let starts = 0
    const work = Effect.andThen(Effect.sleep("2 seconds"), Effect.fail(failed("Down")))
    const pool = yield* serving(() => Effect.andThen(Effect.sync(() => void starts++), work), {
      policy,
      ...(hooks !== undefined && { hooks }),
    })
    pool.take([grantOf(1, grant)])
    yield* TestClock.adjust("2 seconds")
    return { starts, reports: pool.takeReports(9).map(({ _tag }) => _tag) }
  })

  it.effect("is tried again while the next attempt begins in time, and not after it", () =>
    Effect.gen(function* () {
      assert.deepEqual((yield* reported({ dueMillisAgo: 2000 })).reports, ["Retry"])
      assert.deepEqual((yield* reported({ dueMillisAgo: 2001 })).reports, ["GiveUp"])
    }))

  it.effect("is not begun again when nobody was free for it in time", () =>
    Effect.gen(function* () {
      const late = { attempt: 2, dueMillisAgo: 5001 }
      assert.deepEqual(yield* reported(late), { starts: 0, reports: ["GiveUp"] })
      // A first attempt is never too late, nor is one after a crash.
      assert.strictEqual((yield* reported({ ...late, attempt: 1 })).starts, 1)
      assert.strictEqual((yield* reported({ ...late, crashes: 1 })).starts, 1)
    }))

  it.effect("is rolled back when it is not tried again, and only then", () =>
    Effect.gen(function* () {
      const undone: Array<number> = []
      for (const dueMillisAgo of [2000, 2001]) {
        yield* reported({ dueMillisAgo }, {
          rollback: () => Effect.sync(() => void undone.push(dueMillisAgo)),
        })
      }
      assert.deepEqual(undone, [2001])
    }))
})

describe("a pool of core 2, maximum 4 and a queue of 3", () => {
  const sizes = { core: 2, maximum: 4, queueLength: 3, prefetchMillis: 100 }
  const grants = Array.from({ length: 8 }, (_, at) => grantOf(at + 1))

  it.effect("gives the eighth run back", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => Effect.never, { sizes })
      assert.strictEqual(pool.wanted(), 7)
      pool.take(grants)
      assert.deepStrictEqual(
        { running: pool.running(), queued: pool.queued(), wanted: pool.wanted() },
        { running: 4, queued: 3, wanted: 0 },
      )
      assert.deepStrictEqual(
        pool.takeReports(9),
        [{ _tag: "Release", run: grants[7]!.run, fence: grants[7]!.fence, why: "PoolFull" }],
      )
    }))

  it.effect("runs two until the queue is full, and no more when it is empty again", () =>
    Effect.gen(function* () {
      const ends = new Map<number, Deferred.Deferred<undefined>>()
      const pool = yield* serving((_, { id }) =>
        Effect.gen(function* () {
          const end = yield* Deferred.make<undefined>()
          ends.set(id, end)
          return yield* Deferred.await(end)
        }), { sizes })
      pool.take(grants.slice(0, 4))
      assert.strictEqual(pool.running(), 2)
      pool.take(grants.slice(4, 6))
      assert.deepStrictEqual([pool.running(), pool.queued()], [4, 2])
      for (const run of [1, 2]) yield* Deferred.succeed(ends.get(run)!, undefined)
      yield* TestClock.adjust("1 milli")
      assert.deepStrictEqual([pool.running(), pool.queued()], [2, 2])
    }))

  it.effect("changes its sizes while it runs", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => Effect.never, { sizes })
      pool.take(grants.slice(0, 7))
      pool.resize({ core: 6, maximum: 6, queueLength: 0, prefetchMillis: 100 })
      assert.deepStrictEqual([pool.running(), pool.queued()], [6, 0])
      assert.deepStrictEqual(pool.takeReports(9).map(({ _tag }) => _tag), ["Release"])
      pool.resize({ core: 1, maximum: 1, queueLength: 0, prefetchMillis: 100 })
      assert.isAtMost(pool.wanted(), 0)
    }))
})

describe("what is given back says why", () => {
  const never = () => Effect.never
  const late = { run: grantOf(1).run, fence: grantOf(1).fence }
  const careful = grantOf(1, { isCareful: true })
  const slowly = { mark: () => Effect.as(Effect.sleep("1 second"), true) }
  const until = (millis: number) =>
    Effect.map(Clock.Clock, (clock) => Number(clock.monotonicTimeNanosUnsafe()) / 1e6 + millis)

  const ways: ReadonlyArray<
    readonly [what: string, why: GivenBack.Why, Effect.Effect<Pool.Pool, never, Scope.Scope>]
  > = [
    [
      "what nobody serves here any more",
      "Stopping",
      Effect.map(serving(never), (pool) => {
        pool.forsake(task)
        pool.take([grantOf(1)])
        return pool
      }),
    ],
    [
      "what waits when its task is served no more",
      "Stopping",
      Effect.map(serving(never), (pool) => {
        pool.keepFresh(0)
        pool.take([grantOf(1)])
        pool.forsake(task)
        return pool
      }),
    ],
    [
      "what is interrupted at a shutdown",
      "Stopping",
      Effect.map(serving(never), (pool) => {
        pool.take([grantOf(1)])
        pool.giveBack()
        return pool
      }),
    ],
    [
      "what has no room",
      "PoolFull",
      Effect.map(serving(never, { sizes: { ...PoolSizes.of(1), queueLength: 1 } }), (pool) => {
        pool.take([grantOf(3), grantOf(2), grantOf(1)])
        return pool
      }),
    ],
    [
      "what waits and is to be put down",
      "Suspending",
      Effect.map(serving(never), (pool) => {
        pool.keepFresh(0)
        pool.take([grantOf(1)])
        pool.revoke({ ...late, isSuspending: true })
        return pool
      }),
    ],
    [
      "what is to be put down before it has begun",
      "Suspending",
      Effect.gen(function* () {
        const pool = yield* serving(never, slowly)
        pool.take([careful])
        yield* TestClock.adjust("500 millis")
        pool.revoke({ ...late, isSuspending: true })
        return pool
      }),
    ],
    [
      "what may be somebody else's once its start is marked",
      "LeaseUnsure",
      Effect.gen(function* () {
        const pool = yield* serving(never, slowly)
        pool.keepFresh(yield* until(500))
        pool.take([careful])
        return pool
      }),
    ],
    [
      "what may be somebody else's once it is prepared",
      "LeaseUnsure",
      Effect.gen(function* () {
        const prepare = () => Effect.sleep("1 second")
        const pool = yield* serving(never, { hooks: { prepare } })
        pool.keepFresh(yield* until(500))
        pool.take([grantOf(1)])
        return pool
      }),
    ],
    [
      "what may be somebody else's once it knows what is kept",
      "LeaseUnsure",
      Effect.gen(function* () {
        const recall = () => Effect.as(Effect.sleep("1 second"), undefined)
        const pool = yield* serving(
          (_, run) => Effect.as(run.recall("key"), undefined),
          { recall },
        )
        pool.keepFresh(yield* until(500))
        pool.take([grantOf(1)])
        return pool
      }),
    ],
    [
      "what waited in vain for the breaker of its key",
      "BreakerSilent",
      Effect.gen(function* () {
        const breaker = { name: BreakerName.make("there"), by: "key" } as const
        const pool = yield* serving(never, { policy: { ...usualPolicy, breaker } })
        pool.take([grantOf(1)])
        return pool
      }),
    ],
    [
      "what is of a newer version",
      "PayloadNewer",
      Effect.map(
        serving(() => Effect.fail({ ...failed("PayloadNewer"), isGivenBack: true })),
        (pool) => {
          pool.take([grantOf(1)])
          return pool
        },
      ),
    ],
  ]

  for (const [what, why, made] of ways) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const pool = yield* made
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(pool.takeReports(9), [{ _tag: "Release", ...late, why }])
      }))
  }
})

describe("what a run says", () => {
  it.effect("is told before its report", () =>
    Effect.gen(function* () {
      const urgent: Array<boolean> = []
      const pool = yield* serving((_, run) =>
        Effect.sync(() => {
          run.say("Info", "hello")
          return "1"
        }), { onNews: (isUrgent) => urgent.push(isUrgent) })
      pool.take([grantOf(1), grantOf(2)])
      yield* TestClock.adjust("1 milli")
      assert.deepStrictEqual(pool.takeReports(9), [])
      assert.include(urgent, true)
      assert.strictEqual(pool.known().length, 2, "they are held until they are reported")
      const told = pool.takeNews()
      assert.deepStrictEqual(told.map(({ lines }) => lines.map(({ text }) => text)), [
        ["hello"],
        ["hello"],
      ])
      assert.deepStrictEqual(pool.takeReports(9), [])
      pool.told()
      assert.deepStrictEqual(pool.takeReports(9).map(({ _tag }) => _tag), ["Succeed", "Succeed"])
      assert.isFalse(pool.hasNews())
    }))

  it.effect("is told of a run that was abandoned too, as evidence", () =>
    Effect.gen(function* () {
      const pool = yield* serving((_, run) =>
        Effect.andThen(Effect.sync(() => run.say("Info", "hello")), Effect.never)
      )
      pool.take([grantOf(1)])
      pool.abandonAll()
      yield* TestClock.adjust("1 milli")
      assert.strictEqual(pool.takeNews().length, 1)
      pool.told()
      assert.deepStrictEqual(pool.takeReports(9), [])
    }))
})

describe("a handler that goes on although it was interrupted", () => {
  const ignores = Effect.as(Effect.uninterruptible(Effect.sleep("1 minute")), undefined)

  for (
    const [why, act, report] of [
      ["cancelled", "revoke", "Abort"],
      ["put down", "suspend", "Yield"],
      ["given back", "giveBack", "Release"],
    ] as const
  ) {
    it.effect(`is stuck when it was ${why}: it is reported, and its place is free`, () =>
      Effect.gen(function* () {
        const pool = yield* serving((_, { keep }) =>
          Effect.andThen(Effect.orDie(keep("7")), ignores)
        )
        const held = { run: RunId.make(1), fence: Fence.make(2) }
        pool.take([grantOf(1)])
        if (act === "giveBack") pool.giveBack()
        else pool.revoke({ ...held, ...(act === "suspend" && { isSuspending: true }) })
        yield* TestClock.adjust("900 millis")
        assert.deepStrictEqual([pool.running(), pool.stuck()], [1, 0])
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual([pool.running(), pool.stuck(), pool.wanted()], [0, 1, 1])
        const [made, ...others] = pool.takeReports(9)
        assert.deepStrictEqual(others, [])
        assert.deepInclude(made, { ...held, _tag: report })
        if (act !== "revoke") assert.deepInclude(made, { checkpoint: "7" })
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual([pool.running(), pool.stuck()], [0, 0])
        assert.deepStrictEqual(pool.takeReports(9), [], "it was reported before")
      }))
  }

  it.effect("is stuck past its timeout, and what it is tried again for says so", () =>
    Effect.gen(function* () {
      const policy = {
        ...usualPolicy,
        timeoutMillis: 5000,
        retry: Retry.exponential({ attempts: 2 }),
      }
      const pool = yield* serving(() => ignores, { policy })
      pool.take([grantOf(1)])
      yield* TestClock.adjust("5900 millis")
      assert.deepStrictEqual(pool.takeReports(9), [])
      yield* TestClock.adjust("200 millis")
      const [report] = pool.takeReports(9)
      assert.strictEqual(report?._tag, "Retry")
      assert.include("failure" in report! ? report.failure.message : "", "stuck")
    }))

  it.effect("takes a place for good once there are as many as places", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => ignores)
      for (const run of [1, 2]) {
        pool.take([grantOf(run)])
        assert.strictEqual(pool.running(), 1)
        pool.abandonAll()
        yield* TestClock.adjust("1100 millis")
      }
      assert.deepStrictEqual([pool.stuck(), pool.wanted()], [2, 0])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([pool.stuck(), pool.wanted()], [0, 1])
    }))

  it.effect("is no less stuck when the order to stop comes again and again", () =>
    Effect.gen(function* () {
      const pool = yield* serving(() => ignores)
      pool.take([grantOf(1)])
      for (let again = 0; again < 4; again++) {
        pool.revoke({ run: RunId.make(1), fence: Fence.make(2) })
        yield* TestClock.adjust("300 millis")
      }
      assert.deepStrictEqual([pool.running(), pool.stuck()], [0, 1])
      assert.deepStrictEqual(pool.takeReports(9).map(({ _tag }) => _tag), ["Abort"])
    }))

  it.effect("is none that ends within its time, finalizers and all", () =>
    Effect.gen(function* () {
      let hasEnded = false
      const pool = yield* serving(() =>
        Effect.onInterrupt(
          Effect.never,
          () => Effect.as(Effect.sleep("500 millis"), void (hasEnded = true)),
        )
      )
      pool.take([grantOf(1)])
      pool.revoke({ run: RunId.make(1), fence: Fence.make(2) })
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(hasEnded)
      assert.deepStrictEqual(pool.takeReports(9).map(({ _tag }) => _tag), ["Abort"])
      assert.strictEqual(pool.stuck(), 0)
    }))
})

describe("a run that is granted again while its earlier attempt is being put down", () => {
  const again = Fence.make(3)

  /** Its first attempt takes so long to be put down; every one says when it begins and ends. */
  const grantedAgain = Effect.fnUntraced(function* (places: number, downMillis: number) {
    const seen = { running: 0, most: 0 }
    const pool = yield* serving(
      (_, { fence }) =>
        Effect.suspend(() => {
          seen.most = Math.max(seen.most, ++seen.running)
          return Effect.never
        }).pipe(
          Effect.onInterrupt(() =>
            Effect.sync(() => seen.running--).pipe(
              Effect.delay(fence === again ? 0 : downMillis),
            )
          ),
        ),
      { sizes: PoolSizes.of(places) },
    )
    pool.take([grantOf(1)])
    yield* TestClock.adjust("1 second")
    pool.abandonAll()
    pool.take([grantOf(1, { fence: again })])
    return { pool, seen }
  })

  it.effect("keeps its place when that has ended", () =>
    Effect.gen(function* () {
      const { pool, seen } = yield* grantedAgain(2, 500)
      yield* TestClock.adjust("1 second")
      pool.take([grantOf(2), grantOf(3)])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(pool.running(), 2)
      assert.deepStrictEqual(seen, { running: 2, most: 2 })
    }))

  for (const places of [1, 2, 3]) {
    it.effect(`takes a place of ${places} beside that, and no more go on than there are`, () =>
      Effect.gen(function* () {
        const { pool, seen } = yield* grantedAgain(places, 500)
        pool.take([grantOf(2), grantOf(3), grantOf(4)])
        yield* TestClock.adjust("400 millis")
        assert.strictEqual(pool.running(), places)
        assert.strictEqual(seen.running, places)
        yield* TestClock.adjust("400 millis")
        assert.deepStrictEqual(seen, { running: places, most: places })
        assert.strictEqual(pool.running(), places)
        assert.strictEqual(pool.stuck(), 0)
      }))
  }

  it.effect("does not keep that from being given up on, which frees its place", () =>
    Effect.gen(function* () {
      const { pool, seen } = yield* grantedAgain(2, 60_000)
      pool.take([grantOf(2)])
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual([pool.running(), pool.queued(), pool.stuck()], [2, 1, 0])
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual([pool.running(), pool.queued(), pool.stuck()], [2, 0, 1])
      assert.deepStrictEqual(pool.known().map(({ fence, run }) => [run as number, fence]), [
        [1, again],
        [2, Fence.make(2)],
      ])
      assert.deepStrictEqual(pool.takeReports(9), [], "it was abandoned")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([pool.running(), pool.stuck(), seen.running], [2, 0, 2])
    }))

  it.effect("is the one that an order means which names its fence", () =>
    Effect.gen(function* () {
      const { pool } = yield* grantedAgain(2, 500)
      pool.abandon(RunId.make(1), Fence.make(2))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(pool.running(), 1)
      pool.revoke({ run: RunId.make(1), fence: again })
      yield* TestClock.adjust("1 milli")
      assert.strictEqual(pool.running(), 0)
      assert.deepInclude(pool.takeReports(9)[0], { _tag: "Abort", fence: again })
    }))
})

describe("a herd of runs", () => {
  it.effect("B50: of 10,000 that fail at once no second gets more than 3 percent of the retries", () =>
    Effect.gen(function* () {
      const retry = Retry.exponential({
        attempts: 9,
        delayMillis: 40_000,
        growth: 2,
        jitterKind: "wide",
      })
      const pool = yield* serving(() => Effect.fail(failed("down")), {
        sizes: PoolSizes.of(10_000),
        policy: { ...usualPolicy, retry },
      })
      pool.take(Array.from({ length: 10_000 }, (_, at) => grantOf(at + 1)))
      yield* TestClock.adjust("1 second")
      const reports = pool.takeReports(10_000)
      assert.strictEqual(reports.length, 10_000)
      const seconds = new Map<number, number>()
      for (const report of reports) {
        assert(report._tag === "Retry")
        const second = Math.floor(report.delayMillis / 1000)
        seconds.set(second, (seconds.get(second) ?? 0) + 1)
      }
      assert.isAtMost(Math.max(...seconds.values()), 300)
      assert.isAtLeast(Math.min(...seconds.keys()), 40)
    }).pipe(Random.withSeed("herd")))
})
