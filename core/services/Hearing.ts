/** Tells breakers of the calls that reports tell of, once they have changed their runs. */
import { Effect } from "effect"
import type { Call } from "../domain/Breaker.ts"
import type { Heard } from "../domain/Permit.ts"
import type { PermitStorage } from "./PermitStorage.ts"
import type { Report } from "./RunStorage.ts"

/** A report counts once, so a call is told once at most. */
export const hear = (
  permits: PermitStorage,
  applied: ReadonlyArray<Report>,
): Effect.Effect<void> => {
  const heard = heardOf(applied)
  // What a breaker misses it learns from the calls that follow.
  return heard.length === 0
    ? Effect.void
    : Effect.forEach(heard, permits.hear, { discard: true }).pipe(
      Effect.tapError(Effect.logDebug),
      Effect.ignore,
    )
}

/** By breaker, key and epoch. */
const heardOf = (reports: ReadonlyArray<Report>): ReadonlyArray<Heard> => {
  const all = new Map<string, Heard & { readonly calls: Array<Call> }>()
  for (const { call } of reports) {
    if (call === undefined) continue
    const { isBad, millis, ...of } = call
    const name = JSON.stringify([of.namespace, of.breaker, of.key, of.epoch])
    const heard = all.get(name) ?? { ...of, calls: [] }
    heard.calls.push({ isBad, millis })
    all.set(name, heard)
  }
  return [...all.values()]
}
