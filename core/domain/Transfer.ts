/** What is wrong with an import, in the same words for every storage. */
import { Refused } from "./Refused.ts"
import type { Counts, StateRecord } from "./StateRecord.ts"

/** `kept` is what there is, as in `runs`. */
export const notEmpty = (kept: string): Refused =>
  new Refused({
    field: "storage",
    reason: `it keeps ${kept} already, and an import is made into an empty one`,
    remedy: "Name a file that does not exist yet, or a database of its own",
  })

/** `what` is in the words of the storage. */
export const contradictory = (what: string): Refused =>
  new Refused({
    field: "records",
    reason: `they are no export of one storage: ${what}`.slice(0, 500),
    remedy: "Export again, and import all of it, unchanged",
  })

/** `counts`, and these. */
export const counted = (counts: Counts, records: ReadonlyArray<StateRecord>): Counts => {
  const sum: Partial<Record<StateRecord["_tag"], number>> = { ...counts }
  for (const { _tag } of records) sum[_tag] = (sum[_tag] ?? 0) + 1
  return sum
}
