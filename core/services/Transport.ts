/**
 * What an executor knows of the world: it joins, asks for work and reports.
 *
 * All calls name the incarnation and may be repeated, so a connection may break and come back, and
 * messages may be lost, doubled, late or out of order; nothing depends on which end forgot what.
 *
 * - **X1 incarnation.** Each join answers a new incarnation. A join whose answer was lost leaves an
 *   incarnation that is never heard of, and is lost after its ttl.
 * - **X2 rounds.** As R7: a round sent again hands out the same grants.
 * - **X3 reports.** As R5: they count once, and only with the current fence.
 * - **X4 patient.** With a wait, an answer without grants comes only after it; a run that becomes
 *   ready meanwhile is granted soon.
 * - **X5 beats.** As E2, E3, E5 and E7 to E9; `reconcile` as R13, `conclude` as R22.
 * - **X6 lost is final.** A call of an incarnation that is lost answers `SessionLost`.
 * - **X7 permits.** With a regulation, no more is granted than permitted (P1, P2), and a report that
 *   tells of a call is heard by its breaker when it is applied. Of a run behind the breaker of its key,
 *   `pass` answers whether that key lets it through (P8); until then it starts nothing, and when not it
 *   learns how long to postpone it for.
 * - **X8 checked.** `serve` refuses a definition whose policy `Policy.check` refuses, by its field, as
 *   where the task was made; then none of them is defined.
 * - **X9 told.** As N1 to N4; and nothing that a terminal would obey is in a line that is kept.
 * - **X10 looked.** A round that only looks is granted nothing and takes no permit. It is answered
 *   `isReady` soon after there is something to grant that has a permit, and without that only after the wait.
 */
import { Context, type Effect, type Option, Schema } from "effect"
import { BreakerKey } from "../domain/Breaker.ts"
import { Incarnation, type Joining, type Vitals } from "../domain/Executor.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Regulation } from "../domain/Permit.ts"
import type { Refused } from "../domain/Refused.ts"
import type { TaskDefinition, TaskName } from "../domain/Task.ts"
import type { Beaten, Held, Revocation } from "./ExecutorStorage.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Told } from "./LogStorage.ts"
import type {
  ClaimRequest,
  Concluding,
  Endings,
  Grant,
  Known,
  Mark,
  Report,
  Settled,
} from "./RunStorage.ts"

/** No answer came. The call may or may not have been carried out, and may be repeated. */
export class TransportUnavailable
  extends Schema.TaggedError<TransportUnavailable>()("TransportUnavailable", {
    operation: Schema.String,
    cause: Schema.Defect(),
  }) {
  override get message() {
    const reason = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `no answer to ${this.operation}: ${reason}`
  }
}

/** The server does not let this executor in. Trying again will not help. */
export class JoinRefused extends Schema.TaggedError<JoinRefused>()("JoinRefused", {
  reason: Schema.String,
  remedy: Schema.String,
}) {
  override get message() {
    return `${this.reason}. ${this.remedy}`
  }
}

/** This incarnation was found lost. What it held has passed on; it may join as a new one. */
export class SessionLost extends Schema.TaggedError<SessionLost>()("SessionLost", {
  incarnation: Incarnation,
}) {}

export interface Round extends ClaimRequest {
  /** Hold the answer back this long while there is nothing to grant. */
  readonly waitMillis: number
  /** Grants only what has a permit. The lanes are those of its task. */
  readonly regulation?: Regulation | undefined
  /** Whoever has no place for it yet asks whether there is something to grant, and leaves it to others. */
  readonly looks?: true
}

/** Whether a run may start that stands behind the breaker of its key. */
export const Passage = Schema.TaggedUnion({
  Open: { key: BreakerKey, epoch: Schema.optionalKey(Schema.Int) },
  Closed: { retryInMillis: Schema.Int },
})
export type Passage = typeof Passage.Type

export class Transport extends Context.Service<Transport, {
  readonly join: (
    joining: Joining,
  ) => Effect.Effect<Incarnation, JoinRefused | TransportUnavailable>

  readonly serve: (
    incarnation: Incarnation,
    definitions: ReadonlyArray<TaskDefinition>,
  ) => Effect.Effect<void, Refused | SessionLost | TransportUnavailable>

  /** Settles the reports, then claims. */
  readonly round: (round: Round) => Effect.Effect<
    {
      readonly settled: ReadonlyArray<Settled>
      readonly grants: ReadonlyArray<Grant>
      /** To a round that looks. */
      readonly isReady?: true
    },
    SessionLost | TransportUnavailable
  >

  /** Settles reports while no round is due. Also of use to an incarnation that was lost. */
  readonly settle: (
    incarnation: Incarnation,
    reports: ReadonlyArray<Report>,
  ) => Effect.Effect<ReadonlyArray<Settled>, TransportUnavailable>

  readonly start: (
    incarnation: Incarnation,
    marks: ReadonlyArray<Mark>,
  ) => Effect.Effect<ReadonlyArray<boolean>, TransportUnavailable>

  /**
   * Asks, for one run, the breaker of its key. What was permitted before its claim is given back if
   * that lets nobody through: the rate limit of `regulation`.
   */
  readonly pass: (
    run: RunId,
    breaker: string,
    regulation?: Regulation,
  ) => Effect.Effect<Passage, TransportUnavailable>

  readonly conclude: (
    incarnation: Incarnation,
    conclusions: ReadonlyArray<Concluding>,
  ) => Effect.Effect<ReadonlyArray<boolean>, TransportUnavailable>

  /** As R19: what a task keeps for a key. */
  readonly state: (
    namespace: Namespace,
    task: TaskName,
    key: string,
  ) => Effect.Effect<Option.Option<string>, TransportUnavailable>

  readonly beat: (
    incarnation: Incarnation,
    held: Held,
    vitals?: Vitals,
    endings?: Endings,
  ) => Effect.Effect<Beaten, TransportUnavailable>

  /** As R13: which of the known grants have passed on. */
  readonly reconcile: (
    incarnation: Incarnation,
    known: Known,
  ) => Effect.Effect<ReadonlyArray<RunId>, TransportUnavailable>

  /** Returns the grants to stop as soon as there are any; waits as long as it takes. */
  readonly revocations: (
    incarnation: Incarnation,
  ) => Effect.Effect<ReadonlyArray<Revocation>, TransportUnavailable>

  /** What runs said, one call after the other; of use also to an incarnation that was lost. */
  readonly tell: (
    incarnation: Incarnation,
    told: ReadonlyArray<Told>,
  ) => Effect.Effect<void, TransportUnavailable>

  readonly drain: (incarnation: Incarnation) => Effect.Effect<void, TransportUnavailable>

  readonly leave: (incarnation: Incarnation) => Effect.Effect<void, TransportUnavailable>
}>()("belfry/core/services/Transport") {}
