/**
 * Carries the hints of a storage another way than the storage's own, when somebody asked for it.
 *
 * An adapter of `Storage` gives it every hint that it gives, after the commit, and tells it of those
 * that it hears of from others on its own way. The carrier comes with a `Wakeups` of its own, and the
 * laws of that port hold for the two of them. Giving must cost the giver next to nothing, whatever
 * the way is like: a carrier that cannot keep up, or is cut off, drops hints.
 */
import { Context } from "effect"
import type { Topic } from "./Wakeups.ts"

export interface HintCarrier {
  /** To all who wait, here and in other processes. */
  readonly give: (topics: Iterable<Topic>) => void
  /** To those who wait here: others hear of it as this process did. */
  readonly giveHere: (topics: Iterable<Topic>) => void
}

export const HintCarrier = Context.Reference<HintCarrier | undefined>(
  "belfry/core/services/HintCarrier",
  { defaultValue: () => undefined },
)
