/** Which ends of runs somebody asks for. */
import { Schema } from "effect"
import { Final, finals } from "./Run.ts"

/** In the order in which stores number them, so that equal ones are equal. */
export const Ends = Schema.Array(Final).check(
  Schema.makeFilter((ends) =>
    ends.length > 0 &&
      ends.every((end, at) => at === 0 || finals.indexOf(ends[at - 1]!) < finals.indexOf(end))
      ? undefined
      : `name one end or more of ${finals.join(", ")}, once each and in this order`
  ),
)
export type Ends = typeof Ends.Type

/** In their order, each once. */
export const of = (ends: Iterable<Final>): Ends => {
  const wanted = new Set(ends)
  return finals.filter((end) => wanted.has(end))
}

/** As one number: a bit for each, in their order. */
export const bitsOf = (ends: Ends): number =>
  ends.reduce((bits, end) => bits | 1 << finals.indexOf(end), 0)

export const ofBits = (bits: number): Ends => finals.filter((_, at) => (bits & 1 << at) !== 0)

/** How people say which ends they mean. */
export const named = {
  success: ["Succeeded"],
  /** It did not do what it was for, and nobody has told it so. */
  failure: ["Failed", "TimedOut", "Quarantined", "Expired"],
  any: finals,
} as const satisfies Readonly<Record<string, Ends>>
export type Named = keyof typeof named

export const resolve = (ends: Named | ReadonlyArray<Final>): Ends =>
  of(typeof ends === "string" ? named[ends] : ends)
