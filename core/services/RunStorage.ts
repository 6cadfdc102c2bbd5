/**
 * Keeps runs, from submit to outcome.
 *
 * - **R1 no loss.** An acknowledged run is in one state at any time and stays known when final, for
 *   as long as `HistoryStorage` says.
 * - **R2 idempotent submit.** A key names one run of its namespace (for how long: H3): submitting it
 *   again answers with that run and `isNew: false`, or `Conflict` if task or payload differ. Specs of
 *   one call do not affect each other.
 * - **R3 single grant.** A run has at most one holder; two claims at once share no run.
 * - **R4 fence.** Each grant of a run has a higher fence than all before it, also after a release,
 *   a retry or a loss.
 * - **R5 fenced reports.** A report with another fence than the current changes nothing and is
 *   answered `fenced`. One repeated with the fence that settled is answered `duplicate`.
 * - **R6 order.** Among ready runs of the claimed lanes the first by `Lane.order` are granted. A
 *   deadline counts in the rank however the run became ready, as long as nobody has begun it: in the
 *   order that the policy names which is kept of its task by then.
 * - **R7 rounds.** A claim with `isAgain` and the round of an earlier claim of the same loop hands
 *   out that round's runs again, same fences, before anything new: an answer lost on the way costs
 *   nothing. Its reports are settled as any repeated report.
 * - **R8 gates.** A gated run is ready only after `admit`, and at no time do more runs hold places
 *   of a gate than the run admitted last allows. `wait` runs pass by `Blocking.order`: by when the
 *   patience of their level ends, counted from when they came to the gate, or by their deadline where it
 *   counts (R38), then by who came first. Decisions about one gate do not overlap.
 * - **R9 not early.** A delayed run, or a retry, is not granted before its time.
 * - **R10 cancel.** Once cancel has answered `confirmed` the run is not granted; after `requested`
 *   its present grant is its last, however it ends; of what is handed over, the next (R43).
 * - **R11 recovery.** `recover` frees every grant of a lost or departed incarnation as
 *   `Run.advance` says; two recoveries at once free each grant once.
 * - **R12 agreement.** Every change of state is one that `Run.advance` makes.
 * - **R13 reconciled.** `reconcile` gives back, as a release does, what was granted under a round
 *   that its holder has had the answer of, and does not know of; nothing else changes, also when the
 *   call comes late or twice, or names an earlier grant of the run, too. It answers which of the named
 *   grants are no longer current.
 * - **R14 suspended.** Once suspend has answered `confirmed` the run is not granted until it is
 *   resumed; after `requested` its present grant is the last before that. What its holder put down
 *   with it, or gave back with it, is in every grant after. It keeps the only place of a gate, and no other.
 * - **R15 awaiting.** A run that was handed over is held by nobody and keeps its place. The first
 *   notify ends it, however many come at once, and also when it comes before the holder's report;
 *   those after it are answered `duplicate`. Past its limit `expire` ends it as timed out. Where its
 *   hooks are left, R43 says how.
 * - **R16 deadline.** A run that was not begun by its deadline is never granted after it, and its start is
 *   refused; it ends as expired: by `expire`, or by the claim that comes across it. One that was begun is
 *   let be, also when it was given back since, by its holder or by `reconcile`, whatever was kept of it. What
 *   tells is the mark of its start. Nor has one a deadline any more that a notice has ended, and that is revived.
 * - **R17 revived.** `revive` gives a run that has failed, timed out or is in quarantine one more
 *   chance, as the same run: attempt and fence go on, crashes are forgotten. It changes no other.
 * - **R18 family.** A parent and its children are kept in one step. The parent ends when the last of
 *   its children has, once, and not before, as `FanIn.verdict` says; two last children that end at
 *   once leave no parent behind. Reviving a child of a failed parent reopens the parent.
 * - **R19 state.** What a report of success keeps for a key of its task is kept in the step that ends
 *   the run, or not at all, and stays until another such report of the task replaces it.
 * - **R20 latest.** Where only the latest is kept, `admit` ends those that wait and came before it as
 *   discarded, each with the run that took its place. At a `replace` gate it asks the holders to stop,
 *   as cancel does, and the latest is ready when they have ended, not before.
 * - **R21 touching.** Of runs that touch the same thing, one of them exclusively, at most one is past
 *   its gate. A run takes all that it touches in one step, or nothing. What is to be had goes to those
 *   who wait in the order in which they came, whatever their level, and one that waits keeps those who
 *   came later from what it waits for. Others are not held up.
 * - **R22 concluded.** What its holder has concluded of a run is in every grant after, until it is
 *   revived. The loss of the holder is then no failure of the run: past the crashes that it survives,
 *   or when it was asked to stop, it ends as concluded. It had begun, so it expires by no deadline.
 * - **R23 shares.** The gates of a pool (`Share`) have their places in common. While runs wait at
 *   several of them, each lets runs pass by its weight, to within one; a gate at which none have
 *   waited is owed nothing and owes nothing, whatever waits at others. Within a gate the order is that
 *   of R8.
 * - **R24 told.** Each grant of a run is among its events, once, from when it was given, and to whom:
 *   while it is held, after it, and when the run is revived.
 * - **R25 level set.** Once a `change` of its level was `confirmed` the run takes its turn by that level,
 *   wherever it waits and in whatever it waits for later, as if it had had the level since it became
 *   ready, or came to the gate; both levels are told with it, and who set it with its events. Nothing else
 *   changes: whoever holds it goes on.
 * - **R27 met.** A holder may end what it has not begun: as discarded, with the reason, and the attempt
 *   given back; one that was asked to stop is cancelled instead. What it stops without being asked is
 *   cancelled, with the run that took its place.
 * - **R28 history.** Every change of state is among the events of a run, in the order in which they
 *   came, so that they lead, by `Run.advance` alone, to the state it is in; but that its time has come,
 *   which `dueAt` tells, and for what R30 leaves out. What ended a run that was revived stays told.
 *   Reports that come late are told of while there are less than a thousand events, and displace none.
 * - **R29 ordered by.** An order that was given with the name of who gave it, and that a run took, is
 *   among its events with that name; one to a parent also among those of its children that took it.
 * - **R30 postponed.** A run that its holder has postponed keeps its place of a gate, and is not
 *   granted before that time. It has lost no attempt and counts no crash; a deadline goes on. However
 *   often it is postponed, the last of these grants is told of, and the others by their fences alone.
 * - **R31 age.** Where a claim asks for it, each of its grants says for how long its run has been due
 *   for the first time, by the storage's clock, whatever became of it since.
 * - **R32 forgotten crashes.** Where the policy that is kept of its task names a window, a run is put into
 *   quarantine when past the crashes that it survives in all it has been lost as often within the
 *   window, since it last came on (`Crashes.lately`). Its count of crashes goes on as it does.
 * - **R33 counted.** `counts` tells of the runs that are known how many are in each state, where tasks
 *   are named of theirs alone: each once, whatever lane it waits in.
 * - **R34 quiet.** `isQuiet` says so only while `recover`, `expire` and `openGates` find nothing,
 *   nothing is to be moved or told by `displace`, nor said by `endOverdue` within the next second.
 * - **R35 deadline set.** Once a `change` of its deadline was `confirmed` the run expires by that one and
 *   no other, or never if it was taken away, and its rank is as if it had had it since it became ready.
 *   It is told with the run, and both with its events, by whom. One that was granted, or whose deadline
 *   has passed, is not changed.
 * - **R36 revisions.** Each change makes another revision of the run, which is told with it. One that names
 *   a revision holds only if the run is at that one: of two that name the same, one is `stale`, and
 *   changes nothing.
 * - **R37 rolled back.** Once `rollback` has answered `confirmed` a run that had ended is granted again, as
 *   the same run and behind its gate, with the conclusion that it is to be rolled back (`Rollback`) and what
 *   it had succeeded with; asked again it is one rollback, unless that has failed. Who asked, and why, is
 *   among its events. It changes no parent, but for the one of a child, which is reopened; nothing that was
 *   never granted; and no success that somebody is yet to be told of.
 * - **R38 order at gates.** The deadline of a run that nobody has begun counts at a gate as in a lane
 *   (R6), however the run came there: in the order that the policy names which is kept of its task by
 *   then, or by a later `change`. Where none is named it counts only at gates of several places; one
 *   place makes a queue. Where tasks meet, each of their runs has its rank by the order of its own.
 * - **R39 vain.** A claim that `mayBeVain` answers as it would otherwise.
 * - **R40 brief.** A list that is asked for in brief tells what it would otherwise, but of each payload that
 *   it is `null`, and no result: neither is read, however large they are.
 * - **R41 overdue.** What a holder has left to be said of a run, with the mark of its start or with a
 *   beat (E9), `endOverdue` says once it is time and no sooner: the run ends, or is retried, as if its
 *   holder had said so then, and what that says later changes nothing. Nothing is said of a run that is
 *   not held any more under that fence, or that its holder has concluded; and nothing because the clock
 *   was set.
 * - **R42 backlog.** `backlog` counts the runs that wait in the lanes it names, ready or at the gates
 *   before them, each once, and whatever else waits; those that are due later do not wait. Past `atMost`
 *   it need not count. Of a task with other lanes, those at gates before these may be counted, too.
 * - **R43 hooks left.** A run that its holder has marked as handed over (`handedOver` of `Conclusion`) is
 *   not ended by its first notice, by its limit or by a cancel, but granted once more, with the conclusion
 *   of that (`finishing`). Until that grant has ended, the run has not, for anybody: it keeps its place, and
 *   is told of once. Once it is known how it ends, no notice counts, nor a deadline. The mark counts for the
 *   grant with which it was made, before its report and after it; it is no conclusion, and not made of what
 *   is to stop or has one. Asked for again, as its answer was lost, it holds also when hooks were left by it
 *   since: whoever was granted the run next has them, or had.
 * - **R44 given back.** Why its holder has given a run back is told with its events, in the words of
 *   `GivenBack`, if the holder said it. A report that comes again is known by that as well (R5).
 *
 * Wake-ups: whenever a run becomes ready, an adapter that has `Wakeups` beside it hints its lane.
 */
import { type Effect, type Option, Schema } from "effect"
import type { Asked } from "../domain/Asked.ts"
import { Gate, GateKey } from "../domain/Blocking.ts"
import { BreakerKey, BreakerName } from "../domain/Breaker.ts"
import type { Change } from "../domain/Change.ts"
import { Conclusion } from "../domain/Conclusion.ts"
import { Incarnation } from "../domain/Executor.ts"
import { Lane, Level } from "../domain/Lane.ts"
import { Shard, type Verdict } from "../domain/FanIn.ts"
import * as GivenBack from "../domain/GivenBack.ts"
import { Fence } from "../domain/Lease.ts"
import { Namespace } from "../domain/Namespace.ts"
import type { StateName } from "../domain/Run.ts"
import type * as Rollback from "../domain/Rollback.ts"
import { RunId } from "../domain/RunId.ts"
import { Failure, type Reason, type RunHappening, type RunView } from "../domain/RunView.ts"
import { TaskName } from "../domain/Task.ts"
import * as Text from "../domain/Text.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

/** A run to be. */
export interface RunSpec {
  readonly namespace: Namespace
  readonly task: TaskName
  /** JSON text. */
  readonly payload: string
  readonly lane: Lane
  readonly level: Level
  /** Due this long after now. `0`: at once. */
  readonly delayMillis: number
  readonly gate: Gate | undefined
  readonly idempotencyKey: string | undefined
  readonly isAtMostOnce: boolean
  readonly crashesMax: number
  /** If user code has not started so long after now, it does not. */
  readonly deadlineMillis?: number | undefined
  /** Who asked for it by hand: told with its events, and with the run. */
  readonly asked?: Asked | undefined
}

/** A parent to be, and its children. */
export interface FamilySpec {
  /** Without a gate, a delay or a deadline: those are its children's. */
  readonly parent: RunSpec
  /** One to `childrenMax`, without a gate or a key: those they get. */
  readonly children: ReadonlyArray<RunSpec>
  /** So many children hold a place at once. */
  readonly places: number
}

export type FamilySubmitted =
  | Extract<Submitted, { readonly _tag: "Conflict" }>
  | (Extract<Submitted, { readonly _tag: "Submitted" }> & {
    /** In order, if the parent is new. */
    readonly children: ReadonlyArray<RunId>
    /** Where they wait: `admit` lets them pass. */
    readonly gate: GateKey
  })

export type Submitted =
  | {
    readonly _tag: "Submitted"
    readonly run: RunId
    readonly state: StateName
    readonly isNew: boolean
  }
  /** The idempotency key names another run, of another task or payload. */
  | { readonly _tag: "Conflict"; readonly run: RunId }

/** What became of a run that waited at a gate, or of the parent behind it. */
export interface Admission {
  readonly run: RunId
  readonly state: "Ready" | "Discarded" | Verdict
  /** The lane in which it waits to be placed, if it does. */
  readonly unplaced?: Lane
}

/** The right to carry a run out, once. */
export const Grant = Schema.Struct({
  run: RunId,
  fence: Fence,
  namespace: Namespace,
  task: TaskName,
  attempt: Schema.Int,
  /** Attempts that failed are those that were no crash. */
  crashes: Schema.Int,
  /** User code may run only after `start` was accepted. */
  isCareful: Schema.Boolean,
  payload: Schema.String,
  idempotencyKey: Schema.optionalKey(Schema.String),
  slot: Schema.optionalKey(Schema.Int),
  /** What was put down with it, as JSON text. */
  checkpoint: Schema.optionalKey(Schema.String),
  shard: Schema.optionalKey(Shard),
  /** How it will end: only what comes after that is left to do. */
  conclusion: Schema.optionalKey(Conclusion),
  /** How long ago the run first became due, if that was asked for. */
  dueMillisAgo: Schema.optionalKey(Schema.Int),
  /** Of the breaker that let it through; set by who asked for the permit. */
  epoch: Schema.optionalKey(Schema.Int),
})
export type Grant = typeof Grant.Type

/** A checkpoint is at most so many characters. */
export const checkpointMax = 65_536

const checkpoint = Schema.optionalKey(Schema.String.check(Schema.isMaxLength(checkpointMax)))
/** How the call went that a run makes behind a breaker. */
export const BreakerCall = Schema.Struct({
  namespace: Namespace,
  breaker: BreakerName,
  key: Schema.optionalKey(BreakerKey),
  /** In which it was let through. */
  epoch: Schema.Int,
  isBad: Schema.Boolean,
  millis: Schema.Int,
})
export type BreakerCall = typeof BreakerCall.Type

/** A key or a state of a task is at most so many characters. */
export const stateKeyMax = 512
export const stateMax = 262_144

/** What a task keeps from one run to the next, for a key. */
export const Kept = Schema.Struct({
  key: Schema.String.check(Schema.isMaxLength(stateKeyMax), Text.kept),
  /** JSON text; absent: nothing any more. */
  state: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(stateMax))),
})
export type Kept = typeof Kept.Type

/** How a grant ended, as its holder decided by the task's policy. */
const Held = { run: RunId, fence: Fence, call: Schema.optionalKey(BreakerCall) }
export const Report = Schema.TaggedUnion({
  /** `result` is JSON text. */
  Succeed: { ...Held, result: Schema.optionalKey(Schema.String), kept: Schema.optionalKey(Kept) },
  Retry: { ...Held, delayMillis: Schema.Int, failure: Failure },
  GiveUp: { ...Held, failure: Failure },
  TimeOut: { ...Held, failure: Failure },
  /** Given back: what was kept goes with it. Earlier versions did not say why. */
  Release: { ...Held, checkpoint, why: Schema.optionalKey(GivenBack.Why) },
  /** Given back unstarted, and due again so long after now. */
  Postpone: { ...Held, delayMillis: Schema.Int },
  /** With a failure, if another run has taken its place. */
  Abort: { ...Held, failure: Schema.optionalKey(Failure) },
  /** Unstarted, and for good: its holder is busy with another, or has a later one. */
  Discard: { ...Held, failure: Failure },
  /** Put down, to be resumed; without a checkpoint the one before it stays. */
  Yield: { ...Held, checkpoint },
  /** Handed over, for at most so long. */
  Await: { ...Held, timeoutMillis: Schema.optionalKey(Schema.Int) },
})
export type Report = typeof Report.Type

/** What is to be said of a run if its holder says nothing else of it until then. */
export const Ending = Schema.Struct({
  inMillis: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  report: Report,
})
export type Ending = typeof Ending.Type

/** So many are named at once, the first of them. */
export const endingsMax = 10_000

/** What a holder leaves to be said of its runs. */
export const Endings = Schema.Struct({
  /** Rises with each time that it says so. */
  number: Schema.Int.check(Schema.isGreaterThan(0)),
  all: Schema.Array(Ending).check(Schema.isMaxLength(endingsMax)),
})
export type Endings = typeof Endings.Type

/** User code of a run is about to start. */
export const Mark = Schema.Struct({
  run: RunId,
  fence: Fence,
  ending: Schema.optionalKey(Ending),
})
export type Mark = typeof Mark.Type

export const Settled = Schema.Literals(["applied", "duplicate", "fenced"])
export type Settled = typeof Settled.Type

export const ClaimRequest = Schema.Struct({
  incarnation: Incarnation,
  loop: Schema.Int,
  /** Rises by one with each claim of this loop that was answered. */
  round: Schema.Int,
  /** The claim of this round was sent before, and no answer came. */
  isAgain: Schema.Boolean,
  lanes: Schema.Array(Lane),
  limit: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
  /** Settled in the same step, before the claim. */
  reports: Schema.Array(Report),
  /** Each grant is to say how long ago its run first became due. */
  tellsAge: Schema.optionalKey(Schema.Literal(true)),
  /** The last one found nothing, and nobody has told of anything since: to look first may cost less. */
  mayBeVain: Schema.optionalKey(Schema.Literal(true)),
})
export type ClaimRequest = typeof ClaimRequest.Type

export const Concluding = Schema.Struct({ run: RunId, fence: Fence, conclusion: Conclusion })
export type Concluding = typeof Concluding.Type

export interface Claimed {
  /** One per report, in order. */
  readonly settled: ReadonlyArray<Settled>
  readonly grants: ReadonlyArray<Grant>
  /** Gates of which a place was given back. */
  readonly freed: ReadonlyArray<GateKey>
}

/** What an incarnation knows it holds. */
export const Known = Schema.Struct({
  /** All grants, unless the answer to their report has come. */
  grants: Schema.Array(Schema.Struct({ run: RunId, fence: Fence })),
  /** The last round of each loop whose answer has come. */
  rounds: Schema.Array(Schema.Struct({ loop: Schema.Int, round: Schema.Int })),
})
export type Known = typeof Known.Type

export interface Recovered {
  /** Incarnations found lost by this call. */
  readonly lost: ReadonlyArray<Incarnation>
  /** Runs freed by this call, with the state they are in now. */
  readonly runs: ReadonlyArray<{ readonly run: RunId; readonly state: StateName }>
  readonly freed: ReadonlyArray<GateKey>
}

export interface RunQuery {
  readonly namespace: Namespace
  readonly task?: TaskName
  readonly states?: ReadonlyArray<StateName>
  /** Only children of this run, whatever their task. */
  readonly parent?: RunId
  /** Only runs with a smaller id. */
  readonly before?: RunId
  /** Without payloads and results (R40). */
  readonly isBrief?: true
  readonly limit: number
}

/** How a run ended that something outside carried on. */
export const Notice = Schema.TaggedUnion({
  /** `result` is JSON text. */
  Succeeded: { result: Schema.optionalKey(Schema.String) },
  Failed: { failure: Failure },
})
export type Notice = typeof Notice.Type

/** What became of an order to one run. `freed`: gates that `admit` has to look at now. */
export interface Ordered<Answer> {
  readonly answer: Answer
  readonly freed: ReadonlyArray<GateKey>
}

export interface Expiry {
  /** Runs ended by this call; `Ready`: its hooks are left. */
  readonly runs: ReadonlyArray<{ readonly run: RunId; readonly state: StateName }>
  readonly freed: ReadonlyArray<GateKey>
}

export interface Overdue {
  /** What was said, and changed its run. */
  readonly reports: ReadonlyArray<Report>
  readonly freed: ReadonlyArray<GateKey>
  /** Until something else is to be said; `0` if there may be more of it now. */
  readonly nextInMillis: number | undefined
}

export interface RunStorage {
  /** One answer per spec, in order. */
  readonly submit: (
    specs: ReadonlyArray<RunSpec>,
  ) => Effect.Effect<ReadonlyArray<Submitted>, StorageUnavailable>

  /** The children wait at their gate, those with a delay in the calendar first. */
  readonly submitFamily: (spec: FamilySpec) => Effect.Effect<FamilySubmitted, StorageUnavailable>

  /** Decides, for each of these gates, about as many waiting runs as it can. */
  readonly admit: (
    gates: ReadonlyArray<GateKey>,
  ) => Effect.Effect<ReadonlyArray<Admission>, StorageUnavailable>

  /**
   * Gates with a waiting run that `admit` would decide about, at most `limit`. Of those that a pool
   * knows, which are decided about together, one may stand for all.
   */
  readonly openGates: (
    limit: number,
  ) => Effect.Effect<ReadonlyArray<GateKey>, StorageUnavailable>

  /** None of the grants of an incarnation that is not live: it must join again. */
  readonly claim: (
    request: ClaimRequest,
  ) => Effect.Effect<Claimed | "Lost", StorageUnavailable>

  readonly settle: (
    incarnation: Incarnation,
    reports: ReadonlyArray<Report>,
  ) => Effect.Effect<Omit<Claimed, "grants">, StorageUnavailable>

  /** Marks the start; one answer per mark: whether user code may run. Marking twice is one mark. */
  readonly start: (
    incarnation: Incarnation,
    marks: ReadonlyArray<Mark>,
  ) => Effect.Effect<ReadonlyArray<boolean>, StorageUnavailable>

  /**
   * Keeps how runs will end; one answer per run: whether it is still held, or, of a mark, hooks were left
   * by it. The last one counts.
   */
  readonly conclude: (
    incarnation: Incarnation,
    conclusions: ReadonlyArray<Concluding>,
  ) => Effect.Effect<ReadonlyArray<boolean>, StorageUnavailable>

  readonly reconcile: (
    incarnation: Incarnation,
    known: Known,
  ) => Effect.Effect<{ readonly passed: ReadonlyArray<RunId> }, StorageUnavailable>

  /**
   * Moves due runs to where they wait: at most `limit`. Answers how many, the gates they now wait
   * at, the lanes in which some wait to be placed again, and how long until the next is due.
   */
  readonly promote: (limit: number) => Effect.Effect<
    {
      readonly promoted: number
      readonly gates: ReadonlyArray<GateKey>
      readonly unplaced: ReadonlyArray<Lane>
      readonly nextInMillis: number | undefined
    },
    StorageUnavailable
  >

  /**
   * `ended`: it was final already. `None`: there is no such run. To cancel a parent is to cancel its
   * children; it is `requested` until they have ended, as what was handed over is until its hooks are done.
   */
  readonly cancel: (run: RunId, by?: string) => Effect.Effect<
    Option.Option<Ordered<"confirmed" | "requested" | "ended">>,
    StorageUnavailable
  >

  /** `refused`: it is awaiting, a parent, or asked to stop. Suspending twice is suspending once. */
  readonly suspend: (run: RunId, by?: string) => Effect.Effect<
    Option.Option<Ordered<"confirmed" | "requested" | "refused" | "ended">>,
    StorageUnavailable
  >

  /** `confirmed`: it is not suspended any more, or was not. `refused`: its holder still has it. */
  readonly resume: (run: RunId, by?: string) => Effect.Effect<
    Option.Option<Ordered<"confirmed" | "refused" | "ended">>,
    StorageUnavailable
  >

  /**
   * `refused`: it is asked to stop, or waits for nothing but its end. Of parts the parent is asked before
   * it has any. The others: see `Change.refused`.
   */
  readonly change: (run: RunId, change: Change) => Effect.Effect<
    Option.Option<Ordered<"confirmed" | "refused" | "ended" | "stale" | "begun" | "late">>,
    StorageUnavailable
  >

  /** `refused`: it waits, is suspended or a parent. `ended`, or it is known how it ends: not by a notice. */
  readonly notify: (run: RunId, notice: Notice, by?: string) => Effect.Effect<
    Option.Option<Ordered<"applied" | "duplicate" | "refused" | "ended">>,
    StorageUnavailable
  >

  /** `confirmed`: it has not ended, or not any more. `refused`: it ended for good. */
  readonly revive: (run: RunId, by?: string) => Effect.Effect<
    Option.Option<Ordered<"confirmed" | "refused">>,
    StorageUnavailable
  >

  /** `refused`: it has not ended. The others: see `Rollback.answer`. */
  readonly rollback: (run: RunId, demand?: Rollback.Demand) => Effect.Effect<
    Option.Option<Ordered<Rollback.Answer>>,
    StorageUnavailable
  >

  /** Whether a sweep would be in vain, which costs less to ask than to sweep. It may be too careful. */
  readonly isQuiet: Effect.Effect<boolean, StorageUnavailable>

  /** Ends at most `limit` runs whose deadline has passed, or that await too long, their hooks left out. */
  readonly expire: (limit: number) => Effect.Effect<Expiry, StorageUnavailable>

  /** Says what holders have left to be said of at most `limit` runs, as far as it is time. */
  readonly endOverdue: (limit: number) => Effect.Effect<Overdue, StorageUnavailable>

  /** Finds lost incarnations, and frees at most `limit` grants. */
  readonly recover: (limit: number) => Effect.Effect<Recovered, StorageUnavailable>

  readonly find: (run: RunId) => Effect.Effect<Option.Option<RunView>, StorageUnavailable>

  /** As `find`, for many, in any order; unknown ones are left out. */
  readonly findMany: (
    runs: ReadonlyArray<RunId>,
  ) => Effect.Effect<ReadonlyArray<RunView>, StorageUnavailable>

  /** The latest first. */
  readonly list: (query: RunQuery) => Effect.Effect<ReadonlyArray<RunView>, StorageUnavailable>

  /** What a task keeps for a key, as JSON text (R19). */
  readonly state: (
    namespace: Namespace,
    task: TaskName,
    key: string,
  ) => Effect.Effect<Option.Option<string>, StorageUnavailable>

  /** How many runs are ready in these lanes, counted up to about `atMost`. */
  readonly depth: (
    lanes: ReadonlyArray<Lane>,
    atMost: number,
  ) => Effect.Effect<number, StorageUnavailable>

  /** How many runs wait in these lanes, ready or at a gate, counted up to about `atMost` (R42). */
  readonly backlog: (
    lanes: ReadonlyArray<Lane>,
    atMost: number,
  ) => Effect.Effect<number, StorageUnavailable>

  /** How many runs there are in each state (R33). Past 10,000 in one a count may be an estimate. */
  readonly counts: (
    namespace: Namespace,
    tasks?: ReadonlyArray<TaskName>,
  ) => Effect.Effect<Readonly<Partial<Record<StateName, number>>>, StorageUnavailable>

  /** The earliest first. */
  readonly events: (
    run: RunId,
  ) => Effect.Effect<ReadonlyArray<RunHappening>, StorageUnavailable>

  readonly why: (run: RunId) => Effect.Effect<Option.Option<Reason>, StorageUnavailable>
}
