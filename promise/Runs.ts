/** What a program of promises does with runs: submits them, gives them orders, and looks at them. */
import { DateTime, Effect, Option, Result, Schema } from "effect"
import type { Asked } from "../core/domain/Asked.ts"
import { firstRevision } from "../core/domain/Change.ts"
import type { Shard } from "../core/domain/FanIn.ts"
import type { LogLevel } from "../core/domain/LogLine.ts"
import { Fence } from "../core/domain/Lease.ts"
import type { Progress } from "../core/domain/Progress.ts"
import * as Options from "../core/domain/Options.ts"
import { refusalOf, Refused } from "../core/domain/Refused.ts"
import { StateName } from "../core/domain/Run.ts"
import { RunId } from "../core/domain/RunId.ts"
import { type Failure, Reason, type RunHappening, type RunView } from "../core/domain/RunView.ts"
import { TaskName } from "../core/domain/Task.ts"
import { CurrentNamespace } from "../core/engine/CurrentNamespace.ts"
import {
  type Again as CoreAgain,
  type ChangeOptions,
  type OrderOptions,
  type RollbackOptions,
  RunFailed,
  Scheduler,
} from "../core/engine/Scheduler.ts"
import type { Sharding, SubmitOptions } from "../core/engine/Submitting.ts"
import type { LogPage } from "../core/services/LogStorage.ts"
import { type Call, dateOf, type Internal, type Waiting } from "./call.ts"
import { DeclaredError } from "./DeclaredError.ts"
import type { Input, Output, StandardSchema } from "./StandardSchema.ts"
import type { Outcome, Task } from "./Task.ts"

export type Submit = Omit<SubmitOptions, "namespace">

export interface Again<P extends StandardSchema> extends Omit<CoreAgain, "payload"> {
  /** As it was unless given. */
  readonly payload?: Input<P>
}

/** How a run ended that was handed over. */
export type Notice<S> =
  | { readonly kind: "success"; readonly value: S }
  | { readonly kind: "failure"; readonly failure: Pick<Failure, "tag" | "message"> }

export interface Query {
  readonly task?: { readonly name: string }
  readonly states?: ReadonlyArray<StateName>
  /** Only the children of this run. */
  readonly parent?: number
  /** Only runs before this one. */
  readonly before?: number
  /** At most so many: 1 to 500, 50 unless given. */
  readonly limit?: number
}

export interface LogQuery {
  /** Only lines after this one. */
  readonly after?: Pick<LogLine, "fence" | "number">
  /** At most so many: 1 to 500, 500 unless given. */
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
  /** Who asked for it by hand, and which run it does again. */
  readonly asked: Asked | undefined
  /** The trigger that fired it, and for which slot. */
  readonly trigger: string | undefined
  readonly slot: Date | undefined
  /** The run whose end its trigger followed. */
  readonly after: RunId | undefined
  /** Which of its parent's children it is. */
  readonly shard: Shard | undefined
  /** The executor that holds it, or ended it. */
  readonly executor: string | undefined
  readonly createdAt: Date
  /** When it becomes, or became, due. */
  readonly dueAt: Date
  /** When it is too late to begin it; told until it is granted. */
  readonly deadlineAt: Date | undefined
  readonly claimedAt: Date | undefined
  readonly finishedAt: Date | undefined
  /** Rises with every `change`. */
  readonly revision: number
}

/** One thing that happened to a run. */
export interface Happening {
  readonly at: Date
  /** As in `Submitted`, `Claimed`, `Retried`, `LevelSet`, or a final state. */
  readonly kind: string
  readonly attempt: number
  readonly fence: number
  readonly detail: string | undefined
  readonly executor: string | undefined
  /** Who gave the order that it tells of. */
  readonly by: string | undefined
}

/** A line that the handler of a run has said. */
export interface LogLine {
  readonly at: Date
  readonly level: LogLevel
  readonly text: string
  /** The grant that said it, and which of its lines it is. */
  readonly fence: number
  readonly number: number
  /** It is a mark: so many lines were left out here. */
  readonly leftOut: number | undefined
}

export interface Log {
  readonly lines: ReadonlyArray<LogLine>
  /** The run has said more than is kept. */
  readonly isCut: boolean
}

/** The last word of a run's present attempt about how far it has come. */
export interface SaidProgress extends Progress {
  readonly at: Date
}

export interface Runs {
  /** The id of the new run, or of the one that the idempotency key names already. */
  readonly submit: <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
    task: Task<P, S, E>,
    payload: Input<P>,
    options?: Submit,
  ) => Promise<RunId>

  /** One run for each payload, in order; they share one trip to the storage. */
  readonly submitAll: <
    P extends StandardSchema,
    S extends StandardSchema,
    E extends StandardSchema,
  >(
    task: Task<P, S, E>,
    payloads: ReadonlyArray<Input<P>>,
    options?: Omit<Submit, "idempotencyKey">,
  ) => Promise<ReadonlyArray<RunId>>

  /** A parent with so many children of the same payload, each of which learns which `shard` it is. */
  readonly submitSharded: <
    P extends StandardSchema,
    S extends StandardSchema,
    E extends StandardSchema,
  >(
    task: Task<P, S, E>,
    payload: Input<P>,
    sharding: Sharding,
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

  /** A new run that does it again, at the same level and of the same key; its `asked` says of which. */
  readonly again: <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
    task: Task<P, S, E>,
    run: number,
    options?: Again<P>,
  ) => Promise<RunId>

  /** Gives what failed, timed out or is in quarantine another try, as the same run. */
  readonly revive: (run: number, options?: OrderOptions) => Promise<void>

  /** `requested`: its holder was asked to stop it, and will. */
  readonly cancel: (
    run: number,
    options?: OrderOptions,
  ) => Promise<"confirmed" | "requested" | "ended">

  /** `requested`: its holder was asked to put it down, and will. */
  readonly suspend: (run: number, options?: OrderOptions) => Promise<"confirmed" | "requested">
  /** Lets a suspended run go on. (`resume` is for triggers.) */
  readonly resumeRun: (run: number, options?: OrderOptions) => Promise<void>

  /**
   * Gives a run another level, for when it waits, and one that nobody was granted another deadline, or
   * none (`null`); with `revision`, only if it is at that one, and else it rejects with `RunChanged`.
   */
  readonly change: (run: number, options: ChangeOptions) => Promise<void>

  /** Ends a run that was handed over. `duplicate`: somebody notified before. */
  readonly notify: <P extends StandardSchema, S extends StandardSchema, E extends StandardSchema>(
    task: Task<P, S, E>,
    run: number,
    notice: Notice<Input<S>>,
    options?: OrderOptions,
  ) => Promise<"applied" | "duplicate">

  /**
   * Has the `rollback` of the task undo what a run did that has ended: it ends as failed with
   * `RolledBack`, or with `RollbackFailed`, and then may be asked again.
   */
  readonly rollback: (run: number, options?: RollbackOptions) => Promise<void>

  readonly show: (run: number) => Promise<Run>
  /** Why a run is where it is. */
  readonly why: (run: number) => Promise<typeof Reason.Encoded>
  /** All that happened to it, in order. */
  readonly events: (run: number) => Promise<ReadonlyArray<Happening>>
  /** What it has said, in order; also while it runs. */
  readonly log: (run: number, query?: LogQuery) => Promise<Log>
  /** How far it has come, if it said so. */
  readonly progress: (run: number) => Promise<SaidProgress | undefined>
  /** The latest first. */
  readonly list: (query?: Query) => Promise<ReadonlyArray<Run>>
}

export const runsOver = (call: Call): Runs => {
  const ofRun = <A, E>(
    id: number,
    use: (scheduler: Scheduler["Service"], run: RunId) => Effect.Effect<A, E>,
  ) => call(Effect.flatMap(known(id), (run) => Scheduler.use((scheduler) => use(scheduler, run))))

  return {
    submit: (task, payload, options = {}) => call(submit(task, payload, options)),
    submitAll: (task: Internal, payloads, options) =>
      call(Effect.gen(function* () {
        yield* namedOf(options)
        const submissions = yield* Effect.forEach(payloads, (payload) => submission(task, payload))
        const accepted = yield* Scheduler.use(({ submitAll }) => submitAll(submissions, options))
        return accepted.map(({ run }) => run)
      })),
    submitSharded: (task: Internal, payload, sharding, options) =>
      call(Effect.gen(function* () {
        yield* namedOf(options)
        const whole = yield* submission(task, payload)
        const { run } = yield* Scheduler.use(({ submitSharded }) =>
          submitSharded(whole, sharding, options)
        )
        return run
      })),
    execute: (task, payload, options = {}) =>
      call(Effect.flatMap(submit(task, payload, options), (id) => result(task, id)), options),
    result: (task, id, options) => call(result(task, id), options),
    outcome: (task, id, options) => call(outcome(task, id), options),
    again: (task: Internal, id, { payload, ...options } = {}) =>
      call(Effect.gen(function* () {
        const before = yield* known(id)
        const other = payload === undefined ? undefined : yield* submission(task, payload)
        const { run } = yield* Scheduler.use(({ again }) =>
          again(before, { ...options, ...(other !== undefined && { payload: other.payload }) })
        )
        return run
      })),
    revive: (id, options) =>
      ofRun(id, (scheduler, run) => Effect.asVoid(scheduler.revive(run, options))),
    cancel: (id, options) => ofRun(id, (scheduler, run) => scheduler.cancel(run, options)),
    suspend: (id, options) => ofRun(id, (scheduler, run) => scheduler.suspend(run, options)),
    resumeRun: (id, options) =>
      ofRun(id, (scheduler, run) => Effect.asVoid(scheduler.resume(run, options))),
    change: (id, options) =>
      ofRun(id, (scheduler, run) => Effect.asVoid(scheduler.change(run, options))),
    notify: (task: Internal, id, notice, options) =>
      ofRun(
        id,
        (scheduler, run) =>
          notice.kind === "failure"
            ? scheduler.notify(run, { _tag: "Failed", failure: notice.failure }, options)
            : Effect.flatMap(
              task.keepSuccess(notice.value),
              (kept) =>
                scheduler.notify(run, { _tag: "Succeeded", result: JSON.stringify(kept) }, options),
            ),
      ),
    rollback: (id, options) =>
      ofRun(id, (scheduler, run) => Effect.asVoid(scheduler.rollback(run, options))),
    show: (id) => ofRun(id, (scheduler, run) => Effect.map(scheduler.find(run), runOf)),
    why: (id) =>
      ofRun(id, (scheduler, run) =>
        Effect.flatMap(
          scheduler.why(run),
          (why) => Effect.orDie(encodeReason(why)),
        )),
    events: (id) =>
      ofRun(
        id,
        (scheduler, run) => Effect.map(scheduler.events(run), (events) => events.map(happeningOf)),
      ),
    log: (id, { after, limit = pageMax } = {}) =>
      ofRun(id, (scheduler, run) =>
        Effect.gen(function* () {
          yield* checkedLimit(limit, "each `after` the last line of the one before it")
          const { fence, number } = after ?? {}
          const place = fence === undefined || number === undefined
            ? undefined
            : { fence: Fence.make(fence), number }
          return logOf(yield* scheduler.log({ run, limit, after: place }))
        })),
    progress: (id) =>
      ofRun(id, (scheduler, run) =>
        Effect.map(scheduler.progress(run), (said) => {
          if (Option.isNone(said)) return undefined
          const { at, fence: _, sequence: __, ...progress } = said.value
          return { ...progress, at: DateTime.toDateUtc(at) }
        })),
    list: (query = {}) => call(list(query)),
  }
}

const submission = ({ core, keep }: Internal, payload: unknown) =>
  Effect.flatMap(keep(payload), core.submission)

const submit = (
  { core, keep }: Internal,
  payload: unknown,
  { signal: _, ...options }: Submit & Waiting,
) =>
  Effect.andThen(
    namedOf(options),
    Effect.flatMap(keep(payload), (kept) => core.submit(kept, options)),
  )

const outcome = <S extends StandardSchema, E extends StandardSchema>(
  task: Pick<Internal<S, E>, "outcome">,
  id: number,
) => Effect.flatMap(known(id), task.outcome)

const result = <S extends StandardSchema, E extends StandardSchema>(
  task: Pick<Internal<S, E>, "name" | "outcome">,
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

const pageMax = 500

const checkedLimit = (limit: number, pages: string): Effect.Effect<void, Refused> =>
  Number.isInteger(limit) && limit >= 1 && limit <= pageMax ? Effect.void : Effect.fail(
    new Refused({
      field: "limit",
      reason: `${limit} is not from 1 to ${pageMax}`,
      remedy: `Ask for several pages, ${pages}`,
    }),
  )

const submitNames: ReadonlyArray<keyof Submit> = [
  "delay",
  "level",
  "deadline",
  "idempotencyKey",
  "by",
  "again",
  "whenFull",
]
/** Refuses what no submit knows. */
const namedOf = (options: Submit = {}): Effect.Effect<void, Refused> =>
  Effect.suspend(() => {
    const flaw = Options.flaw("options", options, submitNames)
    return flaw === undefined ? Effect.void : Effect.fail(flaw)
  })

const queryNames: ReadonlyArray<keyof Query> = ["task", "states", "parent", "before", "limit"]

/** What is wrong with a query that types did not look at, if anything is. */
const flawOf = (query: Query): Refused | undefined => {
  const stray = Options.flaw("query", query, queryNames)
  if (stray !== undefined) return stray
  const { states = [], task } = query
  const named = task === undefined ? undefined : decodeName(task.name)
  if (named !== undefined && Result.isFailure(named)) return refusalOf(named.failure, "query.task")
  const at = states.findIndex((state) => !isState(state))
  return at < 0 ? undefined : new Refused({
    field: `query.states.${at}`,
    reason: `${JSON.stringify(states[at])} is no state`,
    remedy: `Use ${StateName.literals.join(", ")}`,
  })
}
const decodeName = Schema.decodeUnknownResult(TaskName)
const isState = Schema.is(StateName)

const list = Effect.fnUntraced(function* (query: Query) {
  const flaw = flawOf(query)
  if (flaw !== undefined) return yield* flaw
  const { before, limit = 50, parent, states, task } = query
  yield* checkedLimit(limit, "each `before` the last run of the one before it")
  const namespace = yield* CurrentNamespace
  const views = yield* Scheduler.use((scheduler) =>
    scheduler.list({
      namespace,
      limit,
      ...(task !== undefined && { task: TaskName.make(task.name) }),
      ...(states !== undefined && { states }),
      ...(parent !== undefined && { parent: parent as RunId }),
      ...(before !== undefined && { before: before as RunId }),
    })
  )
  return views.map(runOf)
})

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
  asked: view.asked,
  trigger: view.trigger,
  slot: dateOf(view.slot),
  after: view.after,
  shard: view.shard,
  executor: view.executor?.name,
  createdAt: DateTime.toDateUtc(view.createdAt),
  dueAt: DateTime.toDateUtc(view.dueAt),
  deadlineAt: dateOf(view.deadlineAt),
  claimedAt: dateOf(view.claimedAt),
  finishedAt: dateOf(view.finishedAt),
  revision: view.revision ?? firstRevision,
})

const happeningOf = (
  { at, attempt, by, detail, executor, fence, kind }: RunHappening,
): Happening => ({
  at: DateTime.toDateUtc(at),
  kind,
  attempt,
  fence,
  detail,
  executor: executor?.name,
  by,
})

const logOf = ({ isCut, lines }: LogPage): Log => ({
  lines: lines.map(({ at, fence, leftOut, level, number, text }) => ({
    at: DateTime.toDateUtc(at),
    level,
    text,
    fence,
    number,
    leftOut,
  })),
  isCut,
})
