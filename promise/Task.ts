/**
 * A task for programs of promises: a name, the schemas of its payload, success and error in any
 * library, and its policies. Who submits and who carries it out share this value.
 *
 * It is the core's own task over JSON. The schemas are asked here, before a payload is stored and
 * again when it is read, by whichever version of the program does.
 */
import {
  type Duration,
  Effect,
  Inspectable,
  type Layer,
  Result,
  Schema,
  type StandardSchema as Standard,
} from "effect"
import * as Options from "../core/domain/Options.ts"
import { Refused } from "../core/domain/Refused.ts"
import type { Shard } from "../core/domain/FanIn.ts"
import type { LogLevel } from "../core/domain/LogLine.ts"
import type { Said } from "../core/domain/Progress.ts"
import type { RunId } from "../core/domain/RunId.ts"
import type { StateName } from "../core/domain/Run.ts"
import type { Failure } from "../core/domain/RunView.ts"
import { TaskName } from "../core/domain/Task.ts"
import { CurrentRun } from "../core/engine/CurrentRun.ts"
import type { Ended } from "../core/engine/Handler.ts"
import type { Executor } from "../core/engine/Executor.ts"
import { RunFailed, type Scheduler } from "../core/engine/Scheduler.ts"
import * as CoreTask from "../core/engine/Task.ts"
import { StorageUnavailable } from "../core/services/StorageUnavailable.ts"
import { DeclaredError } from "./DeclaredError.ts"
import * as Earlier from "./Earlier.ts"
import {
  type Input,
  kept,
  keptFor,
  type Output,
  parse,
  type StandardSchema,
} from "./StandardSchema.ts"
import { untilStopped } from "./untilStopped.ts"

export interface TaskOptions<
  P extends StandardSchema,
  S extends StandardSchema,
  E extends StandardSchema,
> {
  readonly payload?: P
  /** Payloads as earlier versions of the task had them; its own version is the one after them. */
  readonly earlier?: Earlier.Earlier<Input<P>>
  readonly success?: S
  /** What the handler may answer instead of a success. It is final: it is never retried. */
  readonly error?: E
  /**
   * Payloads with the same key make one run, unless a submit names a key of its own. Keys are of this
   * task alone, and `undefined` is none.
   */
  readonly idempotencyKey?: (payload: Input<P>) => string | undefined
  readonly policy?: CoreTask.PolicyOptions<Input<P>>
  readonly owner?: string
  readonly purpose?: string
}

/** What a handler may know of the run it carries out, and do in it. */
export interface RunContext<E> {
  /** Aborted when the run is cancelled, times out or is somebody else's, and at the end. */
  readonly signal: AbortSignal
  readonly run: RunId
  readonly task: string
  readonly namespace: string
  /** `1` at the first start. */
  readonly attempt: number
  /** Give it to whatever must not be written by two attempts at once. */
  readonly fence: number
  /** The slot that fired it. */
  readonly slot: Date | undefined
  readonly idempotencyKey: string | undefined
  /** Ends the run with an error that the task declares. */
  readonly fail: (error: E) => never
  /**
   * Ends the attempt here, and leaves the run to something outside: whoever notifies first ends it. Past
   * the timeout it has timed out. It throws, so nothing comes after it.
   */
  readonly handOver: (timeout?: Duration.Input) => never
  /** Which of its parent's children it is. */
  readonly shard: Shard | undefined
  /** Of the executor that carries it out. */
  readonly labels: Readonly<Record<string, string>>
  /** How long an attempt may take. */
  readonly timeoutMillis: number | undefined
  /** When this attempt is stopped. */
  readonly deadline: Date | undefined
  /** What `keep` was given last before the run was suspended, or given back at a shutdown. */
  readonly checkpoint: string | undefined
  /** What the run had succeeded with, as JSON text, where it is rolled back on demand. */
  readonly result: string | undefined
  /** Should the run be put down from now on, it goes on with this text. Throws `Refused` if it is too long. */
  readonly keep: (checkpoint: string) => void
  /** What the task keeps for a key, as text; `remember` says how it gets there. */
  readonly recall: (key: string) => Promise<string | undefined>
  /**
   * Should the run succeed, its task keeps this for the key from then on, in the step that ends the run;
   * nothing any more, if it is `undefined`. The last call counts. Throws `Refused` if it is too long.
   */
  readonly remember: (key: string, state: string | undefined) => void
  /** How far the run has come: `{ percent: 30 }`, `{ done: 3, total: 10, text: "resizing" }`. */
  readonly progress: (said: Said) => void
  /** A line of the run's log; what is not text is written as JSON. */
  readonly log: (message: unknown, level?: LogLevel) => void
  /** Pauses, in virtual time under test; rejects when `signal` is aborted. */
  readonly sleep: (duration: Duration.Input) => Promise<void>
}

/**
 * What is done around the handler: `prepare` before it; `rollback` when the run has failed for good, or
 * somebody asks for it after its end;
 * `clean` after each attempt that was prepared, with the outcome stored before; `summary` at the end
 * of the run, whose text becomes the last line of its log.
 */
export interface TaskHooks<P, E> {
  /** What it throws is what the attempt failed with. */
  readonly prepare?: (payload: P, context: RunContext<E>) => unknown
  /** When it throws the run has failed as `RollbackFailed`; asked for, it comes after `RollbackAsked`. */
  readonly rollback?: (payload: P, failure: Failure, context: RunContext<E>) => unknown
  /** When it throws, the run ends as it would have; the log says why. */
  readonly clean?: (payload: P, ended: Ended, context: RunContext<E>) => unknown
  readonly summary?: (
    payload: P,
    ended: Ended,
    context: RunContext<E>,
  ) => string | void | Promise<string | void>
}

/** The code of one task, for `start`. */
export interface Handler {
  readonly task: string
  /** @internal */
  readonly layer: Layer.Layer<never, never, Executor>
}

/** How a run ended. */
export type Outcome<S, E> =
  | { readonly kind: "success"; readonly value: S }
  /** An error that the task declares. */
  | { readonly kind: "error"; readonly error: E }
  | { readonly kind: "failure"; readonly state: StateName; readonly failure?: Failure }

/** Without a payload schema: an empty object. */
export type NoPayload = Standard.StandardSchemaV1<Record<never, never>>
export type NoSuccess = Standard.StandardSchemaV1<void>
export type NoError = Standard.StandardSchemaV1<never>

export interface Task<
  P extends StandardSchema = StandardSchema,
  S extends StandardSchema = StandardSchema,
  E extends StandardSchema = StandardSchema,
> {
  readonly name: string
  readonly payload: P | undefined
  readonly success: S | undefined
  readonly error: E | undefined

  /** The code that carries runs of this task out. What it throws is retried as the policy says. */
  readonly handler: (
    carryOut: (
      payload: Output<P>,
      context: RunContext<Input<E>>,
    ) => Input<S> | Promise<Input<S>>,
    hooks?: TaskHooks<Output<P>, Input<E>>,
  ) => Handler

  /** Whether `cause` is an error that this task declares. */
  readonly isError: (cause: unknown) => cause is DeclaredError<Output<E>>

  /** @internal */
  readonly core: CoreTask.Task<typeof Schema.Json, typeof Schema.Json, typeof Schema.Json>
  /** @internal The payload as it is kept. */
  readonly keep: (payload: unknown) => Effect.Effect<Schema.Json, Refused>
  /** @internal A success as it is kept. */
  readonly keepSuccess: (value: unknown) => Effect.Effect<Schema.Json, Refused>
  /** @internal */
  readonly outcome: (
    run: RunId,
  ) => Effect.Effect<Outcome<Output<S>, Output<E>>, StorageUnavailable, Scheduler>
}

export const task = <
  P extends StandardSchema = NoPayload,
  S extends StandardSchema = NoSuccess,
  E extends StandardSchema = NoError,
>(name: string, options: TaskOptions<P, S, E> = {}): Task<P, S, E> => {
  Options.check("task", options, optionNames)
  const { earlier, error, idempotencyKey, payload, policy, success, ...rest } = options
  const core = overJson(name, {
    ...rest,
    ...(earlier !== undefined && { earlier: Earlier.overJson(earlier) }),
    ...(success !== undefined && { success: Schema.Json }),
    // A key is taken from the payload as it was checked, so it is what the schema accepts.
    ...(policy !== undefined && { policy: policy as CoreTask.PolicyOptions<Schema.Json> }),
    ...(idempotencyKey !== undefined && {
      idempotencyKey: idempotencyKey as (payload: Schema.Json) => string | undefined,
    }),
  })

  const keep = (value: unknown) =>
    Effect.flatMap(
      payload === undefined ? Effect.succeed(kept(value)) : keptFor(payload, value),
      (checked) =>
        Effect.fromResult(Result.mapError(checked, (reason) =>
          new Refused({
            field: "payload",
            reason: `it does not fit the task "${name}": ${reason}`,
            remedy: "Submit what the task's payload schema describes, as JSON can keep it",
          }))),
    )

  /** A stored payload that this version of the task cannot read may be readable elsewhere. */
  const read = (stored: Schema.Json | Earlier.Stored): Effect.Effect<Output<P>> => {
    const raised = earlier !== undefined && stored instanceof Earlier.Stored
      ? Earlier.raise(earlier, stored)
      : Effect.succeed(stored)
    const known = payload === undefined
      ? raised as Effect.Effect<Output<P>, string>
      : Effect.flatMap(raised, (value) => Effect.flatMap(parse(payload, value), Effect.fromResult))
    return Effect.catch(known, (reason) => Effect.die(new PayloadUnreadable(reason)))
  }

  /** A success as it is kept, or why it cannot be. */
  const checkedSuccess = (value: unknown): Effect.Effect<Result.Result<Schema.Json, string>> =>
    success === undefined ? Effect.succeed(Result.succeed(null)) : keptFor(success, value)

  const answer = (value: Input<S>) =>
    Effect.flatMap(
      checkedSuccess(value),
      (checked) =>
        Effect.fromResult(Result.mapError(checked, (reason) =>
          refusal("ResultRefused", `the handler's result was refused: ${reason}`))),
    )

  const keepSuccess = (value: unknown) =>
    Effect.flatMap(
      checkedSuccess(value),
      (checked) =>
        Effect.fromResult(Result.mapError(checked, (reason) =>
          new Refused({
            field: "result",
            reason: `it does not fit the task "${name}": ${reason}`,
            remedy: "Notify with what the task's success schema describes, as JSON can keep it",
          }))),
    )

  const declared = ({ error: value }: DeclaredError<unknown>): Effect.Effect<never, Schema.Json> =>
    error === undefined
      ? Effect.die(new Error(`the task "${name}" declares no error`))
      : Effect.flatMap(keptFor(error, value), (checked) =>
        Effect.fail(Result.getOrElse(checked, (reason) =>
          refusal("ErrorRefused", `the handler's error was refused: ${reason}`))))

  /** Calls code of the user's with what it may know, and what it throws as the task declares it. */
  const calling = Effect.fnUntraced(function* <A>(
    value: Schema.Json | Earlier.Stored,
    call: (payload: Output<P>, context: RunContext<Input<E>>) => A | Promise<A>,
  ) {
    const input = yield* read(value)
    const { handOver } = yield* CurrentRun
    const contextFor = yield* contextOf<Input<E>>(name)
    return yield* untilStopped((signal) => call(input, contextFor(signal)), {
      thrown: (cause) =>
        cause instanceof DeclaredError
          ? declared(cause)
          : cause instanceof HandedOver
          ? handOver(cause.timeout)
          : Effect.die(cause),
      why: "the run was stopped: see its state for the reason",
    })
  })

  const handler: Task<P, S, E>["handler"] = (carryOut, hooks) => ({
    task: name,
    layer: core.toLayer(
      (value) => Effect.flatMap(calling(value, carryOut), answer),
      hooks && hooksOf(hooks),
    ),
  })

  const hooksOf = (
    { clean, prepare, rollback, summary }: TaskHooks<Output<P>, Input<E>>,
  ): CoreTask.TaskHooks<Schema.Json, Schema.Json, CurrentRun> => ({
    ...(prepare !== undefined && { prepare: (value) => calling(value, prepare) }),
    ...(rollback !== undefined && {
      rollback: (value, failure) =>
        calling(value, (payload, context) => rollback(payload, failure, context)),
    }),
    ...(clean !== undefined && {
      clean: (value, ended) => calling(value, (payload, context) => clean(payload, ended, context)),
    }),
    ...(summary !== undefined && {
      summary: (value, ended) =>
        calling(value, (payload, context) => summary(payload, ended, context)),
    }),
  })

  const outcome: Task<P, S, E>["outcome"] = (run) =>
    core.result(run).pipe(
      Effect.flatMap((value) =>
        Effect.map(
          success === undefined
            ? Effect.succeed(Result.succeed(undefined as Output<S>))
            : parse(success, value),
          (read): Outcome<Output<S>, Output<E>> => {
            if (Result.isSuccess(read)) return { kind: "success", value: read.success }
            const message = `its result does not fit the task "${name}": ${read.failure}`
            const failure = { tag: "ResultUnread", message }
            return failed(new RunFailed({ run, state: "Succeeded", failure }))
          },
        )
      ),
      Effect.catch((cause) => {
        if (cause instanceof RunFailed) return Effect.succeed(failed(cause))
        if (cause instanceof StorageUnavailable) return Effect.fail(cause)
        return declaredOf(cause, run)
      }),
    )

  const declaredOf = (value: Schema.Json, run: RunId) =>
    Effect.map(
      error === undefined ? Effect.succeed(Result.fail("it declares none")) : parse(error, value),
      (read): Outcome<Output<S>, Output<E>> =>
        Result.isSuccess(read)
          ? { kind: "error", error: read.success }
          : failed(new RunFailed({ run, state: "Failed", failure: failureOf(value) })),
    )

  return {
    name,
    payload,
    success,
    error,
    handler,
    isError: (cause): cause is DeclaredError<Output<E>> =>
      cause instanceof DeclaredError && cause.task === name,
    core,
    keep,
    keepSuccess,
    outcome,
  }
}

const optionNames: ReadonlyArray<keyof TaskOptions<NoPayload, NoSuccess, NoError>> = [
  "payload",
  "earlier",
  "success",
  "error",
  "idempotencyKey",
  "policy",
  "owner",
  "purpose",
]

const json = { payload: Schema.Json, error: Schema.Json }

/** Throws `Refused` when name or policy break the rules. */
const overJson = (
  name: string,
  options: Omit<
    CoreTask.Options<typeof Schema.Json, typeof Schema.Json, typeof Schema.Json>,
    keyof typeof json
  >,
) => {
  const named = decodeName(name)
  if (Result.isFailure(named)) {
    throw new Refused({
      field: "name",
      reason: `"${name}" names no task: ${named.failure.message}`,
      remedy: 'Name it like "images/resize"',
    })
  }
  try {
    return CoreTask.make(name, { ...options, ...json })
  } catch (cause) {
    if (cause instanceof Refused) throw cause
    throw new Refused({
      field: "policy",
      reason: `"${name}" cannot have it: ${cause instanceof Error ? cause.message : cause}`,
      remedy: 'Write durations as in "30 seconds"',
    })
  }
}

const decodeName = Schema.decodeUnknownResult(TaskName)

class PayloadUnreadable extends Error {
  readonly _tag = "PayloadUnreadable"

  constructor(reason: string) {
    super(`the stored payload does not fit the task's payload schema: ${reason}`)
  }
}

/** An answer that cannot be kept: final like a declared error, and told apart by its tag. */
const refusal = (tag: "ResultRefused" | "ErrorRefused", message: string): Schema.Json => ({
  _tag: tag,
  message,
})

const failureOf = (value: Schema.Json): Failure => {
  const { _tag, message } = (value ?? {}) as Record<string, unknown>
  return {
    tag: typeof _tag === "string" ? _tag : "Failure",
    message: typeof message === "string" ? message : JSON.stringify(value),
  }
}

const failed = ({ failure, state }: RunFailed): Outcome<never, never> => ({
  kind: "failure",
  state,
  ...(failure !== undefined && { failure }),
})

/** Thrown by a handler that leaves its run to something outside. */
class HandedOver extends Error {
  readonly timeout: Duration.Input | undefined

  constructor(timeout: Duration.Input | undefined) {
    super("the run was handed over: what is thrown here is not to be caught")
    this.timeout = timeout
  }
}

const contextOf = Effect.fnUntraced(function* <E>(task: string) {
  const current = yield* CurrentRun
  const { attempt, deadline, fence, id, idempotencyKey, namespace, slot } = current
  const context = yield* Effect.context<never>()

  const running = (signal: AbortSignal) => async <A>(effect: Effect.Effect<A>): Promise<A> => {
    signal.throwIfAborted()
    return await Effect.runPromiseWith(context)(effect, { signal }).catch((cause) => {
      signal.throwIfAborted()
      throw cause
    })
  }

  return (signal: AbortSignal): RunContext<E> => ({
    signal,
    run: id,
    task,
    namespace,
    attempt,
    fence,
    slot: slot === undefined ? undefined : new Date(slot),
    idempotencyKey,
    shard: current.shard,
    labels: current.labels,
    timeoutMillis: current.timeoutMillis,
    deadline: deadline === undefined ? undefined : new Date(deadline),
    checkpoint: current.checkpoint,
    result: current.result,
    keep: (checkpoint) => Effect.runSync(current.keep(checkpoint)),
    recall: (key) => running(signal)(current.recall(key)),
    remember: (key, state) => Effect.runSync(current.remember(key, state)),
    progress: (said) => Effect.runSync(current.progress(said)),
    log: (message, level = "Info") =>
      current.say(
        level,
        typeof message === "string" ? message : Inspectable.toStringUnknown(message),
      ),
    fail: (error) => {
      throw new DeclaredError(task, error)
    },
    handOver: (timeout) => {
      throw new HandedOver(timeout)
    },
    sleep: (duration) => running(signal)(Effect.sleep(duration)),
  })
})
