/**
 * Takes runs in, answers for them, and does what keeps them moving.
 *
 * The moving is three loops: due runs go where they wait, waiting runs pass their gates, and the
 * runs of lost executors are freed. A fourth lets go of what has ended long ago. Each does its work
 * in bounded batches, may run anywhere and twice at once (the storage's laws R8, R11 and H5), and
 * needs no state of its own: so whoever holds the duty `sweep`, or `retention`, just does it, and a
 * crash loses nothing but time.
 */
import { Context, Duration, Effect, Layer, Option, Random, Schema } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import type { GateKey } from "../domain/Blocking.ts"
import * as Lane from "../domain/Lane.ts"
import { Refused } from "../domain/Refused.ts"
import * as Run from "../domain/Run.ts"
import { StateName } from "../domain/Run.ts"
import { RunId, RunIdFromString } from "../domain/RunId.ts"
import { Failure, type Reason, type RunHappening, type RunView } from "../domain/RunView.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Policy, TaskName } from "../domain/Task.ts"
import { Ownership } from "../services/Ownership.ts"
import type { RunQuery, RunSpec } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { CurrentNamespace } from "./CurrentNamespace.ts"

export interface SubmitOptions {
  readonly namespace?: Namespace
  /** Due this long after now. */
  readonly delay?: Duration.Input
  readonly level?: Lane.Level
  /** A second submit with this key answers with the first one's run. */
  readonly idempotencyKey?: string
}

/** What a submit needs to know of a task. */
export interface Submission {
  readonly task: TaskName
  /** JSON text. */
  readonly payload: string
  readonly policy: Policy
  readonly blockingKey?: string | undefined
}

export interface Accepted {
  readonly run: RunId
  /** `Discarded`: another run was under way. */
  readonly state: StateName
  readonly isNew: boolean
}

/** The idempotency key names another run already, of another task or payload. */
export class KeyConflict extends Schema.TaggedError<KeyConflict>()("KeyConflict", {
  idempotencyKey: Schema.String,
  run: RunIdFromString,
}) {
  override get message() {
    return `the idempotency key "${this.idempotencyKey}" was used for run ${this.run}, which has ` +
      "another task or payload. Use a key of its own for each request"
  }
}

export type SubmitRefused = Refused | KeyConflict

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

export interface SchedulerOptions {
  /** How often lost executors and forgotten gates are looked for. */
  readonly sweepInterval?: Duration.Input
  /** How often due runs are looked for while none is known to come. */
  readonly dueInterval?: Duration.Input
  /** How often what ended long ago is looked for. */
  readonly retentionInterval?: Duration.Input
}

export const payloadBytesMax = 256 * 1024

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

  /** `requested`: its holder was asked to stop it, and will. */
  readonly cancel: (
    run: RunId,
  ) => Effect.Effect<"confirmed" | "requested" | "ended", RunUnknown | StorageUnavailable>

  readonly find: (run: RunId) => Effect.Effect<RunView, RunUnknown | StorageUnavailable>
  readonly list: (query: RunQuery) => Effect.Effect<ReadonlyArray<RunView>, StorageUnavailable>
  readonly events: (
    run: RunId,
  ) => Effect.Effect<ReadonlyArray<RunHappening>, RunUnknown | StorageUnavailable>
  readonly why: (run: RunId) => Effect.Effect<Reason, RunUnknown | StorageUnavailable>

  /** The run, as soon as it has ended. */
  readonly ended: (run: RunId) => Effect.Effect<RunView, RunFailed | StorageUnavailable>
}>()("belfry/core/engine/Scheduler") {
  /** Submits and answers, and leaves the moving to others. */
  static readonly layerClient: Layer.Layer<Scheduler, never, Storage> = Layer.effect(
    Scheduler,
    Effect.suspend(() => makeClient),
  )

  static readonly layerWith = (
    options: SchedulerOptions,
  ): Layer.Layer<Scheduler, never, Storage | Ownership> =>
    Layer.merge(
      Scheduler.layerClient,
      Layer.effectDiscard(Effect.suspend(() => keepMoving(options))),
    )

  static readonly layer: Layer.Layer<Scheduler, never, Storage | Ownership> = Layer.suspend(() =>
    Scheduler.layerWith({})
  )
}

const makeClient = Effect.gen(function* () {
  const storage = yield* Storage
  const { runs } = storage

  const specOf = (
    { blockingKey, payload, policy, task }: Submission,
    namespace: Namespace,
    options: SubmitOptions,
  ): RunSpec => {
    const delay = options.delay === undefined
      ? 0
      : Duration.toMillis(Duration.fromInputUnsafe(options.delay))
    return {
      namespace,
      task,
      payload,
      lane: Lane.ofTask(namespace, task),
      level: options.level ?? policy.level,
      delayMillis: Math.max(0, Math.ceil(delay)),
      gate: policy.blocking && Blocking.gate(namespace, task, policy.blocking, blockingKey),
      idempotencyKey: options.idempotencyKey,
      isAtMostOnce: policy.delivery === "at-most-once",
      crashesMax: policy.crashesMax,
    }
  }

  const submitMany = Effect.fnUntraced(function* (
    submissions: ReadonlyArray<Submission>,
    options: SubmitOptions,
  ) {
    const namespace = options.namespace ?? (yield* CurrentNamespace)
    for (const submission of submissions) yield* checked(submission, options)
    const specs = submissions.map((submission) => specOf(submission, namespace, options))
    const submitted = yield* runs.submit(specs)
    const gates = new Set<GateKey>()
    for (const [at, answer] of submitted.entries()) {
      if (answer._tag === "Conflict") {
        return yield* new KeyConflict({
          idempotencyKey: options.idempotencyKey ?? "",
          run: answer.run,
        })
      }
      if (answer.isNew && answer.state === "Blocked") gates.add(specs[at]!.gate!.key)
    }
    const accepted = submitted as ReadonlyArray<Accepted>
    if (gates.size === 0) return accepted
    // The run is stored already. If the gate cannot be asked now, the sweep will, so this must not
    // look like a submit that failed.
    const admissions = yield* Effect.orElseSucceed(runs.admit([...gates]), () => [])
    const states = new Map(admissions.map(({ run, state }) => [run, state]))
    return accepted.map((each) => ({ ...each, state: states.get(each.run) ?? each.state }))
  })

  const known = <A>(run: RunId, answer: Option.Option<A>) =>
    Option.isSome(answer) ? Effect.succeed(answer.value) : Effect.fail(new RunUnknown({ run }))

  const find = (run: RunId) => Effect.flatMap(runs.find(run), (found) => known(run, found))

  return Scheduler.of({
    submit: (submission, options = {}) =>
      Effect.map(submitMany([submission], options), ([accepted]) => accepted!),
    submitAll: (submissions, options = {}) => submitMany(submissions, options),
    cancel: Effect.fnUntraced(function* (run) {
      const { answer, freed } = yield* known(run, yield* runs.cancel(run))
      if (freed.length > 0) yield* Effect.ignore(runs.admit(freed))
      return answer
    }),
    find,
    list: runs.list,
    events: (run) => Effect.andThen(find(run), runs.events(run)),
    why: (run) => Effect.flatMap(runs.why(run), (reason) => known(run, reason)),
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

const checked = (submission: Submission, options: SubmitOptions) => {
  const bytes = submission.payload.length > payloadBytesMax / 3
    ? new TextEncoder().encode(submission.payload).length
    : 0
  if (bytes > payloadBytesMax) {
    return Effect.fail(
      new Refused({
        field: "payload",
        reason: `its JSON takes ${bytes} bytes, more than ${payloadBytesMax}`,
        remedy: "Keep the data elsewhere and submit where it is",
      }),
    )
  }
  const key = options.idempotencyKey
  if (key !== undefined && (key === "" || key.length > 512)) {
    return Effect.fail(
      new Refused({
        field: "idempotencyKey",
        reason: `it has ${key.length} characters`,
        remedy: "Use 1 to 512 characters",
      }),
    )
  }
  if ((submission.blockingKey?.length ?? 0) > 512) {
    return Effect.fail(
      new Refused({
        field: "blockingKey",
        reason: `it has ${submission.blockingKey!.length} characters`,
        remedy: "Use at most 512 characters",
      }),
    )
  }
  return Effect.void
}

/** So many rows at most are moved by one command. */
const batch = 1000

const keepMoving = Effect.fnUntraced(function* (options: SchedulerOptions) {
  const { history, runs } = yield* Storage
  const ownership = yield* Ownership
  const sweepInterval = Duration.fromInputUnsafe(options.sweepInterval ?? "1 second")
  const retentionInterval = Duration.fromInputUnsafe(options.retentionInterval ?? "1 minute")
  const dueInterval = Duration.toMillis(
    Duration.fromInputUnsafe(options.dueInterval ?? "200 millis"),
  )

  const promote = Effect.gen(function* () {
    const { gates, nextInMillis, promoted } = yield* runs.promote(batch)
    if (gates.length > 0) yield* runs.admit(gates)
    if (promoted < batch) yield* Effect.sleep(Math.min(nextInMillis ?? dueInterval, dueInterval))
  })

  const sweep = Effect.gen(function* () {
    const { freed, lost, runs: freedRuns } = yield* runs.recover(batch)
    if (lost.length > 0) yield* Effect.logWarning("lost executors", { incarnations: lost })
    const open = yield* runs.openGates(batch)
    const gates = [...new Set([...freed, ...open])]
    if (gates.length > 0) yield* runs.admit(gates)
    if (freedRuns.length === batch || open.length === batch) return
    yield* Effect.sleep(yield* spread(sweepInterval))
  })

  const retire = Effect.gen(function* () {
    const [took, { hasMore }] = yield* Effect.timed(history.retire(batch))
    // While there is more, it takes half of the time at most.
    yield* Effect.sleep(hasMore ? took : yield* spread(retentionInterval))
  })

  yield* ownership.whileHeld("sweep", forever("promote due runs", promote)).pipe(
    Effect.forkScoped,
  )
  yield* ownership.whileHeld("sweep", forever("sweep", sweep)).pipe(Effect.forkScoped)
  yield* ownership.whileHeld("retention", forever("let go of what is old", retire)).pipe(
    Effect.forkScoped,
  )
})

/** Sweeps of several processes do not keep in step. */
const spread = (interval: Duration.Duration) =>
  Effect.map(Random.next, (chance) => Duration.times(interval, 0.8 + 0.4 * chance))

/** An outage costs a pause and a line in the log, never the loop. */
const forever = (name: string, step: Effect.Effect<void, StorageUnavailable>) =>
  step.pipe(
    Effect.catchCause((cause) =>
      Effect.andThen(Effect.logWarning(`could not ${name}`, cause), Effect.sleep("1 second"))
    ),
    Effect.forever,
  )
