/** What a program of promises does with tasks and runs, over whichever engine it was started with. */
import { DateTime, Effect, Exit, Layer, type ManagedRuntime, Schema, Scope } from "effect"
import { Refused } from "../core/domain/Refused.ts"
import type { StateName } from "../core/domain/Run.ts"
import { RunId } from "../core/domain/RunId.ts"
import { type Failure, Reason, type RunView } from "../core/domain/RunView.ts"
import { TaskName } from "../core/domain/Task.ts"
import { isPassedOn, type Schedule } from "../core/domain/Trigger.ts"
import { CurrentNamespace } from "../core/engine/CurrentNamespace.ts"
import { RunFailed, Scheduler, type SubmitOptions } from "../core/engine/Scheduler.ts"
import type * as CoreTask from "../core/engine/Task.ts"
import type { Judge } from "../core/engine/Tails.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import type { SlotRecord, TailView, TriggerView } from "../core/services/TriggerStorage.ts"
import { DeclaredError } from "./DeclaredError.ts"
import { type Input, type Output, parse, type StandardSchema } from "./StandardSchema.ts"
import type { Outcome, Task } from "./Task.ts"
import type { Tailing } from "./Trigger.ts"

export type Submit = Omit<SubmitOptions, "namespace">

export interface Waiting {
  /** Aborted, nobody waits any more; the run goes on. `cancel` stops it. */
  readonly signal?: AbortSignal
}

export interface Query {
  readonly task?: { readonly name: string }
  readonly states?: ReadonlyArray<StateName>
  /** Only runs before this one. */
  readonly before?: number
  /** At most so many: 1 to 500, 50 unless given. */
  readonly limit?: number
}

/** A run as others see it. */
export interface Run {
  readonly id: RunId
  readonly task: string
  readonly state: StateName
  readonly attempt: number
  readonly level: number
  readonly payload: unknown
  readonly result: unknown
  readonly failure: Failure | undefined
  readonly idempotencyKey: string | undefined
  /** The trigger that fired it, and for which slot. */
  readonly trigger: string | undefined
  readonly slot: Date | undefined
  /** The executor that holds it, or ended it. */
  readonly executor: string | undefined
  readonly createdAt: Date
  /** When it becomes, or became, due. */
  readonly dueAt: Date
  readonly claimedAt: Date | undefined
  readonly finishedAt: Date | undefined
}

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

/** Rejections are errors with a `_tag`: `Refused`, `KeyConflict`, `RunUnknown`, `RunFailed`, … */
export interface Belfry extends AsyncDisposable {
  /** The id of the new run, or of the one that the idempotency key names already. */
  readonly submit: <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
    task: Task<P, S, E>,
    payload: Input<P>,
    options?: Submit,
  ) => Promise<RunId>

  /** Submits, and waits for the answer of the handler. */
  readonly execute: <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
    task: Task<P, S, E>,
    payload: Input<P>,
    options?: Submit & Waiting,
  ) => Promise<Output<S>>

  /** Waits for the answer; rejects with `DeclaredError` or `RunFailed` when there is none. */
  readonly result: <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
    task: Task<P, S, E>,
    run: number,
    options?: Waiting,
  ) => Promise<Output<S>>

  /** Waits for the end, whichever it is. */
  readonly outcome: <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
    task: Task<P, S, E>,
    run: number,
    options?: Waiting,
  ) => Promise<Outcome<Output<S>, Output<E>>>

  /** `requested`: its holder was asked to stop it, and will. */
  readonly cancel: (
    run: number,
    options?: { readonly by?: string },
  ) => Promise<"confirmed" | "requested" | "ended">
  readonly show: (run: number) => Promise<Run>
  /** Why a run is where it is. */
  readonly why: (run: number) => Promise<typeof Reason.Encoded>
  /** The latest first. */
  readonly list: (query?: Query) => Promise<ReadonlyArray<Run>>

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
  readonly resume: (name: string) => Promise<void>
  readonly triggers: () => Promise<ReadonlyArray<Trigger>>
  /** Of those that tail a source. */
  readonly tails: () => Promise<ReadonlyArray<Tail>>
  /** How the latest slots of a trigger ended, the latest first. */
  readonly slots: (trigger: string, limit?: number) => Promise<ReadonlyArray<Slot>>

  /** Takes no more runs, lets those under way finish for a while, and returns when all is closed. */
  readonly close: () => Promise<void>
}

const listMax = 500

export const over = <R, E>(
  runtime: ManagedRuntime.ManagedRuntime<R | Scheduler | Triggers, E>,
): Belfry => {
  const run = async <A, E2>(
    effect: Effect.Effect<A, E2, Scheduler | Triggers>,
    { signal }: Waiting = {},
  ): Promise<A> => {
    signal?.throwIfAborted()
    try {
      return await runtime.runPromise(effect, signal && { signal })
    } catch (cause) {
      signal?.throwIfAborted()
      throw cause
    }
  }

  const named = <A, E2>(
    use: (
      triggers: Triggers["Service"],
      namespace: typeof CurrentNamespace["Service"],
    ) => Effect.Effect<A, E2>,
  ) =>
    run(Effect.gen(function* () {
      return yield* use(yield* Triggers, yield* CurrentNamespace)
    }))

  const submit = (
    { core, keep }: Internal<StandardSchema, StandardSchema>,
    payload: unknown,
    { signal: _, ...options }: Submit & Waiting,
  ) => Effect.flatMap(keep(payload), (kept) => core.submit(kept, options))

  const outcome = <S extends StandardSchema, E2 extends StandardSchema>(
    task: Internal<S, E2>,
    id: number,
  ) => Effect.flatMap(known(id), task.outcome)

  const result = <S extends StandardSchema, E2 extends StandardSchema>(
    task: Internal<S, E2>,
    id: number,
  ) =>
    Effect.flatMap(
      outcome(task, id),
      (ended): Effect.Effect<Output<S>, DeclaredError<unknown> | RunFailed> => {
        switch (ended.kind) {
          case "success":
            return Effect.succeed(ended.value)
          case "error":
            return Effect.fail(new DeclaredError(task.name, ended.error))
          case "failure": {
            const { kind: _, ...rest } = ended
            return Effect.fail(new RunFailed({ run: id as RunId, ...rest }))
          }
        }
      },
    )

  const ofRun = <A, E2>(
    id: number,
    use: (scheduler: Scheduler["Service"], run: RunId) => Effect.Effect<A, E2>,
  ) => run(Effect.flatMap(known(id), (run) => Scheduler.use((scheduler) => use(scheduler, run))))

  const schedule = Effect.fnUntraced(function* (
    { core, keep }: Internal<StandardSchema, StandardSchema>,
    name: string,
    when: Schedule,
    payload: unknown,
    options: CoreTask.ScheduleOptions | undefined,
  ) {
    const kept = isPassedOn(when) ? null : yield* keep(payload)
    yield* Effect.scoped(Layer.build(core.schedule(name, when, kept, options)))
  })

  /** What this program reads, by the names of the triggers that tail it. */
  const tailed = new Map<string, Scope.Closeable>()

  const letGo = (name: string) =>
    Effect.suspend(() => {
      const scope = tailed.get(name)
      tailed.delete(name)
      return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })

  const tail = Effect.fnUntraced(function* (
    task: Internal<StandardSchema, StandardSchema>,
    name: string,
    { entry, schedule, source }: Tailing<unknown>,
    payloadOf: (entry: unknown) => unknown,
  ) {
    const triggers = yield* Triggers
    const namespace = yield* CurrentNamespace
    yield* letGo(name)
    const scope = yield* Scope.fork(runtime.scope)
    tailed.set(name, scope)
    yield* triggers.tail(
      { namespace, name, task: task.name, schedule, payload: "null" },
      source,
      judgeOf(task, entry, payloadOf),
    ).pipe(
      Scope.provide(scope),
      Effect.onError(() => letGo(name)),
    )
  })

  const close = () => runtime.dispose()

  return {
    submit: (task, payload, options = {}) => run(submit(task, payload, options)),
    execute: (task, payload, options = {}) =>
      run(Effect.flatMap(submit(task, payload, options), (id) => result(task, id)), options),
    result: (task, id, options) => run(result(task, id), options),
    outcome: (task, id, options) => run(outcome(task, id), options),
    cancel: (id, options) => ofRun(id, (scheduler, run) => scheduler.cancel(run, options)),
    show: (id) => ofRun(id, (scheduler, run) => Effect.map(scheduler.find(run), runOf)),
    why: (id) =>
      ofRun(id, (scheduler, run) =>
        Effect.flatMap(
          scheduler.why(run),
          (why) => Effect.orDie(encodeReason(why)),
        )),
    list: (query = {}) => run(Effect.flatMap(checked(query), list)),
    schedule: (
      task: Internal<StandardSchema, StandardSchema>,
      name: string,
      when: Schedule | Tailing<unknown>,
      payload?: unknown,
      options?: CoreTask.ScheduleOptions,
    ) =>
      run(
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
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** What is done with a task depends on no more of it than this. */
type Internal<S extends StandardSchema, E extends StandardSchema> = Pick<
  Task<StandardSchema, S, E>,
  "name" | "core" | "keep" | "outcome"
>

/** What becomes of an entry; what throws makes none, and says why. */
const judgeOf = (
  { core, keep }: Internal<StandardSchema, StandardSchema>,
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

const isRunId = Schema.is(RunId)

const known = (run: number): Effect.Effect<RunId, Refused> =>
  isRunId(run) ? Effect.succeed(run) : Effect.fail(
    new Refused({
      field: "run",
      reason: `${run} is not the id of a run`,
      remedy: "Name what `submit` answered",
    }),
  )

const encodeReason = Schema.encodeEffect(Reason)

const checked = (query: Query): Effect.Effect<Query & { readonly limit: number }, Refused> => {
  const limit = query.limit ?? 50
  return Number.isInteger(limit) && limit >= 1 && limit <= listMax
    ? Effect.succeed({ ...query, limit })
    : Effect.fail(
      new Refused({
        field: "limit",
        reason: `${limit} is not from 1 to ${listMax}`,
        remedy: "Ask for several pages, each `before` the last run of the one before it",
      }),
    )
}

const list = Effect.fnUntraced(function* (
  { before, limit, states, task }: Query & { readonly limit: number },
) {
  const views = yield* Scheduler.use((scheduler) =>
    Effect.flatMap(CurrentNamespace, (namespace) =>
      scheduler.list({
        namespace,
        limit,
        ...(task !== undefined && { task: TaskName.make(task.name) }),
        ...(states !== undefined && { states }),
        ...(before !== undefined && { before: before as RunId }),
      }))
  )
  return views.map(runOf)
})

const dateOf = (instant: DateTime.Utc | undefined) =>
  instant === undefined ? undefined : DateTime.toDateUtc(instant)

export const runOf = (view: RunView): Run => ({
  id: view.id,
  task: view.task,
  state: view.state,
  attempt: view.attempt,
  level: view.level,
  payload: JSON.parse(view.payload),
  result: view.result === undefined ? undefined : JSON.parse(view.result),
  failure: view.failure,
  idempotencyKey: view.idempotencyKey,
  trigger: view.trigger,
  slot: dateOf(view.slot),
  executor: view.executor?.name,
  createdAt: DateTime.toDateUtc(view.createdAt),
  dueAt: DateTime.toDateUtc(view.dueAt),
  claimedAt: dateOf(view.claimedAt),
  finishedAt: dateOf(view.finishedAt),
})

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

const instantOf = (millis: number | undefined) =>
  millis === undefined ? undefined : new Date(millis)

export const slotOf = ({ latenessMillis, outcome, run, slot, through }: SlotRecord): Slot => ({
  at: new Date(slot),
  through: new Date(through),
  outcome,
  run,
  latenessMillis,
})
