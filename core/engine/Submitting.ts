/**
 * Takes runs in. What is submitted is looked at before anything is stored, and waits, or is refused, while
 * the backlog of its task is full. Should the storage not answer after that, the sweep does what is left.
 */
import { Duration, Effect, Schema } from "effect"
import type { Asked } from "../domain/Asked.ts"
import type { GateKey } from "../domain/Blocking.ts"
import * as Deadline from "../domain/Deadline.ts"
import * as Delay from "../domain/Delay.ts"
import { childrenMax } from "../domain/FanIn.ts"
import * as IdempotencyKey from "../domain/IdempotencyKey.ts"
import { isLimited } from "../domain/Group.ts"
import * as Lane from "../domain/Lane.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { Refused } from "../domain/Refused.ts"
import type { StateName } from "../domain/Run.ts"
import { type RunId, RunIdFromString } from "../domain/RunId.ts"
import type { Policy, TaskName } from "../domain/Task.ts"
import * as Text from "../domain/Text.ts"
import * as Waiting from "../domain/Waiting.ts"
import type { Placer } from "../services/Placer.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import { checkedBy } from "./asked.ts"
import * as Backlogs from "./Backlogs.ts"
import type { BacklogFull } from "./Backlogs.ts"
import { CurrentNamespace } from "./CurrentNamespace.ts"

export interface SubmitOptions {
  readonly namespace?: Namespace
  /** Due this long after now. */
  readonly delay?: Duration.Input
  readonly level?: Lane.Level
  /** It has expired if it was not begun so long after now. */
  readonly deadline?: Duration.Input
  /** A second submit with this key answers with the first one's run. */
  readonly idempotencyKey?: string
  /** Who asks for it by hand, as is told with the run and its events. */
  readonly by?: string
  /** The run that it does again. */
  readonly again?: RunId
  /** While the backlog of the task is full: fail with `BacklogFull`, unless named, or wait. */
  readonly whenFull?: "refuse" | "wait"
}

/** What a submit needs to know of a task. */
export interface Submission {
  readonly task: TaskName
  /** JSON text. */
  readonly payload: string
  readonly policy: Policy
  readonly blockingKey?: string | undefined
  /** Unless the submit names another one. */
  readonly idempotencyKey?: string | undefined
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

export type SubmitRefused = Refused | KeyConflict | BacklogFull

/** How a run is cut into shards. */
export interface Sharding {
  readonly count: number
  /** At most so many of them at once; all unless named. */
  readonly atOnce?: number
}

export const payloadBytesMax = 256 * 1024

export const make = Effect.fnUntraced(function* (placer: Placer) {
  const { runs } = yield* Storage
  const whenRoom = yield* Backlogs.make

  /** Waits for room, or fails, if the task's backlog is full. */
  const roomFor = ({ policy, task }: Submission, namespace: Namespace, options: SubmitOptions) =>
    policy.backlog === undefined ? Effect.void : whenRoom(
      task,
      Waiting.place(namespace, task, policy, undefined).lane,
      policy.backlog,
      options.whenFull ?? "refuse",
    )

  const specOf = (
    { blockingKey, idempotencyKey, payload, policy, task }: Submission,
    namespace: Namespace,
    options: SubmitOptions,
  ): RunSpec => {
    const millis = (input: Duration.Input | undefined) =>
      input === undefined
        ? undefined
        : Math.max(0, Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(input))))
    return {
      namespace,
      task,
      payload,
      ...Waiting.place(namespace, task, policy, blockingKey),
      level: options.level ?? policy.level,
      delayMillis: millis(options.delay) ?? 0,
      idempotencyKey: options.idempotencyKey ?? idempotencyKey,
      isAtMostOnce: policy.delivery === "at-most-once",
      crashesMax: policy.crashesMax,
      deadlineMillis: millis(options.deadline) ??
        Deadline.after(policy, millis(options.delay) ?? 0),
      asked: askedOf(options),
    }
  }

  const submitMany = Effect.fnUntraced(function* (
    submissions: ReadonlyArray<Submission>,
    options: SubmitOptions,
  ) {
    const namespace = options.namespace ?? (yield* CurrentNamespace)
    for (const submission of submissions) {
      yield* checked(submission, options)
      yield* roomFor(submission, namespace, options)
    }
    const specs = submissions.map((submission) => specOf(submission, namespace, options))
    const submitted = yield* runs.submit(specs)
    const gates = new Set<GateKey>()
    for (const [at, answer] of submitted.entries()) {
      if (answer._tag === "Conflict") {
        return yield* new KeyConflict({
          idempotencyKey: specs[at]!.idempotencyKey ?? "",
          run: answer.run,
        })
      }
      if (answer.isNew && answer.state === "Blocked") gates.add(specs[at]!.gate!.key)
    }
    const accepted = submitted as ReadonlyArray<Accepted>
    if (gates.size === 0) return accepted
    // The run is stored already. If the gate cannot be asked now, the sweep will, so this must not
    // look like a submit that failed.
    const admissions = yield* Effect.orElseSucceed(placer.admit(gates), () => [])
    const states = new Map<RunId, StateName>(admissions.map(({ run, state }) => [run, state]))
    // Whoever submitted at once may have decided about it, and had the answer.
    const decided = accepted.filter(({ isNew, run, state }, at) =>
      isNew && state === "Blocked" && specs[at]!.gate!.whenFull !== "wait" && !states.has(run)
    )
    if (decided.length > 0) {
      const views = yield* Effect.orElseSucceed(
        runs.findMany(decided.map(({ run }) => run)),
        () => [],
      )
      for (const { id, state } of views) states.set(id, state)
    }
    return accepted.map((each) => ({ ...each, state: states.get(each.run) ?? each.state }))
  })

  const submitSharded = Effect.fnUntraced(function* (
    submission: Submission,
    sharding: Sharding,
    options: SubmitOptions,
  ) {
    const namespace = options.namespace ?? (yield* CurrentNamespace)
    yield* checked(submission, options)
    yield* checkedSharding(submission, sharding)
    yield* roomFor(submission, namespace, options)
    const { asked, deadlineMillis, delayMillis, gate: _, idempotencyKey, ...rest } = specOf(
      submission,
      namespace,
      options,
    )
    const spec = { ...rest, gate: undefined }
    const child = { ...spec, deadlineMillis, delayMillis, idempotencyKey: undefined }
    const answer = yield* runs.submitFamily({
      parent: { ...spec, delayMillis: 0, idempotencyKey, asked },
      children: Array.from({ length: sharding.count }, () => child),
      places: sharding.atOnce ?? sharding.count,
    })
    if (answer._tag === "Conflict") {
      return yield* new KeyConflict({ idempotencyKey: idempotencyKey ?? "", run: answer.run })
    }
    // As with any gate: they are stored, and should this fail the sweep lets them pass.
    if (answer.isNew) yield* Effect.ignore(placer.admit([answer.gate]))
    const { isNew, run, state } = answer
    return { run, state, isNew }
  })

  return { submitMany, submitSharded }
})

const checkedSharding = ({ policy }: Submission, { atOnce, count }: Sharding) => {
  const refused = (field: string, reason: string, remedy: string) =>
    Effect.fail(new Refused({ field, reason, remedy }))
  const isWhole = ["Broadcast", "Sharded"].includes(policy.routing?._tag ?? "")
  if (isWhole) {
    return refused(
      "routing",
      "the task is carried out in parts by its routing",
      "Submit it as it is, or take the routing from the task",
    )
  }
  if (isLimited(policy.group)) {
    return refused(
      "group",
      "the shards of a run pass the gate of their parent, and would not be counted",
      "Name a group without a limit, and say how many run at once with atOnce",
    )
  }
  if (policy.touches !== undefined) {
    return refused(
      "touches",
      "the shards of a run pass the gate of their parent, and no other",
      "Take what it touches from the task",
    )
  }
  if (policy.blocking !== undefined) {
    return refused(
      "blocking",
      "the shards of a run pass the gate of their parent, and no other",
      "Take the blocking policy from the task, and say how many run at once with atOnce",
    )
  }
  if (!Number.isInteger(count) || count < 1 || count > childrenMax) {
    return refused("count", `there are ${count} shards`, `Use 1 to ${childrenMax}`)
  }
  if (atOnce !== undefined && (!Number.isInteger(atOnce) || atOnce < 1)) {
    return refused("atOnce", `${atOnce} shards at once are none`, "Use 1 or more")
  }
  return Effect.void
}

/** What is wrong with when it is to be done, if anything is. */
export const flawOf = (
  { deadline, delay, level }: {
    readonly [K in "deadline" | "delay" | "level"]?: SubmitOptions[K] | undefined
  },
): Refused | undefined =>
  (delay === undefined ? undefined : Delay.flaw(delay)) ??
    (deadline === undefined ? undefined : Deadline.flaw(deadline, delay)) ??
    (level === undefined ? undefined : Lane.flaw(level))

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
  const key = options.idempotencyKey ?? submission.idempotencyKey
  if (key !== undefined && (key === "" || key.length > IdempotencyKey.lengthMax)) {
    return Effect.fail(
      new Refused({
        field: "idempotencyKey",
        reason: `it has ${key.length} characters`,
        remedy: `Use 1 to ${IdempotencyKey.lengthMax} characters`,
      }),
    )
  }
  const flaw = flawOf(options)
  if (flaw !== undefined) return Effect.fail(flaw)
  if ((submission.blockingKey?.length ?? 0) > 512) {
    return Effect.fail(
      new Refused({
        field: "blockingKey",
        reason: `it has ${submission.blockingKey!.length} characters`,
        remedy: "Use at most 512 characters",
      }),
    )
  }
  const texts = {
    payload: submission.payload,
    idempotencyKey: key,
    blockingKey: submission.blockingKey,
  }
  for (const [field, text] of Object.entries(texts)) {
    const reason = text === undefined ? undefined : Text.flaw(text)
    if (reason !== undefined) {
      return Effect.fail(new Refused({ field, reason, remedy: Text.remedy }))
    }
  }
  return checkedBy(options.by)
}

const askedOf = ({ again, by }: SubmitOptions): Asked | undefined =>
  again === undefined && by === undefined ? undefined : {
    ...(by !== undefined && { by }),
    ...(again !== undefined && { again }),
  }
