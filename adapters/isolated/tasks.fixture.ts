/** Handlers that behave badly, each in its own way, for the tests of isolation. */
import { Effect, Layer, Option, Schedule, Schema } from "effect"
import { isMainThread, threadId } from "node:worker_threads"
import { Breakers } from "../../core/engine/Breakers.ts"
import * as Calendar from "../../core/engine/Calendar.ts"
import { CurrentRun } from "../../core/engine/CurrentRun.ts"
import { Groups } from "../../core/engine/Groups.ts"
import { Locks } from "../../core/engine/Locks.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import type * as Source from "../../core/engine/Source.ts"
import * as Task from "../../core/engine/Task.ts"
import * as Trigger from "../../core/engine/Trigger.ts"

export type Kind = "thread" | "process"

class TooSmall extends Schema.TaggedError<TooSmall>()("TooSmall", { least: Schema.Int }) {}

export const tasksOf = (isolation: Kind) => ({
  whoami: Task.make(`${isolation}/whoami`, {
    payload: { name: Schema.String },
    success: Schema.Struct({ pid: Schema.Int, thread: Schema.Int, said: Schema.String }),
    policy: { isolation, timeout: "20 seconds" },
  }),
  strict: Task.make(`${isolation}/strict`, { error: TooSmall, policy: { isolation } }),
  spins: Task.make(`${isolation}/spins`, { policy: { isolation, timeout: "500 millis" } }),
  crashes: Task.make(`${isolation}/crashes`, { policy: { isolation } }),
  hungry: Task.make(`${isolation}/hungry`, { policy: { isolation } }),
  waits: Task.make(`${isolation}/waits`, { success: Schema.String, policy: { isolation } }),
  hooked: Task.make(`${isolation}/hooked`, { policy: { isolation } }),
  submits: Task.make(`${isolation}/submits`, { success: Schema.Int, policy: { isolation } }),
  orders: Task.make(`${isolation}/orders`, {
    success: Schema.Array(Schema.String),
    policy: { isolation },
  }),
  /** Nobody serves it. */
  full: Task.make(`${isolation}/full`, { policy: { backlog: { high: 2, low: 1 } } }),
  impatient: Task.make(`${isolation}/impatient`, {
    success: Schema.Boolean,
    policy: { isolation },
  }),
  fills: Task.make(`${isolation}/fills`, { success: Schema.Int, policy: { isolation } }),
  remembers: Task.make(`${isolation}/remembers`, {
    success: Schema.String,
    policy: { isolation },
  }),
  handsOver: Task.make(`${isolation}/hands-over`, { policy: { isolation } }),
  lingers: Task.make(`${isolation}/lingers`, {
    payload: { n: Schema.Int },
    success: Schema.Int,
    policy: { isolation },
  }),
})

/** Has no entries. */
const nothing: Source.Source = {
  name: "nothing",
  open: Effect.succeed({
    read: (to) => Effect.succeed({ entries: [], to, isAtEnd: true }),
    end: Effect.succeed(""),
  }),
}

const spin = () => {
  for (;;);
}

const layerOf = (isolation: Kind) => {
  const tasks = tasksOf(isolation)
  return Layer.mergeAll(
    tasks.whoami.toLayer(({ name }) =>
      Effect.gen(function* () {
        const run = yield* CurrentRun
        yield* run.progress({ done: 1, total: 4, text: name })
        yield* Effect.logInfo(`hello ${name}`, { main: isMainThread })
        const said = [run.attempt, run.labels["zone"], run.timeoutMillis, run.shard].join(" ")
        return { pid: process.pid, thread: threadId, said }
      })
    ),
    tasks.strict.toLayer(() => Effect.fail(new TooSmall({ least: 7 }))),
    tasks.spins.toLayer(() => Effect.sync(spin)),
    tasks.crashes.toLayer(() => Effect.sync(() => process.exit(3))),
    tasks.hungry.toLayer(() =>
      Effect.sync(() => {
        const all: Array<unknown> = []
        for (;;) all.push(new Array(10_000).fill({ n: all.length }).map((each) => ({ ...each })))
      })
    ),
    tasks.remembers.toLayer(() =>
      Effect.gen(function* () {
        const { recall, remember } = yield* CurrentRun
        const before = (yield* recall("a")) ?? "nothing"
        const { field } = yield* Effect.orDie(Effect.flip(remember("\u0000", "x")))
        yield* Effect.orDie(remember("a", "one"))
        return `${before} ${field}`
      })
    ),
    tasks.waits.toLayer(() =>
      Effect.gen(function* () {
        const { checkpoint, keep } = yield* CurrentRun
        if (checkpoint !== undefined) return checkpoint
        yield* Effect.orDie(keep("half"))
        yield* Effect.logInfo("waiting")
        return yield* Effect.onInterrupt(Effect.never, () => Effect.logInfo("stopped"))
      })
    ),
    tasks.hooked.toLayer(() => Effect.logInfo("run"), {
      prepare: () => Effect.logInfo("prepare"),
      clean: (_, { state }) => Effect.logInfo(`clean ${state}`),
      summary: (_, { state }) => Effect.succeed(`summary ${state}`),
    }),
    tasks.submits.toLayer(() =>
      Effect.gen(function* () {
        const run = yield* Effect.orDie(tasks.waits.submit({}, { delay: "1 hour" }))
        const refused = yield* Effect.flip(
          Effect.orDie(Scheduler.use((scheduler) => scheduler.resume(run))).pipe(
            Effect.andThen(Effect.fail("resumed")),
          ),
        )
        yield* Effect.logInfo(refused)
        const { state } = yield* Effect.orDie(Scheduler.use((scheduler) => scheduler.find(run)))
        yield* Effect.logInfo(state)
        return run
      })
    ),
    tasks.orders.toLayer(() =>
      Effect.gen(function* () {
        const { id, progress } = yield* CurrentRun
        const scheduler = yield* Scheduler
        const run = yield* tasks.waits.submit({}, { delay: "1 hour" })
        yield* scheduler.suspend(run, { by: "ada" })
        yield* scheduler.resume(run, { by: "bob" })
        const { namespace } = yield* scheduler.find(run)
        const { _tag } = yield* scheduler.why(run)
        yield* scheduler.cancel(run, { by: "eve" })
        const { isCut, lines } = yield* scheduler.log({ run, limit: 9 })
        const by = (yield* scheduler.events(run)).flatMap(({ by }) => by ?? [])
        yield* progress({ percent: 50 })
        const said = yield* scheduler.progress(id).pipe(
          Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("20 millis") }),
        )
        return [namespace, _tag, ...by, `${lines.length} ${isCut}`, JSON.stringify(said)]
      }).pipe(Effect.orDie)
    ),
    tasks.impatient.toLayer(() =>
      tasks.full.submit({}, { whenFull: "wait" }).pipe(
        Effect.timeoutOption("300 millis"),
        Effect.map(Option.isNone),
        Effect.orDie,
      )
    ),
    tasks.fills.toLayer(() =>
      tasks.full.submit({}).pipe(
        Effect.as(0),
        Effect.repeat({ until: (n) => n > 0, schedule: Schedule.spaced("20 millis") }),
        Effect.catchTag("BacklogFull", ({ high }) => Effect.succeed(high)),
        Effect.orDie,
      )
    ),
    tasks.handsOver.toLayer(() => CurrentRun.use(({ handOver }) => handOver("1 minute"))),
    // The first hands over, and takes its time to let go, or never does.
    tasks.lingers.toLayer(({ n }) =>
      n > 0 ? Effect.as(Effect.sleep("500 millis"), n) : Effect.ensuring(
        CurrentRun.use(({ handOver }) => handOver("1 minute")),
        n < 0 ? Effect.never : Effect.andThen(Effect.sleep("300 millis"), Effect.logInfo("let go")),
      )
    ),
  )
}

/** What a module may declare besides. It is the program that keeps it, and not every place. */
const declared = Layer.mergeAll(
  tasksOf("thread").waits.schedule("tailing", Trigger.tail(nothing), () => ({})),
  tasksOf("thread").waits.schedule(
    "by-the-office",
    Trigger.cron("0 0 1 1 *", { calendar: "office" }),
    {},
  ).pipe(Layer.provide(Calendar.keep({ name: "office" }))),
  Layer.effectDiscard(Effect.gen(function* () {
    const breakers = yield* Breakers
    const { settings } = yield* breakers.set("mail", { failurePercent: 30 })
    if (settings.failurePercent !== 30) yield* Effect.die("it is not as it was set")
    // They are there, whatever can be done with them.
    yield* Groups
    yield* Locks
    yield* tasksOf("thread").waits.submit({}, { delay: "1 hour" })
  })),
).pipe(Layer.orDie)

export default Layer.mergeAll(layerOf("thread"), layerOf("process"), declared)
