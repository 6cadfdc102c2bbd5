/** An invariant of the product, as a function from what really happened to what was wrong with it. */
import type { Outcome } from "../Outcome.ts"

/** Says that something must hold, and what is wrong if it does not. Each call is one check. */
export type That = (holds: boolean, wrong: () => string) => void

export type Checker = (outcome: Outcome, that: That) => void
