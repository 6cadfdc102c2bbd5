/** Triggers and slots in memory: see `TriggerStorage` for the laws. */
import { Effect, Equal, Option } from "effect"
import { unknown as unknownCalendar } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import type {
  Fired,
  Firing,
  SlotRecord,
  TriggerStorage,
  TriggerView,
} from "../../core/services/TriggerStorage.ts"
import { ofTriggers } from "../../core/services/Wakeups.ts"
import type { KeptTrigger, MemoryState } from "./MemoryState.ts"

export const make = (state: MemoryState, now: () => number): TriggerStorage => {
  const namedIn = (
    triggers: ReadonlyMap<Trigger.TriggerId, KeptTrigger>,
    namespace: Namespace,
    name: Trigger.TriggerName,
  ): KeptTrigger | undefined =>
    triggers.values().find(({ view: { definition } }) =>
      definition.namespace === namespace && definition.name === name
    )

  const named = (namespace: Namespace, name: Trigger.TriggerName) =>
    namedIn(state.triggers, namespace, name)

  const calendarOf = ({ namespace, schedule }: Trigger.TriggerDefinition) =>
    state.calendars.get(`${namespace} ${Trigger.calendarOf(schedule)}`)?.calendar

  /** `view` with its cursor at its first slot after now. */
  const onwards = (view: Omit<TriggerView, "cursor">): TriggerView => {
    const calendar = calendarOf(view.definition)
    const cursor = Trigger.slotAfter(view.definition.schedule, now(), calendar)
    const { definition, id, isPaused, revision } = view
    return { definition, id, isPaused, revision, ...(cursor !== undefined && { cursor }) }
  }

  const put = (wanted: Trigger.TriggerDefinition): Effect.Effect<TriggerView, Refused> => {
    const calendar = Trigger.calendarOf(wanted.schedule)
    if (calendar !== undefined && calendarOf(wanted) === undefined) {
      return Effect.fail(unknownCalendar(calendar))
    }
    const known = named(wanted.namespace, wanted.name)
    const definition = Trigger.anchored(wanted, known?.view.definition, now())
    if (known !== undefined && Equal.equals(known.view.definition, definition)) {
      return Effect.succeed(known.view)
    }
    const before = known ?? namedIn(state.removed, wanted.namespace, wanted.name)
    const id = before?.view.id ?? state.nextTriggerId()
    state.removed.delete(id)
    const view = onwards({
      id,
      definition,
      revision: (before?.view.revision ?? 0) + 1,
      isPaused: known?.view.isPaused ?? false,
    })
    state.triggers.set(id, {
      view,
      partition: Trigger.partitionOf(definition.namespace, definition.name),
      records: before?.records ?? [],
      through: before?.through ?? -Infinity,
      usedThrough: before?.usedThrough,
    })
    state.hint(ofTriggers)
    return Effect.succeed(view)
  }

  const fire = (item: Firing): Fired => {
    const kept = state.triggers.get(item.trigger)
    if (kept === undefined || kept.view.revision !== item.revision || kept.view.isPaused) {
      return { _tag: "Stale" }
    }
    const last = item.fire?.slot ?? item.passed?.through
    if (last === undefined) return { _tag: "Recorded" }
    if (last > now()) return { _tag: "NotDue", remainingMillis: last - now() }
    const first = item.passed?.from ?? last
    const isRecorded = first <= kept.through && covers(kept, first, last, state.bounds.records)
    if (kept.view.cursor === undefined || kept.view.cursor <= last) {
      const { cursor: _, ...view } = kept.view
      kept.view = { ...view, ...(item.next !== undefined && { cursor: item.next }) }
    }
    if (isRecorded) return { _tag: "Already" }
    const run = item.fire &&
      state.add(item.fire.spec, now(), {
        trigger: kept.view.definition.name,
        slot: item.fire.slot,
      }).id
    const record = (slot: number, through: number, outcome: SlotRecord["outcome"]) => {
      kept.records.push({
        slot,
        through,
        outcome,
        latenessMillis: now() - through,
        ...(outcome !== "skipped" && run !== undefined && { run }),
        ...(outcome === "skipped" && { reason: "misfired" }),
      })
      kept.through = Math.max(kept.through, through)
      if (kept.records.length > state.bounds.records) kept.records.shift()
    }
    if (item.passed) record(item.passed.from, item.passed.through, item.passed.outcome)
    if (run === undefined) return { _tag: "Recorded" }
    record(last, last, "fired")
    return { _tag: "Fired", run, latenessMillis: now() - last }
  }

  return {
    put: (definition) => Effect.suspend(() => put(definition)),
    remove: (namespace, name) =>
      Effect.sync(() => {
        const kept = named(namespace, name)
        if (kept !== undefined) state.remove(kept)
        return kept !== undefined
      }),
    pause: (namespace, name, isPaused) =>
      Effect.sync(() => {
        const kept = named(namespace, name)
        if (kept === undefined) return Option.none()
        if (kept.view.isPaused !== isPaused) {
          kept.view = isPaused ? { ...kept.view, isPaused } : onwards({ ...kept.view, isPaused })
          state.hint(ofTriggers)
        }
        return Option.some(kept.view)
      }),
    find: (namespace, name) =>
      Effect.sync(() => Option.fromNullishOr(named(namespace, name)?.view)),
    list: (namespace) =>
      Effect.sync(() =>
        [...state.triggers.values()].map(({ view }) => view)
          .filter(({ definition }) => definition.namespace === namespace)
          .sort((a, b) => a.definition.name < b.definition.name ? -1 : 1)
      ),
    due: (partitions, withinMillis, limit) =>
      Effect.sync(() => ({
        now: now(),
        triggers: [...state.triggers.values()]
          .filter(({ partition, view }) =>
            partitions.includes(partition) && !view.isPaused &&
            view.cursor !== undefined && view.cursor < now() + withinMillis
          )
          .map(({ view }) => view)
          .sort((a, b) => a.cursor! - b.cursor! || a.id - b.id)
          .slice(0, limit),
      })),
    fire: (items) => Effect.sync(() => items.map(fire)),
    records: (trigger, limit) =>
      Effect.sync(() => {
        const kept = state.triggers.get(trigger) ?? state.removed.get(trigger)
        return (kept?.records ?? []).toReversed().slice(0, limit)
      }),
  }
}

/** Whether a record covers a slot in [`from`, `to`]; what was forgotten counts as covered. */
const covers = (
  { records, usedThrough }: KeptTrigger,
  from: number,
  to: number,
  recordsMax: number,
): boolean =>
  (usedThrough !== undefined && from <= usedThrough) ||
  (records.length === recordsMax && from < records[0]!.slot) ||
  records.some(({ slot, through }) => slot <= to && through >= from)
