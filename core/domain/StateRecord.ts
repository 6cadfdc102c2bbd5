/**
 * One thing that a storage keeps, as plain data: what an export is made of. In this order: `Marks`
 * first, then what others name, then runs by their ids, locks last.
 *
 * Instants are milliseconds since 1970, as the clock of the exported storage told them, and they are
 * taken as they are: a slot, a due time or a deadline is an instant of the world. Only what a lease
 * has left is told as a duration, since it counts from the import.
 *
 * What a run is told by besides its submit stands in `place`: one for each state, with what matters in
 * it. What can be derived from the rest (gates' holders, counts, partitions) is not told.
 */
import { Schema } from "effect"
import { Conclusion } from "./Conclusion.ts"
import { Gate } from "./Blocking.ts"
import { Calendar } from "./Calendar.ts"
import { ExecutorName, Holder, Incarnation, Standing } from "./Executor.ts"
import { Shard } from "./FanIn.ts"
import { Lane, Level } from "./Lane.ts"
import { Fence, LockKey } from "./Lease.ts"
import { Namespace } from "./Namespace.ts"
import { Final } from "./Run.ts"
import { RunIdFromString } from "./RunId.ts"
import { Failure, Placed } from "./RunView.ts"
import { Tail } from "./Tailing.ts"
import { TaskDefinition, TaskName } from "./Task.ts"
import { TriggerDefinition, TriggerId, TriggerName } from "./Trigger.ts"

/** Rises when a record gets another meaning, or a field that older code must not overlook. */
export const version = 1

const Instant = Schema.Int

const Course = {
  attempt: Schema.Int,
  crashes: Schema.Int,
  fence: Fence,
  /** The fence of the report that was settled last, `0` for none. */
  settled: Fence,
}
const Waiting = { ...Course, isCareful: Schema.Boolean }

/** Of the latest grant. */
const Granted = {
  incarnation: Schema.optionalKey(Incarnation),
  claimedAt: Schema.optionalKey(Instant),
}

/** When it became due, where a storage keeps it and it is not the due time of the submit. */
const Due = { dueAt: Schema.optionalKey(Instant) }

export const Place = Schema.TaggedUnion({
  Scheduled: { ...Waiting, dueAt: Instant },
  /**
   * `turn` and `rank`: its place among those that wait at the gate, as `Blocking.order` has it. The rank
   * is told where the deadline made it another than follows from turn and level.
   */
  Blocked: { ...Waiting, turn: Schema.Int, rank: Schema.optionalKey(Instant) },
  Ready: { ...Waiting, ...Due, rank: Instant },
  Running: {
    ...Waiting,
    ...Due,
    incarnation: Incarnation,
    claimedAt: Instant,
    loop: Schema.Int,
    round: Schema.Int,
    isStartMarked: Schema.Boolean,
    isCancelling: Schema.Boolean,
    isSuspending: Schema.Boolean,
  },
  Awaiting: {
    ...Waiting,
    ...Granted,
    isParent: Schema.Boolean,
    awaitsUntil: Schema.optionalKey(Instant),
  },
  /** `hasPlace`: it keeps the only place of its gate. */
  Suspended: { ...Waiting, hasPlace: Schema.Boolean, since: Instant },
  Ended: {
    ...Course,
    ...Granted,
    ...Due,
    state: Final,
    finishedAt: Instant,
    result: Schema.optionalKey(Schema.String),
    failure: Schema.optionalKey(Failure),
  },
})
export type Place = typeof Place.Type

const CellKind = Schema.Literals(["breaker", "key", "limit"])

/** One entry of the journal of a run. */
export const Note = Schema.Struct({
  at: Instant,
  kind: Schema.String,
  attempt: Schema.Int,
  fence: Fence,
  detail: Schema.optionalKey(Schema.String),
  failure: Schema.optionalKey(Failure),
  /** Who had the grant that it tells of. */
  executor: Schema.optionalKey(Holder),
  /** Who gave the order that it tells of. */
  by: Schema.optionalKey(Schema.String),
})
export type Note = typeof Note.Type

export const StateRecord = Schema.TaggedUnion({
  /** The last numbers that were given. Those given from now on are higher. */
  Marks: { run: Schema.Int, trigger: Schema.Int, incarnation: Schema.Int },
  Task: { definition: TaskDefinition, revision: Schema.Int },
  Calendar: { calendar: Calendar, revision: Schema.Int },
  /** `live` and `draining` are those whose lease has not ended. */
  Executor: {
    incarnation: Incarnation,
    /** Or, for a scheduler, what is none. */
    namespace: Schema.String.pipe(Schema.brand("Namespace")),
    name: ExecutorName,
    standing: Standing,
    capacity: Schema.Int,
    labels: Schema.Record(Schema.String, Schema.String),
    resources: Schema.Record(Schema.String, Schema.Number),
    tasks: Schema.Array(TaskName),
    ttlMillis: Schema.Int,
    joinedAt: Instant,
    beatAt: Instant,
  },
  /** One that was removed stays known, so that none of its slots can fire again. */
  Trigger: {
    id: TriggerId,
    definition: TriggerDefinition,
    revision: Schema.Int,
    isPaused: Schema.Boolean,
    isRemoved: Schema.Boolean,
    cursor: Schema.optionalKey(Instant),
    /** How far it has come in the source that it tails, or has tailed last, and which that is. */
    tail: Schema.optionalKey(Schema.Struct({ ...Tail.fields, source: Schema.String })),
  },
  /** `used`: a stretch whose records have left by their age. */
  Slot: {
    trigger: TriggerId,
    slot: Instant,
    through: Instant,
    outcome: Schema.Literals(["fired", "skipped", "coalesced", "used"]),
    run: Schema.optionalKey(RunIdFromString),
    reason: Schema.optionalKey(Schema.String),
    running: Schema.optionalKey(RunIdFromString),
    latenessMillis: Schema.Int,
    revision: Schema.optionalKey(Schema.Int),
  },
  /** What a trigger was from a slot on; without a definition it was removed. */
  TriggerVersion: {
    trigger: TriggerId,
    revision: Schema.Int,
    since: Instant,
    definition: Schema.optionalKey(TriggerDefinition),
    calendar: Schema.optionalKey(Calendar),
  },
  /** A run that somebody asked a trigger for. */
  Asked: {
    trigger: TriggerId,
    kind: Schema.Literals(["manual", "backfill"]),
    request: Schema.String,
    by: Schema.optionalKey(Schema.String),
    slot: Instant,
    at: Instant,
    run: RunIdFromString,
    revision: Schema.Int,
  },
  Run: {
    id: RunIdFromString,
    namespace: Namespace,
    task: TaskName,
    lane: Lane,
    level: Level,
    /** An operator has set this one since. */
    levelSet: Schema.optionalKey(Level),
    /** How often it was changed; absent: once if another level was set, else never. */
    changes: Schema.optionalKey(Schema.Int),
    payload: Schema.String,
    createdAt: Instant,
    delayMillis: Schema.Int,
    isAtMostOnce: Schema.Boolean,
    crashesMax: Schema.Int,
    gate: Schema.optionalKey(Gate),
    idempotencyKey: Schema.optionalKey(Schema.String),
    /**
     * Set while its key names it: a submit with the key has the same payload as text, or, for a run
     * that was submitted by SQL, as JSON.
     */
    keyedBy: Schema.optionalKey(Schema.Literals(["text", "json"])),
    trigger: Schema.optionalKey(TriggerName),
    slot: Schema.optionalKey(Instant),
    shard: Schema.optionalKey(Shard),
    /** When it is too late to begin, while that matters. */
    deadlineAt: Schema.optionalKey(Instant),
    checkpoint: Schema.optionalKey(Schema.String),
    /** How it will end, as its holder has concluded. */
    conclusion: Schema.optionalKey(Conclusion),
    /** It is a part, and has but this executor. */
    boundTo: Schema.optionalKey(Incarnation),
    /** A ready run that was placed waits to be placed again. */
    placed: Schema.optionalKey(Schema.Struct({ ...Placed.fields, at: Instant })),
    place: Place,
    journal: Schema.Array(Note),
  },
  /** What a task keeps from one run to the next. */
  State: { namespace: Namespace, task: TaskName, key: Schema.String, value: Schema.String },
  /** What a limit or a breaker has let pass, as `Permit` writes it. */
  Permit: { namespace: Namespace, kind: CellKind, name: Schema.String, cell: Schema.String },
  /** Also of a lock that nobody holds, for its fence. `endsInMillis`: `0` when nobody does. */
  Lock: { key: LockKey, holder: Schema.String, fence: Fence, endsInMillis: Schema.Int },
})
export type StateRecord = typeof StateRecord.Type
export type Of<Tag extends StateRecord["_tag"]> = Extract<StateRecord, { readonly _tag: Tag }>

export type Counts = Readonly<Partial<Record<StateRecord["_tag"], number>>>

/** How the latest failed attempt failed of a run that has not ended, as its journal tells. */
export const lastFailure = ({ journal }: Of<"Run">): Failure | undefined =>
  journal.findLast(({ failure }) => failure !== undefined)?.failure
