/**
 * The laws of `RunStorage`, as tests. `suite(name, layer, elapse)` passes when an adapter keeps them.
 * `AgreementContract` compares many more random histories, with those of the storage in memory.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law    | mistake                                                                                |
 * | ------ | -------------------------------------------------------------------------------------- |
 * | R1     | finished runs forgotten; payload parsed and printed again                              |
 * | R2     | key not kept; no conflict                                                              |
 * | R3     | granted runs stay ready                                                                |
 * | R4     | fence stays as it was                                                                  |
 * | R5     | fence unchecked; holder unchecked; no duplicates                                       |
 * | R6     | by id alone; no ageing; only the first lane with a run; levels of before alone         |
 * | R7     | `isAgain` ignored; loop ignored; round ignored; later rounds too                       |
 * | R8     | one holder too many; level ignored; no patience; a retry gives its place back; freed   |
 * |        | gate not named                                                                         |
 * | R9     | promoted early; retried at once                                                        |
 * | R10    | a retry comes back after the request; user code starts after it                        |
 * | R11    | what left keeps its grants; an unstarted run counts as crash; limit ignored            |
 * | R12    | time-out kept as failure; at-most-once forgotten when lost                             |
 * | R13    | nothing given back; rounds ignored; a run known by its number alone                    |
 * | events | retry not noted; nor release, yield, await, suspend, resume, revive, loss (replayed)   |
 *
 * And of the laws that came later, tried on each adapter in the way that is likely there, and caught:
 *
 * | law | mistake                                                                                   |
 * | --- | ----------------------------------------------------------------------------------------- |
 * | R6  | a deadline does not count, counts too early, or goes on to count once it has begun; a   |
 * |     | run is not found where its deadline has put it                                          |
 * | R6  | the order of the task looked for at no submit, or at no gate; by age, and deadlines     |
 * |     | count; by deadline, and nothing bounds it                                               |
 * | R8  | the level left out of the rank; the rank left out of the order; by level, for ever        |
 * | R12 | resumed before it is due; the deadline of what was handed over taken for its limit        |
 * | R14 | checkpoint dropped; place of a queue given back, place of several kept; a retry comes     |
 * |     | back after the request; resumed past its gate                                             |
 * | R15 | no duplicates; limit not kept, or kept too long; a run under way looked for once          |
 * | R16 | the claim looks at no deadline; start not marked; put down, and the deadline stays; given |
 * |     | back, or not known by its holder, and it stays, or is forgotten of what had not begun     |
 * | R17 | crashes remembered; an earlier notice remembered                                          |
 * | R18 | parent ended before its last child; parent not reopened; gathered, or revived, without    |
 * |     | the lock (`sessions.test.ts` of postgres)                                                 |
 * | R19 | kept when the report was not applied; of any task; what is absent stays                   |
 * | R20 | the oldest kept; the holder not asked, asked twice, or at a latest gate; the new one goes  |
 * |     | before the holder has ended; the place of what is put down given back                      |
 * | R21 | who waits keeps nothing; by level; namespaces as one; one holder overlooked; unlocked     |
 * | R22 | not in later grants; lost as any other; anybody concludes; an earlier word takes the      |
 * |     | place of a later; remembered when revived                                                 |
 * | R23 | weights ignored; tags stay as they are; a key that comes begins at nought; places of each |
 * |     | key; nobody looks for those never named                                                   |
 * | R24 | not of what is put down, or given back by `reconcile`; twice of what is revived, or was   |
 * |     | lost before that                                                                          |
 * | R25 | as if ready since now; not at the gate, not where it waits for its time; forgotten when   |
 * |     | resumed or revived; not found where it stands; granted in the order of its submit; of a   |
 * |     | parent; not said by whom; of what is held forgotten, or although it is asked to stop      |
 * | R27 | attempt not given back; place kept; discarded though it was to stop; reason dropped       |
 * | R28 | a gate passed, a start marked not told; the grant left out of what is cancelled while it  |
 * |     | awaits; late reports displace what happened, or are told of without end                   |
 * | R29 | nameless when it is held; not of the parts; not of what is revived                        |
 * | R30 | attempt stays; the place given back; due at once; the deadline forgotten; each of them    |
 * |     | told; not known when it comes again                                                       |
 * | R31 | since it was due last; not of what is handed out again                                    |
 * | R32 | no window; what came on overlooked; forgotten where no window is named                   |
 * | R33 | of all tasks; of those whose names begin alike; not in lanes of a selector or an executor   |
 * | R34 | see `QuietContract`                                                                      |
 * | R35 | the rank as it was; a deadline that is too far off not found; of what was granted; the    |
 * |     | earlier one stays                                                                       |
 * | R36 | one that is stale holds; read before the run is locked; not counted                     |
 * | R37 | the result gone when asked a second time, or shown after a loss; the parent not reopened; |
 * |     | known by its tag, or its words, alone; refused while it goes on; a success somebody is    |
 * |     | yet to be told of; one never granted; not said by whom; an earlier conclusion stays       |
 * | R38 | by no deadline; by the usual order alone; in a queue, too; of what has begun; not of what is |
 * |     | submitted, due, resumed, fired or a child; not as it is changed; told by turn alone         |
 * | R39 | nothing granted; not again; reports dropped; alive for ever, or until it leaves           |
 * | R41 | before it is time; of what is held no more, or was concluded; not left with a mark, or    |
 * |     | with each; the gate not named; ended by a clock that was set                            |
 * | R42 | what is ready alone; what is at gates alone; of all tasks; what has left its gate, too     |
 * | R44 | not told; of what is to stop as its failure; not known when it comes again, or known     |
 * |     | though it was never said                                                                  |
 */
import type { Layer } from "effect"
import type { Storage } from "../services/Storage.ts"
import * as Modelled from "./runs/modelled.ts"
import * as Awaiting from "./runs/awaiting.ts"
import * as HandedOver from "./runs/handedOver.ts"
import * as Backlog from "./runs/backlog.ts"
import * as Cancelled from "./runs/cancelled.ts"
import * as Concluded from "./runs/concluded.ts"
import * as Deadlines from "./runs/deadlines.ts"
import * as DeadlineSet from "./runs/deadlineSet.ts"
import * as Families from "./runs/families.ts"
import * as Fenced from "./runs/fenced.ts"
import * as Gated from "./runs/gated.ts"
import * as GateOrders from "./runs/gateOrders.ts"
import * as Granted from "./runs/granted.ts"
import * as Idempotent from "./runs/idempotent.ts"
import * as Kept from "./runs/kept.ts"
import * as Known from "./runs/known.ts"
import * as Latest from "./runs/latest.ts"
import * as LevelSet from "./runs/levelSet.ts"
import * as Met from "./runs/met.ts"
import * as OnTime from "./runs/onTime.ts"
import * as Ordered from "./runs/ordered.ts"
import * as Overdue from "./runs/overdue.ts"
import * as Postponed from "./runs/postponed.ts"
import * as Reconciled from "./runs/reconciled.ts"
import * as Recovered from "./runs/recovered.ts"
import * as Revived from "./runs/revived.ts"
import * as RolledBack from "./runs/rolledBack.ts"
import * as Rounds from "./runs/rounds.ts"
import * as Vain from "./runs/vain.ts"
import * as Shares from "./runs/shares.ts"
import * as Suspended from "./runs/suspended.ts"
import * as Told from "./runs/told.ts"
import * as Touching from "./runs/touching.ts"
import { block, type Elapse, type Options, type Tests } from "./world.ts"

export interface RunOptions extends Options {
  /** How many random command sequences are compared with the state machine. */
  readonly sequences?: number
  /** The first of their seeds. */
  readonly seed?: number
}

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: RunOptions = {},
): void =>
  block(
    `RunStorage, ${adapter}`,
    layer,
    options,
    (it) => laws(it, elapse, options),
  )

export const laws = <R>(
  it: Tests<Storage | R>,
  elapse: Elapse<R>,
  options: RunOptions = {},
): void => {
  Known.laws(it)
  Idempotent.laws(it)
  Granted.laws(it)
  Fenced.laws(it)
  Ordered.laws(it, elapse)
  Rounds.laws(it)
  Vain.laws(it, elapse)
  Gated.laws(it, elapse, options)
  GateOrders.laws(it, elapse, options)
  OnTime.laws(it, elapse)
  Cancelled.laws(it)
  Recovered.laws(it, elapse)
  Modelled.laws(it, elapse, options)
  Reconciled.laws(it)
  Suspended.laws(it, elapse)
  Awaiting.laws(it, elapse)
  HandedOver.laws(it, elapse)
  Deadlines.laws(it, elapse)
  Revived.laws(it)
  RolledBack.laws(it, elapse)
  Families.laws(it, elapse)
  Concluded.laws(it, elapse)
  Told.laws(it, elapse)
  Kept.laws(it)
  Latest.laws(it, elapse)
  Met.laws(it)
  Touching.laws(it)
  Shares.laws(it)
  Postponed.laws(it, elapse)
  LevelSet.laws(it, elapse, options)
  DeadlineSet.laws(it, elapse)
  Overdue.laws(it, elapse)
  Backlog.laws(it, elapse)
}
