/**
 * I1 to I8, I17, L1, L2, L5, Q12 and Q13: what is kept of runs whose executors are cut off, and of all
 * others.
 */
import { assert } from "@effect/vitest"
import { Context, DateTime, Deferred, Effect, Fiber, Layer, Schema } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import * as Retry from "../../domain/Retry.ts"
import * as Run from "../../domain/Run.ts"
import type { RunId } from "../../domain/RunId.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Locks } from "../../engine/Locks.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import * as Trigger from "../../engine/Trigger.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { Storage } from "../../services/Storage.ts"
import { serving, state, type Test, until } from "../program.ts"
import { replay } from "../replay.ts"
import { fresh, specOf, times, together } from "../world.ts"
import { assertFencesRise, Ledger, mostAtOnce } from "./Ledger.ts"
import { anotherLeader, servingCuttable } from "./processes.ts"
import { stalls } from "./stalls.ts"

const ttlMillis = 2000
/** As of the scheduler of these tests, at its longest. */
const sweepMillis = 400
/** What it takes to begin, besides: by then a run that was freed is claimed. */
const beginMillis = 1000

const shortLived = { name: "a", ttl: ttlMillis }
/** It is not to be lost, however busy the machine is. */
const longLived = { name: "b", ttl: "20 seconds" } as const

export const kept = (test: Test): void => {
  test("I1 no loss: what was acknowledged ends, and nothing else was begun", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const task = Task.make("work", { payload: { n: Schema.Int }, success: Schema.Int })
      const by = (name: string) =>
        task.toLayer(({ n }) => ledger.around(name, Effect.as(Effect.sleep("5 millis"), n)))
      const scheduler = yield* Scheduler
      const submit = (from: number) =>
        scheduler.submitAll(
          times(40).map((n) => ({
            task: task.name,
            payload: JSON.stringify({ n: from + n }),
            policy: task.policy,
          })),
        )
      const a = yield* servingCuttable(by("a"), shortLived)
      const first = yield* together([0, 40, 80].map(submit))
      yield* ledger.until((entries) => entries.length > 0)
      yield* a.cut
      yield* serving(by("b"), longLived)
      const later = yield* together([120, 160].map(submit))
      const runs = [...first, ...later].flat().map(({ run }) => run)
      for (const [n, run] of runs.entries()) {
        assert.strictEqual(yield* task.result(run), n)
        const { fence } = yield* state(run)
        assert(
          ledger.of("ended").some((each) => each.run === run && each.fence === fence),
          `run ${run} ended in the ledger too`,
        )
      }
      assert.deepStrictEqual(new Set(ledger.of("started").map(({ run }) => run)), new Set(runs))
    }))

  test("I3 single live lease, I4 fence monotone: whoever begins a run has the highest fence", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const task = Task.make("passed-on", {
        payload: { n: Schema.Int },
        policy: { retry: Retry.exponential({ attempts: 2, delayMillis: 20 }) },
      })
      const by = (name: string) =>
        task.toLayer(({ n }) =>
          ledger.around(
            name,
            Effect.gen(function* () {
              yield* Effect.sleep("50 millis")
              const { attempt } = yield* CurrentRun
              if (n % 3 === 0 && attempt === 1) return yield* Effect.die(new Error("not yet"))
            }),
          )
        )
      const a = yield* servingCuttable(by("a"), { ...shortLived, concurrency: 4 })
      const runs = yield* Effect.forEach(times(40), (n) => task.submit({ n }))
      yield* ledger.until((entries) => entries.length > 8)
      yield* a.cut
      // It is given runs back to begin anew: what goes away by itself releases what it holds.
      yield* Effect.scoped(Effect.gen(function* () {
        yield* serving(by("c"), { name: "c", concurrency: 2, drainTimeout: "1 millis" })
        yield* ledger.until((entries) => entries.some((each) => each.by === "c"))
      }))
      yield* serving(by("b"), longLived)
      yield* ledger.until((entries) => entries.some((each) => each.by === "b"))
      yield* Effect.sleep(ttlMillis)
      yield* a.mend
      for (const run of runs) yield* task.result(run)
      assertFencesRise(ledger.of("started"))
      assert(ledger.of("started").length > runs.length, "some were begun more than once")
      const locks = yield* Locks
      const key = fresh("lock")
      const fences = yield* Effect.forEach(
        times(3),
        () => locks.withLock(key, ({ fence }) => Effect.succeed(fence)),
      )
      assert.deepStrictEqual(fences, [...new Set(fences)].toSorted((one, other) => one - other))
    }))

  test("I5 fenced effects, B1, B2, B3: what a lost executor says late changes nothing", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const stalled = yield* stalls
      const scheduler = yield* Scheduler
      const goOn = yield* Deferred.make<void>()
      const task = Task.make("zombie", {
        payload: { ends: Schema.Boolean },
        success: Schema.String,
      })
      const a = yield* servingCuttable(
        task.toLayer(({ ends }) =>
          ledger.around(
            "a",
            Effect.gen(function* () {
              const { progress } = yield* CurrentRun
              yield* Deferred.await(goOn)
              yield* progress({ percent: 1 })
              if (!ends) yield* Effect.never
              return "of a"
            }),
          )
        ),
        shortLived,
      )
      const runs = yield* Effect.forEach([true, false], (ends) => task.submit({ ends }))
      yield* ledger.until((entries) => entries.length === 2)
      yield* a.cut
      const cutAt = performance.now()
      yield* Deferred.succeed(goOn, undefined)
      yield* serving(
        task.toLayer(() =>
          ledger.around(
            "b",
            Effect.gen(function* () {
              const { progress } = yield* CurrentRun
              yield* progress({ percent: 99 })
              return "of b"
            }),
          )
        ),
        longLived,
      )
      for (const run of runs) assert.strictEqual(yield* task.result(run), "of b")
      // Its handler is told, though nobody can tell its executor.
      const told = () => ledger.of("stopped").find(({ by }) => by === "a")
      yield* ledger.until(() => told() !== undefined)
      assert.isAtMost(told()!.at - cutAt, ttlMillis * 1.25 + stalled(cutAt))
      const before = yield* Effect.forEach(runs, (run) => scheduler.events(run))
      yield* a.mend
      yield* Effect.sleep("1 second")
      for (const [nth, run] of runs.entries()) {
        assert.strictEqual(yield* task.result(run), "of b")
        const late = (yield* scheduler.events(run)).slice(before[nth]!.length)
        assert(late.every(({ kind }) => kind === "LateReport"), JSON.stringify(late))
        const said = yield* until(scheduler.progress(run), ({ _tag }) => _tag === "Some")
        assert.deepInclude(said.valueOrUndefined, { percent: 99 })
      }
      assertFencesRise(ledger.of("started"))
    }))

  test("I6 state machine, B4: each change is a published one, and what has ended stays so", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const task = Task.make("courses", {
        payload: { how: Schema.String },
        policy: {
          timeout: "300 millis",
          retry: Retry.exponential({ attempts: 2, delayMillis: 10 }),
        },
      })
      const handler = task.toLayer(({ how }) =>
        Effect.gen(function* () {
          const { attempt, handOver } = yield* CurrentRun
          if (how === "fails" || (how === "retries" && attempt === 1)) {
            return yield* Effect.die(new Error("no"))
          }
          if (how === "hands over") return yield* handOver("1 hour")
          if (how === "hangs") yield* Effect.never
        })
      )
      const hows = ["succeeds", "retries", "fails", "hangs", "hands over", "waits"]
      const runs = yield* Effect.forEach(
        hows,
        (how) => task.submit({ how }, how === "waits" ? { delay: "1 hour" } : {}),
      )
      const [, , failing, , handedOver, waiting] = runs as [
        RunId,
        RunId,
        RunId,
        RunId,
        RunId,
        RunId,
      ]
      yield* scheduler.suspend(waiting)
      yield* scheduler.resume(waiting)
      yield* serving(handler, longLived)
      yield* scheduler.cancel(waiting)
      yield* until(state(handedOver), (view) => view.state === "Awaiting")
      yield* scheduler.notify(handedOver, { _tag: "Succeeded" })
      yield* until(state(failing), (view) => view.state === "Failed")
      yield* scheduler.revive(failing)
      const ends = yield* Effect.forEach(runs, scheduler.ended)
      assert.deepStrictEqual(
        ends.map((view) => view.state),
        ["Succeeded", "Succeeded", "Failed", "TimedOut", "Succeeded", "Cancelled"],
      )
      for (const [nth, run] of runs.entries()) {
        const history = yield* scheduler.events(run)
        const spec = specOf(namespace, { delayMillis: run === waiting ? 3_600_000 : 0 })
        assert.strictEqual(replay({ spec, history, isDue: true })._tag, ends[nth]!.state)
        const isCancelled = ends[nth]!.state === "Cancelled"
        assert.strictEqual(yield* scheduler.cancel(run), isCancelled ? "confirmed" : "ended")
        yield* Effect.flip(scheduler.suspend(run))
        yield* Effect.flip(scheduler.resume(run))
        yield* Effect.exit(scheduler.notify(run, { _tag: "Succeeded", result: "7" }))
        assert(Run.isFinal((yield* state(run)).state))
        assert.deepStrictEqual(yield* state(run), ends[nth]!)
      }
    }))

  test("I7 attempt bound, B52: neither failures nor lost executors start a run for ever", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const scheduler = yield* Scheduler
      const retry = Retry.exponential({ attempts: 3, delayMillis: 5 })
      const failing = Task.make("failing", {
        payload: { how: Schema.String },
        policy: { retry, timeout: "100 millis" },
      })
      const crashing = Task.make("crashing", { policy: { retry, crashesMax: 0 } })
      yield* serving(
        failing.toLayer(({ how }) =>
          ledger.around(
            "b",
            Effect.flatMap(CurrentRun, ({ attempt }) =>
              how === "hangs" || (how === "both" && attempt === 2)
                ? Effect.never
                : Effect.die(new Error("no"))),
          )
        ),
        longLived,
      )
      const runs = yield* Effect.forEach(
        ["throws", "hangs", "both"],
        (how) => failing.submit({ how }),
      )
      const crashed = yield* crashing.submit({})
      const began = (run: RunId) => ledger.of("started").filter((each) => each.run === run).length
      // The first loss says nothing of the run: nobody knows whether it had begun.
      for (const nth of times(2)) {
        const a = yield* servingCuttable(
          crashing.toLayer(() => ledger.around("a", Effect.never)),
          shortLived,
        )
        yield* ledger.until(() => began(crashed) === nth + 1)
        yield* a.cut
        yield* until(state(crashed), ({ state }) => state !== "Running")
      }
      assert.deepInclude(yield* state(crashed), { state: "Quarantined", attempt: 1 })
      for (const run of runs) {
        const { attempt } = yield* scheduler.ended(run)
        assert.deepStrictEqual([began(run), attempt], [3, 3])
        yield* scheduler.revive(run)
        yield* until(state(run), ({ attempt, state }) => attempt > 3 && Run.isFinal(state))
        assert.strictEqual(began(run), 4, "one more by the order of an operator")
      }
    }))

  test("I8 back-off: each retry comes after its delay, within a second, and not before", () =>
    Effect.gen(function* () {
      const jitter = 0.2
      const ledger = new Ledger()
      const stalled = yield* stalls
      const task = Task.make("backing-off", {
        payload: { n: Schema.Int },
        policy: {
          retry: Retry.exponential({
            attempts: 4,
            delayMillis: 100,
            growth: 2,
            capMillis: 300,
            jitter,
          }),
        },
      })
      yield* serving(
        task.toLayer(() => ledger.around("b", Effect.die(new Error("no")))),
        longLived,
      )
      const runs = yield* Effect.forEach(times(5), (n) => task.submit({ n }))
      for (const run of runs) yield* Effect.exit(task.result(run))
      for (const run of runs) {
        const own = ledger.intervals().filter((each) => each.run === run)
        assert.strictEqual(own.length, 4)
        for (const [nth, delay] of [100, 200, 300].entries()) {
          const [from, at] = [own[nth]!.until, own[nth + 1]!.at]
          // Clocks of storages count whole milliseconds.
          assert.isAtLeast(at - from, delay - 1)
          assert.isAtMost(at - from, delay * (1 + jitter) + 1000 + stalled(from, at))
        }
      }
    }))

  test("I17 time-out: over its time with an executor that is cut off, a run is tried again elsewhere", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const stalled = yield* stalls
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const { executors } = yield* Storage
      const timeoutMillis = 3000
      const task = Task.make("overdue", {
        success: Schema.String,
        policy: {
          timeout: timeoutMillis,
          retry: Retry.exponential({ attempts: 2, delayMillis: 10 }),
        },
      })
      // Nobody may call it lost before: its lease is ten seconds.
      const a = yield* servingCuttable(
        task.toLayer(() => ledger.around("a", Effect.uninterruptible(Effect.never))),
        { name: "a", concurrency: 1, ttl: "10 seconds" },
      )
      const begun = performance.now()
      const run = yield* task.submit({})
      yield* ledger.until((entries) => entries.length === 1)
      const claimedAt = DateTime.toEpochMillis((yield* state(run)).claimedAt!)
      // With its next beat storage hears that the run has begun.
      yield* until(
        executors.list(namespace),
        ([view]) => DateTime.toEpochMillis(view!.beatAt) > claimedAt + 100,
      )
      yield* a.cut
      yield* serving(task.toLayer(() => ledger.around("b", Effect.succeed("of b"))), longLived)
      assert.strictEqual(yield* task.result(run), "of b")
      const told = yield* scheduler.events(run)
      const kinds = told.map(({ kind }) => kind)
      assert.deepStrictEqual(kinds, ["Submitted", "Claimed", "Retried", "Claimed", "Succeeded"])
      assert.include(told[2]!.detail, "has not said what became of it")
      const took = DateTime.toEpochMillis(told[2]!.at) - claimedAt
      assert.isAtLeast(took, timeoutMillis)
      assert.isAtMost(took, timeoutMillis + 2000 + stalled(begun))
      yield* a.mend
      yield* Effect.sleep("1 second")
      assert.strictEqual(yield* task.result(run), "of b")
      assert.strictEqual((yield* state(run)).attempt, 2)
      const [, first] = yield* executors.list(namespace)
      assert.strictEqual(first!.standing, "live", "it was cut off, and never lost")
    }))

  test("L1, L2, B7: runs of a lost executor begin again in time, and none stays with it", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const stalled = yield* stalls
      const { executors, runs: kept } = yield* Storage
      const namespace = yield* CurrentNamespace
      const task = Task.make("orphaned")
      const a = yield* servingCuttable(
        task.toLayer(() => ledger.around("a", Effect.never)),
        { ...shortLived, concurrency: 8 },
      )
      const runs = yield* Effect.forEach(times(12), () => task.submit({}))
      yield* ledger.until((entries) => entries.length === 8)
      yield* serving(
        task.toLayer(() => ledger.around("b", Effect.void)),
        longLived,
      )
      yield* a.cut
      const lost = performance.now()
      for (const run of runs) yield* task.result(run)
      const again = ledger.of("started").filter(({ by }) => by === "b")
      assert.deepStrictEqual(new Set(again.map(({ run }) => run)), new Set(runs))
      for (const { at } of again) {
        assert.isAtMost(at - lost, ttlMillis + sweepMillis + beginMillis + stalled(lost))
      }
      const query = { namespace, states: ["Running"], limit: 100 } as const
      assert.deepStrictEqual(yield* kept.list(query), [])
      const views = yield* executors.list(namespace)
      const of = views.find(({ name }) => name === "a")
      assert.deepInclude(of, { standing: "lost", held: 0 })
    }))

  test("L5, B56, B57, B60: a queue drains, though those who held its places are gone", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const stalled = yield* stalls
      const pair = Task.make("pair", { policy: { blocking: Blocking.concurrent(2) } })
      const only = Task.make("only", { policy: { blocking: Blocking.discard } })
      const scheduler = yield* Scheduler
      const sole = () => scheduler.submit({ task: only.name, payload: "{}", policy: only.policy })
      const a = yield* servingCuttable(
        pair.toLayer(() => ledger.around("a", Effect.never)),
        { ...shortLived, concurrency: 4 },
      )
      const b = yield* servingCuttable(
        only.toLayer(() => ledger.around("a", Effect.never)),
        { name: "a2", ttl: ttlMillis },
      )
      const first = yield* Effect.forEach(times(4), () => pair.submit({}))
      const owner = yield* sole()
      yield* ledger.until((entries) => entries.length === 3)
      assert.strictEqual((yield* sole()).state, "Discarded")
      yield* a.cut
      yield* b.cut
      const cutAt = performance.now()
      const freedBy = ttlMillis + sweepMillis + beginMillis
      const accepting = yield* Effect.forkChild(
        Effect.map(
          until(sole(), ({ state }) => state !== "Discarded"),
          (next) => ({ ...next, at: performance.now() }),
        ),
        { startImmediately: true },
      )
      yield* anotherLeader
      yield* serving(pair.toLayer(() => ledger.around("b", Effect.sleep("2 millis"))), longLived)
      yield* serving(only.toLayer(() => ledger.around("b", Effect.void)), {
        ...longLived,
        name: "b2",
      })
      // What comes while others end must not be forgotten at the gate.
      const submittedAt = new Map<RunId, number>(first.map((run) => [run, cutAt]))
      const later = yield* Effect.forEach(
        times(60),
        () =>
          Effect.gen(function* () {
            yield* Effect.sleep("3 millis")
            const run = yield* pair.submit({})
            submittedAt.set(run, performance.now())
            return run
          }),
        { concurrency: 3 },
      )
      for (const run of [...first, ...later]) yield* pair.result(run)
      const next = yield* Fiber.join(accepting)
      assert.isAtMost(next.at - cutAt, freedBy + stalled(cutAt, next.at))
      const pairs = ledger.intervals().filter(({ by, run }) => by === "b" && submittedAt.has(run))
      assert.isAtMost(mostAtOnce(pairs), 2)
      assert.isAtMost(pairs[0]!.at - cutAt, freedBy + stalled(cutAt, pairs[0]!.at))
      // Whenever there is a place for one that waits, the next begins within a sweep.
      for (const [nth, { at }] of pairs.entries()) {
        if (nth === 0) continue
        const last = pairs[nth - 1]!
        const running = pairs.slice(0, nth).filter(({ until }) => until > last.at)
        const freeSince = running.length < 2
          ? last.at
          : Math.min(...running.map((each) => each.until))
        const waitingSince = Math.min(...pairs.slice(nth).map(({ run }) => submittedAt.get(run)!))
        const from = Math.max(freeSince, waitingSince)
        assert.isAtMost(at - from, sweepMillis + stalled(from, at), `start ${nth + 1}`)
      }
      assert.strictEqual((yield* scheduler.ended(owner.run)).state, "Succeeded")
      assert.strictEqual((yield* scheduler.ended(next.run)).state, "Succeeded")
    }))

  test("Q13: a centre that is cut off goes on elsewhere, and each step of its graph is done once", () =>
    Effect.gen(function* () {
      const centres = new Ledger()
      const done: Array<string> = []
      const isPassedOn = yield* Deferred.make<void>()
      const step = Task.make("step", { payload: { name: Schema.String }, success: Schema.String })
      const centre = Task.make("centre", { success: Schema.Array(Schema.String) })
      const office = (name: string) =>
        centre.toLayer(() =>
          centres.around(
            name,
            Effect.gen(function* () {
              const { id } = yield* CurrentRun
              const once = (name: string) =>
                step.execute({ name }, { idempotencyKey: `${id}/${name}` })
              const first = yield* once("first")
              const both = yield* Effect.all([once("left"), once("right")], { concurrency: 2 })
              return [first, ...both, yield* once("last")]
            }).pipe(Effect.orDie),
          )
        )
      yield* serving(
        step.toLayer(({ name }) =>
          Effect.gen(function* () {
            done.push(name)
            if (name === "left") yield* Deferred.await(isPassedOn)
            return `of ${name}`
          })
        ),
        longLived,
      )
      const a = yield* servingCuttable(office("a"), shortLived)
      const run = yield* centre.submit({})
      yield* until(Effect.sync(() => done.length), (length) => length === 3)
      yield* a.cut
      yield* serving(office("c"), { ...longLived, name: "c" })
      // Nobody can tell the first that it is lost: for a while there are two.
      yield* centres.until((entries) => entries.some(({ by }) => by === "c"))
      yield* Deferred.succeed(isPassedOn, undefined)
      const names = ["first", "left", "right", "last"]
      assert.deepStrictEqual(yield* centre.result(run), names.map((name) => `of ${name}`))
      yield* a.mend
      yield* Effect.sleep("500 millis")
      assert.sameMembers(done, names)
      const namespace = yield* CurrentNamespace
      const { list } = yield* Scheduler
      const steps = yield* list({ namespace, task: step.name, limit: 10 })
      assert.sameMembers(
        steps.map(({ idempotencyKey }) => idempotencyKey),
        names.map((name) => `${run}/${name}`),
      )
      assertFencesRise(centres.of("started"))
    }))

  test("B58: of four executors and three schedulers none lets two run at once, and each discard is told", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const namespace = yield* CurrentNamespace
      const triggers = yield* Triggers
      const only = Task.make("only", { policy: { blocking: Blocking.discard } })
      for (const name of ["a", "b", "c", "d"]) {
        yield* serving(
          only.toLayer(() => ledger.around(name, Effect.sleep("1700 millis"))),
          { ...longLived, name },
        )
      }
      const schedulers = [yield* Scheduler]
      for (const _ of times(2)) schedulers.push(Context.get(yield* anotherLeader, Scheduler))
      // It is due more often than one takes, and everybody submits beside it.
      yield* Layer.build(only.schedule("secondly", Trigger.cron("* * * * * *"), {}))
      const answers = yield* Effect.forEach(
        schedulers,
        (scheduler) =>
          Effect.forEach(times(40), () =>
            Effect.andThen(
              Effect.sleep("150 millis"),
              scheduler.submit({ task: only.name, payload: "{}", policy: only.policy }),
            )),
        { concurrency: 3 },
      )
      yield* triggers.pause(namespace, "secondly")
      const fired = (yield* triggers.records(namespace, "secondly", 100))
        .flatMap(({ outcome, run }) => outcome === "fired" ? [run!] : [])
      const all = [...answers.flat().map(({ run }) => run), ...fired]
      const [scheduler] = schedulers
      for (const run of all) yield* scheduler!.ended(run)
      const discarded = new Set<RunId>()
      for (const run of all) {
        const { state } = yield* scheduler!.find(run)
        if (state === "Discarded") discarded.add(run)
        else assert.strictEqual(state, "Succeeded")
      }
      for (const { run, state } of answers.flat()) {
        assert.strictEqual(state === "Discarded", discarded.has(run), "whoever submits is told")
      }
      assert.isAbove(discarded.size, all.length / 2)
      assert(fired.some((run) => discarded.has(run)), "a slot is discarded as well")
      for (const run of discarded) {
        assert.deepInclude(yield* scheduler!.why(run), { _tag: "Ended", state: "Discarded" })
      }
      const begun = ledger.of("started").map(({ run }) => run)
      assert.sameMembers(begun, all.filter((run) => !discarded.has(run)))
      assert.strictEqual(mostAtOnce(ledger.intervals()), 1)
    }))

  test("Q12, T15: a permanent task has one alive in the fleet, and another when its holder is gone", () =>
    Effect.gen(function* () {
      const ledger = new Ledger()
      const namespace = yield* CurrentNamespace
      const triggers = yield* Triggers
      const { runs: kept } = yield* Storage
      const delayMillis = 200
      const stalled = yield* stalls
      const crash = yield* Deferred.make<void>()
      const task = Task.make("always")
      // Two planners, with two schedulers: each of them would start it.
      yield* anotherLeader
      const a = yield* servingCuttable(
        task.toLayer(() => ledger.around("a", Effect.never)),
        shortLived,
      )
      const permanent = Trigger.permanent({ delay: delayMillis, growth: 1 })
      yield* Layer.build(task.schedule("always", permanent, {}))
      const startsOf = (name: string) => ledger.of("started").filter(({ by }) => by === name)
      yield* ledger.until(() => startsOf("a").length === 1)
      const crashing = Effect.andThen(Deferred.await(crash), Effect.die(new Error("crashed")))
      yield* serving(
        task.toLayer(() =>
          ledger.around(
            "b",
            Effect.suspend(() => startsOf("b").length === 1 ? crashing : Effect.never),
          )
        ),
        longLived,
      )
      yield* Effect.sleep("1 second")
      assert.strictEqual(ledger.of("started").length, 1, "nobody else begins it meanwhile")
      yield* a.cut
      const lost = performance.now()
      yield* ledger.until(() => startsOf("b").length === 1)
      const bound = sweepMillis + delayMillis + beginMillis
      assert.isAtMost(startsOf("b")[0]!.at - lost, ttlMillis + bound + stalled(lost))
      // Back, it has nothing to go on with.
      yield* a.mend
      yield* Effect.sleep("1 second")
      yield* Deferred.succeed(crash, undefined)
      const died = performance.now()
      const next = () => ledger.of("started").slice(2)
      yield* ledger.until(() => next().length > 0)
      assert.isAtMost(next()[0]!.at - died, bound + stalled(died))
      assert.isAtLeast(next()[0]!.at - died, delayMillis / 2, "not at once")
      yield* Effect.sleep("1 second")
      assert.strictEqual(mostAtOnce(ledger.intervals()), 1)
      const under = yield* kept.list({ namespace, states: ["Ready", "Running"], limit: 10 })
      assert.deepStrictEqual(under.map(({ id }) => id), [ledger.of("started").at(-1)!.run])
      yield* triggers.remove(namespace, "always")
    }))
}
