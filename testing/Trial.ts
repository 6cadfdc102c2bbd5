/**
 * A trial: one run of a task in a world of its own, over the real engine. What is done to it there is
 * staged beforehand; what its code did meanwhile is seen where the executor calls it.
 *
 * A world lasts for one run, and the layer is built anew for each. Where the task is to be carried
 * out, and beside which others, is left out of its policy: that is not for its code to keep.
 */
import { Effect, Exit, Latch, Layer, Logger, type Scope } from "effect"
import type { Fence } from "../core/domain/Lease.ts"
import { type Policy, usualPolicy } from "../core/domain/Policy.ts"
import type { Refused } from "../core/domain/Refused.ts"
import { isFinal } from "../core/domain/Run.ts"
import type { RunId } from "../core/domain/RunId.ts"
import type { Failure, RunView } from "../core/domain/RunView.ts"
import type { TaskName } from "../core/domain/Task.ts"
import type { CurrentRun } from "../core/engine/CurrentRun.ts"
import { Executor } from "../core/engine/Executor.ts"
import { failureOfCause } from "../core/engine/failures.ts"
import type { Handler, Hooks, Unsuccessful } from "../core/engine/Handler.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import type { Submission } from "../core/engine/Submitting.ts"
import { unsuccessfulOf } from "../core/engine/Attempt.ts"
import { NotEnded } from "./NotEnded.ts"
import { type Services, Testing, type TestingOptions } from "./Testing.ts"

/** Where a layer of a trial is built. */
export type World = Testing | Services

/** What trials are made of. */
export interface Subject<A, E> {
  readonly task: TaskName
  readonly layer: Layer.Layer<A, E, World>
  readonly submission: Effect.Effect<Submission, Refused>
  /** Dies when the answer of the run does not fit the task. */
  readonly read: (run: RunId) => Effect.Effect<unknown, unknown, Scheduler>
  /** What ends a run that was handed over, if that is known; `result` is JSON text. */
  readonly notified: { readonly result?: string } | undefined
  /** What the task changes, as it is at present. */
  readonly outside: Effect.Effect<unknown, unknown, A | World> | undefined
  /** Whether its code may be kept waiting within `keep`. */
  readonly mayWait: boolean
  readonly options: TestingOptions
}

/** What is done to the run. */
export interface Staging {
  readonly policy?: Partial<Policy>
  /** It fails for good: before its handler is called, or once that has succeeded. */
  readonly fails?: "unbegun" | "done"
  /** This hook is called once more when it has ended, as after the loss of an executor. */
  readonly twice?: "rollback" | "clean"
  readonly order?: {
    readonly what: "cancel" | "suspend"
    /** So long after it was begun, or when it has kept a checkpoint so often. */
    readonly at: { readonly millis: number } | { readonly kept: number }
  }
  /** Its executor is lost once the handler has answered. */
  readonly isLost?: boolean
  /** Its rollback is asked for, once it has ended. */
  readonly isRolledBack?: boolean
}

export type Step = "prepare" | "run" | "rollback" | "clean" | "summary"

/** One call of the task's code. */
export interface Call {
  readonly step: Step
  readonly fence: Fence
  readonly beganAt: number
  endedAt: number | undefined
  /** Why it has failed, unless it was interrupted. */
  failure: Failure | undefined
  hasSucceeded: boolean
  /** It has handed the run over. */
  isHandedOver: boolean
  /** What it has kept as checkpoints. */
  readonly kept: Array<string>
}

export interface Seen {
  isRegistered: boolean
  readonly hooks: Set<Step>
  readonly calls: Array<Call>
  hasProgress: boolean
  hasLines: boolean
  /** It has asked for the checkpoint that it is to go on from. */
  hasReadCheckpoint: boolean
  isHandedOver: boolean
  isSuspended: boolean
  /** What went on when the run had ended, or was put down. */
  readonly stuck: Set<Step>
  /** What the handler has answered, each time that it has. */
  readonly answers: Array<string | undefined>
  /** How it was outside: before the run, whenever the handler had answered, and at the end. */
  before: unknown
  readonly between: Array<unknown>
  after: unknown
  /** As it has ended for the first time; nothing, if it has not. */
  end: RunView | undefined
  /** Why it has not ended. */
  report: string
  /** Why its answer does not fit the task. */
  misfit: string | undefined
  /** As it has ended when its rollback had been asked for. */
  undone: RunView | undefined
}

const staged: Unsuccessful = {
  failure: { tag: "StagedFailure", message: "a trial of its conformity has the run fail here" },
  isAnswer: true,
}

export const make = <A, E>(
  subject: Subject<A, E>,
  staging: Staging = {},
): Effect.Effect<Seen, E | Refused> =>
  Effect.suspend(() => {
    const trial = new Trial(subject, staging)
    const world = subject.layer.pipe(
      Layer.provideMerge(trial.executor),
      Layer.provideMerge(Layer.orDie(Testing.layerWith(subject.options))),
    )
    return Effect.provide(Effect.scoped(trial.carriedOut), Layer.fresh(world)).pipe(
      // What goes wrong in a trial is meant to; what the task says is seen without that.
      Effect.provideService(Logger.CurrentLoggers, new Set()),
    )
  })

class Trial<A, E> {
  readonly #subject: Subject<A, E>
  readonly #staging: Staging
  readonly #seen: Seen = {
    isRegistered: false,
    hooks: new Set(),
    calls: [],
    hasProgress: false,
    hasLines: false,
    hasReadCheckpoint: false,
    isHandedOver: false,
    isSuspended: false,
    stuck: new Set(),
    answers: [],
    before: undefined,
    between: [],
    after: undefined,
    end: undefined,
    report: "",
    misfit: undefined,
    undone: undefined,
  }
  readonly #begun = Latch.makeUnsafe()
  readonly #keptEnough = Latch.makeUnsafe()
  readonly #handedOver = Latch.makeUnsafe()
  readonly #answered = Latch.makeUnsafe()
  #hasKeptEnough = false
  #look: Effect.Effect<unknown> = Effect.undefined

  constructor(subject: Subject<A, E>, staging: Staging) {
    this.#subject = subject
    this.#staging = staging
  }

  /** The world's, which calls the code of the task by way of this trial. */
  readonly executor: Layer.Layer<Executor, never, Executor> = Layer.effect(
    Executor,
    Effect.map(Executor, (executor) => ({
      ...executor,
      register: (handler) =>
        executor.register(handler.task === this.#subject.task ? this.#watched(handler) : handler),
    })),
  )

  readonly carriedOut: Effect.Effect<Seen, Refused, A | World | Scope.Scope> = Effect
    .suspend(() => this.#carriedOut())

  readonly #carriedOut = Effect.fnUntraced(function* (this: Trial<A, E>) {
    const seen = this.#seen
    if (!seen.isRegistered) return seen
    const scheduler = yield* Scheduler
    const testing = yield* Testing
    const context = yield* Effect.context<A | World>()
    const { outside } = this.#subject
    if (outside !== undefined) {
      this.#look = Effect.map(Effect.orDie(Effect.provideContext(outside, context)), copied)
    }
    const { payload, policy, task } = yield* this.#subject.submission
    seen.before = yield* this.#look
    const { run } = yield* Effect.orDie(scheduler.submit(
      { task, payload, policy: this.#tried(policy) },
      { idempotencyKey: "conformity" },
    ))
    yield* Effect.forkScoped(Effect.orDie(this.#order(run)))
    yield* Effect.forkScoped(Effect.orDie(this.#notify(run)))
    if (this.#staging.isLost) yield* this.#lose
    seen.end = yield* this.#ended(run)
    if (seen.end === undefined) {
      seen.report = yield* testing.report
      return seen
    }
    this.#noteStuck()
    if (this.#staging.isRolledBack) {
      yield* Effect.orDie(scheduler.rollback(run, { by: "a trial of its conformity" }))
      seen.undone = yield* this.#ended(run)
      this.#noteStuck()
    } else {
      const read = yield* Effect.exit(this.#subject.read(run))
      const hasDied = Exit.isFailure(read) && Exit.hasDies(read)
      if (hasDied) seen.misfit = failureOfCause(read.cause).message
    }
    seen.after = yield* this.#look
    return seen
  })

  #noteStuck() {
    for (const { endedAt, step } of this.#seen.calls) {
      if (endedAt === undefined) this.#seen.stuck.add(step)
    }
  }

  /** The run as it has ended, unless it has not in all the time that there is. */
  #ended(run: RunId): Effect.Effect<RunView | undefined, never, Scheduler> {
    return Scheduler.use(({ ended }) => ended(run)).pipe(
      Effect.orDie,
      Effect.catchDefect((defect) =>
        defect instanceof NotEnded ? Effect.undefined : Effect.die(defect)
      ),
    )
  }

  readonly #order = Effect.fnUntraced(function* (this: Trial<A, E>, run: RunId) {
    const { order } = this.#staging
    if (order === undefined) return
    const scheduler = yield* Scheduler
    if ("kept" in order.at) yield* this.#keptEnough.await
    else yield* Effect.andThen(this.#begun.await, Effect.sleep(order.at.millis))
    if (order.what === "cancel") return yield* scheduler.cancel(run)
    const suspended = yield* Effect.result(scheduler.suspend(run))
    if (suspended._tag === "Failure") return
    for (;;) {
      const { state } = yield* scheduler.find(run)
      if (isFinal(state)) return
      if (state === "Suspended") break
      yield* Effect.sleep("100 millis")
    }
    this.#seen.isSuspended = true
    this.#noteStuck()
    yield* Effect.sleep("1 minute")
    yield* scheduler.resume(run)
  })

  /** Ends the run when it was handed over, if it is known with what, or cancels it. */
  readonly #notify = Effect.fnUntraced(function* (this: Trial<A, E>, run: RunId) {
    const scheduler = yield* Scheduler
    const { notified } = this.#subject
    yield* this.#handedOver.await
    for (;;) {
      const { state } = yield* scheduler.find(run)
      if (isFinal(state)) return
      if (state === "Awaiting") break
      yield* Effect.sleep("100 millis")
    }
    if (notified === undefined) return yield* scheduler.cancel(run)
    yield* scheduler.notify(run, { _tag: "Succeeded", ...notified })
  })

  /** Has the executor lost its runs, as soon as the handler has answered. */
  get #lose(): Effect.Effect<void, never, Testing> {
    return Testing.use(({ advance, outage }) =>
      Effect.gen({ self: this }, function* () {
        // The first look is at once: a handler may be quick.
        for (let minutes = 0; minutes < 1440 && !this.#answered.isOpen(); minutes++) {
          yield* advance(minutes === 0 ? 0 : "1 minute")
        }
        if (this.#answered.isOpen()) yield* outage("2 hours")
      })
    )
  }

  /** Without what says where and when it is carried out. */
  #tried({ crashesMax, delivery, retry, timeoutMillis }: Policy): Policy {
    return {
      ...usualPolicy,
      crashesMax,
      delivery,
      retry,
      // What is to be lost is held until it is.
      ...(timeoutMillis !== undefined && !this.#staging.isLost && { timeoutMillis }),
      ...this.#staging.policy,
    }
  }

  #watched(handler: Handler): Handler {
    const { fails, twice } = this.#staging
    const { clean, prepare, rollback, summary } = handler.hooks ?? {}
    const seen = this.#seen
    seen.isRegistered = true
    const isDivided = ["Broadcast", "Sharded"].includes(handler.policy.routing?._tag ?? "Any")

    const over = <B, More extends ReadonlyArray<unknown>>(
      step: Step,
      code: (
        payload: string,
        run: CurrentRun["Service"],
        ...more: More
      ) => Effect.Effect<B, Unsuccessful>,
    ) => {
      seen.hooks.add(step)
      return (payload: string, run: CurrentRun["Service"], ...more: More) =>
        this.#calling(step, run, isDivided, (known) => code(payload, known, ...more))
    }
    const again = <B, More extends ReadonlyArray<unknown>>(
      code: (...given: More) => Effect.Effect<B, Unsuccessful>,
      isAgain: boolean,
    ) =>
    (...given: More) => isAgain ? Effect.andThen(code(...given), code(...given)) : code(...given)

    const prepared = prepare && over("prepare", prepare)
    const carryOut = over("run", handler.carryOut)
    const hooks: Hooks = {
      ...(prepared !== undefined && { prepare: prepared }),
      ...(rollback !== undefined && {
        rollback: again(over("rollback", rollback), twice === "rollback"),
      }),
      ...(clean !== undefined && { clean: again(over("clean", clean), twice === "clean") }),
      ...(summary !== undefined && { summary: over("summary", summary) }),
    }
    return {
      ...handler,
      policy: this.#tried(handler.policy),
      carryOut: (payload, run) =>
        fails === "unbegun" ? Effect.fail(staged) : Effect.flatMap(
          this.#answering(carryOut(payload, run)),
          (answer) => fails === "done" ? Effect.fail(staged) : Effect.succeed(answer),
        ),
      hooks: handler.hooks && hooks,
    }
  }

  /** Notes what the handler answers; the first time it may be lost with it. */
  #answering(work: Effect.Effect<string | undefined, Unsuccessful>): typeof work {
    const seen = this.#seen
    const note = (answer: string | undefined) =>
      Effect.gen({ self: this }, function* () {
        seen.answers.push(answer)
        seen.between.push(yield* this.#look)
        if (!this.#staging.isLost || seen.answers.length > 1) return
        this.#answered.openUnsafe()
        yield* Effect.sleep("365 days")
      })
    return work.pipe(
      Effect.tapError(({ failure, isAnswer }) =>
        isAnswer ? note(failure.error ?? failure.tag) : Effect.void
      ),
      Effect.tap(note),
    )
  }

  #calling<B>(
    step: Step,
    run: CurrentRun["Service"],
    isDivided: boolean,
    code: (run: CurrentRun["Service"]) => Effect.Effect<B, Unsuccessful>,
  ): Effect.Effect<B, Unsuccessful> {
    return Effect.clockWith((clock) => {
      const call: Call = {
        step,
        fence: run.fence,
        beganAt: clock.currentTimeMillisUnsafe(),
        endedAt: undefined,
        failure: undefined,
        hasSucceeded: false,
        isHandedOver: false,
        kept: [],
      }
      this.#seen.calls.push(call)
      this.#begun.openUnsafe()
      return Effect.onExit(code(this.#known(run, call, isDivided)), (exit) =>
        Effect.sync(() => {
          call.endedAt = clock.currentTimeMillisUnsafe()
          call.hasSucceeded = Exit.isSuccess(exit)
          if (Exit.isFailure(exit) && !Exit.hasInterrupts(exit)) {
            call.failure = unsuccessfulOf(exit).failure
          }
        }))
    })
  }

  /** The run, as the task's code knows it. */
  #known(run: CurrentRun["Service"], call: Call, isDivided: boolean): CurrentRun["Service"] {
    const seen = this.#seen
    const whole = { parent: run.id, index: 0, count: 1 }
    return {
      ...run,
      shard: run.shard ?? (isDivided ? whole : undefined),
      get checkpoint() {
        if (run.checkpoint !== undefined) seen.hasReadCheckpoint = true
        return run.checkpoint
      },
      keep: (checkpoint) => Effect.andThen(run.keep(checkpoint), this.#kept(call, checkpoint)),
      progress: (said) => {
        seen.hasProgress = true
        return run.progress(said)
      },
      say: (level, text) => {
        seen.hasLines = true
        run.say(level, text)
      },
      handOver: (timeout) =>
        Effect.suspend(() => {
          seen.isHandedOver = true
          call.isHandedOver = true
          this.#handedOver.openUnsafe()
          return run.handOver(timeout)
        }),
    }
  }

  /** Has it wait where it is to be put down, lest it be at its end before the order has come. */
  #kept(call: Call, checkpoint: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      call.kept.push(checkpoint)
      const at = this.#staging.order?.at
      const isEnough = at !== undefined && "kept" in at && call.kept.length === at.kept
      if (!isEnough || this.#hasKeptEnough) return Effect.void
      this.#hasKeptEnough = true
      this.#keptEnough.openUnsafe()
      return this.#subject.mayWait ? Effect.sleep("1 second") : Effect.void
    })
  }
}

/** What may be changed later, as it is now. */
const copied = (value: unknown): unknown => {
  try {
    return structuredClone(value)
  } catch {
    return value
  }
}
