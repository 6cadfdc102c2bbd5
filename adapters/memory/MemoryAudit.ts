/** What the audit of slots reads and keeps, in memory: see `AuditStorage` for the laws. */
import { Effect } from "effect"
import {
  type Audited,
  type AuditStorage,
  findingsMax,
  recordsMax,
} from "../../core/services/AuditStorage.ts"
import type { TriggerId } from "../../core/domain/Trigger.ts"
import type { KeptTrigger, MemoryState } from "./MemoryState.ts"

export const make = (state: MemoryState, now: () => number): AuditStorage => {
  const place = () =>
    state.auditPlace ??= { step: 0, from: now(), until: undefined, after: 0 as TriggerId }

  const audited = (kept: KeptTrigger, from: number, until: number): Audited => {
    const { cursor, definition: { name, namespace }, id, isPaused } = kept.view
    const begin = kept.auditedUpTo ?? from
    const covering = gathered(kept)
      .filter((each) => each.slot <= until && each.through >= begin)
      .sort((a, b) => a.slot - b.slot)
    const records = covering.slice(0, recordsMax)
    return {
      trigger: id,
      namespace,
      name,
      from: begin,
      until: covering.length > recordsMax ? records[recordsMax - 1]!.through : until,
      account: {
        versions: kept.versions.map(({ calendar, definition, since }) => ({
          since,
          schedule: definition?.schedule,
          calendar,
        })),
        records,
        cursor,
        isPaused,
      },
    }
  }

  const of = (id: TriggerId) => state.triggers.get(id) ?? state.removed.get(id)

  return {
    place: Effect.sync(() => ({ now: now(), place: place() })),
    page: ({ after, from, until }, limit) =>
      Effect.sync(() => {
        const ids = [...state.triggers.keys(), ...state.removed.keys()]
          .filter((id) => id > after)
          .sort((a, b) => a - b)
          .slice(0, limit)
        const triggers = ids.map((id) => audited(of(id)!, from, until))
        return { triggers, last: ids.length === limit ? ids.at(-1) : undefined }
      }),
    keep: (next, { findings, looked, open }) =>
      Effect.sync(() => {
        if (next.step !== place().step + 1) return false
        state.auditPlace = next
        for (const id of looked) {
          const kept = of(id)
          if (kept !== undefined) kept.auditedUpTo = undefined
        }
        for (const { from, trigger } of open) {
          const kept = of(trigger)
          if (kept !== undefined) kept.auditedUpTo = from
        }
        for (const finding of findings) {
          const kept = of(finding.trigger)
          const isKnown = state.findings.some(({ kind, slot, trigger }) =>
            kind === finding.kind && slot === finding.slot && trigger === finding.trigger
          )
          if (kept === undefined || isKnown) continue
          state.findings.push({ ...finding, name: kept.view.definition.name, foundAt: now() })
          if (state.findings.length > findingsMax) state.findings.shift()
        }
        return true
      }),
    findings: (namespace, limit) =>
      Effect.sync(() =>
        state.findings
          .filter(({ trigger }) => {
            return of(trigger)?.view.definition.namespace === namespace
          })
          .map(({ trigger: _, ...finding }) => finding)
          .toReversed()
          .slice(0, limit)
      ),
  }
}

/** The records of a trigger, and those that have left, or were forgotten, as one. */
const gathered = ({ records, usedThrough, versions }: KeptTrigger) => {
  const all = records.map(({ slot, through }) => ({ slot, through, isGathered: false }))
  const begin = versions[0]?.since
  return usedThrough === undefined || begin === undefined || begin > usedThrough
    ? all
    : [{ slot: begin, through: usedThrough, isGathered: true }, ...all]
}
