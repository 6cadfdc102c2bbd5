/** Triggers and slots in memory: see `TriggerStorage` for the laws. */
import { Effect, Equal, Option } from "effect"
import { unknown as unknownCalendar } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import * as Permanent from "../../core/domain/Permanent.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { overlapping } from "../../core/domain/RunView.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import * as Turn from "../../core/domain/Turn.ts"
import {
  type Asked,
  type Asking,
  type Fired,
  type Firing,
  listedMax,
  type SlotRecord,
  type Stopped,
  TriggerChanged,
  type TriggerStorage,
  type TriggerView,
} from "../../core/services/TriggerStorage.ts"
import { ofTriggers } from "../../core/services/Wakeups.ts"
import { attach, detach, follow } from "./MemoryFollowing.ts"
import * as Tailing from "./MemoryTailing.ts"
import type { KeptTrigger, MemoryState } from "./MemoryState.ts"

/** The last of its slots that has a record, or had one. */
export const recordedOf = ({ through, usedThrough }: KeptTrigger): number | undefined => {
  const last = Math.max(through, usedThrough ?? -Infinity)
  return last === -Infinity ? undefined : last
}

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

  const standing = (
    { versions, view: { cursor, definition, isPaused } }: KeptTrigger,
  ): Turn.InForce => ({
    since: versions.at(-1)?.since,
    schedule: definition.schedule,
    calendar: calendarOf(definition),
    cursor,
    isPaused,
  })

  const close = (kept: KeptTrigger, closed: Turn.Closed | undefined): void => {
    if (closed !== undefined) keep(kept, { ...closed, slot: closed.from, outcome: "skipped" })
  }

  const keep = (
    kept: KeptTrigger,
    { from: _, ...record }: Omit<SlotRecord, "latenessMillis"> & { readonly from?: number },
  ): void => {
    const latenessMillis = now() - record.through
    kept.records.push({ ...record, latenessMillis, revision: kept.view.revision })
    kept.through = Math.max(kept.through, record.through)
    if (kept.records.length > state.bounds.records) {
      kept.usedThrough = kept.records.shift()!.through
    }
  }

  const put = (
    wanted: Trigger.TriggerDefinition,
    revision: number | undefined,
  ): Effect.Effect<TriggerView, Refused | TriggerChanged> => {
    const known = named(wanted.namespace, wanted.name)
    const present = known?.view.revision ?? 0
    if (revision !== undefined && revision !== present) {
      return Effect.fail(new TriggerChanged({ name: wanted.name, revision: present }))
    }
    const calendarName = Trigger.calendarOf(wanted.schedule)
    const calendar = calendarOf(wanted)
    if (calendarName !== undefined && calendar === undefined) {
      return Effect.fail(unknownCalendar(calendarName))
    }
    const definition = Trigger.anchored(wanted, known?.view.definition, now())
    if (known !== undefined && Equal.equals(known.view.definition, definition)) {
      return Effect.succeed(known.view)
    }
    const before = known ?? namedIn(state.removed, wanted.namespace, wanted.name)
    const { closed, cursor, since } = Turn.edited(
      known && standing(known),
      { schedule: definition.schedule, calendar },
      now(),
      before && recordedOf(before),
    )
    if (known !== undefined) close(known, closed)
    const id = before?.view.id ?? state.nextTriggerId()
    const view: TriggerView = {
      id,
      definition,
      revision: (before?.view.revision ?? 0) + 1,
      isPaused: known?.view.isPaused ?? false,
      ...(cursor !== undefined && { cursor }),
    }
    const kept: KeptTrigger = {
      view,
      partition: Trigger.partitionOf(definition.namespace, definition.name),
      records: before?.records ?? [],
      followed: before?.followed ?? [],
      tailed: before?.tailed ?? [],
      tail: Tailing.attached(before?.tail, definition.schedule),
      asked: before?.asked ?? [],
      versions: before?.versions ?? [],
      auditedUpTo: before?.auditedUpTo,
      through: before?.through ?? -Infinity,
      usedThrough: before?.usedThrough,
    }
    state.triggers.set(id, kept)
    state.removed.delete(id)
    state.turn(kept, since, definition)
    attach(state, definition)
    state.hint(ofTriggers)
    return Effect.succeed(view)
  }

  const remove = (kept: KeptTrigger): void => {
    const { closed, since } = Turn.removed(standing(kept), now())
    close(kept, closed)
    const { cursor: _, ...view } = kept.view
    kept.view = { ...view, revision: view.revision + 1 }
    state.turn(kept, since, undefined)
    detach(state, kept.view.definition)
    state.remove(kept)
  }

  const pause = (kept: KeptTrigger, isPaused: boolean): TriggerView => {
    if (kept.view.isPaused === isPaused) return kept.view
    if (isPaused) kept.view = { ...kept.view, isPaused }
    else {
      const { closed, cursor } = Turn.resumed(standing(kept), now(), recordedOf(kept))
      close(kept, closed)
      const { cursor: _, ...view } = kept.view
      kept.view = { ...view, isPaused, ...(cursor !== undefined && { cursor }) }
    }
    state.hint(ofTriggers)
    return kept.view
  }

  const isUnderWay = (run: RunId): boolean => {
    const entry = state.runs.get(run)
    return entry !== undefined && !Run.isFinal(entry.state._tag)
  }

  /** By which of its runs a slot is held up. */
  const runningOf = ({ asked, followed, records }: KeptTrigger): RunId | undefined =>
    latestUnderWay(records) ?? latestUnderWay(asked, followed)

  const latestUnderWay = (
    ...records: ReadonlyArray<ReadonlyArray<SlotRecord>>
  ): RunId | undefined =>
    records.flatMap((some) => some.slice(-lookedBack))
      .flatMap(({ run, running }) => [run, running])
      .filter((run) => run !== undefined && isUnderWay(run))
      .sort((a, b) => b! - a!)[0]

  const fire = (item: Firing): Fired => {
    const kept = state.triggers.get(item.trigger)
    if (kept === undefined || kept.view.revision !== item.revision || kept.view.isPaused) {
      return { _tag: "Stale" }
    }
    const last = item.fire?.slot ?? item.passed?.through
    if (last === undefined) return { _tag: "Recorded" }
    if (last > now()) return { _tag: "NotDue", remainingMillis: last - now() }
    const first = item.passed?.from ?? last
    const isRecorded = Trigger.isBehind(kept.view, first) ||
      (first <= kept.through && covers(kept, first, last, state.bounds.records))
    if (kept.view.cursor !== undefined && kept.view.cursor <= first) {
      const { cursor: _, ...view } = kept.view
      kept.view = { ...view, ...(item.next !== undefined && { cursor: item.next }) }
    }
    if (isRecorded) return { _tag: "Already" }
    const { whileRunning = "allow" } = item.fire ?? {}
    const running = whileRunning === "allow" ? undefined : runningOf(kept)
    const { passed } = item
    const isSkipped = running !== undefined && whileRunning === "skip"
    const run = item.fire && !isSkipped
      ? state.add(item.fire.spec, now(), {
        trigger: kept.view.definition.name,
        slot: item.fire.slot,
        failure: running && overlapping(running),
      }).id
      : undefined
    if (passed !== undefined) {
      keep(kept, {
        slot: passed.from,
        through: passed.through,
        outcome: passed.outcome,
        ...(passed.outcome === "coalesced" ? run !== undefined && { run } : { reason: "misfired" }),
      })
    }
    if (item.fire === undefined) return { _tag: "Recorded" }
    keep(kept, {
      slot: last,
      through: last,
      ...(run === undefined
        ? { outcome: "skipped", reason: Trigger.stillRunning(running!) }
        : { outcome: "fired", run }),
      ...(running !== undefined && { running }),
    })
    return run === undefined
      ? { _tag: "Recorded" }
      : { _tag: "Fired", run, latenessMillis: now() - last }
  }

  const ask = (item: Asking, isDry: boolean): Asked => {
    const kept = state.triggers.get(item.trigger)
    if (kept === undefined || kept.view.revision !== item.revision) return { _tag: "Stale" }
    const { by, kind, request, slot = now(), spec } = item
    const before = kept.asked.find(({ asked, slot: at }) =>
      asked!.kind === kind && (kind === "manual" ? asked!.request === request : at === slot)
    )
    if (before !== undefined) return { _tag: "Already", run: before.run }
    if (kind === "backfill") {
      const { cursor, isPaused } = kept.view
      if (slot > now() || (!isPaused && cursor !== undefined && slot >= cursor)) {
        return { _tag: "Pending" }
      }
      const record = kept.records.find((each) => each.slot <= slot && each.through >= slot)
      if (record?.outcome === "fired") return { _tag: "Already", run: record.run }
      if (kept.usedThrough !== undefined && slot <= kept.usedThrough) {
        return { _tag: "Already", run: undefined }
      }
    }
    if (isDry) return { _tag: "Dry" }
    const entry = state.add(spec, now(), {
      trigger: kept.view.definition.name,
      slot: kind === "backfill" ? slot : undefined,
    })
    state.note(entry, "Asked", now(), by === undefined ? kind : `${kind}, by ${by}`)
    kept.asked.push({
      slot,
      through: slot,
      outcome: "fired",
      run: entry.id,
      latenessMillis: now() - slot,
      revision: item.revision,
      asked: { kind, request, ...(by !== undefined && { by }) },
    })
    if (kept.asked.length > state.bounds.records) kept.asked.shift()
    return { _tag: "Fired", run: entry.id }
  }

  const stoppedOf = ({ records, view }: KeptTrigger): Stopped | undefined => {
    const { definition: { schedule }, isPaused } = view
    if (schedule._tag !== "Permanent" || isPaused) return undefined
    const fired = records.filter(({ run }) => run !== undefined)
      .sort((a, b) => b.slot - a.slot).slice(0, Permanent.remembered)
    if (fired.some(({ run }) => isUnderWay(run!))) return undefined
    return {
      view,
      lives: fired.map(({ run, slot }) => {
        const { claimedAt, finishedAt } = state.runs.get(run!) ?? {}
        const isKnown = claimedAt !== undefined && finishedAt !== undefined
        return { slot, livedMillis: isKnown ? finishedAt - claimedAt : 0 }
      }),
      endedAt: (fired[0] && state.runs.get(fired[0].run!)?.finishedAt) ?? fired[0]?.slot ?? 0,
    }
  }

  const keptOf = (trigger: Trigger.TriggerId) =>
    state.triggers.get(trigger) ?? state.removed.get(trigger)

  return {
    put: (definition, revision) => Effect.suspend(() => put(definition, revision)),
    remove: (namespace, name) =>
      Effect.sync(() => {
        const kept = named(namespace, name)
        if (kept !== undefined) remove(kept)
        return kept !== undefined
      }),
    pause: (namespace, name, isPaused) =>
      Effect.sync(() => {
        const kept = named(namespace, name)
        return kept === undefined ? Option.none() : Option.some(pause(kept, isPaused))
      }),
    find: (namespace, name) =>
      Effect.sync(() => Option.fromNullishOr(named(namespace, name)?.view)),
    list: (namespace, { after = "", limit = listedMax } = {}) =>
      Effect.sync(() =>
        [...state.triggers.values()].map(({ view }) => view)
          .filter(({ definition }) => definition.namespace === namespace && definition.name > after)
          .sort((a, b) => a.definition.name < b.definition.name ? -1 : 1)
          .slice(0, Math.max(0, Math.min(limit, listedMax)))
      ),
    due: (partitions, withinMillis, limit) =>
      Effect.sync(() => ({
        now: now(),
        triggers: [...state.triggers.values()]
          .filter(({ partition, view }) =>
            partitions.includes(partition) && !view.isPaused &&
            view.definition.schedule._tag !== "Permanent" &&
            view.cursor !== undefined && view.cursor < now() + withinMillis
          )
          .map(({ view }) => view)
          .sort((a, b) => a.cursor! - b.cursor! || a.id - b.id)
          .slice(0, limit),
      })),
    aheadMillis: 0,
    fire: (items) => Effect.sync(() => items.map(fire)),
    follow: (items) => Effect.sync(() => items.map((item) => follow(state, now(), item))),
    tail: (item) => Effect.sync(() => Tailing.tail(state, now(), item)),
    tails: (of) => Effect.sync(() => Tailing.tails(state, of)),
    records: (trigger, limit) =>
      Effect.sync(() => {
        const kept = keptOf(trigger)
        return [
          ...kept?.records ?? [],
          ...(kept?.followed ?? []).toReversed(),
          ...(kept?.tailed ?? []).toReversed(),
          ...kept?.asked ?? [],
        ]
          .sort((a, b) => b.slot - a.slot).slice(0, limit)
      }),
    recordOf: (run) =>
      Effect.sync(() => {
        for (const kept of [...state.triggers.values(), ...state.removed.values()]) {
          const found = [...kept.asked, ...kept.records, ...kept.followed, ...kept.tailed].find(
            (record) => record.run === run && record.outcome === "fired",
          )
          if (found === undefined) continue
          if (found.after === undefined && found.entry === undefined) return Option.some(found)
          const recordedAt = found.slot + found.latenessMillis
          const version = kept.versions.findLast(({ since }) => since - 1 <= recordedAt)
          return Option.some({ ...found, ...(version && { revision: version.revision }) })
        }
        return Option.none()
      }),
    ask: (items, isDry) => Effect.sync(() => items.map((item) => ask(item, isDry))),
    asked: (trigger, request, limit) =>
      Effect.sync(() =>
        (keptOf(trigger)?.asked ?? [])
          .filter(({ asked }) => asked!.kind === "backfill" && asked!.request === request)
          .sort((a, b) => a.slot - b.slot)
          .slice(0, limit)
          .map(({ run }) => run)
      ),
    versions: (trigger, limit) =>
      Effect.sync(() =>
        (keptOf(trigger)?.versions ?? [])
          .map(({ calendar: _, ...version }) => version)
          .toReversed()
          .slice(0, limit)
      ),
    stopped: (partitions, limit, after = Trigger.TriggerId.make(0)) =>
      Effect.sync(() => ({
        now: now(),
        triggers: [...state.triggers.values()]
          .filter(({ partition, view }) => partitions.includes(partition) && view.id > after)
          .sort((a, b) => a.view.id - b.view.id)
          .map(stoppedOf)
          .filter((stopped) => stopped !== undefined)
          .slice(0, limit),
      })),
  }
}

/** Among so many of its latest slots one is looked for that is under way. */
const lookedBack = 32

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
