/** Triggers that tail a source, in memory: see `TriggerStorage` for the laws. */
import * as Tailing from "../../core/domain/Tailing.ts"
import type { Schedule } from "../../core/domain/Trigger.ts"
import type {
  Tailed,
  Tailing as Item,
  TailView,
  TriggerStorage,
} from "../../core/services/TriggerStorage.ts"
import type { KeptTrigger, MemoryState } from "./MemoryState.ts"

/** What is kept of `before` by a trigger with that schedule. */
export const attached = (
  before: KeptTrigger["tail"],
  schedule: Schedule,
): KeptTrigger["tail"] => {
  if (schedule._tag !== "Tail") return before
  const source = Tailing.keyOf(schedule)
  if (before?.source === source) return before
  return { ...Tailing.renewed(before ?? Tailing.untouched), source }
}

export const tail = (state: MemoryState, now: number, item: Item): Tailed => {
  const { entries, from, revision, trigger } = item
  const kept = state.triggers.get(trigger)
  if (kept?.tail === undefined || kept.view.revision !== revision || kept.view.isPaused) {
    return { _tag: "Stale" }
  }
  if (kept.tail.position !== from) return { _tag: "Behind" }
  const runs = entries.flatMap(({ fire, position }) => {
    const run = typeof fire === "string" ? undefined : state.add(fire, now, {
      trigger: kept.view.definition.name,
      slot: now,
    }).id
    kept.tailed.push({
      slot: now,
      through: now,
      entry: position,
      latenessMillis: 0,
      ...(run === undefined
        ? { outcome: "skipped", reason: fire as string }
        : { outcome: "fired", run }),
    })
    if (kept.tailed.length > Tailing.recordsMax) kept.tailed.shift()
    return run === undefined ? [] : [run]
  })
  const move = { ...item, fired: runs.length, skipped: entries.length - runs.length }
  kept.tail = { ...Tailing.moved(kept.tail, move, now), source: kept.tail.source }
  return { _tag: "Taken", runs }
}

export const tails = (
  { triggers }: MemoryState,
  of: Parameters<TriggerStorage["tails"]>[0],
): ReadonlyArray<TailView> =>
  [...triggers.values()].flatMap(({ partition, tail, view }) => {
    const { name, namespace, schedule } = view.definition
    const isAskedFor = "partitions" in of
      ? of.partitions.includes(partition)
      : of.namespace === namespace && (of.name === undefined || of.name === name)
    if (tail === undefined || schedule._tag !== "Tail" || !isAskedFor) return []
    const { source: _, ...rest } = tail
    return [{ view, tail: rest }]
  }).sort((a, b) => a.view.definition.name < b.view.definition.name ? -1 : 1)
