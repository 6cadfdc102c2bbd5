/** Which level a run had, as it was changed in the course of time. */
import type { Level } from "../../domain/Lane.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { RunView } from "../../domain/RunView.ts"
import type { Entry, Ledger } from "../Ledger.ts"

/** The level of a run when an entry was written, which is told by its place in the ledger. */
export const levelsOf = ({ entries }: Ledger) => {
  const changes = new Map<RunId, Array<{ readonly nth: number; readonly level: Level }>>()
  for (const [nth, entry] of entries.entries()) {
    if (entry.kind !== "changed" || entry.answer !== "confirmed") continue
    const { level, run } = entry
    if (level === undefined) continue
    changes.set(run, [...changes.get(run) ?? [], { nth, level }])
  }
  return ({ id, level, submittedLevel }: RunView, at: number): Level =>
    changes.get(id)?.findLast(({ nth }) => nth < at)?.level ?? submittedLevel ?? level
}

type OfRun = "admitted" | "freed" | "granted" | "ordered" | "settled"

/** The place in the ledger of the first entry of a kind for each run. */
export const firstOf = <K extends OfRun>(
  { entries }: Ledger,
  kind: K,
  isIt: (entry: Extract<Entry, { readonly kind: K }>) => boolean = () => true,
): ReadonlyMap<RunId, { readonly nth: number; readonly at: number }> => {
  const first = new Map<RunId, { readonly nth: number; readonly at: number }>()
  for (const [nth, entry] of entries.entries()) {
    if (entry.kind !== kind || !isIt(entry as Extract<Entry, { readonly kind: K }>)) continue
    const { at, run } = entry as Extract<Entry, { readonly kind: OfRun }>
    if (!first.has(run)) first.set(run, { nth, at })
  }
  return first
}
