/** Executors that come and go, a scheduler that does, and a server that is away for a while. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Layer, Scope } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { until } from "../contract/program.ts"
import { movableClock, times } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import { Storage } from "../services/Storage.ts"
import { Transport, TransportUnavailable } from "../services/Transport.ts"
import { type Beat, Beats } from "./Beats.ts"
import { CurrentRun } from "./CurrentRun.ts"
import { Executor, type ExecutorOptions } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

const Work = Task.make("work")

const scheduler = Layer.provide(
  Scheduler.layerWith({ sweepInterval: "50 millis" }),
  LocalOwnership.layer,
)
const world = Layer.provideMerge(Layer.merge(scheduler, Direct.layer), Memory.layer)

const serving = (work: Effect.Effect<unknown, never, CurrentRun>, options: ExecutorOptions = {}) =>
  Layer.build(
    Layer.provide(
      Work.toLayer(() => Effect.asVoid(work)),
      Layer.fresh(Executor.layerWith({ ttl: "10 seconds", ...options })),
    ),
  )

const submitted = (count: number) =>
  Scheduler.use((scheduler) =>
    scheduler.submitAll(
      times(count).map(() => ({ task: Work.name, payload: "{}", policy: Work.policy })),
    )
  )

describe("executors", () => {
  it.live("B12: that start and stop all the time begin each run once", () =>
    Effect.gen(function* () {
      const begun: Array<RunId> = []
      const work = CurrentRun.use(({ id }) => {
        begun.push(id)
        return Effect.sleep("15 millis")
      })
      const accepted = yield* submitted(300)
      for (const nth of times(12)) {
        yield* Effect.scoped(Effect.andThen(
          serving(work, { name: `nr-${nth % 3}`, concurrency: 5 }),
          Effect.sleep("60 millis"),
        ))
      }
      yield* serving(work, { concurrency: 50 })
      for (const { run } of accepted) {
        const ended = yield* Scheduler.use(({ ended }) => ended(run))
        assert.deepInclude(ended, { state: "Succeeded", attempt: 1 })
      }
      assert.strictEqual(new Set(begun).size, accepted.length)
      assert.strictEqual(begun.length, accepted.length)
    }).pipe(Effect.scoped, Effect.provide(world)))

  it.live("B16: whose server is away when a run ends report it when that is back, once", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      let isAway = false
      let begun = 0
      let applied = 0
      const flaky = behind(
        transport,
        (operation, call) =>
          Effect.suspend(() =>
            isAway
              ? Effect.fail(
                new TransportUnavailable({ operation, cause: new Error("it is away") }) as never,
              )
              : call
          ).pipe(
            Effect.tap((answer) =>
              Effect.sync(() => {
                if (operation !== "round") return
                const { settled } = answer as { readonly settled: ReadonlyArray<string> }
                applied += settled.filter((each) => each === "applied").length
              })
            ),
          ),
      )
      yield* serving(Effect.suspend(() => {
        begun++
        isAway = true
        return Effect.void
      })).pipe(Effect.provideService(Transport, flaky))
      const run = yield* Work.submit({})
      yield* until(Effect.sync(() => begun), (count) => count === 1)
      yield* Effect.sleep("1500 millis")
      assert.strictEqual((yield* Scheduler.use(({ find }) => find(run))).state, "Running")
      isAway = false
      yield* Work.result(run)
      yield* until(Effect.sync(() => applied), (count) => count > 0)
      assert.deepStrictEqual([begun, applied], [1, 1])
    }).pipe(Effect.scoped, Effect.provide(world)))
})

describe("an executor", () => {
  it.live(
    "B6: whose own beats get no answer goes on while somebody else keeps its lease",
    () =>
      Effect.gen(function* () {
        const transport = yield* Transport
        const silent = behind(
          transport,
          (operation, call) =>
            operation === "beat"
              ? Effect.fail(
                new TransportUnavailable({ operation, cause: new Error("given up") }) as never,
              )
              : call,
        )
        let last: Beat | undefined
        let keptAt: number | undefined
        const beats = Beats.of({
          heard: (beat) => {
            last = beat
          },
          begins: () => {},
          keptMillisAgo: () => keptAt && performance.now() - keptAt,
        })
        yield* Effect.forkScoped(Effect.forever(Effect.gen(function* () {
          yield* Effect.sleep("300 millis")
          if (last === undefined) return
          const sentAt = performance.now()
          const { _tag } = yield* transport.beat(last.incarnation, last.held, last.vitals)
          if (_tag !== "Lost") keptAt = sentAt
        })))
        yield* serving(Effect.sleep("5 seconds"), { ttl: "2 seconds" }).pipe(
          Effect.provideService(Transport, silent),
          Effect.provideService(Beats, beats),
        )
        const run = yield* Work.submit({})
        const ended = yield* Scheduler.use(({ ended }) => ended(run))
        assert.deepInclude(ended, { state: "Succeeded", attempt: 1, crashes: 0 })
        const { executors } = yield* Storage
        assert.strictEqual((yield* executors.list(standard)).length, 1, "it did not join anew")
      }).pipe(Effect.scoped, Effect.provide(world)),
    30_000,
  )

  it.live("goes on with what it is granted again while it is still putting it down", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const transport = yield* Transport
      let reconciled = 0
      const counted = behind(transport, (operation, call) => {
        if (operation === "reconcile") reconciled++
        return call
      })
      const goOn = yield* Deferred.make<void>()
      const fences: Array<number> = []
      // What the first holds on to is let go long after the second was to be agreed about.
      const work = CurrentRun.use(({ fence }) => {
        fences.push(fence)
        return Effect.onInterrupt(
          Deferred.await(goOn),
          () => fences.length === 1 ? Effect.sleep("4 seconds") : Effect.void,
        )
      })
      yield* serving(work, { ttl: "2 seconds", stopTimeout: "20 seconds" }).pipe(
        Effect.provideService(Transport, counted),
      )
      const run = yield* Work.submit({})
      yield* until(Effect.sync(() => fences.length), (count) => count === 1)
      const [self] = yield* executors.list(standard)
      yield* executors.leave(self!.incarnation)
      yield* until(Effect.sync(() => fences.length), (count) => count === 2)
      const before = reconciled
      yield* until(Effect.sync(() => reconciled - before), (count) => count === 2)
      yield* Deferred.succeed(goOn, undefined)
      yield* Work.result(run)
      assert.strictEqual(fences.length, 2, "it was not abandoned")
    }).pipe(Effect.scoped, Effect.provide(world)))
})

const unanswered = Effect.fail(
  new TransportUnavailable({ operation: "any", cause: new Error("it is lost") }) as never,
)

/** What hands over, and cleans, and the steps that an executor has taken of that. */
const parting = (steps: Array<string>, who = "") => {
  const step = (said: string) => Effect.sync(() => void steps.push(`${who}${said}`))
  return Work.toLayer(
    () => Effect.andThen(step("run"), CurrentRun.use(({ handOver }) => handOver())),
    { clean: (_, { state }) => step(`clean ${state}`) },
  )
}

const handingOver = Effect.fnUntraced(function* (ttl: Duration.Input) {
  const steps: Array<string> = []
  yield* Layer.build(
    Layer.provide(parting(steps), Layer.fresh(Executor.layerWith({ ttl }))),
  )
  return steps
})

describe("an executor that joins anew while the mark of a hand-over is under way", () => {
  it.live(
    "leaves to the next what it had marked as who it was before: cleaned once",
    () =>
      Effect.gen(function* () {
        let joins = 0
        let marks = 0
        let marksSince = 0
        // What it says arrives, and no answer comes back until it has joined anew.
        const deaf = behind(yield* Transport, (operation, call) =>
          Effect.suspend(() => {
            if (operation === "join") joins++
            if (operation === "conclude") marks++
            if (operation === "conclude" && joins === 2) marksSince++
            // Storage takes it for alive for as long as its lease goes on.
            if (operation === "leave") return unanswered
            const isLost = operation === "conclude" || operation === "beat"
            return isLost && marks > 0 && joins < 2 ? Effect.andThen(call, unanswered) : call
          }))
        const steps = yield* Effect.provideService(handingOver("4 seconds"), Transport, deaf)
        const run = yield* Work.submit({})
        yield* until(Effect.sync(() => marksSince), (count) => count > 0)
        yield* Effect.sleep("100 millis")
        const { ended, find, notify } = yield* Scheduler
        assert.strictEqual((yield* find(run)).state, "Running")
        assert.strictEqual(yield* notify(run, { _tag: "Succeeded" }), "applied")
        assert.deepInclude(yield* ended(run), { state: "Succeeded", attempt: 1 })
        assert.deepStrictEqual(steps, ["run", "clean Succeeded"])
      }).pipe(Effect.scoped, Effect.provide(world)),
    20_000,
  )
})

describe("an executor that hears of its mark of a hand-over after a notice", () => {
  it.live("leaves what is left to the grant after: cleaned once", () =>
    Effect.gen(function* () {
      let marks = 0
      let isMute = true
      // What it says arrives, and for a time no answer comes back.
      const mute = behind(yield* Transport, (operation, call) =>
        Effect.suspend(() => {
          if (operation !== "conclude") return call
          marks++
          return isMute ? Effect.andThen(call, unanswered) : call
        }))
      const steps = yield* Effect.provideService(handingOver("10 seconds"), Transport, mute)
      const run = yield* Work.submit({})
      yield* until(Effect.sync(() => marks), (count) => count > 0)
      const { ended, events, notify } = yield* Scheduler
      assert.strictEqual(yield* notify(run, { _tag: "Succeeded" }), "applied")
      yield* until(events(run), (all) => all.filter(({ kind }) => kind === "Claimed").length === 2)
      isMute = false
      assert.deepInclude(yield* ended(run), { state: "Succeeded", attempt: 1 })
      yield* Effect.sleep("500 millis")
      assert.deepStrictEqual(steps, ["run", "clean Succeeded"])
    }).pipe(Effect.scoped, Effect.provide(world)))
})

describe("an executor that is shut down while the mark of a hand-over is under way", () => {
  /** What its hooks did and those of the next, as the marks of the first go through `between`. */
  const handedOverWith = Effect.fnUntraced(function* (
    between: <A, E>(mark: Effect.Effect<A, E>, nth: number) => Effect.Effect<A, E>,
  ) {
    const transport = yield* Transport
    const steps: Array<string> = []
    let marks = 0
    const flaky = behind(
      transport,
      (operation, call) =>
        operation === "conclude" ? Effect.suspend(() => between(call, ++marks)) : call,
    )
    const executor = (name: string) =>
      Layer.build(
        Layer.provide(
          parting(steps, `${name}: `),
          Layer.fresh(
            Executor.layerWith({ drainTimeout: "50 millis", stopTimeout: "50 millis" }),
          ),
        ),
      )
    const first = yield* Scope.make()
    yield* executor("first").pipe(
      Effect.provideService(Transport, flaky),
      Scope.provide(first),
    )
    const run = yield* Work.submit({})
    yield* until(Effect.sync(() => marks), (count) => count > 0)
    yield* Scope.close(first, Exit.void)
    const { notify, ended, find } = yield* Scheduler
    const left = (yield* find(run)).state
    yield* executor("next")
    yield* until(find(run), ({ state }) => state === "Awaiting")
    assert.strictEqual(yield* notify(run, { _tag: "Succeeded" }), "applied")
    assert.deepInclude(yield* ended(run), { state: "Succeeded", attempt: 1 })
    return { left, steps }
  })

  it.live("reports when it is marked, also when the first mark was lost: the next one cleans", () =>
    Effect.gen(function* () {
      const { left, steps } = yield* handedOverWith((mark, nth) =>
        nth === 1 ? Effect.delay(unanswered, "500 millis") : mark
      )
      assert.strictEqual(left, "Awaiting")
      assert.deepStrictEqual(steps, ["first: run", "next: clean Succeeded"])
    }).pipe(Effect.scoped, Effect.provide(world)))

  it.live("reports when it is marked, also when that is answered late: the next one cleans", () =>
    Effect.gen(function* () {
      const { left, steps } = yield* handedOverWith((mark, nth) =>
        nth === 1 ? Effect.andThen(mark, Effect.delay(unanswered, "500 millis")) : mark
      )
      assert.strictEqual(left, "Awaiting")
      assert.deepStrictEqual(steps, ["first: run", "next: clean Succeeded"])
    }).pipe(Effect.scoped, Effect.provide(world)))

  it.live(
    "ends without a report where no mark is answered: the next one carries the run out",
    () =>
      Effect.gen(function* () {
        const { left, steps } = yield* handedOverWith(() => Effect.delay(unanswered, "500 millis"))
        assert.notStrictEqual(left, "Awaiting")
        assert.deepStrictEqual(steps, ["first: run", "next: run", "next: clean Succeeded"])
      }).pipe(Effect.scoped, Effect.provide(world)),
    20_000,
  )
})

describe("a scheduler", () => {
  it.live("that ends finishes the events that it has in hand, which others would wait for", () =>
    Effect.gen(function* () {
      const planner = Layer.provide(Triggers.layer, LocalOwnership.layer)
      const inHand = yield* Deferred.make<void>()
      const storage = yield* Storage
      let hasTaken = false
      const slow = behind(storage, (name, call) => {
        if (name === "take") {
          return Effect.tap(call, (events) =>
            Effect.sync(() => {
              hasTaken ||= (events as ReadonlyArray<unknown>).length > 0
            }))
        }
        if (name !== "follow" || !hasTaken) return call
        return Deferred.succeed(inHand, undefined).pipe(
          Effect.andThen(Effect.sleep("200 millis")),
          Effect.andThen(call),
        )
      })
      const scope = yield* Scope.make()
      const inScope = yield* Layer.buildWithScope(Layer.fresh(planner), scope).pipe(
        Effect.provideService(Storage, slow),
      )
      yield* Effect.provide(
        Triggers.use(({ put }) =>
          put({
            namespace: standard,
            name: "behind",
            task: "next",
            schedule: Trigger.after(Work),
            payload: "{}",
          })
        ),
        inScope,
      )
      yield* serving(Effect.void)
      const run = yield* Work.submit({})
      yield* Deferred.await(inHand)
      yield* Scope.close(scope, Exit.void)
      const followed = yield* storage.runs.list({ namespace: standard, limit: 9 })
      assert.deepStrictEqual(followed.map(({ after }) => after), [run, undefined])
    }).pipe(Effect.scoped, Effect.provide(world)))

  it.live("B5: started again under 1,600 runs leaves none with an executor that is gone", () =>
    Effect.gen(function* () {
      const clock = movableClock()
      const memory = yield* Layer.build(
        Layer.provide(
          Memory.layerOver(new Memory.MemoryState({ finished: 10_000, records: 10 })),
          clock.layer,
        ),
      )
      yield* Effect.gen(function* () {
        const { executors, runs } = yield* Storage
        const first = yield* Scope.make()
        const inFirst = yield* Layer.buildWithScope(Layer.fresh(scheduler), first)
        // It is gone without a word: nothing that it says arrives any more.
        let isGone = false
        const transport = behind(
          yield* Transport,
          (_, call) => Effect.suspend(() => isGone ? Effect.never : call),
        )
        yield* serving(Effect.never, { ttl: "2 seconds", concurrency: 1600 }).pipe(
          Effect.provideService(Transport, transport),
          Scope.provide(yield* Scope.make()),
        )
        yield* Effect.provide(submitted(1600), inFirst)
        const running = { namespace: standard, states: ["Running"], limit: 2000 } as const
        yield* until(runs.list(running), ({ length }) => length === 1600)
        isGone = true
        yield* Scope.close(first, Exit.void)
        yield* Layer.build(Layer.fresh(scheduler))
        yield* clock.elapse(Duration.seconds(4))
        yield* until(runs.list(running), ({ length }) => length === 0)
        const [lost] = yield* executors.list(standard)
        assert.deepInclude(lost, { standing: "lost", held: 0 })
        assert.strictEqual((yield* runs.counts(standard)).Ready, 1600)
      }).pipe(Effect.provide(Layer.provideMerge(Direct.layer, Layer.succeedContext(memory))))
    }).pipe(Effect.scoped))
})
