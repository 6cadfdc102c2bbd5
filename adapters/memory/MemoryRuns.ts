/** Runs in memory: the shortest code that keeps the laws of `RunStorage`, and their reference. */
import { Effect, Option, Result } from "effect"
import * as Asked from "../../core/domain/Asked.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as Change from "../../core/domain/Change.ts"
import {
  type Conclusion,
  finishing,
  handedOver,
  hooksLeft,
  isFinishing,
  isMark,
  lossOf,
  marks,
  resultOf,
} from "../../core/domain/Conclusion.ts"
import * as Crashes from "../../core/domain/Crashes.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import * as Lane from "../../core/domain/Lane.ts"
import * as GivenBack from "../../core/domain/GivenBack.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import * as Places from "../../core/domain/Places.ts"
import * as Rollback from "../../core/domain/Rollback.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { tooLate, unnotified } from "../../core/domain/RunView.ts"
import type {
  Claimed,
  ClaimRequest,
  Concluding,
  Expiry,
  FamilySpec,
  FamilySubmitted,
  Grant,
  Kept,
  Known,
  Mark,
  Notice,
  Ordered,
  Overdue,
  Report,
  RunSpec,
  RunStorage,
  Settled,
  Submitted,
} from "../../core/services/RunStorage.ts"
import { isSoon, ofDue } from "../../core/services/Wakeups.ts"
import * as MemoryAdmission from "./MemoryAdmission.ts"
import * as MemoryRunViews from "./MemoryRunViews.ts"
import { standingOf } from "./MemoryExecutors.ts"
import { type Ended, type Entry, type Late, type Member, type MemoryState } from "./MemoryState.ts"

/** After these reports a run goes on without the grant. */
const goesOn: ReadonlySet<Report["_tag"]> = new Set([
  "Retry",
  "Release",
  "Postpone",
  "Yield",
])

const isGrantTold = ({ journal, state: { fence } }: Entry): boolean =>
  journal.some((each) => each.kind === "Claimed" && each.fence === fence)

/** What tells of one that is held is the mark of its start. */
const hasBegun = ({ state }: Entry): boolean => state._tag === "Running" && state.isStartMarked

/** Whether its hooks are still to come, of what is handed over or about to be. */
const hasHooksLeft = ({ conclusion, state }: Entry): boolean =>
  (state._tag === "Running" || state._tag === "Awaiting") && marks(conclusion, state)

/** What was concluded of it; a mark is no conclusion. */
const concludedOf = ({ conclusion }: Entry): Conclusion | undefined =>
  conclusion === undefined || isMark(conclusion) ? undefined : conclusionOf(conclusion)

/** Whether that grant has left its hooks to a later one: its mark has become a conclusion. */
const hasLeftHooks = ({ journal }: Entry, fence: Fence): boolean =>
  journal.some((event) => event.fence === fence && event.detail === hooksLeft)

/** As it is told once the run goes on. */
const endOf = ({ failure, finishedAt, state: { _tag } }: Entry): Ended => ({
  at: finishedAt,
  kind: _tag,
  failure,
})

/** `ofLeases` is the clock by which leases are judged. */
export const make = (
  state: MemoryState,
  now: () => number,
  ofLeases: () => number,
): RunStorage => {
  const nameOf = ({ idempotencyKey, namespace }: RunSpec) => `${namespace} ${idempotencyKey}`

  /** What its key says of a spec, if it names a run already. */
  const knownBy = (spec: RunSpec): Submitted | undefined => {
    if (spec.idempotencyKey === undefined) return undefined
    const known = state.runs.get(state.idempotency.get(nameOf(spec))!)
    if (known === undefined) return undefined
    return known.spec.task === spec.task && known.spec.payload === spec.payload
      ? { _tag: "Submitted", run: known.id, state: known.state._tag, isNew: false }
      : { _tag: "Conflict", run: known.id }
  }

  const add = (spec: RunSpec, kin?: { readonly isParent: boolean }): Entry => {
    const entry = state.add(spec, now(), undefined, kin)
    if (spec.asked !== undefined) state.note(entry, Asked.kind, now(), Asked.textOf(spec.asked))
    if (spec.idempotencyKey !== undefined) state.idempotency.set(nameOf(spec), entry.id)
    return entry
  }

  const submit = (spec: RunSpec): Submitted => {
    const known = knownBy(spec)
    if (known !== undefined) return known
    const { id, state: { _tag } } = add(spec)
    return { _tag: "Submitted", run: id, state: _tag, isNew: true }
  }

  const submitFamily = ({ children, parent: spec, places }: FamilySpec): FamilySubmitted => {
    const known = knownBy(spec)
    if (known?._tag === "Conflict") return known
    if (known !== undefined) {
      return { ...known, children: [], gate: FanIn.gate(known.run, places).key }
    }
    const parent = add(spec, { isParent: true })
    const gate = FanIn.gate(parent.id, places)
    for (const [index, child] of children.entries()) {
      const shard = { parent: parent.id, index, count: children.length }
      const idempotencyKey = FanIn.keyOf(shard)
      parent.children.push(
        state.add({ ...child, gate, idempotencyKey }, now(), undefined, { shard }),
      )
    }
    return {
      _tag: "Submitted",
      run: parent.id,
      state: parent.state._tag,
      isNew: true,
      children: parent.children.map(({ id }) => id),
      gate: gate.key,
    }
  }

  const admission = MemoryAdmission.make(
    state,
    now,
    (holder) => void cancelOne(holder, undefined),
  )

  const keep = ({ namespace, task }: RunSpec, { key, state: text }: Kept) => {
    const at = `${namespace} ${task} ${key}`
    if (text === undefined) state.states.delete(at)
    else state.states.set(at, text)
  }

  const settle = (
    incarnation: Incarnation,
    report: Report,
    freed: Set<GateKey>,
  ): Settled => {
    const entry = state.runs.get(report.run)
    if (entry === undefined) return "fenced"
    const granted = { claimedAt: entry.claimedAt, holder: entry.holder, state: entry.state }
    const held = { ...entry.state, holder: entry.holder }
    const isOwn = held._tag === "Running" && held.holder?.incarnation === incarnation
    const { run: _, ...event } = report
    if (isOwn && report._tag === "Await") {
      entry.awaitsUntil = report.timeoutMillis === undefined
        ? undefined
        : now() + report.timeoutMillis
    }
    if (
      isOwn && held.fence === report.fence && report._tag === "Release" &&
      (hasBegun(entry) || report.checkpoint !== undefined)
    ) {
      // It is no nearer to its turn for having had a deadline.
      state.forgetDeadline(entry)
    }
    if (!isOwn || !state.move(entry, event, now())) {
      if (entry.settled === report.fence) return "duplicate"
      state.note(entry, "LateReport", now(), `${report._tag} with fence ${report.fence}`)
      return "fenced"
    }
    entry.settled = report.fence
    if ("failure" in report) entry.failure = report.failure
    // A run that was asked to stop is cancelled instead, whatever its holder made of it.
    if (entry.state._tag !== "Cancelled") {
      if (report._tag === "Postpone") state.forgetPostponed(entry)
      if (goesOn.has(report._tag)) state.noteGrant(entry, granted)
      note(entry, report)
    }
    if (entry.state._tag === "Scheduled" && "delayMillis" in report) {
      reschedule(entry, report.delayMillis)
    }
    freePlace(entry, freed)
    return "applied"
  }

  /** What else there is to a report that was applied. */
  const note = (entry: Entry, report: Report): void => {
    switch (report._tag) {
      case "Succeed":
        entry.result = report.result
        entry.failure = undefined
        if (report.kept !== undefined) keep(entry.spec, report.kept)
        break
      case "Retry":
        state.note(entry, "Retried", now(), report.failure.message, report.failure)
        break
      case "Release":
        state.note(entry, "Released", now(), GivenBack.wordsOf(report.why))
        entry.checkpoint = report.checkpoint ?? entry.checkpoint
        break
      case "Postpone":
        state.note(entry, "Postponed", now())
        break
      case "Yield":
        state.note(entry, "Yielded", now())
        state.forgetDeadline(entry)
        entry.checkpoint = report.checkpoint ?? entry.checkpoint
        break
      case "Await":
        state.note(entry, "Awaited", now())
        state.forgetDeadline(entry)
    }
  }

  /** A retried or postponed run stands in the calendar by its new due time. */
  const reschedule = (entry: Entry, delayMillis: number): void => {
    state.scheduled.delete(entry)
    entry.dueAt = now() + delayMillis
    state.scheduled.add(entry)
    if (isSoon(delayMillis)) state.hint(ofDue)
  }

  const freePlace = (entry: Entry, freed: Set<GateKey>): void => {
    const { gate } = entry.spec
    if (gate !== undefined && !Run.holdsPlace(entry.state, gate.places)) freed.add(gate.key)
  }

  const grant = (entry: Entry): Grant => ({
    run: entry.id,
    fence: entry.state.fence,
    namespace: entry.spec.namespace,
    task: entry.spec.task,
    attempt: entry.state.attempt,
    crashes: entry.state.crashes,
    isCareful: entry.state.isCareful,
    payload: entry.spec.payload,
    ...(entry.spec.idempotencyKey !== undefined && { idempotencyKey: entry.spec.idempotencyKey }),
    ...(entry.slot !== undefined && { slot: entry.slot }),
    ...(entry.checkpoint !== undefined && { checkpoint: entry.checkpoint }),
    ...(entry.shard !== undefined && { shard: entry.shard }),
    ...(concludedOf(entry) !== undefined && { conclusion: concludedOf(entry)! }),
  })

  const claim = (request: ClaimRequest): Claimed | "Lost" => {
    const member = state.members.get(request.incarnation)
    const standing = standingOf(member, ofLeases())
    if (member === undefined || standing === "lost" || standing === "left") return "Lost"
    const freed = new Set<GateKey>()
    const settled = request.reports.map((report) => settle(request.incarnation, report, freed))
    const answer = (entries: ReadonlyArray<Entry>): Claimed => ({
      settled,
      grants: entries.map((entry) =>
        request.tellsAge !== true ? grant(entry) : {
          ...grant(entry),
          dueMillisAgo: Math.max(0, now() - entry.createdAt - entry.spec.delayMillis),
        }
      ),
      freed: [...freed],
    })
    // What is handed out again is granted as well, so first it must not be too late.
    tooLateToBegin(Infinity, freed)
    if (request.isAgain) {
      const round = [...member.held].filter(({ holder }) =>
        holder?.loop === request.loop && holder.round === request.round
      )
      if (round.length > 0) return answer(round)
    }
    if (standing === "draining") return answer([])
    const first = candidates(request.lanes, request.limit)
    for (const entry of first) {
      const { incarnation, loop, round } = request
      entry.holder = { incarnation, loop, round }
      entry.claimedAt = now()
      state.move(entry, { _tag: "Claim" }, now())
    }
    return answer(first)
  }

  /** The first `limit` ready runs of these lanes, each level of a lane being in order already. */
  const candidates = (lanes: ReadonlyArray<Lane.Lane>, limit: number): ReadonlyArray<Entry> => {
    if (limit === 0) return []
    const found: Array<Entry> = []
    for (const lane of lanes) {
      const ready = state.ready.get(lane)
      if (ready === undefined) continue
      for (const level of Lane.levels) {
        let taken = 0
        for (const entry of ready.from((entry) => entry.level < level)) {
          if (entry.level !== level || taken++ === limit) break
          found.push(entry)
        }
      }
    }
    const order = Lane.order(now())
    const place = ({ level, rank, id }: Entry) => ({ level, rank, run: id })
    return found.sort((a, b) => order(place(a), place(b))).slice(0, limit)
  }

  const start = (incarnation: Incarnation, { ending, fence, run }: Mark): boolean => {
    const entry = state.runs.get(run)
    if (entry?.state._tag !== "Running" || entry.holder?.incarnation !== incarnation) return false
    const { attempt, isCancelling, isStartMarked, isSuspending } = entry.state
    if (isCancelling || isSuspending) return false
    // A sweep lets it expire.
    const isNew = !isStartMarked && attempt === 1
    if (isNew && (entry.deadlineAt ?? Infinity) <= now()) return false
    const isTaken = state.move(entry, { _tag: "Start", fence }, now())
    if (isTaken && !isStartMarked) {
      state.note(entry, "Started", now())
      const member = state.members.get(incarnation)
      if (ending !== undefined && member !== undefined) {
        const { inMillis, report } = ending
        member.endings = new Map(member.endings).set(run, { at: ofLeases() + inMillis, report })
      }
    }
    return isTaken
  }

  const conclude = (
    incarnation: Incarnation,
    { conclusion, fence, run }: Concluding,
  ): boolean => {
    const entry = state.runs.get(run)
    // It comes again, and has become a conclusion meanwhile.
    if (isMark(conclusion) && entry !== undefined && hasLeftHooks(entry, fence)) return true
    if (entry?.state._tag !== "Running" || entry.state.fence !== fence) return false
    if (entry.holder?.incarnation !== incarnation) return false
    // What is to stop ends once it is handed over, so nothing would be left to whoever comes next.
    const isKnown = entry.state.isCancelling || concludedOf(entry) !== undefined
    if (isMark(conclusion) && isKnown) return false
    const isLate = entry.conclusion?.fence === fence && entry.conclusion.phase === "cleaning" &&
      conclusion.phase === "rollingBack"
    if (!isLate) entry.conclusion = { ...conclusion, fence }
    state.forgetDeadline(entry)
    return true
  }

  const reconcile = (incarnation: Incarnation, { grants, rounds }: Known) => {
    const isHeld = (run: RunId, fence: Fence) => {
      const entry = state.runs.get(run)
      return entry?.state._tag === "Running" && entry.state.fence === fence &&
        entry.holder?.incarnation === incarnation
    }
    const named = new Set(grants.map(Places.nameOf))
    const answered = new Map(rounds.map(({ loop, round }) => [loop, round]))
    for (const entry of [...state.members.get(incarnation)?.held ?? []]) {
      const { loop, round } = entry.holder!
      const isAnswered = round <= (answered.get(loop) ?? -1)
      const { fence } = entry.state
      if (!isAnswered || named.has(Places.nameOf({ run: entry.id, fence }))) continue
      if (hasBegun(entry)) state.forgetDeadline(entry)
      state.noteGrant(entry, entry)
      state.note(entry, "Released", now(), GivenBack.unknown)
      state.move(entry, { _tag: "Release", fence }, now())
    }
    return { passed: grants.filter(({ fence, run }) => !isHeld(run, fence)).map(({ run }) => run) }
  }

  const promote = (limit: number) => {
    const gates = new Set<GateKey>()
    const unplaced = new Set<Lane.Lane>()
    let promoted = 0
    for (; promoted < limit; promoted++) {
      const entry = state.scheduled.first
      if (entry === undefined || entry.dueAt > now()) break
      // Its turn at the gate begins now, not when it was submitted.
      entry.turn = state.nextRunId(now())
      state.move(entry, { _tag: "Due" }, now())
      if (entry.state._tag === "Blocked") gates.add(entry.spec.gate!.key)
      else if (Lane.isUnplaced(entry.lane)) unplaced.add(entry.lane)
    }
    const next = state.scheduled.first
    return {
      promoted,
      gates: [...gates],
      unplaced: [...unplaced],
      nextInMillis: next === undefined ? undefined : Math.max(0, next.dueAt - now()),
    }
  }

  const cancel = (run: RunId, by?: string) => {
    const entry = state.runs.get(run)
    return entry === undefined ? Option.none() : Option.some(cancelOne(entry, by))
  }

  const cancelOne = (
    entry: Entry,
    by: string | undefined,
  ): Ordered<"confirmed" | "requested" | "ended"> => {
    const freed = new Set<GateKey>()
    if (isFinishing(entry.conclusion, entry.state._tag)) return { answer: "requested", freed: [] }
    if (hasHooksLeft(entry)) {
      finish(entry, { _tag: "Cancel" }, "CancelAsked", { state: "Cancelled" }, by)
      return { answer: "requested", freed: [] }
    }
    if (!state.move(entry, { _tag: "Cancel" }, now())) return { answer: "ended", freed: [] }
    // The end of what waited tells of it by itself, but not whose order it was.
    if (by !== undefined || entry.state._tag === "Running") {
      state.note(entry, "CancelAsked", now(), undefined, undefined, by)
    }
    if (entry.state._tag === "Awaiting") {
      for (const child of entry.children) cancelOne(child, by)
      return { answer: "requested", freed: [FanIn.gate(entry.id, 1).key] }
    }
    if (entry.state._tag === "Running") {
      state.hint(`executor ${entry.holder!.incarnation}`)
      return { answer: "requested", freed: [] }
    }
    freePlace(entry, freed)
    return { answer: "confirmed", freed: [...freed] }
  }

  /** What was handed over goes on for its hooks, and then ends so. */
  const finish = (
    entry: Entry,
    event: Extract<Run.RunEvent, { readonly _tag: "Notify" | "Expire" | "Cancel" }>,
    kind: string,
    conclusion: Pick<Conclusion, "state" | "result" | "failure">,
    by?: string,
  ): void => {
    if (!isGrantTold(entry)) state.noteGrant(entry, entry)
    state.note(entry, kind, now(), hooksLeft, conclusion.failure, by)
    state.forgetDeadline(entry)
    state.move(entry, { ...event, isLeft: true }, now())
    entry.failure = conclusion.failure ?? entry.failure
    entry.conclusion = { ...finishing(conclusion), fence: entry.state.fence }
  }

  /** The answer to an order about a run that is known. */
  const ordered = <A>(
    run: RunId,
    carryOut: (entry: Entry, freed: Set<GateKey>) => A,
  ): Option.Option<Ordered<A>> => {
    const entry = state.runs.get(run)
    if (entry === undefined) return Option.none()
    const freed = new Set<GateKey>()
    const answer = carryOut(entry, freed)
    return Option.some({ answer, freed: [...freed] })
  }

  const suspend = (by?: string) => (entry: Entry, freed: Set<GateKey>) => {
    if (Run.isFinal(entry.state._tag)) return "ended"
    if (entry.state._tag === "Suspended") return "confirmed"
    if (!state.move(entry, { _tag: "Suspend" }, now())) return "refused"
    if (entry.state._tag === "Running") {
      state.note(entry, "SuspendAsked", now(), undefined, undefined, by)
      state.hint(`executor ${entry.holder!.incarnation}`)
      return "requested"
    }
    state.note(entry, "Suspended", now(), undefined, undefined, by)
    freePlace(entry, freed)
    return "confirmed"
  }

  const change = (order: Change.Change) => (entry: Entry) => {
    if (Run.isFinal(entry.state._tag)) return "ended"
    const { deadlineAt, level } = entry
    if (Result.isFailure(Run.advance(entry.state, { _tag: "Change" }))) return "refused"
    const revision = Change.firstRevision + entry.changes
    const changing = { deadlineAt, fence: entry.state.fence, revision }
    const refused = Change.refused(now(), changing, order)
    if (refused !== undefined) return refused
    const after = {
      level: order.level ?? level,
      deadlineAt: Change.deadlineOf(now(), entry, order),
    }
    state.change(entry, after.level, after.deadlineAt, now())
    for (const [kind, detail] of Change.said({ deadlineAt, level }, after, order)) {
      state.note(entry, kind, now(), detail, undefined, order.by)
    }
    return "confirmed"
  }

  const stateOf = (entry: Entry): Run.StateName => entry.state._tag

  const resume = (by?: string) => (entry: Entry, freed: Set<GateKey>) => {
    if (Run.isFinal(entry.state._tag)) return "ended"
    if (entry.state._tag !== "Suspended") {
      return entry.state._tag === "Running" && entry.state.isSuspending ? "refused" : "confirmed"
    }
    const { gate } = entry.spec
    const isDue = entry.dueAt <= now()
    entry.turn = state.nextRunId(now())
    state.note(entry, "Resumed", now(), undefined, undefined, by)
    state.move(entry, { _tag: "Resume", isDue, places: gate?.places ?? 0 }, now())
    // It may hold none now, but it held none before either where it waits for its due time again.
    if (stateOf(entry) !== "Scheduled") freePlace(entry, freed)
    else if (isSoon(entry.dueAt - now())) state.hint(ofDue)
    return "confirmed"
  }

  const notify = (notice: Notice, by?: string) => (entry: Entry, freed: Set<GateKey>) => {
    const isKnown = entry.state._tag !== "Awaiting" && concludedOf(entry) !== undefined
    if (Run.isFinal(entry.state._tag) || isKnown) return entry.isNotified ? "duplicate" : "ended"
    const isSuccess = notice._tag === "Succeeded"
    if (hasHooksLeft(entry)) {
      const { _tag, ...said } = notice
      finish(entry, { _tag: "Notify", isSuccess }, "Notified", { state: _tag, ...said }, by)
      entry.isNotified = true
      return "applied"
    }
    if (!state.move(entry, { _tag: "Notify", isSuccess }, now())) return "refused"
    entry.isNotified = true
    state.note(entry, "Notified", now(), undefined, undefined, by)
    entry.result = isSuccess ? notice.result : undefined
    entry.failure = isSuccess ? undefined : notice.failure
    freePlace(entry, freed)
    return "applied"
  }

  const revive = (by?: string) => (entry: Entry, freed: Set<GateKey>) => {
    if (!Run.isFinal(entry.state._tag)) return "confirmed"
    const isParent = entry.children.length > 0
    const parent = isParent ? entry : entry.shard && state.runs.get(entry.shard.parent)
    const revived = (isParent ? entry.children : [entry])
      .filter((each) => reviveOne(each, freed, by))
    if (revived.length === 0) return "refused"
    reopen(parent, by)
    return "confirmed"
  }

  /** A child of it goes on. */
  const reopen = (parent: Entry | undefined, by: string | undefined): void => {
    const ended = parent && endOf(parent)
    if (parent === undefined || !state.move(parent, { _tag: "Reopen" }, now())) return
    state.noteEnd(parent, ended!)
    parent.failure = undefined
    state.note(parent, "Reopened", now(), undefined, undefined, by)
  }

  const reviveOne = (entry: Entry, freed: Set<GateKey>, by: string | undefined): boolean => {
    if (!goOn(entry, "Revive", freed)) return false
    entry.conclusion = undefined
    state.note(entry, "Revived", now(), entry.failure?.message, entry.failure, by)
    return true
  }

  /** What has ended goes on, and its end stays told. */
  const goOn = (entry: Entry, _tag: "Revive" | "RollBack", freed: Set<GateKey>): boolean => {
    const { gate } = entry.spec
    entry.turn = state.nextRunId(now())
    const granted = { claimedAt: entry.claimedAt, holder: entry.holder, state: entry.state }
    const ended = endOf(entry)
    if (!state.move(entry, { _tag, isGated: gate !== undefined }, now())) return false
    entry.isNotified = false
    if (!isGrantTold(entry)) state.noteGrant(entry, granted)
    state.noteEnd(entry, ended)
    freePlace(entry, freed)
    return true
  }

  const rollback = (demand: Rollback.Demand) => (entry: Entry, freed: Set<GateKey>) => {
    const answer = Rollback.answer({
      state: entry.state,
      failure: entry.failure,
      conclusion: entry.conclusion,
      hasChildren: entry.children.length > 0,
      isGated: entry.spec.gate !== undefined,
      isUntold: () => state.outbox.isToTell(entry),
    })
    if (answer !== undefined) return answer
    const asked = Rollback.asked(demand)
    const conclusion = Rollback.conclusion(asked, entry.result ?? entry.conclusion?.result)
    goOn(entry, "RollBack", freed)
    entry.conclusion = { ...conclusion, fence: entry.state.fence }
    entry.result = undefined
    entry.failure = asked
    state.note(entry, "RollbackAsked", now(), demand.note, undefined, demand.by)
    state.note(entry, "Revived", now(), asked.message, asked)
    reopen(entry.shard && state.runs.get(entry.shard.parent), demand.by)
    return "confirmed"
  }

  const tooLateToBegin = (limit: number, freed: Set<GateKey>): Array<Expiry["runs"][number]> => {
    const runs: Array<Expiry["runs"][number]> = []
    while (runs.length < limit) {
      const entry = state.deadlines.first
      if (entry === undefined || entry.deadlineAt! > now()) break
      state.forgetDeadline(entry)
      if (!state.move(entry, { _tag: "Expire" }, now())) continue
      if (entry.state._tag === "Expired") entry.failure = tooLate
      freePlace(entry, freed)
      runs.push({ run: entry.id, state: entry.state._tag })
    }
    return runs
  }

  const expire = (limit: number): Expiry => {
    const freed = new Set<GateKey>()
    const runs = tooLateToBegin(limit, freed)
    while (runs.length < limit) {
      const entry = state.awaiting.first
      if (entry === undefined || entry.awaitsUntil! > now()) break
      if (hasHooksLeft(entry)) {
        finish(entry, { _tag: "Expire" }, "Unnotified", handedOver)
      } else {
        entry.failure = unnotified
        state.move(entry, { _tag: "Expire" }, now())
      }
      freePlace(entry, freed)
      runs.push({ run: entry.id, state: entry.state._tag })
    }
    return { runs, freed: [...freed] }
  }

  const isQuiet = (): boolean => {
    const at = now()
    if (state.blocked.size > 0 || state.parents.size > 0) return false
    if ((state.deadlines.first?.deadlineAt ?? Infinity) <= at) return false
    if ((state.awaiting.first?.awaitsUntil ?? Infinity) <= at) return false
    for (const member of state.members.values()) {
      const standing = standingOf(member, ofLeases())
      if (standing !== member.standing) return false
      if ((standing === "lost" || standing === "left") && member.held.size > 0) return false
      if (member.endings.values().some((late) => late.at <= ofLeases() + 1000)) return false
    }
    return state.ready.keys().every((lane) =>
      !Lane.isUnplaced(lane) && Lane.executorOf(lane) === undefined
    )
  }

  const latelyOf = (
    { journal, spec: { namespace, task } }: Entry,
  ): { readonly lately?: number } => {
    const within = state.tasks.get(`${namespace} ${task}`)?.definition.policy.crashesWithinMillis
    return within === undefined ? {} : { lately: Crashes.lately(journal, now(), within) }
  }

  const recover = (limit: number) => {
    const lost: Array<Incarnation> = []
    const runs: Array<{ run: RunId; state: Run.StateName }> = []
    const freed = new Set<GateKey>()
    for (const member of state.members.values()) {
      if (member.standing !== "lost" && standingOf(member, ofLeases()) === "lost") {
        member.standing = "lost"
        lost.push(member.incarnation)
      }
      if (member.standing !== "lost" && member.standing !== "left") continue
      for (const entry of [...member.held]) {
        if (runs.length === limit) break
        const { spec: { crashesMax, isAtMostOnce } } = entry
        const conclusion = concludedOf(entry)
        // It is all done again, as nobody knows whether it was handed over.
        entry.conclusion = conclusion && entry.conclusion
        const lately = latelyOf(entry)
        state.noteGrant(entry, entry)
        const loss = lossOf(member.joining.name, member.standing, conclusion)
        state.note(entry, "Lost", now(), loss)
        const concluded = conclusion && { concluded: conclusion.state }
        state.move(entry, {
          _tag: "Lose",
          crashesMax,
          isAtMostOnce,
          ...lately,
          ...concluded,
        }, now())
        if (conclusion !== undefined && Run.isFinal(entry.state._tag)) {
          entry.result = resultOf(conclusion)
          entry.failure = conclusion.failure
        } else if (Run.isFinal(entry.state._tag) && entry.state._tag !== "Cancelled") {
          entry.failure = { tag: "ExecutorLost", message: `${member.joining.name} was lost` }
        }
        freePlace(entry, freed)
        runs.push({ run: entry.id, state: entry.state._tag })
      }
    }
    return { lost, runs, freed: [...freed] }
  }

  const endOverdue = (limit: number): Overdue => {
    const at = ofLeases()
    const due: Array<readonly [Member, Late]> = []
    let next = Infinity
    for (const member of state.members.values()) {
      for (const late of member.endings.values()) {
        if (late.at <= at) due.push([member, late])
        else next = Math.min(next, late.at)
      }
    }
    due.sort(([, one], [, other]) => one.at - other.at)
    const freed = new Set<GateKey>()
    const reports: Array<Report> = []
    for (const [member, { report }] of due.slice(0, limit)) {
      const left = new Map(member.endings)
      left.delete(report.run)
      member.endings = left
      const entry = state.runs.get(report.run)
      const isHeld = entry !== undefined && member.held.has(entry) &&
        entry.state.fence === report.fence && concludedOf(entry) === undefined
      if (isHeld && settle(member.incarnation, report, freed) === "applied") reports.push(report)
    }
    const nextInMillis = due.length > limit ? 0 : next === Infinity ? undefined : next - at
    return { reports, freed: [...freed], nextInMillis }
  }

  return {
    submit: (specs) => Effect.sync(() => specs.map(submit)),
    submitFamily: (family) => Effect.sync(() => submitFamily(family)),
    admit: admission.admit,
    openGates: admission.openGates,
    claim: (request) => Effect.sync(() => claim(request)),
    settle: (incarnation, reports) =>
      Effect.sync(() => {
        const freed = new Set<GateKey>()
        return {
          settled: reports.map((report) => settle(incarnation, report, freed)),
          freed: [...freed],
        }
      }),
    start: (incarnation, marks) => Effect.sync(() => marks.map((mark) => start(incarnation, mark))),
    conclude: (incarnation, conclusions) =>
      Effect.sync(() => conclusions.map((each) => conclude(incarnation, each))),
    reconcile: (incarnation, known) => Effect.sync(() => reconcile(incarnation, known)),
    promote: (limit) => Effect.sync(() => promote(limit)),
    cancel: (run, by) => Effect.sync(() => cancel(run, by)),
    suspend: (run, by) => Effect.sync(() => ordered(run, suspend(by))),
    resume: (run, by) => Effect.sync(() => ordered(run, resume(by))),
    change: (run, order) => Effect.sync(() => ordered(run, change(order))),
    notify: (run, notice, by) => Effect.sync(() => ordered(run, notify(notice, by))),
    revive: (run, by) => Effect.sync(() => ordered(run, revive(by))),
    rollback: (run, demand = {}) => Effect.sync(() => ordered(run, rollback(demand))),
    isQuiet: Effect.sync(isQuiet),
    expire: (limit) => Effect.sync(() => expire(limit)),
    endOverdue: (limit) => Effect.sync(() => endOverdue(limit)),
    recover: (limit) => Effect.sync(() => recover(limit)),
    ...MemoryRunViews.make(state, now, ofLeases, admission.holders),
  }
}

export const conclusionOf = (
  { fence: _, ...conclusion }: NonNullable<Entry["conclusion"]>,
): Conclusion => conclusion
