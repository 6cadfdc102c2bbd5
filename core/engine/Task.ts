/**
 * A task as a value: a name, the schemas of its payload, success and error, and its policies. Who
 * submits and who carries it out share this value, so they cannot disagree.
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Task } from "belfry"
 *
 * const Hello = Task.make("hello/world", {
 *   payload: { name: Schema.String },
 *   success: Schema.String,
 * })
 *
 * // The handler is a layer; it needs an executor, and whatever its code needs.
 * export const HelloLive = Hello.toLayer(({ name }) => Effect.succeed(`Hello, ${name}!`))
 *
 * export const program = Hello.execute({ name: "Ada" })
 * ```
 */
import { Cause, Duration, Effect, Exit, Layer, Option, Result, Schema } from "effect"
import { isByKey } from "../domain/Breaker.ts"
import type { Passing } from "../domain/Following.ts"
import type { Namespace } from "../domain/Namespace.ts"
import * as PayloadSchemas from "../domain/PayloadSchema.ts"
import * as PayloadVersion from "../domain/PayloadVersion.ts"
import * as Policies from "../domain/Policy.ts"
import { type Policy, usualPolicy } from "../domain/Policy.ts"
import * as Named from "../domain/Options.ts"
import { Refused } from "../domain/Refused.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Failure, RunView } from "../domain/RunView.ts"
import * as Selector from "../domain/Selector.ts"
import { type TaskDefinition, TaskName } from "../domain/Task.ts"
import * as Schedules from "../domain/Trigger.ts"
import type { Misfire, Schedule, WhileRunning } from "../domain/Trigger.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { CurrentNamespace } from "./CurrentNamespace.ts"
import { CurrentRun } from "./CurrentRun.ts"
import * as Earlier from "./Earlier.ts"
import { Executor } from "./Executor.ts"
import { failureOf, failureOfCause } from "./failures.ts"
import { definitionOf, type Ended, type Hooks, type Told, type Unsuccessful } from "./Handler.ts"
import { withRunLogger } from "./runLogger.ts"
import { RunFailed, Scheduler } from "./Scheduler.ts"
import type { Submission, SubmitOptions, SubmitRefused } from "./Submitting.ts"
import type { Tailing } from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

/** A schema whose values can be kept as JSON and that needs no services to do so. */
// deno-lint-ignore no-explicit-any -- `unknown` would refuse every schema: codecs are invariant
type Kept = Schema.Codec<any, any>
type Fields = { readonly [key: string]: Kept }

/** What is not named is as usual; some fields are known and refused (`Policy.check`). */
export interface PolicyOptions<Payload>
  extends Partial<Omit<Policy, "timeoutMillis" | "selector">> {
  readonly timeout?: Duration.Input
  /** Runs with different keys do not block each other. */
  readonly blockingKey?: (payload: Payload) => string
  /** Only executors with such labels carry it out: `region = eu, tier in (gold, silver), !spot`. */
  readonly selector?: string
}

export interface Options<
  P extends Fields | Kept,
  S extends Kept,
  E extends Kept,
> {
  readonly payload?: P
  /** Payloads as earlier versions of the task had them; its own version is the one after them. */
  readonly earlier?: Earlier.Earlier<PayloadOf<P>>
  readonly success?: S
  /** What the handler may answer instead of a success. It is final: it is never retried. */
  readonly error?: E
  /**
   * Payloads with the same key make one run, unless a submit names a key of its own. Keys are of this
   * task alone, and `undefined` is none.
   */
  readonly idempotencyKey?: (payload: PayloadOf<P>) => string | undefined
  readonly policy?: PolicyOptions<PayloadOf<P>>
  readonly owner?: string
  readonly purpose?: string
}

export type PayloadSchema<P> = P extends Kept ? P
  : P extends Fields ? Schema.Codec<Schema.Struct<P>["Type"], Schema.Struct<P>["Encoded"]>
  : never
export type PayloadOf<P> = PayloadSchema<P>["Type"]

export interface Task<
  P extends Kept = Kept,
  S extends Kept = Kept,
  E extends Kept = Kept,
> {
  readonly name: TaskName
  readonly payload: P
  readonly success: S
  readonly error: E
  readonly policy: Policy

  /** What a storage is told of it, by an executor that serves it, and with a trigger. */
  readonly definition: (namespace: Namespace) => TaskDefinition

  /** Carries runs of this task out, in the executor of the program. */
  readonly toLayer: <R = never, H = never>(
    handler: (payload: P["Type"]) => Effect.Effect<S["Type"], E["Type"], R>,
    hooks?: TaskHooks<P["Type"], E["Type"], H>,
  ) => Layer.Layer<never, never, Executor | Exclude<R | H, CurrentRun>>

  /** What is submitted, encoded: for a submit in a transaction of your own. */
  readonly submission: (payload: P["Type"]) => Effect.Effect<Submission, Refused>

  /** The id of the new run, or of the one that the idempotency key names already. */
  readonly submit: (
    payload: P["Type"],
    options?: SubmitOptions,
  ) => Effect.Effect<RunId, SubmitRefused | StorageUnavailable, Scheduler>

  /** Submits, and waits for the answer of the handler. */
  readonly execute: (
    payload: P["Type"],
    options?: SubmitOptions,
  ) => Effect.Effect<
    S["Type"],
    E["Type"] | RunFailed | SubmitRefused | StorageUnavailable,
    Scheduler
  >

  /** Waits for the answer of a run of this task. */
  readonly result: (
    run: RunId,
  ) => Effect.Effect<S["Type"], E["Type"] | RunFailed | StorageUnavailable, Scheduler>

  /** Waits for the end of a run in parts; the answers of these, in their order. The run has none. */
  readonly results: (
    run: RunId,
  ) => Effect.Effect<
    ReadonlyArray<S["Type"]>,
    E["Type"] | RunFailed | StorageUnavailable,
    Scheduler
  >

  /** Keeps a trigger of this name that fires the task with this payload. */
  readonly schedule: {
    /** The payload is what the run passes on that is followed, or the row of the table. */
    (
      name: string,
      schedule: PassingOn | TailSchedule,
    ): Layer.Layer<never, Refused | StorageUnavailable, Triggers>
    /** Each entry of the source makes a run with what is made of it, or none for `undefined`. */
    <A>(
      name: string,
      tailing: Tailing<A>,
      payloadOf: (entry: A) => P["Type"] | undefined,
    ): Layer.Layer<never, Refused | StorageUnavailable, Triggers>
    (
      name: string,
      schedule: Schedule,
      payload: P["Type"],
      options?: ScheduleOptions,
    ): Layer.Layer<never, Refused | StorageUnavailable, Triggers>
  }
}

/** Of a table, as `Trigger.tailTable` makes it. */
export type TailSchedule = Extract<Schedule, { readonly _tag: "Tail" }>

/** A schedule whose runs get their payload from the run they follow. */
export type PassingOn = Extract<Schedule, { readonly _tag: "After" }> & {
  readonly passing: Passing
}

/**
 * What is done around the handler: `prepare` before it; `rollback` when the run has failed for good, or
 * somebody asks for it after its end;
 * `clean` after each attempt that was prepared, with the outcome stored before; `summary` at the end
 * of the run, whose text becomes the last line of its log.
 */
export interface TaskHooks<P, E = never, R = never> {
  /** When it fails the attempt has failed. */
  readonly prepare?: (payload: P) => Effect.Effect<unknown, E, R>
  /** When it fails the run has failed as `RollbackFailed`; asked for, it comes after `RollbackAsked`. */
  readonly rollback?: (payload: P, failure: Failure) => Effect.Effect<unknown, unknown, R>
  /** When it fails, the run ends as it would have; the log says why. */
  readonly clean?: (payload: P, ended: Ended) => Effect.Effect<unknown, unknown, R>
  readonly summary?: (payload: P, ended: Ended) => Effect.Effect<string | void, unknown, R>
}

export interface ScheduleOptions {
  /** What becomes of slots that nobody fired in time; `Trigger.once` unless named. */
  readonly misfire?: Misfire
  /** A slot later than this has misfired; a minute unless named. */
  readonly grace?: Duration.Input
  /** What becomes of a slot while a run of this trigger is under way; it fires unless named. */
  readonly whileRunning?: WhileRunning
}

/** Of a payload that a task had, what became of it. */
export interface Before<A> {
  /** Another that is an earlier one, too, by now. */
  readonly next: <F extends Fields | Kept>(
    payload: F,
    up: (before: A) => PayloadOf<F>,
  ) => Before<PayloadOf<F>>
  /** The present one. */
  readonly now: <P>(up: (before: A) => P) => Earlier.Earlier<P>
}

/** The first payload that a task had; see `Earlier`. */
export const earlier = <F extends Fields | Kept>(payload: F): Before<PayloadOf<F>> =>
  before([], payload)

const before = <F extends Fields | Kept>(
  steps: ReadonlyArray<Earlier.Step>,
  payload: F,
): Before<PayloadOf<F>> => {
  const schema = schemaOf(payload)
  return {
    next: (later, up) => before([...steps, { payload: schema, up }], later),
    now: (up) => ({ steps: [...steps, { payload: schema, up }] }),
  }
}

export const make = <
  const P extends Fields | Kept = Record<never, never>,
  S extends Kept = typeof Schema.Void,
  E extends Kept = typeof Schema.Never,
>(
  name: string,
  options: Options<P, S, E> = {},
): Task<PayloadSchema<P>, S, E> => {
  const payload = schemaOf(options.payload ?? {}) as unknown as PayloadSchema<P>
  const success = (options.success ?? Schema.Void) as unknown as S
  const error = (options.error ?? Schema.Never) as unknown as E
  const blockingKey = options.policy?.blockingKey
  const policy = policyOf(options.policy ?? {})
  const json = {
    payload: versioned(payload, options.earlier?.steps ?? []),
    success: jsonCodec(success),
    error: jsonCodec(error),
  }
  const isVoid = options.success === undefined

  const encode = (value: PayloadOf<P>) =>
    Effect.fromResult(Result.mapError(json.payload.encode(value), (reason) =>
      new Refused({
        field: "payload",
        reason: `it does not fit the task "${name}": ${reason}`,
        remedy: "Submit what the task's payload schema describes",
      })))

  let told: Told | undefined
  /** The schemas of its payloads cost something, and whoever only submits needs none. */
  const tell = (): Told =>
    told ??= {
      task: TaskName.make(name),
      policy,
      owner: options.owner,
      purpose: options.purpose,
      payloads: [...(options.earlier?.steps ?? []).map((step) => step.payload), payload]
        .map(PayloadSchemas.of),
    }
  const definition = (namespace: Namespace) => definitionOf(namespace, tell())

  const toLayer: Task<PayloadSchema<P>, S, E>["toLayer"] = (handler, hooks) =>
    Layer.effectDiscard(Effect.gen(function* () {
      const executor = yield* Executor
      const context = yield* Effect.context<never>()
      yield* executor.register({
        ...tell(),
        context: withRunLogger(context),
        carryOut: (text, run) => {
          const decoded = json.payload.decode(text)
          if (Result.isFailure(decoded)) {
            return decoded.failure instanceof Newer
              ? givenBack(decoded.failure, run)
              : Effect.fail(unreadable(decoded.failure))
          }
          const work = handler(decoded.success) as Effect.Effect<S["Type"], E["Type"], CurrentRun>
          return Effect.matchCauseEffect(
            Effect.provideService(work, CurrentRun, run),
            { onFailure: unsuccessful, onSuccess: isVoid ? noAnswer : answer },
          )
        },
        isForOthers: json.payload.isNewer,
        hooks: hooks && hooksOf(hooks as AnyHooks),
      })
    })) as never

  type AnyHooks = TaskHooks<PayloadOf<P>, E["Type"], CurrentRun>

  const hooksOf = ({ clean, prepare, rollback, summary }: AnyHooks): Hooks => {
    const over = <A extends ReadonlyArray<unknown>, B>(
      hook: (payload: PayloadOf<P>, ...more: A) => Effect.Effect<B, unknown, CurrentRun>,
    ) =>
    (text: string, run: CurrentRun["Service"], ...more: A): Effect.Effect<B, Unsuccessful> => {
      const decoded = json.payload.decode(text)
      if (Result.isFailure(decoded)) {
        return decoded.failure instanceof Newer
          ? givenBack(decoded.failure, run)
          : Effect.fail(unreadable(decoded.failure))
      }
      return Effect.catchCause(
        Effect.provideService(hook(decoded.success, ...more), CurrentRun, run),
        unsuccessful,
      )
    }
    return {
      ...(prepare !== undefined && { prepare: over((it) => Effect.asVoid(prepare(it))) }),
      ...(rollback !== undefined && {
        rollback: over((it, failure) => Effect.asVoid(rollback(it, failure))),
      }),
      ...(clean !== undefined && { clean: over((it, ended) => Effect.asVoid(clean(it, ended))) }),
      ...(summary !== undefined && {
        summary: over((it, ended) =>
          Effect.map(summary(it, ended), (text) => typeof text === "string" ? text : undefined)
        ),
      }),
    }
  }

  const answer = (value: S["Type"]) =>
    Effect.fromResult(Result.mapError(
      Result.flatMap(
        Result.mapError(
          json.success.encode(value),
          (reason) => `it does not fit the task's success schema: ${reason}`,
        ),
        bounded,
      ),
      (reason): Unsuccessful => ({
        failure: { tag: "ResultRefused", message: `the handler's result was refused: ${reason}` },
        isAnswer: true,
      }),
    ))

  const unsuccessful = (cause: Cause.Cause<unknown>): Effect.Effect<never, Unsuccessful> => {
    // An interruption from outside has its own report, which the executor makes.
    if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
    const declared = Cause.findErrorOption(cause)
    if (Option.isSome(declared)) {
      const encoded = Result.flatMap(json.error.encode(declared.value as E["Type"]), bounded)
      if (Result.isSuccess(encoded)) {
        return Effect.fail({
          failure: { ...failureOf(declared.value), error: encoded.success },
          isAnswer: true,
        })
      }
    }
    return Effect.fail({ failure: failureOfCause(cause), isAnswer: false })
  }

  const submission = (value: PayloadOf<P>): Effect.Effect<Submission, Refused> =>
    Effect.map(encode(value), (text) => {
      const key = options.idempotencyKey?.(value)
      return {
        task: TaskName.make(name),
        payload: text,
        policy,
        blockingKey: blockingKey?.(value),
        ...(key !== undefined && { idempotencyKey: `${name}/${key}` }),
      }
    })

  const submit: Task<PayloadSchema<P>, S, E>["submit"] = Effect.fnUntraced(
    function* (value: PayloadOf<P>, submitOptions: SubmitOptions = {}) {
      const scheduler = yield* Scheduler
      const submitted = yield* scheduler.submit(yield* submission(value), submitOptions)
      return submitted.run
    },
  )

  /** What came from elsewhere, by a notice or from older code, may be no such answer. */
  const read = ({ id, result, state }: RunView): Effect.Effect<S["Type"], RunFailed> => {
    if (isVoid) return Effect.succeed(undefined)
    const decoded = json.success.decode(result ?? "null")
    if (Result.isSuccess(decoded)) return Effect.succeed(decoded.success)
    const reason = result === undefined
      ? "it has none; where a run is in parts, `results` gives theirs"
      : decoded.failure
    const message = `its result does not fit the task "${name}": ${reason}`
    return Effect.fail(new RunFailed({ run: id, state, failure: { tag: "ResultUnread", message } }))
  }

  const result: Task<PayloadSchema<P>, S, E>["result"] = Effect.fnUntraced(function* (run: RunId) {
    const scheduler = yield* Scheduler
    const view = yield* scheduler.ended(run)
    return view.state === "Succeeded" ? yield* read(view) : yield* unsuccessfully(view)
  })

  const unsuccessfully = (
    { failure, id, state }: RunView,
  ): Effect.Effect<never, E["Type"] | RunFailed> => {
    if (failure?.error !== undefined) {
      const decoded = json.error.decode(failure.error)
      if (Result.isSuccess(decoded)) return Effect.fail(decoded.success)
    }
    return Effect.fail(
      new RunFailed({ run: id, state, ...(failure !== undefined && { failure }) }),
    )
  }

  const results: Task<PayloadSchema<P>, S, E>["results"] = Effect.fnUntraced(
    function* (run: RunId) {
      const scheduler = yield* Scheduler
      const view = yield* scheduler.ended(run)
      if (view.state !== "Succeeded") return yield* unsuccessfully(view)
      const { namespace } = view
      const parts: Array<RunView> = []
      for (;;) {
        const before = parts.at(-1)?.id
        const found = yield* scheduler.list({
          namespace,
          parent: run,
          limit: partsAtOnce,
          ...(before !== undefined && { before }),
        })
        parts.push(...found)
        if (found.length < partsAtOnce) break
      }
      if (parts.length === 0) return [yield* read(view)]
      const at = ({ shard }: RunView) => shard?.index ?? 0
      return yield* Effect.forEach(parts.toSorted((a, b) => at(a) - at(b)), read)
    },
  )

  const tail = Effect.fnUntraced(function* (
    trigger: string,
    { entry, schedule, source }: Tailing<unknown>,
    payloadOf: (entry: unknown) => PayloadOf<P> | undefined,
  ) {
    const triggers = yield* Triggers
    const namespace = yield* CurrentNamespace
    const decode = Schema.decodeUnknownExit(Schema.toCodecJson(entry))
    yield* triggers.tail(
      {
        namespace,
        name: trigger,
        task: name,
        introduces: definition(namespace),
        schedule,
        payload: "null",
      },
      source,
      (value) =>
        Effect.sync(() =>
          Result.flatMap(
            toResult(decode(value)),
            (known) =>
              Result.flatMap(called(() => payloadOf(known)), (wanted) =>
                wanted === undefined ? Result.succeed(undefined) : Result.map(
                  json.payload.encode(wanted),
                  (payload) => ({ payload, blockingKey: blockingKey?.(wanted) }),
                )),
          )
        ),
    ).pipe(Effect.catchTag("TriggerChanged", Effect.die))
  })

  const schedule: Task<PayloadSchema<P>, S, E>["schedule"] = (
    trigger: string,
    when: Schedule | Tailing<unknown>,
    value?: PayloadOf<P>,
    more: ScheduleOptions = {},
  ) =>
    Layer.effectDiscard(Effect.gen(function* () {
      const triggers = yield* Triggers
      if ("source" in when && "entry" in when) {
        return yield* tail(trigger, when, value as (entry: unknown) => PayloadOf<P> | undefined)
      }
      const isPassedOn = Schedules.isPassedOn(when)
      const text = isPassedOn ? "null" : yield* encode(value)
      const namespace = yield* CurrentNamespace
      const { grace } = more
      const graceMillis = grace === undefined ? undefined : yield* Effect.try({
        try: () => Named.millis("grace", grace),
        catch: (cause) => cause as Refused,
      })
      const unknown = Named.flaw("options", more, ["misfire", "grace", "whileRunning"])
      if (unknown !== undefined) return yield* unknown
      yield* triggers.put({
        namespace,
        name: trigger,
        task: name,
        introduces: definition(namespace),
        schedule: when,
        payload: text,
        misfire: more.misfire,
        graceMillis,
        // Only the task's own code could derive it from what is passed on.
        blockingKey: isPassedOn ? undefined : blockingKey?.(value),
        whileRunning: more.whileRunning,
      }).pipe(Effect.catchTag("TriggerChanged", Effect.die))
    }))

  return {
    name: TaskName.make(name),
    payload,
    success,
    error,
    policy,
    definition,
    toLayer,
    submission,
    submit,
    execute: (value, submitOptions) => Effect.flatMap(submit(value, submitOptions), result),
    result,
    results,
    schedule,
  }
}

const noAnswer = () => Effect.undefined

const schemaOf = (payload: Fields | Kept): Kept =>
  Schema.isSchema(payload) ? payload as Kept : Schema.Struct(payload) as unknown as Kept

/** Throws a `Refused`: the definition is code, and cannot go on with it. */
const policyOf = (options: PolicyOptions<never>): Policy => {
  const { blockingKey, selector, timeout, ...rest } = options
  if (isByKey(rest.breaker) && blockingKey === undefined) {
    throw new Refused({
      field: "policy.breaker",
      reason: "it is by key, and no key is derived from the payload",
      remedy: "Derive one with blockingKey, or name one breaker for all by its name",
    })
  }
  return Result.getOrThrow(Policies.check({
    ...usualPolicy,
    ...rest,
    ...(timeout !== undefined && {
      timeoutMillis: Named.millis("policy.timeout", timeout),
    }),
    ...(selector !== undefined && {
      selector: Result.getOrThrow(Selector.check(selector, "policy.selector")),
    }),
  }))
}

/** Between a value and its JSON text, compiled once. */
const jsonCodec = <A extends Kept>(schema: A) => {
  const codec = Schema.toCodecJson(schema)
  const decodeExit = Schema.decodeUnknownExit(codec)
  const encodeExit = Schema.encodeUnknownExit(codec)
  return {
    decode: (text: string): Result.Result<A["Type"], string> =>
      Result.flatMap(parsedJson(text), (value) => toResult(decodeExit(value))),
    encode: (value: A["Type"]): Result.Result<string, string> =>
      Result.map(toResult(encodeExit(value)), (encoded) => JSON.stringify(encoded)),
  }
}

/** The payload was stored by code that knows more versions of the task. */
class Newer {
  readonly reason: string

  constructor(version: number, known: number) {
    this.reason = `the stored payload is of version ${version}, and this executor knows ${known}`
  }
}

/** As `jsonCodec`, of a payload that has had other versions. */
const versioned = <A extends Kept>(schema: A, steps: ReadonlyArray<Earlier.Step>) => {
  const present = steps.length + 1
  const decode = Schema.decodeUnknownExit(Schema.toCodecJson(schema))
  const encode = Schema.encodeUnknownExit(Schema.toCodecJson(schema))
  return {
    decode: (text: string): Result.Result<A["Type"], string | Newer> => {
      const parsed = parsedJson(text)
      if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
      const { payload, version } = PayloadVersion.read(parsed.success)
      if (version > present) return Result.fail(new Newer(version, present))
      return version === present ? toResult(decode(payload)) : Result.flatMap(
        called(() => Earlier.raise<A["Type"]>(steps, version, payload, decodeBy)),
        (raised) => raised,
      )
    },
    isNewer: (text: string): boolean => {
      // It is parsed again to be carried out, so here only where that may tell something.
      if (!PayloadVersion.isNamed(text)) return false
      const parsed = parsedJson(text)
      return Result.isSuccess(parsed) && PayloadVersion.read(parsed.success).version > present
    },
    encode: (value: A["Type"]): Result.Result<string, string> =>
      Result.map(
        Result.flatMap(toResult(encode(value)), (encoded) => Earlier.write(present, encoded)),
        (stored) => JSON.stringify(stored),
      ),
  }
}

const decodeBy = (schema: Kept, payload: unknown): Result.Result<unknown, string> =>
  toResult(Schema.decodeUnknownExit(Schema.toCodecJson(schema))(payload))

const parsedJson = (text: string): Result.Result<unknown, string> =>
  Result.mapError(called(() => JSON.parse(text) as unknown), (reason) => `not JSON: ${reason}`)

/** Somebody else can read it: it goes back as it came, and nothing is counted. */
const givenBack = (
  { reason }: Newer,
  run: CurrentRun["Service"],
): Effect.Effect<never, Unsuccessful> =>
  Effect.suspend(() => {
    run.say("Warn", `${reason}: it is given back`)
    return Effect.fail({
      failure: { tag: "PayloadNewer", message: reason },
      isAnswer: false,
      isGivenBack: true,
    })
  })

const resultLengthMax = 1024 * 1024

/** Of each the payload and the result are read. */
const partsAtOnce = 100

/** A result travels with others in one message, and is kept: it has a bound as a payload has. */
const bounded = (text: string): Result.Result<string, string> =>
  text.length <= resultLengthMax ? Result.succeed(text) : Result.fail(
    `its JSON has ${text.length} characters, more than ${resultLengthMax}; keep it elsewhere ` +
      "and answer where it is",
  )

/** What code of the user's answers, or how it failed. */
const called = <A>(call: () => A): Result.Result<A, string> => {
  try {
    return Result.succeed(call())
  } catch (cause) {
    return Result.fail(cause instanceof Error ? cause.message : String(cause))
  }
}

const toResult = <A>(exit: Exit.Exit<A, unknown>): Result.Result<A, string> =>
  Exit.isSuccess(exit)
    ? Result.succeed(exit.value)
    : Result.fail(failureOfCause(exit.cause).message)

/** A stored payload that this version of the task cannot read may be readable elsewhere. */
const unreadable = (reason: string): Unsuccessful => ({
  failure: {
    tag: "PayloadUnreadable",
    message: `the stored payload does not fit the task's payload schema: ${reason}`,
  },
  isAnswer: false,
})
