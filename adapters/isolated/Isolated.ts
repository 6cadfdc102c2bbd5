/**
 * Places of their own for handlers whose policy asks for one: `isolation: "thread"` or `"process"`.
 *
 * ```ts
 * // tasks.ts: its default export is the layer of its handlers.
 * import { Effect, Layer, Schema } from "effect"
 * import { Task } from "belfry"
 *
 * export const Primes = Task.make("primes", {
 *   payload: { below: Schema.Int },
 *   success: Schema.Int,
 *   policy: { isolation: "thread", timeout: "1 minute" },
 * })
 *
 * export default Primes.toLayer(({ below }) =>
 *   Effect.sync(() => {
 *     let count = 0
 *     for (let n = 2; n < below; n++) {
 *       let d = 2
 *       while (d * d <= n && n % d !== 0) d++
 *       if (d * d > n) count++
 *     }
 *     return count
 *   })
 * )
 * ```
 *
 * A place serves one task and one run at a time, and is used again when that has ended well. A run
 * that is stopped, or hands over, has `grace` to end by itself; then its place is ended, whatever it
 * does. The end of
 * a place under its run fails the attempt as `HandlerCrashed`, and nobody else's.
 */
import { Context, Duration, Effect, type Fiber, Layer, Option, type Scope } from "effect"
import type { Failure } from "../../core/domain/RunView.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import type { CurrentRun } from "../../core/engine/CurrentRun.ts"
import type { Handler, Hooks, Unsuccessful } from "../../core/engine/Handler.ts"
import { Isolation } from "../../core/engine/Isolation.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import { type Bounds, type Channel, openProcess, openThread } from "./Channel.ts"
import { encodeAnswer, isMethod } from "./farScheduler.ts"
import type { Answer, RunData, Saying, Step, Word } from "./messages.ts"

export interface Options {
  /** The modules, as URLs, whose default exports are the layers of the handlers. */
  readonly entry: string | URL | ReadonlyArray<string | URL>
  /** Past it a place is ended. */
  readonly memoryMegabytes?: number
  /** How long what is stopped may take to end by itself; half a second unless named. */
  readonly grace?: Duration.Input
  /** How long a place waits for its next run; half a minute unless named. */
  readonly idle?: Duration.Input
}

export const layer = (options: Options): Layer.Layer<Isolation> =>
  Layer.effect(Isolation, make(options))

type Kind = "thread" | "process"

interface Place {
  readonly task: string
  readonly kind: Kind
  readonly channel: Channel
  isReady: boolean
  /** Hears what it says, and of its end. */
  hear: (word: Word | { readonly _tag: "Ended"; readonly how: string }) => void
  /** When it began to wait, told apart from later waits. */
  idles: number
  /** How many things it was told to do. */
  turns: number
  /** What it waits for of the program's scheduler. */
  readonly calls: Map<number, Fiber.Fiber<unknown>>
}

/** So long a module may take to load. */
const openTimeout = Duration.seconds(30)

const make: (options: Options) => Effect.Effect<Isolation["Service"], never, Scope.Scope> = Effect
  .fnUntraced(function* (options) {
    const scope = yield* Effect.scope
    const entries = [options.entry].flat().map(String)
    const bounds: Bounds = { memoryMegabytes: options.memoryMegabytes }
    const grace = Duration.fromInputUnsafe(options.grace ?? "500 millis")
    const idle = Duration.fromInputUnsafe(options.idle ?? "30 seconds")
    const open = new Set<Place>()
    const idling: Array<Place> = []

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const place of open) end(place)
      })
    )

    const end = (place: Place) => {
      open.delete(place)
      const at = idling.indexOf(place)
      if (at >= 0) idling.splice(at, 1)
      place.channel.kill()
      for (const fiber of place.calls.values()) fiber.interruptUnsafe()
    }

    const opened = ({ context, task }: Handler, kind: Kind): Place => {
      const opening = { entries, task, namespace: Context.get(context, CurrentNamespace) }
      const place: Place = {
        task,
        kind,
        isReady: false,
        hear: () => {},
        idles: 0,
        turns: 0,
        calls: new Map(),
        channel: (kind === "thread" ? openThread : openProcess)(opening, bounds, {
          onWord: (word) => place.hear(word),
          onEnd: (how) => {
            end(place)
            place.hear({ _tag: "Ended", how })
          },
        }),
      }
      open.add(place)
      return place
    }

    const later = (after: Duration.Duration, what: () => void) =>
      void Effect.runFork(Effect.forkIn(Effect.delay(Effect.sync(what), after), scope))

    /** Opened for a run that has not begun there yet. */
    const reserved = new Map<CurrentRun["Service"], Place>()

    const taken = (handler: Handler, kind: Kind): Place => {
      const at = idling.findLastIndex(({ kind: its, task }) =>
        task === handler.task && its === kind
      )
      const [place = opened(handler, kind)] = at < 0 ? [] : idling.splice(at, 1)
      place.channel.hold(true)
      return place
    }

    /** A place that is ready, reserved for the run. One that nobody waits for any more is kept. */
    const reserve = (
      handler: Handler,
      kind: Kind,
      run: CurrentRun["Service"],
    ): Effect.Effect<void, Unsuccessful> =>
      Effect.callback<void, Unsuccessful>((resume) => {
        const place = taken(handler, kind)
        let isWanted = true
        const ready = () => {
          place.isReady = true
          if (!isWanted) return givenBack(place)
          reserved.set(run, place)
          resume(Effect.void)
        }
        place.hear = (word) => {
          if (word._tag === "Ready") return ready()
          if (word._tag === "Unfit") {
            end(place)
            return resume(Effect.fail({ failure: word.failure, isAnswer: false }))
          }
          if (word._tag === "Ended") {
            resume(Effect.fail({ failure: crashed(word.how), isAnswer: false }))
          }
        }
        if (place.isReady) return ready()
        return Effect.sync(() => {
          isWanted = false
        })
      }).pipe(Effect.timeoutOrElse({
        duration: openTimeout,
        orElse: () =>
          Effect.fail({
            failure: crashed(`its ${kind} was not ready in time`),
            isAnswer: false,
          }),
      }))

    const givenBack = (place: Place) => {
      if (!open.has(place)) return
      place.hear = () => {}
      place.channel.hold(false)
      idling.push(place)
      const idles = ++place.idles
      later(idle, () => {
        if (place.idles === idles && idling.includes(place)) end(place)
      })
    }

    const done = (
      handler: Handler,
      kind: Kind,
      step: Step,
      payload: string,
      run: CurrentRun["Service"],
    ): Effect.Effect<string | undefined, Unsuccessful> =>
      Effect.flatten(Effect.callback((resume) => {
        const place = reserved.get(run) ?? taken(handler, kind)
        reserved.delete(run)
        const turn = ++place.turns
        let isOver = false
        let handedOver: Extract<Saying, { readonly _tag: "HandOver" }> | undefined
        let stopped = () => {}
        const finish = (effect: Effect.Effect<string | undefined, Unsuccessful>) => {
          isOver = true
          stopped()
          resume(Effect.succeed(effect))
        }
        /** Also if it fails, or is ended, while it lets go of what it holds. */
        const finishUnlessHandedOver = (unsuccessful: Effect.Effect<never, Unsuccessful>) =>
          finish(
            handedOver === undefined
              ? unsuccessful
              : Effect.delay(run.handOver(handedOver.timeoutMillis), 0) as Effect.Effect<never>,
          )
        const start = () =>
          place.channel.send({ _tag: "Do", turn, step, payload, run: dataOf(run) })
        const answer = (call: number, answer: Answer) =>
          place.channel.send({ _tag: "Answer", call, answer })
        const call = ({ args, call, method }: Extract<Word, { readonly _tag: "Call" }>) => {
          const fiber = Effect.runFork(Effect.map(
            answerOf(handler, method, args),
            (made) => answer(call, made),
          ))
          place.calls.set(call, fiber)
          fiber.addObserver(() => place.calls.delete(call))
        }
        place.hear = (word) => {
          if ("turn" in word && word.turn !== turn) return
          switch (word._tag) {
            case "Ready":
              place.isReady = true
              return start()
            case "Unfit":
              end(place)
              return finish(Effect.fail({ failure: word.failure, isAnswer: false }))
            case "Ended":
              return finishUnlessHandedOver(
                Effect.fail({ failure: crashed(word.how), isAnswer: false }),
              )
            case "Progress":
              return Effect.runSync(run.progress(word.said))
            case "Line":
              return run.say(word.level, word.text)
            case "Keep":
              return Effect.runSync(Effect.ignore(run.keep(word.checkpoint)))
            case "Recall":
              return void Effect.runFork(Effect.map(
                run.recall(word.key),
                (value) => answer(word.call, { _tag: "Done", value }),
              ))
            case "Remember":
              return Effect.runSync(Effect.ignore(run.remember(word.key, word.state)))
            case "HandOver":
              handedOver = word
              return later(grace, () => {
                if (isOver) return
                end(place)
                finishUnlessHandedOver(Effect.interrupt)
              })
            case "Call":
              return call(word)
            case "Forget":
              return place.calls.get(word.call)?.interruptUnsafe()
            case "Succeeded":
              givenBack(place)
              return finish(Effect.succeed(word.value))
            case "Unsuccessful":
              givenBack(place)
              return finishUnlessHandedOver(Effect.fail(word.unsuccessful))
            case "Stopped":
              givenBack(place)
              return finishUnlessHandedOver(Effect.interrupt)
          }
        }
        if (place.isReady) start()
        // It is told to stop, and what does not stop in time is ended.
        return Effect.gen(function* () {
          if (isOver) return
          const over = Effect.callback<void>((resume) => {
            stopped = () => resume(Effect.void)
          })
          place.channel.send({ _tag: "Stop" })
          const isStopped = place.isReady &&
            Option.isSome(yield* Effect.timeoutOption(Effect.interruptible(over), grace))
          if (!isStopped) end(place)
        })
      }))

    const answerOf = (
      { context }: Handler,
      method: string,
      args: ReadonlyArray<unknown>,
    ): Effect.Effect<Answer> => {
      const scheduler = Option.getOrUndefined(Context.getOption(context, Scheduler))
      if (scheduler === undefined || !isMethod(method)) {
        return Effect.succeed(failedWith("the program has no scheduler beside its executor"))
      }
      const call = scheduler[method] as unknown as (
        ...args: ReadonlyArray<unknown>
      ) => Effect.Effect<unknown, object>
      return Effect.matchCause(call(...args), {
        onSuccess: (value): Answer => ({
          _tag: "Done",
          value: encodeAnswer(method, value),
        }),
        onFailure: (cause): Answer => {
          const [reason] = cause.reasons
          return reason?._tag === "Fail"
            ? { _tag: "Failed", error: plain(reason.error) }
            : failedWith("the program's scheduler did not answer")
        },
      })
    }

    const isolated = (handler: Handler, kind: Kind): Handler => {
      const { hooks } = handler
      const over = (step: Step, payload: string, run: CurrentRun["Service"]) =>
        done(handler, kind, step, payload, run)
      const steps: Required<Hooks> = {
        prepare: (payload, run) => Effect.asVoid(over({ _tag: "Prepare" }, payload, run)),
        rollback: (payload, run, failure) =>
          Effect.asVoid(over({ _tag: "Rollback", failure }, payload, run)),
        clean: (payload, run, ended) => Effect.asVoid(over({ _tag: "Clean", ended }, payload, run)),
        summary: (payload, run, ended) => over({ _tag: "Summary", ended }, payload, run),
      }
      return {
        ...handler,
        opening: (run, attempt) =>
          Effect.ensuring(
            Effect.andThen(reserve(handler, kind, run), attempt),
            // Stopped before it began.
            Effect.sync(() => {
              const place = reserved.get(run)
              reserved.delete(run)
              if (place !== undefined) givenBack(place)
            }),
          ),
        carryOut: (payload, run) => over({ _tag: "CarryOut" }, payload, run),
        hooks: hooks && Object.fromEntries(
          Object.keys(hooks).map((name) => [name, steps[name as keyof Hooks]]),
        ),
      }
    }

    return Isolation.of({ isolated })
  })

const dataOf = (
  {
    handOver: _h,
    keep: _k,
    progress: _p,
    recall: _r,
    remember: _m,
    say: _s,
    ...data
  }: CurrentRun["Service"],
): RunData => data

const crashed = (how: string): Failure => ({
  tag: "HandlerCrashed",
  message: `the handler did not end: ${how}`,
})

const failedWith = (message: string): Answer => ({ _tag: "Failed", error: { message } })

/** What is left of an error on the way; its class is known by its tag. */
const plain = (error: object): Readonly<Record<string, unknown>> => {
  const fields: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(error)) {
    fields[name] = value instanceof Error ? value.message : value
  }
  return {
    ...fields,
    _tag: (error as { _tag?: unknown })._tag,
    message: (error as { message?: unknown }).message,
  }
}
