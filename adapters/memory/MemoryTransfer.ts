/** Export from memory, and import into it: see `TransferStorage` for the laws. */
import { Effect, Stream } from "effect"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { Joining } from "../../core/domain/Executor.ts"
import { Lease, never } from "../../core/domain/Lease.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import * as Run from "../../core/domain/Run.ts"
import {
  type Counts,
  lastFailure,
  type Of,
  type Place,
  type StateRecord,
} from "../../core/domain/StateRecord.ts"
import { contradictory, counted, notEmpty } from "../../core/domain/Transfer.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import { pageMax, type TransferStorage } from "../../core/services/TransferStorage.ts"
import { attach } from "./MemoryFollowing.ts"
import { standingOf } from "./MemoryExecutors.ts"
import { conclusionOf } from "./MemoryRuns.ts"
import type { Entry, KeptTrigger, Member, MemoryState } from "./MemoryState.ts"

export const make = (state: MemoryState, now: () => number): TransferStorage => ({
  export: Stream.suspend(() => Stream.fromIterable(records(state, now()), { chunkSize: pageMax })),
  import: (given) =>
    Effect.flatMap(
      Stream.runCollect(given),
      (all) => Effect.suspend(() => adopt(state, all, now())),
    ),
})

/** All at once, since a run changes where it is. */
const records = (state: MemoryState, now: number): ReadonlyArray<StateRecord> => [
  { _tag: "Marks", ...state.marks },
  ...[...state.tasks.values()].map((kept) => ({ _tag: "Task" as const, ...kept })),
  ...[...state.calendars.values()].map((kept) => ({ _tag: "Calendar" as const, ...kept })),
  ...[...state.members.values()].map((member) => executorOf(member, now)),
  ...triggersOf(state).flatMap(({ isRemoved, kept }) => triggerOf(kept, isRemoved)),
  ...triggersOf(state).flatMap(({ kept }) => slotsOf(kept, state.bounds.records)),
  ...triggersOf(state).flatMap(({ kept }) => versionsOf(kept)),
  ...triggersOf(state).flatMap(({ kept }) => askedOf(kept)),
  ...[...state.runs.values()].map((entry) => runOf(state, entry)),
  ...[...state.states].map(([at, value]) => {
    const [namespace, task, ...key] = at.split(" ")
    return { _tag: "State", namespace, task, key: key.join(" "), value } as Of<"State">
  }),
  ...[...state.cells].map(([key, cell]) => {
    const [namespace, kind, ...name] = key.split(" ")
    return { _tag: "Permit", namespace, kind, name: name.join(" "), cell } as Of<"Permit">
  }),
  ...[...state.locks.values()].map(({ expiresAt, lease: { fence, holder, key } }) => ({
    _tag: "Lock" as const,
    key,
    holder,
    fence,
    endsInMillis: Math.max(0, expiresAt - now),
  })),
]

const triggersOf = ({ removed, triggers }: MemoryState) =>
  [
    ...[...removed.values()].map((kept) => ({ kept, isRemoved: true })),
    ...[...triggers.values()].map((kept) => ({ kept, isRemoved: false })),
  ].sort((a, b) => a.kept.view.id - b.kept.view.id)

const executorOf = (member: Member, now: number): Of<"Executor"> => {
  const { beatAt, incarnation, joinedAt, joining, tasks } = member
  return {
    _tag: "Executor",
    incarnation,
    namespace: joining.namespace,
    name: joining.name,
    standing: standingOf(member, now)!,
    capacity: joining.capacity,
    labels: joining.labels,
    resources: joining.resources ?? {},
    tasks,
    ttlMillis: joining.ttlMillis,
    joinedAt,
    beatAt,
  }
}

const triggerOf = (
  { tail, view: { cursor, ...view } }: KeptTrigger,
  isRemoved: boolean,
): Of<"Trigger"> => ({
  _tag: "Trigger",
  ...view,
  isRemoved,
  ...(cursor !== undefined && !isRemoved && { cursor }),
  ...(tail !== undefined && { tail }),
})

/** What has left, or was forgotten, is one stretch from the beginning. */
const slotsOf = (
  { records, usedThrough = -Infinity, view: { id } }: KeptTrigger,
  recordsMax: number,
): ReadonlyArray<Of<"Slot">> => {
  const forgotten = records.length === recordsMax ? records[0]!.slot - 1 : -Infinity
  const through = Math.max(usedThrough, forgotten)
  return [
    ...(through === -Infinity ? [] : [{
      _tag: "Slot" as const,
      trigger: id,
      slot: Math.min(0, through),
      through,
      outcome: "used" as const,
      latenessMillis: 0,
    }]),
    ...records.map((record) => ({ _tag: "Slot" as const, trigger: id, ...record })),
  ]
}

const versionsOf = ({ versions, view: { id } }: KeptTrigger): ReadonlyArray<Of<"TriggerVersion">> =>
  versions.map(({ calendar, ...version }) => ({
    _tag: "TriggerVersion",
    trigger: id,
    ...version,
    ...(calendar !== undefined && { calendar }),
  }))

const askedOf = ({ asked, view: { id } }: KeptTrigger): ReadonlyArray<Of<"Asked">> =>
  asked.map(({ asked, latenessMillis, revision, run, slot }) => ({
    _tag: "Asked",
    trigger: id,
    ...asked!,
    slot,
    at: slot + latenessMillis,
    run,
    revision: revision!,
  }))

const runOf = (state: MemoryState, entry: Entry): Of<"Run"> => {
  const { spec } = entry
  const { deadlineMillis: _, gate, idempotencyKey, ...plain } = spec
  const isKeyed = idempotencyKey !== undefined &&
    state.idempotency.get(`${spec.namespace} ${idempotencyKey}`) === entry.id
  return {
    _tag: "Run",
    id: entry.id,
    ...plain,
    createdAt: entry.createdAt,
    ...(gate !== undefined && { gate }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(isKeyed && { keyedBy: "text" }),
    ...(entry.trigger !== undefined && { trigger: entry.trigger }),
    ...(entry.slot !== undefined && { slot: entry.slot }),
    ...(entry.shard !== undefined && { shard: entry.shard }),
    ...(entry.level !== spec.level && { levelSet: entry.level }),
    ...(entry.changes > 0 && { changes: entry.changes }),
    ...(entry.deadlineAt !== undefined && { deadlineAt: entry.deadlineAt }),
    ...(entry.checkpoint !== undefined && { checkpoint: entry.checkpoint }),
    ...(entry.conclusion !== undefined && { conclusion: conclusionOf(entry.conclusion) }),
    ...(entry.boundTo !== undefined && { boundTo: entry.boundTo }),
    ...(entry.placed !== undefined && { placed: entry.placed }),
    place: placeOf(entry),
    journal: [...entry.journal],
  }
}

const placeOf = (entry: Entry): Place => {
  const { awaitsUntil, claimedAt, dueAt, holder, settled = never, state, turn } = entry
  const { attempt, crashes, fence, isCareful } = state
  const course = { attempt, crashes, fence, settled }
  const waiting = { ...course, isCareful }
  const due = dueAt === entry.createdAt + entry.spec.delayMillis ? {} : { dueAt }
  const granted = holder === undefined || claimedAt === undefined
    ? {}
    : { incarnation: holder.incarnation, claimedAt }
  switch (state._tag) {
    case "Scheduled":
      return { _tag: "Scheduled", ...waiting, dueAt }
    case "Blocked": {
      const { rank } = entry
      return {
        _tag: "Blocked",
        ...waiting,
        turn,
        ...(rank !== Blocking.rankByAge(entry) && { rank }),
      }
    }
    case "Ready":
      return { _tag: "Ready", ...waiting, ...due, rank: entry.rank }
    case "Running": {
      const { isCancelling, isStartMarked, isSuspending } = state
      return {
        _tag: "Running",
        ...waiting,
        ...due,
        ...holder!,
        claimedAt: claimedAt!,
        isStartMarked,
        isCancelling,
        isSuspending,
      }
    }
    case "Awaiting":
      return {
        _tag: "Awaiting",
        ...waiting,
        ...granted,
        isParent: state.isParent,
        ...(awaitsUntil !== undefined && !state.isParent && { awaitsUntil }),
      }
    case "Suspended":
      return {
        _tag: "Suspended",
        ...waiting,
        hasPlace: entry.spec.gate !== undefined && Run.holdsPlace(state, entry.spec.gate.places),
        since: entry.suspendedAt,
      }
    default:
      return {
        _tag: "Ended",
        ...course,
        ...granted,
        ...due,
        state: state._tag,
        finishedAt: entry.finishedAt!,
        ...(entry.result !== undefined && { result: entry.result }),
        ...(entry.failure !== undefined && { failure: entry.failure }),
      }
  }
}

/** In one go, and only when all has come. */
const adopt = (
  state: MemoryState,
  all: ReadonlyArray<StateRecord>,
  now: number,
): Effect.Effect<Counts, Refused> => {
  const kept = keptBy(state)
  if (kept !== undefined) return Effect.fail(notEmpty(kept))
  const known = new Set(all.flatMap((each) => each._tag === "Run" ? [each.id] : []))
  const counts = counted({}, all)
  if (known.size < (counts.Run ?? 0)) return Effect.fail(contradictory("a run comes twice"))
  const stray = all.find((each) =>
    each._tag === "Run" && each.shard !== undefined && !known.has(each.shard.parent)
  )
  if (stray !== undefined) return Effect.fail(contradictory("a child has no parent"))
  for (const record of all) if (record._tag !== "Run") adoptOne(state, record, now)
  const entries = all.flatMap((each) => each._tag === "Run" ? [entryOf(each)] : [])
  // Lists go by the order in which runs came; parents came before their children.
  for (const entry of entries) {
    state.runs.set(entry.id, entry)
    if (entry.shard !== undefined) state.runs.get(entry.shard.parent)!.children.push(entry)
  }
  // What ended first is forgotten first.
  for (const entry of entries.toSorted((a, b) => endOf(a) - endOf(b))) state.restore(entry)
  for (const record of all) {
    if (record._tag !== "Run" || record.keyedBy === undefined) continue
    state.idempotency.set(`${record.namespace} ${record.idempotencyKey}`, record.id)
  }
  return Effect.succeed(counts)
}

const endOf = ({ finishedAt }: Entry): number => finishedAt ?? 0

const keptBy = (state: MemoryState): string | undefined =>
  Object.entries({
    runs: state.runs,
    tasks: state.tasks,
    calendars: state.calendars,
    triggers: state.triggers,
    executors: state.members,
    states: state.states,
    permits: state.cells,
    locks: state.locks,
  }).find(([, { size }]) => size > 0)?.[0]

const adoptOne = (
  state: MemoryState,
  record: Exclude<StateRecord, Of<"Run">>,
  now: number,
): void => {
  switch (record._tag) {
    case "Marks":
      return state.mark(record)
    case "Task": {
      const { definition, revision } = record
      state.tasks.set(`${definition.namespace} ${definition.name}`, { definition, revision })
      return
    }
    case "Calendar": {
      const { calendar, revision } = record
      state.calendars.set(`${calendar.namespace} ${calendar.name}`, { calendar, revision })
      return
    }
    case "Executor":
      return void state.members.set(record.incarnation, memberOf(record, now))
    case "Trigger": {
      const { _tag, isRemoved, tail, ...view } = record
      const { name, namespace } = view.definition
      ;(isRemoved ? state.removed : state.triggers).set(view.id, {
        view,
        partition: Trigger.partitionOf(namespace, name),
        records: [],
        followed: [],
        tailed: [],
        tail,
        asked: [],
        versions: [],
        auditedUpTo: undefined,
        through: -Infinity,
        usedThrough: undefined,
      })
      if (!isRemoved) attach(state, view.definition)
      return
    }
    case "Slot": {
      const { _tag, outcome, trigger, ...rest } = record
      const kept = state.triggers.get(trigger) ?? state.removed.get(trigger)
      if (kept === undefined) return
      kept.through = Math.max(kept.through, rest.through)
      if (outcome === "used") kept.usedThrough = rest.through
      else kept.records.push({ ...rest, outcome })
      return
    }
    case "TriggerVersion": {
      const { _tag, calendar, trigger, ...version } = record
      const kept = state.triggers.get(trigger) ?? state.removed.get(trigger)
      return void kept?.versions.push({ ...version, calendar })
    }
    case "Asked": {
      const { at, by, kind, request, revision, run, slot, trigger } = record
      const kept = state.triggers.get(trigger) ?? state.removed.get(trigger)
      return void kept?.asked.push({
        slot,
        through: slot,
        outcome: "fired",
        run,
        latenessMillis: at - slot,
        revision,
        asked: { kind, request, ...(by !== undefined && { by }) },
      })
    }
    case "State": {
      const { key, namespace, task, value } = record
      return void state.states.set(`${namespace} ${task} ${key}`, value)
    }
    case "Permit": {
      const { cell, kind, name, namespace } = record
      return void state.cells.set(`${namespace} ${kind} ${name}`, cell)
    }
    case "Lock": {
      const { endsInMillis, fence, holder, key } = record
      const lease = new Lease({ key, holder, fence })
      state.locks.set(key, { lease, expiresAt: now + endsInMillis })
    }
  }
}

const memberOf = (record: Of<"Executor">, now: number): Member => {
  const { beatAt, capacity, incarnation, joinedAt, labels, name, namespace } = record
  const { resources, standing, tasks, ttlMillis } = record
  const isHere = standing === "live" || standing === "draining"
  return {
    incarnation,
    joining: { namespace, name, capacity, labels, resources, ttlMillis } satisfies Joining,
    joinedAt,
    beatAt: isHere ? now : beatAt,
    standing,
    tasks,
    vitals: undefined,
    sizes: undefined,
    held: new Set(),
    endings: new Map(),
    endingsNumber: 0,
  }
}

const entryOf = (record: Of<"Run">): Entry => {
  const { createdAt, deadlineAt, delayMillis, gate, idempotencyKey, journal, place } = record
  const { fence, settled } = place
  const holder = "incarnation" in place && place.incarnation !== undefined
    ? place._tag === "Running"
      ? { incarnation: place.incarnation, loop: place.loop, round: place.round }
      : { incarnation: place.incarnation, loop: 0, round: 0 }
    : undefined
  const isEnded = place._tag === "Ended"
  const level = record.levelSet ?? record.level
  return {
    id: record.id,
    spec: {
      namespace: record.namespace,
      task: record.task,
      payload: record.payload,
      lane: record.lane,
      level: record.level,
      delayMillis,
      gate,
      idempotencyKey,
      isAtMostOnce: record.isAtMostOnce,
      crashesMax: record.crashesMax,
    },
    createdAt,
    trigger: record.trigger,
    slot: record.slot,
    state: stateOf(place, gate !== undefined),
    dueAt: "dueAt" in place && place.dueAt !== undefined ? place.dueAt : createdAt + delayMillis,
    level,
    changes: record.changes ?? Number(record.levelSet !== undefined),
    rank: place._tag === "Blocked"
      ? place.rank ?? Blocking.rankByAge({ level, turn: place.turn })
      : place._tag === "Ready"
      ? place.rank
      : 0,
    lane: record.lane,
    boundTo: record.boundTo,
    placed: record.placed,
    turn: place._tag === "Blocked" ? place.turn : record.id,
    holder,
    claimedAt: "claimedAt" in place ? place.claimedAt : undefined,
    finishedAt: isEnded ? place.finishedAt : undefined,
    settled: settled > 0 ? settled : undefined,
    result: isEnded ? place.result : undefined,
    failure: isEnded ? place.failure : fence > 0 ? lastFailure(record) : undefined,
    checkpoint: record.checkpoint,
    conclusion: record.conclusion && { ...record.conclusion, fence },
    deadlineAt,
    awaitsUntil: place._tag === "Awaiting" ? place.awaitsUntil : undefined,
    suspendedAt: place._tag === "Suspended" ? place.since : 0,
    isNotified: journal.findLast(({ kind }) => kind === "Notified" || kind === "Revived")?.kind ===
      "Notified",
    shard: record.shard,
    follows: undefined,
    children: [],
    journal: [...journal],
  }
}

const stateOf = (place: Place, isGated: boolean): Run.RunState => {
  const { attempt, crashes, fence } = place
  const course = { attempt, crashes, fence, isCareful: "isCareful" in place && place.isCareful }
  switch (place._tag) {
    case "Scheduled":
      return { _tag: "Scheduled", ...course, isGated }
    case "Blocked":
    case "Ready":
      return { _tag: place._tag, ...course }
    case "Running": {
      const { isCancelling, isStartMarked, isSuspending } = place
      return { _tag: "Running", ...course, isStartMarked, isCancelling, isSuspending }
    }
    case "Awaiting":
      return { _tag: "Awaiting", ...course, isParent: place.isParent }
    case "Suspended":
      return { _tag: "Suspended", ...course, isAdmitted: place.hasPlace }
    default:
      return { _tag: place.state, ...course }
  }
}
