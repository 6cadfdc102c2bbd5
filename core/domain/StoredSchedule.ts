/**
 * A schedule as storages keep it, in JSON. Many triggers have the same one, and whoever looks at them all
 * reads it once.
 */
import { Schema } from "effect"
import { Schedule } from "./Trigger.ts"

const decode = Schema.decodeSync(Schema.fromJsonString(Schedule))

const known = new Map<string, Schedule>()
const knownMax = 1000

export const read = (json: string): Schedule => {
  const kept = known.get(json)
  if (kept !== undefined) return kept
  const schedule = decode(json)
  if (known.size >= knownMax) known.delete(known.keys().next().value!)
  known.set(json, schedule)
  return schedule
}
