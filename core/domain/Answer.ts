/**
 * What becomes of an order that is given under a key, and perhaps given again: one of all who give it
 * carries it out, and the others are answered as that one was.
 */
import { keyMillis } from "./Retention.ts"

/** For so long a key names its order, as that of a submit names its run. */
export const keptMillis = keyMillis

/** Of those whose time is over so many are let go of with each order that is begun. */
export const leavingMax = 10

/** What is kept under a key. */
export interface Kept {
  /** The digest of the order, by which it is told from another one. */
  readonly order: string
  /** Who carries it out. Absent: somebody of a version in which nobody said so. */
  readonly beginner: string | undefined
  /** Instant in milliseconds since 1970, by the storage's clock. */
  readonly begunAt: number
  /** Absent until the order has been answered. */
  readonly answer: string | undefined
}

/** What somebody learns who begins an order. */
export type Standing =
  /** It is theirs to carry out. */
  | { readonly _tag: "Begun" }
  /** Somebody has begun it, and nothing was kept of how it ended. */
  | { readonly _tag: "Unsettled"; readonly forMillis: number }
  | { readonly _tag: "Answered"; readonly answer: string }
  /** The key names another order. */
  | { readonly _tag: "Another" }

export const isOver = ({ begunAt }: Kept, now: number): boolean => begunAt + keptMillis <= now

/** How an order stands that `beginner` begins now, with what is kept under its key. */
export const standing = (
  kept: Kept | undefined,
  order: string,
  beginner: string,
  now: number,
): Standing => {
  if (kept === undefined || isOver(kept, now)) return { _tag: "Begun" }
  if (kept.order !== order) return { _tag: "Another" }
  if (kept.answer !== undefined) return { _tag: "Answered", answer: kept.answer }
  if (kept.beginner === beginner) return { _tag: "Begun" }
  return { _tag: "Unsettled", forMillis: Math.max(0, now - kept.begunAt) }
}
