/**
 * The invariants of the product, by their numbers in its reliability bar, and with them those laws of
 * ports that only show over many steps. I20 and I21 are of roles and namespaces, which this world does
 * not have.
 */
import type { Outcome } from "../Outcome.ts"
import { R19 } from "./Actors.ts"
import { T13 } from "./Asked.ts"
import { I17, I6, I7, I8 } from "./Attempts.ts"
import { I23 } from "./Bounds.ts"
import { I24 } from "./Breakers.ts"
import { I22 } from "./Clocks.ts"
import { R16, R35, R36 } from "./Deadlines.ts"
import { R9 } from "./Early.ts"
import { I14, I15 } from "./Families.ts"
import { I11, I12, I13 } from "./Gates.ts"
import { I3, I4, I5 } from "./Grants.ts"
import { H1, H2, H4 } from "./History.ts"
import type { Checker } from "./Invariant.ts"
import { I1, I2 } from "./Keeping.ts"
import { L1, L2, L3, L4, L5 } from "./Liveness.ts"
import { R43 } from "./Loans.ts"
import { I16 } from "./Orders.ts"
import { I19 } from "./Outbox.ts"
import { T14 } from "./Overlaps.ts"
import { T15 } from "./Permanent.ts"
import { I25 } from "./Places.ts"
import { R28 } from "./Replays.ts"
import { R37 } from "./Rollbacks.ts"
import { R23 } from "./Shares.ts"
import { I10, I9 } from "./Slots.ts"
import { T16 } from "./Tails.ts"
import { I18 } from "./Terms.ts"
import { I26 } from "./Turns.ts"

const checkers = {
  H1,
  H2,
  H4,
  I1,
  I2,
  I3,
  I4,
  I5,
  I6,
  I7,
  I8,
  I9,
  I10,
  I11,
  I12,
  I13,
  I14,
  I15,
  I16,
  I17,
  I18,
  I19,
  I22,
  I23,
  I24,
  I25,
  I26,
  L1,
  L2,
  L3,
  L4,
  L5,
  R9,
  R16,
  R19,
  R23,
  R28,
  R35,
  R36,
  R37,
  R43,
  T13,
  T14,
  T15,
  T16,
} satisfies Record<string, Checker>

export type Name = keyof typeof checkers
export const names = Object.keys(checkers) as ReadonlyArray<Name>

export interface Violation {
  readonly invariant: Name
  readonly what: string
}

export interface Checked {
  readonly violations: ReadonlyArray<Violation>
  /** How often each was really put to the test. */
  readonly counts: Readonly<Record<Name, number>>
}

export const check = (outcome: Outcome, only: ReadonlyArray<Name> = names): Checked => {
  const violations: Array<Violation> = []
  const counts = Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>
  for (const invariant of only) {
    checkers[invariant](outcome, (holds, wrong) => {
      counts[invariant]++
      if (!holds) violations.push({ invariant, what: wrong() })
    })
  }
  return { violations, counts }
}
