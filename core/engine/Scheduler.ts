/**
 * Takes runs in and answers for them. With `layerWith` it also does what keeps them moving (`Sweeping`).
 */
import { Context, Duration, Effect, Layer, Option, Schema, Stream } from "effect"
import { isByKey } from "../domain/Breaker.ts"
import * as Change from "../domain/Change.ts"
import * as Deadline from "../domain/Deadline.ts"
import * as Lane from "../domain/Lane.ts"
import {
  type Regulation,
  regulationOf,
  regulationOfGroup,
  regulationOfKey,
} from "../domain/Permit.ts"
import * as Placing from "../domain/Placing.ts"
import { Refused } from "../domain/Refused.ts"
import * as Run from "../domain/Run.ts"
import { StateName } from "../domain/Run.ts"
import { type RunId, RunIdFromString } from "../domain/RunId.ts"
import { Failure, type Reason, type RunHappening, type RunView } from "../domain/RunView.ts"
import { usualPolicy } from "../domain/Task.ts"
import { untold } from "../domain/untold.ts"
import * as Waiting from "../domain/Waiting.ts"
import type { KeptProgress, LogPage, LogQuery } from "../services/LogStorage.ts"
import type { Ownership } from "../services/Ownership.ts"
import * as Placer from "../services/Placer.ts"
import type { Notice, Ordered, RunQuery } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import type { Wakeups } from "../services/Wakeups.ts"
import { checkedBy, checkedNote } from "./asked.ts"
import * as Sweeping from "./Sweeping.ts"
import * as Submitting from "./Submitting.ts"
import type { Accepted, Sharding, Submission, SubmitOptions, SubmitRefused } from "./Submitting.ts"

/** How an order is given to a run. */
export interface OrderOptions {
  /** Who gives it, as is told with the events of the run. */
  readonly by?: string | undefined
}

export interface Again extends Pick<SubmitOptions, "by" | "delay" | "idempotencyKey"> {
  /** JSON text; as it was unless given. */
  readonly payload?: string
}

export class RunUnknown extends Schema.TaggedError<RunUnknown>()("RunUnknown", {
  run: RunIdFromString,
}) {
  override get message() {
    return `there is no run ${this.run}`
  }
}

/** The run has ended without the answer of its handler. */
export class RunFailed extends Schema.TaggedError<RunFailed>()("RunFailed", {
  run: RunIdFromString,
  state: StateName,
  failure: Schema.optionalKey(Failure),
}) {
  override get message() {
    return `run ${this.run} is ${this.state}` +
      (this.failure === undefined ? "" : `: ${this.failure.message}`)
  }
}

/** The run cannot take this order in the state it is in. Nothing was changed. */
export class OrderRefused extends Schema.TaggedError<OrderRefused>()("OrderRefused", {
  run: RunIdFromString,
  order: Schema.Literals(["suspend", "resume", "change", "notify", "revive", "rollback"]),
  state: StateName,
  /** Where the state alone does not say why. */
  reason: Schema.optionalKey(Schema.String),
}) {
  override get message() {
    const order = `run ${this.run} is ${this.state}, and takes no ${this.order}`
    return this.reason === undefined ? order : `${order}: ${this.reason}`
  }
}

/** Somebody else has changed the run meanwhile. Nothing was done: look at it, and change that. */
export class RunChanged extends Schema.TaggedError<RunChanged>()("RunChanged", {
  run: RunIdFromString,
  /** The one that it is at. */
  revision: Schema.Int,
}) {
  override get message() {
    return `run ${this.run} is at revision ${this.revision}`
  }
}

export interface RollbackOptions extends OrderOptions {
  /** Why, as is told with it: at most 1,024 characters. */
  readonly note?: string | undefined
}

/** What a run that waits is to have otherwise. */
export interface ChangeOptions extends OrderOptions {
  /** It takes its turn by this one from now on and wherever it waits, until it ends. */
  readonly level?: Lane.Level
  /** If nobody has begun it so long after now, it expires; `null`: whenever it begins. */
  readonly deadline?: Duration.Input | null
  /** Only if the run is at this one. */
  readonly revision?: number
}

export class Scheduler extends Context.Service<Scheduler, {
  readonly submit: (
    submission: Submission,
    options?: SubmitOptions,
  ) => Effect.Effect<Accepted, SubmitRefused | StorageUnavailable>

  /** One answer per submission, in order; they share one trip to the storage. */
  readonly submitAll: (
    submissions: ReadonlyArray<Submission>,
    options?: Omit<SubmitOptions, "idempotencyKey">,
  ) => Effect.Effect<ReadonlyArray<Accepted>, SubmitRefused | StorageUnavailable>

  /**
   * A new run of the same task, with the same payload or another, at the same level and of the same
   * key, which says whose run it does again. The policy is the task's as it is now.
   */
  readonly again: (
    run: RunId,
    options?: Again,
  ) => Effect.Effect<Accepted, RunUnknown | SubmitRefused | StorageUnavailable>

  /**
   * `requested`: its holder was asked to stop it, and will. `confirmed`: it is cancelled, by whomever.
   * `ended`: in another way.
   */
  readonly cancel: (
    run: RunId,
    options?: OrderOptions,
  ) => Effect.Effect<
    "confirmed" | "requested" | "ended",
    Refused | RunUnknown | StorageUnavailable
  >

  /**
   * Submits a parent with `count` children of the same payload, each of which learns which shard it
   * is. The parent ends when they all have; `delay` and `deadline` are theirs.
   */
  readonly submitSharded: (
    submission: Submission,
    sharding: Sharding,
    options?: SubmitOptions,
  ) => Effect.Effect<Accepted, SubmitRefused | StorageUnavailable>

  /** `requested`: its holder was asked to put it down, and will. */
  readonly suspend: (
    run: RunId,
    options?: OrderOptions,
  ) => Effect.Effect<
    "confirmed" | "requested",
    Refused | RunUnknown | OrderRefused | StorageUnavailable
  >

  readonly resume: (
    run: RunId,
    options?: OrderOptions,
  ) => Effect.Effect<"confirmed", Refused | RunUnknown | OrderRefused | StorageUnavailable>

  /** Gives a run another level, for when it waits, and one that nobody was granted another deadline. */
  readonly change: (
    run: RunId,
    options: ChangeOptions,
  ) => Effect.Effect<
    "confirmed",
    Refused | RunUnknown | RunChanged | OrderRefused | StorageUnavailable
  >

  /** Ends a run that was handed over. `duplicate`: somebody notified before. */
  readonly notify: (
    run: RunId,
    notice: Notice,
    options?: OrderOptions,
  ) => Effect.Effect<
    "applied" | "duplicate",
    Refused | RunUnknown | OrderRefused | StorageUnavailable
  >

  /** Gives what failed, timed out or is in quarantine another try, as the same run. */
  readonly revive: (
    run: RunId,
    options?: OrderOptions,
  ) => Effect.Effect<"confirmed", Refused | RunUnknown | OrderRefused | StorageUnavailable>

  /**
   * Has the task's `rollback` undo what a run did that has ended: it ends as failed with `RolledBack`, or
   * with `RollbackFailed`, and then may be asked again.
   */
  readonly rollback: (
    run: RunId,
    options?: RollbackOptions,
  ) => Effect.Effect<"confirmed", Refused | RunUnknown | OrderRefused | StorageUnavailable>

  readonly find: (run: RunId) => Effect.Effect<RunView, RunUnknown | StorageUnavailable>
  readonly list: (query: RunQuery) => Effect.Effect<ReadonlyArray<RunView>, StorageUnavailable>
  readonly events: (
    run: RunId,
  ) => Effect.Effect<ReadonlyArray<RunHappening>, RunUnknown | StorageUnavailable>
  readonly why: (run: RunId) => Effect.Effect<Reason, RunUnknown | StorageUnavailable>

  /** What the run has said, in order; also while it runs, and when its executor is gone. */
  readonly log: (query: LogQuery) => Effect.Effect<LogPage, RunUnknown | StorageUnavailable>
  /** The last word of its present attempt about how far it has come. */
  readonly progress: (
    run: RunId,
  ) => Effect.Effect<Option.Option<KeptProgress>, RunUnknown | StorageUnavailable>

  /** The run, as soon as it has ended. */
  readonly ended: (run: RunId) => Effect.Effect<RunView, RunFailed | StorageUnavailable>
}>()("belfry/core/engine/Scheduler") {
  /** The events of a run as they come, until it has ended. */
  static readonly watch = (
    run: RunId,
  ): Stream.Stream<RunHappening, RunUnknown | StorageUnavailable, Scheduler> =>
    Stream.paginate(
      { told: new Set<string>(), pause: 0 },
      Effect.fnUntraced(function* ({ pause, told }) {
        const scheduler = yield* Scheduler
        yield* Effect.sleep(pause)
        // Asked before: of what has ended all events are there.
        const { state } = yield* scheduler.find(run)
        const news = untold(told, yield* scheduler.events(run))
        const next = { told, pause: news.length > 0 ? 2 : Math.min(250, Math.max(2, pause * 1.5)) }
        return [news, Run.isFinal(state) ? Option.none() : Option.some(next)] as const
      }),
    )

  /** Submits and answers, and leaves the moving to others. */
  static readonly layerClient: Layer.Layer<Scheduler, never, Storage> = Layer.effect(
    Scheduler,
    Effect.suspend(() => makeClient),
  )

  static readonly layerWith = (
    options: Sweeping.SweepOptions,
  ): Layer.Layer<Scheduler, never, Storage | Ownership | Wakeups> =>
    Layer.merge(
      Scheduler.layerClient,
      Layer.effectDiscard(Effect.suspend(() => Sweeping.run(options))),
    )

  static readonly layer: Layer.Layer<Scheduler, never, Storage | Ownership | Wakeups> = Layer
    .suspend(() => Scheduler.layerWith({}))
}

const makeClient = Effect.gen(function* () {
  const storage = yield* Storage
  const { logs, runs } = storage
  const placer = Placer.make(storage)
  const { submitMany, submitSharded } = yield* Submitting.make(placer)

  const known = <A>(run: RunId, answer: Option.Option<A>) =>
    Option.isSome(answer) ? Effect.succeed(answer.value) : Effect.fail(new RunUnknown({ run }))

  /** Why nobody was chosen, as whoever looks next will find. */
  const explained = Effect.fnUntraced(
    function* (run: RunId, reason: Extract<Reason, { readonly _tag: "Unplaced" }>) {
      const { namespace, task } = yield* find(run)
      const look = yield* placer.look(namespace, task)
      if (look === undefined) return { _tag: "NoExecutor", task } satisfies Reason as Reason
      return Waiting.isRouted(look.policy) ? { ...reason, ...Placing.explain(look) } : reason
    },
  )

  const find = (run: RunId) => Effect.flatMap(runs.find(run), (found) => known(run, found))

  /** Gives the order, lets pass who can by it, and fails if the run did not take it. */
  const ordered = Effect.fnUntraced(function* <A extends string>(
    run: RunId,
    order: OrderRefused["order"],
    given: Effect.Effect<Option.Option<Ordered<A>>, StorageUnavailable>,
  ) {
    const { answer, freed } = yield* known(run, yield* given)
    if (freed.length > 0) yield* Effect.ignore(placer.admit(freed))
    if (answer === "refused" || answer === "ended") {
      return yield* new OrderRefused({ run, order, state: (yield* find(run)).state })
    }
    return answer as Exclude<A, "refused" | "ended">
  })

  /** Why no run of the task, or of the key of this one, may start now, if so. */
  const closed = Effect.fnUntraced(function* (run: RunId, at: Reason["_tag"]) {
    const { gate, namespace, task } = yield* find(run)
    const defined = yield* storage.tasks.find(namespace, task)
    if (Option.isNone(defined)) return undefined
    const { policy } = defined.value.definition
    const look = (regulation: Regulation) =>
      Effect.map(storage.permits.look(regulation), ({ closed }) => closed)
    // Who is past the gate waits for all that regulates; who waits there, and finds it paused, knows
    // what the others wait for.
    const regulation = at === "Waiting"
      ? regulationOf(namespace, task, policy)
      : at === "GateFull"
      ? regulationOfGroup(namespace, task, policy)
      : undefined
    const answer = regulation && (yield* look(regulation))
    if (answer !== undefined || !isByKey(policy.breaker)) return answer
    const key = (gate && Waiting.keyOf(gate)) ?? ""
    return yield* look(regulationOfKey(namespace, task, policy.breaker.name, key))
  })

  return Scheduler.of({
    submitSharded: (submission, sharding, options = {}) =>
      submitSharded(submission, sharding, options),
    suspend: (run, { by } = {}) =>
      Effect.andThen(checkedBy(by), ordered(run, "suspend", runs.suspend(run, by))),
    resume: (run, { by } = {}) =>
      Effect.andThen(checkedBy(by), ordered(run, "resume", runs.resume(run, by))),
    change: Effect.fnUntraced(function* (run, { by, deadline, level, revision }) {
      yield* checkedBy(by)
      if (level === undefined && deadline === undefined) return yield* nothingToChange
      const flaw = (level === undefined ? undefined : Lane.flaw(level)) ??
        (deadline === undefined || deadline === null ? undefined : Deadline.flaw(deadline))
      if (flaw !== undefined) return yield* flaw
      const answer = yield* ordered(
        run,
        "change",
        runs.change(run, {
          by,
          level,
          revision,
          deadlineMillis: deadline === undefined || deadline === null
            ? deadline
            : Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(deadline))),
        }),
      )
      if (answer === "confirmed") return answer
      const { revision: present = Change.firstRevision, state } = yield* find(run)
      return answer === "stale"
        ? yield* new RunChanged({ run, revision: present })
        : yield* new OrderRefused({ run, order: "change", state, reason: reasons[answer] })
    }),
    notify: (run, notice, { by } = {}) =>
      Effect.andThen(
        Effect.andThen(checkedBy(by), checkedNotice(notice)),
        ordered(run, "notify", runs.notify(run, notice, by)),
      ),
    revive: (run, { by } = {}) =>
      Effect.andThen(checkedBy(by), ordered(run, "revive", runs.revive(run, by))),
    rollback: Effect.fnUntraced(function* (run, { by, note } = {}) {
      yield* checkedBy(by)
      yield* checkedNote(note)
      const { namespace, state: present, task } = yield* find(run)
      const defined = yield* storage.tasks.find(namespace, task)
      const hooks = Option.getOrUndefined(defined)?.definition.hooks
      // What has succeeded would be failed for nothing.
      if (Run.isFinal(present) && hooks?.includes("rollback") === false) {
        const reason =
          `the task "${task}" has no \`rollback\`; undo by hand what the run did, or serve ` +
          "the task with one and ask again"
        return yield* new OrderRefused({ run, order: "rollback", state: present, reason })
      }
      const { answer, freed } = yield* known(run, yield* runs.rollback(run, { by, note }))
      if (freed.length > 0) yield* Effect.ignore(placer.admit(freed))
      if (answer === "confirmed") return answer
      const { state } = yield* find(run)
      const reason = whyNoRollback[answer]
      return yield* new OrderRefused({ run, order: "rollback", state, reason })
    }),
    submit: (submission, options = {}) =>
      Effect.map(submitMany([submission], options), ([accepted]) => accepted!),
    submitAll: (submissions, options = {}) => submitMany(submissions, options),
    again: Effect.fnUntraced(function* (run, { payload, ...options } = {}) {
      const before = yield* find(run)
      const { level, namespace, task } = before
      const defined = yield* storage.tasks.find(namespace, task)
      const [accepted] = yield* submitMany([{
        task,
        payload: payload ?? before.payload,
        policy: Option.isSome(defined) ? defined.value.definition.policy : usualPolicy,
        blockingKey: before.gate && Waiting.keyOf(before.gate),
      }], { ...options, namespace, level, again: run })
      return accepted!
    }),
    cancel: Effect.fnUntraced(function* (run, { by } = {}) {
      yield* checkedBy(by)
      const { answer, freed } = yield* known(run, yield* runs.cancel(run, by))
      if (freed.length > 0) yield* Effect.ignore(placer.admit(freed))
      // Whoever asks again, as the answer was lost, is told the same.
      const isSo = answer === "ended" && (yield* find(run)).state === "Cancelled"
      return isSo ? "confirmed" : answer
    }),
    find,
    list: runs.list,
    events: (run) => Effect.andThen(find(run), runs.events(run)),
    why: Effect.fnUntraced(function* (run) {
      const reason = yield* known(run, yield* runs.why(run))
      if (reason._tag === "Unplaced") return yield* explained(run, reason)
      // Behind the breaker of its key, those that it lets not start are due again later, and the
      // others wait for their places.
      const mayBeClosed = reason._tag === "Waiting" || reason._tag === "DueLater" ||
        reason._tag === "GateFull"
      const held = mayBeClosed ? yield* closed(run, reason._tag) : undefined
      if (held !== undefined) return held
      return reason._tag === "Waiting" || reason._tag === "GateFull"
        ? { ...reason, ...levelOf(yield* find(run)) }
        : reason
    }),
    log: Effect.fnUntraced(function* (query) {
      const page = yield* logs.read(query)
      // Most of those that are asked for have said something, and need not be looked for.
      if (page.lines.length === 0) yield* find(query.run)
      return page
    }),
    progress: Effect.fnUntraced(function* (run) {
      const { fence } = yield* find(run)
      return Option.filter(yield* logs.progress(run), (said) => said.fence === fence)
    }),
    ended: Effect.fnUntraced(function* (run) {
      // Looks often at first, for the short runs that people wait for, and ever more rarely.
      for (let pause = 2;; pause = Math.min(250, pause * 1.5)) {
        const view = yield* Effect.catchTag(
          find(run),
          "RunUnknown",
          () => Effect.fail(new RunFailed({ run, state: "Discarded" })),
        )
        if (Run.isFinal(view.state)) return view
        yield* Effect.sleep(pause)
      }
    }),
  })
})

/** What is to be said of its level, if that is not the one of its submit. */
const levelOf = ({ level, submittedLevel: submitted }: RunView) =>
  submitted === undefined ? {} : { level: { present: level, submitted } }

const resultLengthMax = 1024 * 1024

const checkedNotice = (notice: Notice) => {
  const length = notice._tag === "Succeeded" ? notice.result?.length ?? 0 : 0
  return length <= resultLengthMax ? Effect.void : Effect.fail(
    new Refused({
      field: "result",
      reason: `its JSON has ${length} characters, more than ${resultLengthMax}`,
      remedy: "Keep it elsewhere and notify of where it is",
    }),
  )
}

const nothingToChange = Effect.fail(
  new Refused({
    field: "change",
    reason: "it names nothing that the run is to have otherwise",
    remedy: "Name a level or a deadline",
  }),
)

/** Why a deadline is not changed. */
const reasons = {
  begun:
    "it was granted, so whoever had it may have begun it, and a deadline is for what nobody has",
  late: "its deadline has passed",
}

const whyNoRollback = {
  refused: "it has not ended; cancel it, or wait for its end, and ask again",
  parent: "its children did what it stands for; have each of them rolled back that is to be",
  unbegun: "nobody has begun it, so there is nothing to undo",
  untold: "it has succeeded, and what follows that was not told yet; ask again in a moment",
}
