/**
 * All that the memory storage keeps, and the one place where a run moves.
 *
 * Commands are synchronous functions of this state, so each is atomic. A run's `state` is the truth;
 * the places it stands in (a lane, a gate, the calendar of due runs) are indexes over it, and `move`
 * keeps them in step.
 */
import { Result } from "effect"
import type * as Answer from "../../core/domain/Answer.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Calendar } from "../../core/domain/Calendar.ts"
import type { Sighting } from "../../core/domain/ClockStep.ts"
import type { Conclusion } from "../../core/domain/Conclusion.ts"
import type { Holder, Incarnation, Joining, Standing, Vitals } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Shard } from "../../core/domain/FanIn.ts"
import type { Fence, Lease, LockKey } from "../../core/domain/Lease.ts"
import type { Part } from "../../core/domain/LogLine.ts"
import type { PoolSizes } from "../../core/domain/PoolSizes.ts"
import type { Progress } from "../../core/domain/Progress.ts"
import * as Run from "../../core/domain/Run.ts"
import type { Remembered } from "../../core/domain/Placing.ts"
import * as RunId from "../../core/domain/RunId.ts"
import type { Failure, Placed } from "../../core/domain/RunView.ts"
import type { Tail } from "../../core/domain/Tailing.ts"
import type { TaskDefinition, TaskName } from "../../core/domain/Task.ts"
import {
  calendarOf,
  type TriggerDefinition,
  type TriggerId,
  type TriggerName,
} from "../../core/domain/Trigger.ts"
import type { Report, RunSpec } from "../../core/services/RunStorage.ts"
import type { AuditPlace, KeptFinding } from "../../core/services/AuditStorage.ts"
import type { KeptCalendar } from "../../core/services/CalendarStorage.ts"
import {
  type SlotRecord,
  type TriggerVersion,
  type TriggerView,
  versionsMax,
} from "../../core/services/TriggerStorage.ts"
import type { HintCarrier } from "../../core/services/HintCarrier.ts"
import { isSoon, ofDue, ofOutbox, type Topic } from "../../core/services/Wakeups.ts"
import { miss } from "./MemoryFollowing.ts"
import { Outbox } from "./Outbox.ts"
import type { Queue } from "../../core/domain/Share.ts"
import { Sorted } from "./Sorted.ts"

export interface Entry {
  readonly id: RunId.RunId
  readonly spec: RunSpec
  readonly createdAt: number
  readonly trigger: TriggerName | undefined
  readonly slot: number | undefined
  state: Run.RunState
  /** When it becomes, or became, due. */
  dueAt: number
  /** Of its submit, unless an operator has set another. */
  level: Lane.Level
  /** How often it was changed. */
  changes: number
  /** Set while it is ready, or waits at its gate. */
  rank: number
  /** Where it waits, or waited last: its own, until it is placed. */
  lane: Lane.Lane
  placed: (Placed & { readonly at: number }) | undefined
  /** It is a part, and has but one executor. */
  boundTo: Incarnation | undefined
  /** Its turn among the runs that wait at its gate. */
  turn: number
  holder: { incarnation: Incarnation; loop: number; round: number } | undefined
  claimedAt: number | undefined
  finishedAt: number | undefined
  /** The fence of the report that was settled last. */
  settled: Fence | undefined
  result: string | undefined
  failure: Failure | undefined
  checkpoint: string | undefined
  /** How it will end, and the fence of whoever has concluded that. */
  conclusion: (Conclusion & { readonly fence: Fence }) | undefined
  /** When it is too late to begin, while that matters. */
  deadlineAt: number | undefined
  /** Until when it awaits at most. */
  awaitsUntil: number | undefined
  /** When it was suspended. */
  suspendedAt: number
  isNotified: boolean
  /** It is a child. */
  readonly shard: Shard | undefined
  /** The run whose end its trigger followed, and how many have followed each other with it. */
  readonly follows: Follows | undefined
  /** It is, or has become, a parent. */
  readonly children: Array<Entry>
  readonly journal: Array<Happened>
}

export type Granted = Pick<Entry, "claimedAt" | "holder" | "state">

export interface Ended {
  readonly at: number | undefined
  readonly kind: string
  readonly failure: Failure | undefined
}

export interface Follows {
  readonly run: RunId.RunId
  readonly depth: number
}

export interface Happened {
  readonly at: number
  readonly kind: string
  readonly attempt: number
  readonly fence: Fence
  readonly detail?: string
  readonly failure?: Failure
  readonly executor?: Holder
  readonly by?: string
}

/** What is to be said of a run once it is time. */
export interface Late {
  readonly at: number
  readonly report: Report
}

export interface Member {
  readonly incarnation: Incarnation
  readonly joining: Joining
  readonly joinedAt: number
  beatAt: number
  standing: Standing
  tasks: ReadonlyArray<TaskName>
  vitals: Vitals | undefined
  /** Wished of its pool. */
  sizes: PoolSizes | undefined
  readonly held: Set<Entry>
  /** What it leaves to be said of its runs. */
  endings: ReadonlyMap<RunId.RunId, Late>
  /** The number of the beat with which it has said so. */
  endingsNumber: number
}

/** What a run has said. */
/** Under what key, and how it stands: replaced where it is when it is answered. */
export interface KeptAnswer {
  readonly key: string
  kept: Answer.Kept
}

export interface KeptTold {
  /** Of all its lines. */
  chars: number
  isCut: boolean
  progress:
    | (Progress & { readonly fence: Fence; readonly sequence: number; readonly at: number })
    | undefined
  /** In the order in which they are read. */
  readonly parts: Array<Part>
}

export interface KeptTrigger {
  view: TriggerView
  readonly partition: number
  readonly records: Array<SlotRecord>
  /** The records of its events. */
  readonly followed: Array<SlotRecord>
  /** The records of its entries. */
  readonly tailed: Array<SlotRecord>
  /** Of the source that it tails, or has tailed last. */
  tail: (Tail & { readonly source: string }) | undefined
  /** Those that somebody asked for. */
  readonly asked: Array<SlotRecord & { readonly run: RunId.RunId }>
  readonly versions: Array<TriggerVersion & { readonly calendar: Calendar | undefined }>
  /** Where the audit goes on, unless at the begin of the next window. */
  auditedUpTo: number | undefined
  /** The latest slot with a record: after it there is none. */
  through: number
  /** The end of the last record that has left by its age. */
  usedThrough: number | undefined
}

/** Finished runs and slot records are kept up to these numbers, the latest ones. */
export interface Bounds {
  readonly finished: number
  readonly records: number
}

const removedMax = 1000

/** Late reports beyond are not noted, lest a mad holder fill the memory. */
const journalMax = 1000

export class MemoryState {
  /** Where hints go besides. */
  carrier: HintCarrier | undefined
  readonly runs = new Map<RunId.RunId, Entry>()
  readonly idempotency = new Map<string, RunId.RunId>()
  readonly ready = new Map<Lane.Lane, Sorted<Entry>>()
  readonly scheduled = new Sorted<Entry>((a, b) => a.dueAt - b.dueAt || a.id - b.id)
  readonly blocked = new Map<GateKey, Sorted<Entry>>()
  /** The same, by the lane to which their gates let them. */
  readonly blockedFor = new Map<Lane.Lane, Set<Entry>>()
  /** Those handed over for a limited time, by its end. */
  readonly awaiting = new Sorted<Entry>((a, b) => a.awaitsUntil! - b.awaitsUntil! || a.id - b.id)
  /** Parents with children that have not ended, or whose end was not gathered yet. */
  readonly parents = new Map<RunId.RunId, Entry>()
  /** Those not begun, by when it is too late to. */
  readonly deadlines = new Sorted<Entry>((a, b) => a.deadlineAt! - b.deadlineAt! || a.id - b.id)
  readonly holders = new Map<GateKey, Set<Entry>>()
  /** The queues of each pool, and of each whether it stands there. */
  readonly shares = new Map<string, Sorted<Queue>>()
  readonly sharing = new Map<GateKey, Queue>()
  readonly told = new Map<RunId.RunId, KeptTold>()
  readonly tasks = new Map<string, { definition: TaskDefinition; revision: number }>()
  /** By namespace and name. */
  readonly calendars = new Map<string, KeptCalendar>()
  /** What tasks keep, by namespace, task and key. */
  readonly states = new Map<string, string>()
  /** What permits were given out, by kind and name. */
  readonly cells = new Map<string, string>()
  readonly answers = new Map<string, KeptAnswer>()
  /** By the clock, which may be set back: not in the order in which they were begun. */
  readonly answersByAge = new Sorted<KeptAnswer>((a, b) =>
    a.kept.begunAt - b.kept.begunAt || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
  )
  readonly triggers = new Map<TriggerId, KeptTrigger>()
  readonly findings: Array<KeptFinding & { readonly trigger: TriggerId }> = []
  auditPlace: AuditPlace | undefined
  /** Those that were removed, for their slots: one that comes back goes on as the same. */
  readonly removed = new Map<TriggerId, KeptTrigger>()
  /** Entries are replaced, never removed: the last fence of a key must outlive its lease (L2). */
  readonly locks = new Map<LockKey, { readonly lease: Lease; expiresAt: number }>()
  readonly members = new Map<Incarnation, Member>()
  /** The clock, as leases were judged by it last. */
  seen: Sighting | undefined
  readonly outbox = new Outbox()
  /** By namespace: how many decisions were applied. */
  readonly revisions = new Map<string, number>()
  readonly remembered = new Map<Lane.Lane, Remembered>()
  readonly listeners = new Map<Topic, Set<() => void>>()
  /** Without children: they leave with their parent. */
  private finished: Array<Entry> = []
  /** None of them ended before. */
  private finishedSince = Infinity
  /** With children. */
  private finishedRuns = 0
  /** Those before it are forgotten. They are cut off now and then: `shift` copies a long array. */
  private forgotten = 0
  private lastId = 0
  private lastTriggerId = 0
  private lastIncarnation = 0
  readonly bounds: Bounds

  constructor(bounds: Bounds) {
    this.bounds = bounds
  }

  nextRunId(now: number): RunId.RunId {
    const id = RunId.next(this.lastId, now)
    this.lastId = id
    return id
  }

  nextTriggerId(): TriggerId {
    return ++this.lastTriggerId as TriggerId
  }

  /** Takes the trigger away, its records stay; of those removed before, the first go. */
  remove(trigger: KeptTrigger): void {
    this.triggers.delete(trigger.view.id)
    this.removed.set(trigger.view.id, trigger)
    if (this.removed.size > removedMax) this.removed.delete(this.removed.keys().next().value!)
  }

  /** Keeps a version of the trigger; of those before, the first go. */
  turn(trigger: KeptTrigger, since: number, definition: TriggerDefinition | undefined): void {
    const { definition: { namespace }, revision } = trigger.view
    const calendar = definition && calendarOf(definition.schedule)
    trigger.versions.push({
      revision,
      since,
      ...(definition !== undefined && { definition }),
      calendar: calendar && this.calendars.get(`${namespace} ${calendar}`)?.calendar,
    })
    if (trigger.versions.length > versionsMax) trigger.versions.shift()
  }

  nextIncarnation(): Incarnation {
    return ++this.lastIncarnation as Incarnation
  }

  /** The last numbers that were given. */
  get marks() {
    return { run: this.lastId, trigger: this.lastTriggerId, incarnation: this.lastIncarnation }
  }

  /** Numbers given from now on are higher. */
  mark({ incarnation, run, trigger }: MemoryState["marks"]): void {
    this.lastId = Math.max(this.lastId, run)
    this.lastTriggerId = Math.max(this.lastTriggerId, trigger)
    this.lastIncarnation = Math.max(this.lastIncarnation, incarnation)
  }

  /** Keeps a run that was kept elsewhere, in the state it has. */
  restore(entry: Entry): void {
    this.runs.set(entry.id, entry)
    if (entry.deadlineAt !== undefined) this.deadlines.add(entry)
    this.place(entry)
  }

  /** The clock by which they end was set by so much. */
  moveLeases(byMillis: number): void {
    for (const member of this.members.values()) {
      member.beatAt += byMillis
      member.endings = new Map(
        [...member.endings].map(([run, { at, report }]) => [run, { at: at + byMillis, report }]),
      )
    }
    for (const lock of this.locks.values()) lock.expiresAt += byMillis
  }

  hint(topic: Topic): void {
    for (const listener of this.listeners.get(topic) ?? []) listener()
    this.carrier?.give([topic])
  }

  /** Keeps a new run and puts it where its first state says. */
  add(
    spec: RunSpec,
    now: number,
    fired?: {
      readonly trigger: TriggerName
      readonly slot: number | undefined
      /** Its trigger has not let it begin. */
      readonly failure?: Failure | undefined
      readonly follows?: Follows
    },
    kin: { readonly isParent?: boolean; readonly shard?: Shard } = {},
  ): Entry {
    const id = this.nextRunId(now)
    const { deadlineMillis } = spec
    const entry: Entry = {
      id,
      spec,
      createdAt: now,
      trigger: fired?.trigger,
      slot: fired?.slot,
      state: kin.isParent === true
        ? Run.submittedParent
        : fired?.failure !== undefined
        ? Run.submittedFailed
        : Run.submitted({
          isDueLater: spec.delayMillis > 0,
          isGated: spec.gate !== undefined,
          isAtMostOnce: spec.isAtMostOnce,
          hasDeadline: deadlineMillis !== undefined,
        }),
      dueAt: now + spec.delayMillis,
      level: spec.level,
      changes: 0,
      rank: 0,
      lane: spec.lane,
      placed: undefined,
      boundTo: undefined,
      turn: id,
      holder: undefined,
      claimedAt: undefined,
      finishedAt: undefined,
      settled: undefined,
      result: undefined,
      failure: fired?.failure,
      checkpoint: undefined,
      conclusion: undefined,
      deadlineAt: deadlineMillis === undefined || fired?.failure !== undefined
        ? undefined
        : now + deadlineMillis,
      awaitsUntil: undefined,
      suspendedAt: 0,
      isNotified: false,
      shard: kin.shard,
      follows: fired?.follows,
      children: [],
      journal: [],
    }
    this.runs.set(id, entry)
    if (entry.deadlineAt !== undefined) this.deadlines.add(entry)
    this.enter(entry, now)
    if (entry.state._tag === "Scheduled" && isSoon(spec.delayMillis)) this.hint(ofDue)
    return entry
  }

  /** Whether the run took the event. */
  move(entry: Entry, event: Run.RunEvent, now: number): boolean {
    const next = Run.advance(entry.state, event)
    if (Result.isFailure(next)) return false
    this.quit(entry)
    entry.state = next.success
    // What was due is ready since then, however late that is seen; and what was put down before its
    // first grant is where it was.
    const isSinceDue = event._tag === "Due" ||
      (event._tag === "Resume" && entry.state.fence === 0)
    this.enter(entry, now, isSinceDue ? entry.dueAt : now)
    return true
  }

  /** Whether the run takes its turn by another level or deadline, from now on or when it waits again. */
  change(entry: Entry, level: Lane.Level, deadlineAt: number | undefined, now: number): boolean {
    const next = Run.advance(entry.state, { _tag: "Change" })
    if (Result.isFailure(next)) return false
    const { dueAt, lane, spec, state } = entry
    this.quit(entry)
    const counts = state.attempt === 0
    if (state._tag === "Ready") {
      const isNew = state.fence === 0 && spec.gate === undefined
      const order = this.orderOf(entry)
      const before = counts ? entry.deadlineAt : undefined
      const readyAt = isNew ? dueAt : Lane.readyAt(entry, now, before, order)
      entry.rank = Lane.rank(readyAt, level, counts ? deadlineAt : undefined, order)
    } else if (state._tag === "Blocked") {
      entry.rank = this.rankAtGate(entry, level, counts ? deadlineAt : undefined)
    }
    if (deadlineAt !== entry.deadlineAt) {
      this.forgetDeadline(entry)
      entry.deadlineAt = deadlineAt
      if (deadlineAt !== undefined) this.deadlines.add(entry)
    }
    entry.state = next.success
    entry.level = level
    entry.changes++
    this.place(entry)
    // It was placed.
    if (state._tag === "Ready" && lane !== spec.lane) this.moveTo(entry, lane)
    return true
  }

  /** As the policy says that is kept of its task. */
  private orderOf({ spec: { namespace, task } }: Entry): Lane.Order | undefined {
    return this.tasks.get(`${namespace} ${task}`)?.definition.policy.order
  }

  private rankAtGate(entry: Entry, level: Lane.Level, deadlineAt: number | undefined): number {
    const { spec: { gate }, turn } = entry
    const order = this.orderOf(entry)
    return Blocking.rank({ level, turn, places: gate!.places, deadlineAt, order })
  }

  /** A ready run waits in another lane from now on, in its order. */
  moveTo(entry: Entry, lane: Lane.Lane): void {
    drop(this.ready, entry.lane, entry)
    this.wait(entry, lane)
  }

  private wait(entry: Entry, lane: Lane.Lane): void {
    entry.lane = lane
    within(this.ready, lane, () => new Sorted<Entry>(byPlace)).add(entry)
    this.hint(`lane ${lane}`)
  }

  /** It has begun, or ended: no deadline matters to it any more. */
  forgetDeadline(entry: Entry): void {
    if (entry.deadlineAt === undefined) return
    this.deadlines.delete(entry)
    entry.deadlineAt = undefined
  }

  note(
    entry: Entry,
    kind: string,
    now: number,
    detail?: string,
    failure?: Failure,
    by?: string,
  ): void {
    // What ends or goes on is told whatever came late before it (R28).
    if (kind === "LateReport" && entry.journal.length >= journalMax) return
    const { attempt, fence } = entry.state
    entry.journal.push({
      at: now,
      kind,
      attempt,
      fence,
      ...(detail !== undefined && { detail }),
      ...(failure !== undefined && { failure }),
      ...(by !== undefined && { by }),
    })
  }

  /** A grant that is over, of a run that goes on, as the run was with it. */
  noteGrant(entry: Entry, { claimedAt, holder, state: { attempt, fence } }: Granted): void {
    if (claimedAt === undefined) return
    const executor = this.named(holder)
    entry.journal.push({
      at: claimedAt,
      kind: "Claimed",
      attempt,
      fence,
      ...(executor !== undefined && { executor }),
    })
  }

  /** Who that is, while it is known. */
  named(holder: Entry["holder"]): Holder | undefined {
    const member = holder && this.members.get(holder.incarnation)
    return member && { incarnation: member.incarnation, name: member.joining.name }
  }

  /** How a run had ended that goes on. */
  noteEnd(entry: Entry, { at, failure, kind }: Ended): void {
    if (at !== undefined) this.note(entry, kind, at, failure?.message, failure)
  }

  /** The next grant that is postponed takes the place of the one before it (R30). */
  forgetPostponed({ journal }: Entry): void {
    const fence = journal.find(({ kind }) => kind === "Postponed")?.fence
    if (fence === undefined) return
    const left = journal.filter((each) =>
      each.fence !== fence || !["Claimed", "Started", "Postponed"].includes(each.kind)
    )
    journal.splice(0, journal.length, ...left)
  }

  private enter(entry: Entry, now: number, readyAt = now): void {
    if (isWaiting(entry.state)) {
      entry.holder = undefined
      entry.claimedAt = undefined
    }
    const deadlineAt = entry.state.attempt === 0 ? entry.deadlineAt : undefined
    if (entry.state._tag === "Ready") {
      entry.rank = Lane.rank(readyAt, entry.level, deadlineAt, this.orderOf(entry))
    } else if (entry.state._tag === "Blocked") {
      entry.rank = this.rankAtGate(entry, entry.level, deadlineAt)
    } else if (entry.state._tag === "Suspended") entry.suspendedAt = now
    else if (Run.isFinal(entry.state._tag)) {
      this.forgetDeadline(entry)
      entry.finishedAt = now
      if (this.outbox.tell(entry, now)) this.hint(ofOutbox)
    }
    this.place(entry)
  }

  private place(entry: Entry): void {
    const { gate, lane } = entry.spec
    const state = entry.state
    if (gate !== undefined && Run.holdsPlace(state, gate.places)) {
      within(this.holders, gate.key, () => new Set<Entry>()).add(entry)
    }
    switch (state._tag) {
      case "Scheduled":
        this.scheduled.add(entry)
        break
      case "Blocked":
        within(this.blocked, gate!.key, () => new Sorted<Entry>(Blocking.order)).add(entry)
        within(this.blockedFor, lane, () => new Set<Entry>()).add(entry)
        break
      case "Ready":
        this.wait(entry, lane)
        break
      case "Running":
        this.members.get(entry.holder!.incarnation)?.held.add(entry)
        break
      case "Awaiting":
        if (state.isParent) this.parents.set(entry.id, entry)
        else if (entry.awaitsUntil !== undefined) this.awaiting.add(entry)
        break
      case "Suspended":
        break
      default:
        if (entry.shard !== undefined) break
        this.finished.push(entry)
        this.finishedSince = Math.min(this.finishedSince, entry.finishedAt ?? -Infinity)
        this.finishedRuns += 1 + entry.children.length
        while (this.finishedRuns > this.bounds.finished) this.forgetFirst(entry.finishedAt!)
    }
  }

  private quit(entry: Entry): void {
    const { gate } = entry.spec
    const state = entry.state
    if (gate !== undefined && Run.holdsPlace(state, gate.places)) {
      drop(this.holders, gate.key, entry)
    }
    switch (state._tag) {
      case "Scheduled":
        this.scheduled.delete(entry)
        break
      case "Blocked":
        drop(this.blocked, gate!.key, entry)
        drop(this.blockedFor, entry.spec.lane, entry)
        break
      case "Ready":
        drop(this.ready, entry.lane, entry)
        break
      case "Running":
        this.members.get(entry.holder!.incarnation)?.held.delete(entry)
        break
      case "Awaiting":
        this.parents.delete(entry.id)
        if (entry.awaitsUntil !== undefined) this.awaiting.delete(entry)
        break
      case "Suspended":
        break
      default:
        // It was revived.
        this.outbox.freeze(entry)
        entry.finishedAt = undefined
        if (entry.shard !== undefined) break
        this.finished.splice(this.finished.lastIndexOf(entry), 1)
        this.finishedRuns -= 1 + entry.children.length
    }
  }

  private forgetFirst(now: number): void {
    const entry = this.finished[this.forgotten++]!
    if (this.forgotten > 1024 && this.forgotten * 2 > this.finished.length) {
      this.finished.splice(0, this.forgotten)
      this.forgotten = 0
    }
    this.forget(entry, now)
  }

  /** A family as a whole; of how many runs. */
  private forget(entry: Entry, now: number): number {
    const family = familyOf(entry)
    miss(this, this.outbox.forget(entry), now)
    for (const { id, spec: { idempotencyKey, namespace } } of family) {
      this.runs.delete(id)
      this.told.delete(id)
      const key = `${namespace} ${idempotencyKey}`
      // The key may have passed on to another run.
      if (idempotencyKey !== undefined && this.idempotency.get(key) === id) {
        this.idempotency.delete(key)
      }
    }
    this.finishedRuns -= family.length
    return family.length
  }

  /**
   * Takes away the finished runs that are over, the earliest first; how many. What ended after
   * `latest` is not.
   */
  retire(latest: number, isOver: (entry: Entry) => boolean, limit: number, now: number): number {
    // Most of the time nothing is that old.
    if (this.finishedSince > latest) return 0
    let retired = 0
    this.finished = this.finished.slice(this.forgotten).filter((entry) => {
      if (retired >= limit || !familyOf(entry).every(isOver)) return true
      retired += this.forget(entry, now)
      return false
    })
    this.forgotten = 0
    this.finishedSince = this.finished.reduce(
      (since, { finishedAt }) => Math.min(since, finishedAt ?? since),
      Infinity,
    )
    return retired
  }
}

/** Nobody holds it, nor did whoever held it hand it over. */
const isWaiting = ({ _tag }: Run.RunState): boolean =>
  _tag === "Scheduled" || _tag === "Blocked" || _tag === "Ready" || _tag === "Suspended"

const familyOf = (entry: Entry): ReadonlyArray<Entry> => [entry, ...entry.children]

/** Within a lane; which of several levels goes first depends on the time and is judged at a claim. */
const byPlace = (a: Entry, b: Entry): number => a.level - b.level || a.rank - b.rank || a.id - b.id

export const within = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

/** Takes `entry` from the collection at `key`, and the collection away when it is empty. */
const drop = <K>(
  map: Map<K, { delete(entry: Entry): boolean; readonly size: number }>,
  key: K,
  entry: Entry,
): void => {
  const collection = map.get(key)
  collection?.delete(entry)
  if (collection?.size === 0) map.delete(key)
}
