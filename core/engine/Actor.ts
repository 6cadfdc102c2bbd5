/**
 * An actor: a durable mailbox for each key, one message at a time and in order across the fleet, and a
 * state that is loaded before a message and kept in the step that ends it.
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Actor } from "belfry"
 * import * as Embedded from "belfry/embedded"
 * import * as Memory from "belfry/memory"
 *
 * const Counter = Actor.make("counter", {
 *   state: Schema.Int,
 *   initial: 0,
 *   messages: { add: { payload: { n: Schema.Int }, success: Schema.Int } },
 * })
 *
 * const Live = Counter.toLayer({
 *   add: (state, { n }) => Effect.succeed([state + n, state + n] as const),
 * }).pipe(Layer.provideMerge(Embedded.layer), Layer.provide(Memory.layer))
 *
 * const program = Counter.ask("clicks", "add", { n: 2 })
 * console.log(await Effect.runPromise(Effect.provide(program, Live)))
 * ```
 *
 * A message is a run of the actor's task behind a fifo gate of its key, so all that is known of runs
 * holds: retry, timeout, delay, idempotency keys, cancel, why. A message is carried out at least once,
 * and what it does to the state counts once. A declared error is an answer, and leaves the state as it
 * was.
 */
import { Effect, type Layer, Schema } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import { Refused } from "../domain/Refused.ts"
import type { RunId } from "../domain/RunId.ts"
import { stateKeyMax } from "../services/RunStorage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { CurrentRun } from "./CurrentRun.ts"
import type { Executor } from "./Executor.ts"
import type { RunFailed, Scheduler } from "./Scheduler.ts"
import type { SubmitOptions, SubmitRefused } from "./Submitting.ts"
import * as Task from "./Task.ts"

// deno-lint-ignore no-explicit-any -- `unknown` would refuse every schema: codecs are invariant
type Kept = Schema.Codec<any, any>
type Fields = { readonly [key: string]: Kept }

export interface Message {
  readonly payload?: Fields | Kept
  readonly success?: Kept
  /** What the actor may answer instead; its state stays as it was. */
  readonly error?: Kept
}

type Messages = { readonly [name: string]: Message }

type PayloadOf<M extends Message> = M extends { readonly payload: infer P } ? Task.PayloadOf<P>
  : Record<never, never>
type SuccessOf<M extends Message> = M extends { readonly success: infer S extends Kept } ? S["Type"]
  : void
type ErrorOf<M extends Message> = M extends { readonly error: infer E extends Kept } ? E["Type"]
  : never

export interface Options<S extends Kept, M extends Messages> {
  readonly state: S
  /** Of a key that has none. */
  readonly initial: S["Type"]
  readonly messages: M
  /** All messages of a key wait for each other, so there is nothing to say about blocking. */
  readonly policy?: Omit<
    Task.PolicyOptions<never>,
    "blocking" | "blockingKey" | "blockingScope"
  >
  readonly owner?: string
  readonly purpose?: string
}

/** From the state and a message to the next state and the answer; no state, and the key forgets. */
export type Behaviour<S extends Kept, M extends Messages, R> = {
  readonly [Name in keyof M]: (
    state: S["Type"],
    payload: PayloadOf<M[Name]>,
  ) => Effect.Effect<
    readonly [next: S["Type"] | undefined, answer: SuccessOf<M[Name]>],
    ErrorOf<M[Name]>,
    R
  >
}

export interface Actor<S extends Kept, M extends Messages> {
  readonly name: string
  readonly toLayer: <R = never>(
    behaviour: Behaviour<S, M, R>,
  ) => Layer.Layer<never, never, Executor | Exclude<R, CurrentRun>>

  /** Puts a message into the mailbox of a key. */
  readonly tell: <Name extends keyof M & string>(
    key: string,
    message: Name,
    payload: PayloadOf<M[Name]>,
    options?: SubmitOptions,
  ) => Effect.Effect<RunId, SubmitRefused | StorageUnavailable, Scheduler>

  /** Tells, and waits for the answer. */
  readonly ask: <Name extends keyof M & string>(
    key: string,
    message: Name,
    payload: PayloadOf<M[Name]>,
    options?: SubmitOptions,
  ) => Effect.Effect<
    SuccessOf<M[Name]>,
    ErrorOf<M[Name]> | RunFailed | SubmitRefused | StorageUnavailable,
    Scheduler
  >
}

/** A declared error on its way: its tag and message are what others see of it. */
const Declared = Schema.Struct({ _tag: Schema.String, message: Schema.String, error: Schema.Json })

const declared = (failed: unknown, error: Schema.Json): typeof Declared.Type => {
  const { _tag, message } = (failed ?? {}) as {
    readonly _tag?: unknown
    readonly message?: unknown
  }
  return {
    _tag: typeof _tag === "string" ? _tag : "Failure",
    message: typeof message === "string" ? message : JSON.stringify(error),
    error,
  }
}

const codecsOf = ({ error, payload = {}, success }: Message) => ({
  payload: Schema.toCodecJson(
    Schema.isSchema(payload) ? payload as Kept : Schema.Struct(payload as Fields) as Kept,
  ),
  success: success && Schema.toCodecJson(success),
  error: Schema.toCodecJson(error ?? Schema.Never as unknown as Kept),
})

export const make = <S extends Kept, const M extends Messages>(
  name: string,
  options: Options<S, M>,
): Actor<S, M> => {
  const { initial, messages, policy } = options
  const codecs = new Map(
    Object.entries(messages).map(([message, each]) => [message, codecsOf(each)]),
  )
  const State = Schema.fromJsonString(Schema.toCodecJson(options.state as Kept))

  const task = Task.make(name, {
    payload: {
      key: Schema.NonEmptyString.check(Schema.isMaxLength(stateKeyMax)),
      message: Schema.Literals(Object.keys(messages)),
      body: Schema.Json,
    },
    success: Schema.Json,
    error: Declared,
    policy: { ...policy, blocking: Blocking.fifo, blockingKey: ({ key }) => key },
    ...(options.owner !== undefined && { owner: options.owner }),
    ...(options.purpose !== undefined && { purpose: options.purpose }),
  })

  const toLayer: Actor<S, M>["toLayer"] = (behaviour) =>
    task.toLayer(({ body, key, message }) =>
      Effect.gen(function* () {
        const run = yield* CurrentRun
        const { error, payload, success } = codecs.get(message)!
        const kept = yield* run.recall(key)
        const state = kept === undefined ? initial : yield* read(State, kept)
        const [next, answer] = yield* behaviour[message]!(state, yield* read(payload, body)).pipe(
          Effect.catch((failed) =>
            Effect.flatMap(
              Effect.orDie(Schema.encodeUnknownEffect(error)(failed)),
              (encoded) => Effect.fail(declared(failed, encoded as Schema.Json)),
            )
          ),
        )
        const text = next === undefined
          ? undefined
          : yield* Effect.orDie(Schema.encodeUnknownEffect(State)(next))
        yield* Effect.orDie(run.remember(key, text))
        return success === undefined
          ? null
          : (yield* Effect.orDie(Schema.encodeUnknownEffect(success)(answer))) as Schema.Json
      })
    ) as never

  const tell: Actor<S, M>["tell"] = (key, message, payload, submit) =>
    Schema.encodeUnknownEffect(codecs.get(message)!.payload)(payload).pipe(
      Effect.mapError((error) =>
        new Refused({
          field: "payload",
          reason: `it does not fit the message "${message}" of "${name}": ${error.message}`,
          remedy: "Send what the message's payload schema describes",
        })
      ),
      Effect.flatMap((body) => task.submit({ key, message, body: body as Schema.Json }, submit)),
    )

  const answerOf = (run: RunId, message: string) => {
    const { error, success } = codecs.get(message)!
    return task.result(run).pipe(
      Effect.catch((failed) =>
        // What is declared is plain data here, all else an error of the engine's.
        failed instanceof Error
          ? Effect.fail(failed)
          : Effect.flatMap(read(error, failed.error), Effect.fail)
      ),
      Effect.flatMap((answer) => success === undefined ? Effect.void : read(success, answer)),
    )
  }

  return {
    name,
    toLayer,
    tell,
    ask: (key, message, payload, submit) =>
      Effect.flatMap(tell(key, message, payload, submit), (run) => answerOf(run, message)) as never,
  }
}

/** What was kept, or sent, by this code or an earlier version of it. */
const read = <T>(schema: Schema.Codec<T, unknown>, given: unknown) =>
  Effect.orDie(Schema.decodeUnknownEffect(schema)(given))
