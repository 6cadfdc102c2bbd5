/**
 * The scheduler as an isolated handler sees it: what it submits and orders is done by the program on
 * the other side of the channel. Triggers are kept there already.
 */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import { Refused } from "../../core/domain/Refused.ts"
import { isFinal } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { RunView } from "../../core/domain/RunView.ts"
import {
  OrderRefused,
  RunChanged,
  RunFailed,
  RunUnknown,
  Scheduler,
} from "../../core/engine/Scheduler.ts"
import { KeyConflict, type SubmitOptions } from "../../core/engine/Submitting.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Answer, Saying, Word } from "./messages.ts"

/** What of a scheduler can be asked for through the channel. */
export const methods = [
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
] as const
export type Method = (typeof methods)[number]

export const ViewJson = Schema.toCodecJson(RunView)
const decodeView = Schema.decodeUnknownSync(ViewJson)

type Tagged = { readonly _tag: string }

const errors: Readonly<Record<string, new (fields: never) => Tagged>> = {
  Refused,
  KeyConflict,
  OrderRefused,
  RunChanged,
  RunFailed,
  RunUnknown,
  StorageUnavailable,
}

const errorOf = (fields: Readonly<Record<string, unknown>>): unknown => {
  const known = errors[fields["_tag"] as string]
  return known === undefined ? new Error(String(fields["message"])) : new known(fields as never)
}

const millis = (input: Duration.Input) =>
  Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(input)))

/** Durations are numbers on the way. */
const plain = <A extends SubmitOptions>({ deadline, delay, ...rest }: A = {} as A) => ({
  ...rest,
  ...(deadline !== undefined && { deadline: millis(deadline) }),
  ...(delay !== undefined && { delay: millis(delay) }),
})

export const handOver = (timeout: Duration.Input | undefined): Saying => ({
  _tag: "HandOver",
  ...(timeout !== undefined && { timeoutMillis: millis(timeout) }),
})

export const make = (
  tell: (word: Word) => void,
): {
  readonly layer: Layer.Layer<Scheduler | Triggers>
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
      return Effect.sync(() => void waiting.delete(number))
    })

  const call = <A, E>(method: Method, ...args: ReadonlyArray<unknown>): Effect.Effect<A, E> =>
    asked((call) => tell({ _tag: "Call", call, method, args }))

  const find = (run: RunId): Effect.Effect<RunView, RunUnknown | StorageUnavailable> =>
    Effect.map(call<unknown, RunUnknown | StorageUnavailable>("find", run), decodeView)

  const absent = (what: string) =>
    Effect.die(
      new Error(`an isolated handler has no ${what}; carry it out in a fiber, or ask by REST`),
    )

  const scheduler = Scheduler.of({
    submit: (submission, options) => call("submit", submission, plain(options)),
    submitAll: (submissions, options) => call("submitAll", submissions, plain(options)),
    submitSharded: (submission, sharding, options) =>
      call("submitSharded", submission, sharding, plain(options)),
    again: (run, options) => call("again", run, plain(options)),
    cancel: (run) => call("cancel", run),
    suspend: (run) => call("suspend", run),
    resume: (run) => call("resume", run),
    change: (run, { deadline, ...rest }) =>
      call("change", run, {
        ...rest,
        ...(deadline !== undefined && { deadline: deadline === null ? null : millis(deadline) }),
      }),
    notify: (run, notice) => call("notify", run, notice),
    revive: (run) => call("revive", run),
    rollback: (run, options) => call("rollback", run, options),
    find,
    ended: Effect.fnUntraced(function* (run) {
      for (let pause = 5;; pause = Math.min(500, pause * 1.5)) {
        const view = yield* Effect.catchTag(
          find(run),
          "RunUnknown",
          () => Effect.fail(new RunFailed({ run, state: "Discarded" })),
        )
        if (isFinal(view.state)) return view
        yield* Effect.sleep(pause)
      }
    }),
    list: () => absent("list of runs"),
    events: () => absent("events of runs"),
    why: () => absent("reasons of runs"),
    log: () => absent("logs of runs"),
    progress: () => absent("progress of runs"),
  })

  const triggers = new Proxy({}, {
    get: (_, name) => name === "put" ? () => Effect.void : () => absent("triggers"),
  }) as Triggers["Service"]

  return {
    layer: Layer.succeedContext(
      Context.make(Scheduler, scheduler).pipe(Context.add(Triggers, triggers)),
    ),
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
