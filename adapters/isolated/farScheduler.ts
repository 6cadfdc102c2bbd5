/**
 * The scheduler as an isolated handler sees it: what it submits, orders and asks is done by the program
 * on the other side of the channel. What the layers of a module submit while they are built, the program
 * has submitted when it built them.
 */
import { Duration, Effect, Layer, Schema } from "effect"
import { Refused } from "../../core/domain/Refused.ts"
import { isFinal } from "../../core/domain/Run.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { LogLine } from "../../core/domain/LogLine.ts"
import { Reason, RunHappening, RunView } from "../../core/domain/RunView.ts"
import { BacklogFull } from "../../core/engine/Backlogs.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import {
  OrderRefused,
  RunChanged,
  RunFailed,
  RunUnknown,
  Scheduler,
} from "../../core/engine/Scheduler.ts"
import { type Accepted, KeyConflict, type SubmitOptions } from "../../core/engine/Submitting.ts"
import { KeptProgress } from "../../core/services/LogStorage.ts"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { absent } from "./declared.ts"
import type { Answer, Saying, Word } from "./messages.ts"

/** What of a scheduler can be asked for through the channel. */
const methods = [
  "submit",
  "submitAll",
  "submitSharded",
  "again",
  "cancel",
  "suspend",
  "resume",
  "change",
  "notify",
  "revive",
  "rollback",
  "find",
  "events",
  "why",
  "log",
  "progress",
] as const
export type Method = (typeof methods)[number]

export const isMethod = (name: string): name is Method =>
  (methods as ReadonlyArray<string>).includes(name)

/** Answers that are more than plain data. */
const codecs = {
  find: Schema.toCodecJson(RunView),
  events: Schema.toCodecJson(Schema.Array(RunHappening)),
  why: Schema.toCodecJson(Reason),
  log: Schema.toCodecJson(
    Schema.Struct({ lines: Schema.Array(LogLine), isCut: Schema.Boolean }),
  ),
  progress: Schema.toCodecJson(Schema.Option(KeptProgress)),
}

export const encodeAnswer = (method: Method, value: unknown): unknown =>
  method in codecs ? Schema.encodeUnknownSync(codecs[method as keyof typeof codecs])(value) : value

const decodeAnswer = (method: Method, value: unknown): unknown =>
  method in codecs ? Schema.decodeUnknownSync(codecs[method as keyof typeof codecs])(value) : value

type Asked = { readonly [M in Method]: ReturnType<Scheduler["Service"][M]> }
type Failing = Effect.Error<Asked[Method]>

/** All that these methods fail with; one that is missing here does not compile. */
const errors: {
  readonly [Tag in Failing["_tag"]]: new (
    fields: never,
  ) => Extract<Failing, { readonly _tag: Tag }>
} = {
  Refused,
  KeyConflict,
  BacklogFull,
  OrderRefused,
  RunChanged,
  RunUnknown,
  StorageUnavailable,
}

const errorOf = (fields: Readonly<Record<string, unknown>>): unknown => {
  const tag = fields["_tag"] as string
  return Object.hasOwn(errors, tag)
    ? new errors[tag as keyof typeof errors](fields as never)
    : new Error(String(fields["message"]))
}

const millis = (input: Duration.Input) =>
  Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(input)))

/** Durations are numbers on the way. */
const plain = <A extends SubmitOptions>({ deadline, delay, ...rest }: A = {} as A) => ({
  ...rest,
  ...(deadline !== undefined && { deadline: millis(deadline) }),
  ...(delay !== undefined && { delay: millis(delay) }),
})

const isGiven = (arg: unknown) => arg !== undefined

export const handOver = (timeout: Duration.Input | undefined): Saying => ({
  _tag: "HandOver",
  ...(timeout !== undefined && { timeoutMillis: millis(timeout) }),
})

export const make = (
  tell: (word: Word) => void,
  isBuilding: () => boolean,
): {
  readonly layer: Layer.Layer<Scheduler>
  /** Tells of a call, by its number, and waits for the answer. */
  readonly asked: <A, E>(told: (call: number) => void) => Effect.Effect<A, E>
  readonly answered: (call: number, answer: Answer) => void
} => {
  const waiting = new Map<number, (answer: Effect.Effect<unknown, unknown>) => void>()
  let last = 0

  const asked = <A, E>(told: (call: number) => void): Effect.Effect<A, E> =>
    Effect.callback((resume) => {
      const number = ++last
      waiting.set(number, resume as never)
      told(number)
      return Effect.sync(() => {
        waiting.delete(number)
        tell({ _tag: "Forget", call: number })
      })
    })

  const call = <M extends Method>(
    method: M,
    ...args: Parameters<Scheduler["Service"][M]>
  ): Asked[M] =>
    Effect.suspend(() =>
      isBuilding() ? absent("scheduler while its module is loaded") : Effect.map(
        // What is left out at the end would be something else in JSON.
        asked((call) => tell({ _tag: "Call", call, method, args: args.filter(isGiven) })),
        (answer) => decodeAnswer(method, answer),
      )
    ) as Asked[M]

  /** No run is known by this number. */
  const before: Accepted = { run: 0 as RunId, state: "Scheduled", isNew: false }

  const submitting = <A, E>(
    whileBuilding: A,
    submit: (here: { readonly namespace: Namespace }) => Effect.Effect<A, E>,
  ): Effect.Effect<A, E> =>
    Effect.suspend(() =>
      isBuilding()
        ? Effect.succeed(whileBuilding)
        // The program's own namespace is not in sight where the call is made.
        : Effect.flatMap(CurrentNamespace, (namespace) => submit({ namespace }))
    )

  const scheduler = Scheduler.of({
    submit: (submission, options) =>
      submitting(before, (here) => call("submit", submission, { ...here, ...plain(options) })),
    submitAll: (submissions, options) =>
      submitting(
        submissions.map(() => before),
        (here) => call("submitAll", submissions, { ...here, ...plain(options) }),
      ),
    submitSharded: (submission, sharding, options) =>
      submitting(
        before,
        (here) => call("submitSharded", submission, sharding, { ...here, ...plain(options) }),
      ),
    again: (run, options) => call("again", run, plain(options)),
    cancel: (run, options) => call("cancel", run, options),
    suspend: (run, options) => call("suspend", run, options),
    resume: (run, options) => call("resume", run, options),
    change: (run, { deadline, ...rest }) =>
      call("change", run, {
        ...rest,
        ...(deadline !== undefined && { deadline: deadline === null ? null : millis(deadline) }),
      }),
    notify: (run, notice, options) => call("notify", run, notice, options),
    revive: (run, options) => call("revive", run, options),
    rollback: (run, options) => call("rollback", run, options),
    find: (run) => call("find", run),
    ended: Effect.fnUntraced(function* (run) {
      for (let pause = 5;; pause = Math.min(500, pause * 1.5)) {
        const view = yield* Effect.catchTag(
          call("find", run),
          "RunUnknown",
          () => Effect.fail(new RunFailed({ run, state: "Discarded" })),
        )
        if (isFinal(view.state)) return view
        yield* Effect.sleep(pause)
      }
    }),
    list: () => absent("list of runs"),
    events: (run) => call("events", run),
    why: (run) => call("why", run),
    log: (query) => call("log", query),
    progress: (run) => call("progress", run),
  })

  return {
    layer: Layer.succeed(Scheduler, scheduler),
    asked,
    answered: (number, answer) => {
      const resume = waiting.get(number)
      waiting.delete(number)
      resume?.(
        answer._tag === "Done" ? Effect.succeed(answer.value) : Effect.fail(errorOf(answer.error)),
      )
    },
  }
}
