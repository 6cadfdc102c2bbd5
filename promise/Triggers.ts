/** What a program of promises does with triggers: keeps them, asks them for runs, and looks at them. */
import { Effect, Exit, Layer, Scope } from "effect"
import type { RunId } from "../core/domain/RunId.ts"
import { isPassedOn, type Schedule } from "../core/domain/Trigger.ts"
import type { Backfill as CoreBackfill, Backfilled } from "../core/engine/Asking.ts"
import { CurrentNamespace } from "../core/engine/CurrentNamespace.ts"
import type { OrderOptions } from "../core/engine/Scheduler.ts"
import type * as CoreTask from "../core/engine/Task.ts"
import type { Judge } from "../core/engine/Tails.ts"
import { Triggers as CoreTriggers } from "../core/engine/Triggers.ts"
import type { SlotRecord, TailView, TriggerView } from "../core/services/TriggerStorage.ts"
import { type Call, instantOf, type Internal } from "./call.ts"
import { type Input, parse, type StandardSchema } from "./StandardSchema.ts"
import type { Task } from "./Task.ts"
import type { Tailing } from "./Trigger.ts"

export interface Trigger {
  readonly name: string
  readonly task: string
  readonly payload: unknown
  readonly isPaused: boolean
  /** Its next slot, if one is left. */
  readonly nextAt: Date | undefined
}

/** How one or several slots of a trigger ended. */
export interface Slot {
  readonly at: Date
  /** The last of a stretch that shares this record. */
  readonly through: Date
  readonly outcome: SlotRecord["outcome"]
  readonly run: RunId | undefined
  readonly latenessMillis: number
}

/** How far a trigger that tails a source has come. Numbers are of all its entries, for ever. */
export interface Tail {
  readonly trigger: string
  /** All up to here has been taken; none before the first reading. */
  readonly position: string | undefined
  /** Entries that made a run, that none was wanted for, and that could not be read. */
  readonly fired: number
  readonly passed: number
  readonly skipped: number
  /** When it last came further. */
  readonly movedAt: Date | undefined
  /** What was there at this instant has been taken. */
  readonly upTo: Date | undefined
  /** Why it does not come further, and since when. */
  readonly failure: string | undefined
  readonly failingSince: Date | undefined
}

export interface Fire<P extends StandardSchema> extends OrderOptions {
  /** Of the trigger unless given. */
  readonly payload?: Input<P>
  /** Who asks again with it is told of the run that there is. Each call is its own unless given. */
  readonly request?: string
}

export interface Backfill extends Omit<CoreBackfill, "from" | "to"> {
  /** Slots from this one on, up to the one at `to`, which is left out. */
  readonly from: Date
  readonly to: Date
}

export interface FilledIn {
  readonly at: Date
  /** `known`: it had fired, or was filled in. `pending`: the trigger will fire it itself. */
  readonly answer: Backfilled["slots"][number]["answer"]
  readonly run: RunId | undefined
}

export interface Triggers {
  /** Keeps a trigger of this name; equal to the kept one, it changes nothing. */
  readonly schedule: {
    /** The payload is what the run passes on that is followed, or the row of the table. */
    <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
      task: Task<P, S, E>,
      name: string,
      schedule: CoreTask.PassingOn | CoreTask.TailSchedule,
    ): Promise<void>
    /**
     * Each entry of the source makes a run with what is made of it, or none for `undefined`. It is
     * read until `unschedule`, or `close`.
     */
    <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema, A>(
      task: Task<P, S, E>,
      name: string,
      tailing: Tailing<A>,
      payloadOf: (entry: A) => Input<P> | undefined | Promise<Input<P> | undefined>,
    ): Promise<void>
    <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
      task: Task<P, S, E>,
      name: string,
      schedule: Schedule,
      payload: Input<P>,
      options?: CoreTask.ScheduleOptions,
    ): Promise<void>
  }
  readonly unschedule: (name: string) => Promise<void>
  readonly pause: (name: string) => Promise<void>
  /** Lets a paused trigger fire again. (`resumeRun` is for runs.) */
  readonly resume: (name: string) => Promise<void>

  /** Makes a run now, whatever the rule says, paused or not; once for each request. */
  readonly fire: <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
    task: Task<P, S, E>,
    name: string,
    options?: Fire<P>,
  ) => Promise<RunId>
  /** Makes a run of each slot in a range that has not fired. To repeat it is to go on with it. */
  readonly backfill: (name: string, range: Backfill) => Promise<ReadonlyArray<FilledIn>>
  /** Cancels those runs of a backfill that have not ended; how many. */
  readonly cancelBackfill: (
    name: string,
    request: string,
    options?: OrderOptions,
  ) => Promise<
    { readonly confirmed: number; readonly requested: number; readonly ended: number }
  >

  readonly triggers: () => Promise<ReadonlyArray<Trigger>>
  /** Of those that tail a source. */
  readonly tails: () => Promise<ReadonlyArray<Tail>>
  /** How the latest slots of a trigger ended, the latest first. */
  readonly slots: (trigger: string, limit?: number) => Promise<ReadonlyArray<Slot>>
}

/** Sources are read for as long as `scope` lives. */
export const triggersOver = (call: Call, within: Scope.Scope): Triggers => {
  const named = <A, E>(
    use: (
      triggers: CoreTriggers["Service"],
      namespace: typeof CurrentNamespace["Service"],
    ) => Effect.Effect<A, E>,
  ) =>
    call(Effect.gen(function* () {
      return yield* use(yield* CoreTriggers, yield* CurrentNamespace)
    }))

  /** What this program reads, by the names of the triggers that tail it. */
  const tailed = new Map<string, Scope.Closeable>()

  const letGo = (name: string) =>
    Effect.suspend(() => {
      const scope = tailed.get(name)
      tailed.delete(name)
      return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })

  const tail = Effect.fnUntraced(function* (
    task: Internal,
    name: string,
    { entry, schedule, source }: Tailing<unknown>,
    payloadOf: (entry: unknown) => unknown,
  ) {
    const triggers = yield* CoreTriggers
    const namespace = yield* CurrentNamespace
    yield* letGo(name)
    const scope = yield* Scope.fork(within)
    tailed.set(name, scope)
    yield* triggers.tail(
      {
        namespace,
        name,
        task: task.name,
        introduces: task.core.definition(namespace),
        schedule,
        payload: "null",
      },
      source,
      judgeOf(task, entry, payloadOf),
    ).pipe(
      Scope.provide(scope),
      Effect.onError(() => letGo(name)),
    )
  })

  return {
    schedule: (
      task: Internal,
      name: string,
      when: Schedule | Tailing<unknown>,
      payload?: unknown,
      options?: CoreTask.ScheduleOptions,
    ) =>
      call(
        "entry" in when
          ? tail(task, name, when, payload as (entry: unknown) => unknown)
          : schedule(task, name, when, payload, options),
      ),
    unschedule: (name) =>
      named((triggers, namespace) =>
        Effect.ensuring(triggers.remove(namespace, name), letGo(name))
      ),
    pause: (name) => named((triggers, namespace) => Effect.asVoid(triggers.pause(namespace, name))),
    resume: (name) =>
      named((triggers, namespace) => Effect.asVoid(triggers.resume(namespace, name))),
    fire: (task: Internal, name, { payload, request = crypto.randomUUID(), ...options } = {}) =>
      named((triggers, namespace) =>
        Effect.gen(function* () {
          const other = payload === undefined
            ? undefined
            : yield* Effect.flatMap(task.keep(payload), task.core.submission)
          const asking = { ...options, request, payload: other?.payload }
          const { run } = yield* triggers.fire(namespace, name, asking)
          return run
        })
      ),
    backfill: (name, { from, to, ...range }) =>
      named((triggers, namespace) =>
        Effect.map(
          triggers.backfill(namespace, name, {
            ...range,
            from: from.getTime(),
            to: to.getTime(),
          }),
          ({ slots }) =>
            slots.map(({ answer, run, slot }) => ({ at: new Date(slot), answer, run })),
        )
      ),
    cancelBackfill: (name, request, options) =>
      named((triggers, namespace) => triggers.cancelBackfill(namespace, name, request, options)),
    triggers: () =>
      named((triggers, namespace) =>
        Effect.map(triggers.list(namespace), (views) => views.map(triggerOf))
      ),
    tails: () =>
      named((triggers, namespace) =>
        Effect.map(triggers.tails(namespace), (tails) => tails.map(tailOf))
      ),
    slots: (name, limit = 50) =>
      named((triggers, namespace) =>
        Effect.map(triggers.records(namespace, name, limit), (records) => records.map(slotOf))
      ),
  }
}

const schedule = Effect.fnUntraced(function* (
  { core, keep }: Internal,
  name: string,
  when: Schedule,
  payload: unknown,
  options: CoreTask.ScheduleOptions | undefined,
) {
  const kept = isPassedOn(when) ? null : yield* keep(payload)
  yield* Effect.scoped(Layer.build(core.schedule(name, when, kept, options)))
})

/** What becomes of an entry; what throws makes none, and says why. */
const judgeOf = (
  { core, keep }: Internal,
  entry: StandardSchema | undefined,
  payloadOf: (entry: unknown) => unknown,
): Judge =>
(value) =>
  Effect.gen(function* () {
    const known = entry === undefined ? value : yield* Effect.fromResult(yield* parse(entry, value))
    const wanted = yield* Effect.promise(async () => await payloadOf(known))
    if (wanted === undefined) return undefined
    const kept = yield* Effect.mapError(keep(wanted), ({ reason }) => reason)
    return yield* Effect.mapError(core.submission(kept), ({ reason }) => reason)
  }).pipe(
    Effect.catchDefect((cause) =>
      Effect.fail(cause instanceof Error ? cause.message : String(cause))
    ),
    Effect.result,
  )

const triggerOf = ({ cursor, definition, isPaused }: TriggerView): Trigger => ({
  name: definition.name,
  task: definition.task,
  payload: JSON.parse(definition.payload),
  isPaused,
  nextAt: instantOf(cursor),
})

const tailOf = ({ tail, view }: TailView): Tail => ({
  trigger: view.definition.name,
  position: tail.position,
  fired: tail.fired,
  passed: tail.passed,
  skipped: tail.skipped,
  movedAt: instantOf(tail.movedAt),
  upTo: instantOf(tail.upTo),
  failure: tail.failure,
  failingSince: instantOf(tail.failingSince),
})

const slotOf = ({ latenessMillis, outcome, run, slot, through }: SlotRecord): Slot => ({
  at: new Date(slot),
  through: new Date(through),
  outcome,
  run,
  latenessMillis,
})
