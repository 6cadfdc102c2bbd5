/**
 * Keeps what orders were answered that are given under a key, so that they may be given again.
 *
 * An order is carried out at most once: it is begun before it is carried out, and stays begun when
 * whoever carried it out was lost in the middle, since nobody can know how far it had come.
 *
 * - **K1 once.** Of all who begin an order under a key, at once or one after another, one carries it
 *   out; the others learn that it is unsettled, and for how long, until its answer is kept.
 * - **K2 answered.** The answer that is kept first is what everybody learns from then on who begins the
 *   same order under the key, whole.
 * - **K3 another.** Whoever begins another order under the key learns so, whether the first was
 *   answered or not.
 * - **K4 given up.** After `giveUp` the key is as if nobody had used it; what was answered stays.
 * - **K5 bounded.** A key names its order for `keptMillis`, and then another may be begun under it.
 *   Whoever begins one lets go of some whose time is over, so that no more is kept than was begun
 *   within that time, whatever is done to the clock.
 * - **K6 fenced.** Only its `beginner` keeps the answer of an order, or gives it up: once it is given up
 *   and somebody else has begun it, whoever had it before changes nothing any more.
 * - **K7 heard again.** A `beginner` that begins its order again, since it has not heard of the first
 *   time, learns that it has begun it.
 *
 * Keys are of the whole storage, not of a namespace: an order may be about something that is of none.
 */
import type { Effect } from "effect"
import type { Standing } from "../domain/Answer.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export interface AnswerStorage {
  /** `beginner` is a word that nobody else uses, here or elsewhere, now or later. */
  readonly begin: (
    key: string,
    order: string,
    beginner: string,
  ) => Effect.Effect<Standing, StorageUnavailable>

  readonly keep: (
    key: string,
    beginner: string,
    answer: string,
  ) => Effect.Effect<void, StorageUnavailable>

  /** For who has begun an order and knows that nothing was done. */
  readonly giveUp: (key: string, beginner: string) => Effect.Effect<void, StorageUnavailable>

  /** How many keys are kept. */
  readonly count: Effect.Effect<number, StorageUnavailable>
}
