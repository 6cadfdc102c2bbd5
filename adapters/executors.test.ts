/** Executors as real processes that are killed, stopped for too long, or kill themselves. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Layer, type Scope } from "effect"
import { stalls } from "../core/contract/invariants/stalls.ts"
import { until } from "../core/contract/program.ts"
import { times } from "../core/contract/world.ts"
import { standard } from "../core/domain/Namespace.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import { Storage } from "../core/services/Storage.ts"
import { executing, Poison, storageAt, Timed, ttlMillis, Work } from "./executor.fixture.ts"
import * as TestPostgres from "./postgres/TestStorage.ts"
import { processOf, said } from "./process.fixture.ts"
import { freshFile } from "./sqlite/fresh.fixture.ts"

const fixture = new URL("./executor.fixture.ts", import.meta.url)

/** What it takes to begin, besides, with a process that has just come. */
const beginMillis = 2000

const child = (address: string, name: string, how: "hang" | "work", ttl = ttlMillis) =>
  processOf(fixture, address, name, how, `${ttl}`)

describe("an executor that is a process", { concurrent: true }, () => {
  const test = (
    name: string,
    address: Effect.Effect<string, unknown, Scope.Scope>,
    body: (address: string) => Effect.Effect<unknown, unknown, Storage | Scheduler | Scope.Scope>,
  ) =>
    it.live(
      name,
      () =>
        Effect.flatMap(address, (address) =>
          Effect.scoped(body(address)).pipe(
            Effect.provide(
              Scheduler.layerWith({ sweepInterval: "200 millis" }).pipe(
                Layer.provide(LocalOwnership.layer),
                Layer.provideMerge(storageAt(address)),
              ),
            ),
          )).pipe(Effect.scoped),
      60_000,
    )

  // A process that is stopped as it writes keeps an SQLite file to itself.
  test(
    "B1: stopped for three leases, it goes on, and what it says then is not taken",
    TestPostgres.freshUrl,
    (at) =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const a = yield* child(at, "a", "work")
        const run = yield* Work.submit({ how: "slow" })
        const [began] = yield* said(a.lines, "began")
        yield* a.signal("SIGSTOP")
        yield* Layer.build(Layer.provide(executing("b", false), storageAt(at)))
        assert.strictEqual(yield* Work.result(run), "b")
        yield* Effect.sleep(2 * ttlMillis)
        const { fence } = yield* scheduler.find(run)
        assert.isAbove(fence, Number(began!.split(" ")[2]))
        yield* a.signal("SIGCONT")
        yield* until(
          Effect.sync(() => a.lines.length),
          (length) => length > 1,
        )
        yield* Effect.sleep("1 second")
        assert.strictEqual(yield* Work.result(run), "b")
        const events = yield* scheduler.events(run)
        assert.strictEqual(events.filter(({ kind }) => kind === "Succeeded").length, 1)
        assert.strictEqual((yield* scheduler.find(run)).fence, fence)
      }),
  )

  for (
    const [where, address] of [
      ["a file", freshFile],
      ["a database", TestPostgres.freshUrl],
    ] as const
  ) {
    test(
      `I17: stopped as a whole, two seconds after its time its run has timed out, in ${where}`,
      address,
      (at) =>
        Effect.gen(function* () {
          const scheduler = yield* Scheduler
          const { executors } = yield* Storage
          const stalled = yield* stalls
          const a = yield* child(at, "a", "work", 10_000)
          const begun = performance.now()
          const run = yield* Timed.submit({})
          yield* said(a.lines, "began")
          const claimedAt = DateTime.toEpochMillis((yield* scheduler.find(run)).claimedAt!)
          // With its next beat storage hears that the run has begun. It writes nothing right after that:
          // stopped as it writes, it would keep a file to itself.
          yield* until(
            executors.list(standard),
            ([view]) => DateTime.toEpochMillis(view!.beatAt) > claimedAt + 100,
          )
          yield* a.signal("SIGSTOP")
          const ended = yield* scheduler.ended(run)
          assert.deepInclude(ended, { state: "TimedOut", attempt: 1, crashes: 0 })
          const tookMillis = DateTime.toEpochMillis(ended.finishedAt!) - claimedAt
          assert.isAtLeast(tookMillis, 3000)
          assert.isAtMost(tookMillis, 3000 + 2000 + stalled(begun))
          yield* a.signal("SIGCONT")
          yield* said(a.lines, "stopped")
          yield* Effect.sleep("1 second")
          assert.deepStrictEqual(yield* scheduler.find(run), ended)
          assert.strictEqual(yield* Work.result(yield* Work.submit({ how: "slow" })), "a")
          const views = yield* executors.list(standard)
          assert.deepStrictEqual(views.map(({ standing }) => `${standing}`), ["live"])
        }),
    )
  }

  test(
    "B7, B9, B49: killed with twenty runs and started again by its name, all twenty end",
    freshFile,
    (at) =>
      Effect.gen(function* () {
        const { executors, now, runs: kept } = yield* Storage
        const stalled = yield* stalls
        const first = yield* child(at, "a", "hang")
        const runs = yield* Effect.forEach(times(20), () => Work.submit({ how: "hang" }))
        yield* until(Effect.sync(() => first.lines.length), (length) => length === 20)
        yield* first.signal("SIGKILL")
        const killed = performance.now()
        const lostAt = (yield* now) + ttlMillis + 200
        yield* child(at, "a", "work")
        for (const run of runs) assert.strictEqual(yield* Work.result(run), "a")
        const views = yield* executors.list(standard)
        // By the storage's clock: how long a process takes to start is the machine's.
        const joinedAt = Math.max(...views.map(({ joinedAt }) => DateTime.toEpochMillis(joinedAt)))
        for (const { claimedAt } of yield* kept.findMany(runs)) {
          assert.isAtMost(
            DateTime.toEpochMillis(claimedAt!) - Math.max(joinedAt, lostAt),
            beginMillis + stalled(killed),
          )
        }
        assert.deepStrictEqual(views.map(({ name }) => `${name}`), ["a", "a"])
        assert.deepStrictEqual(
          views.map(({ standing }) => `${standing}`).toSorted(),
          ["live", "lost"],
        )
      }),
  )

  test(
    "B48: a run that kills whoever begins it is put away, and others go on",
    freshFile,
    (at) =>
      Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const poison = yield* Poison.submit({})
        const others = yield* Effect.forEach(times(5), () => Work.submit({ how: "slow" }))
        let deaths = 0
        const reviving = Effect.gen(function* () {
          const { ended } = yield* child(at, "a", "work")
          yield* ended
          deaths++
        }).pipe(Effect.scoped, Effect.forever)
        yield* Effect.forkScoped(reviving)
        assert.strictEqual((yield* scheduler.ended(poison)).state, "Quarantined")
        for (const run of others) assert.strictEqual(yield* Work.result(run), "a")
        // Of the first death nobody knew whether it had begun.
        assert.strictEqual(deaths, 2)
      }),
  )
})
