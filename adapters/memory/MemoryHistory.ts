/** What leaves the memory storage by its age: see `HistoryStorage` for the laws. */
import { Effect } from "effect"
import * as Retention from "../../core/domain/Retention.ts"
import * as Run from "../../core/domain/Run.ts"
import type { HistoryStorage, Retired } from "../../core/services/HistoryStorage.ts"
import type { SlotRecord } from "../../core/services/TriggerStorage.ts"
import type { KeptTrigger, MemoryState } from "./MemoryState.ts"

export const make = (state: MemoryState, now: () => number): HistoryStorage => {
  /** What ended at or before this instant leaves. */
  const over = (namespace: string, task: string): number => {
    const policy = state.tasks.get(`${namespace} ${task}`)?.definition.policy
    return now() - Retention.millis[policy?.retention ?? Retention.usual]
  }

  const retireKeys = (limit: number): number => {
    let keys = 0
    for (const [key, run] of state.idempotency) {
      if (keys === limit) break
      const entry = state.runs.get(run)!
      const isFree = Run.isFinal(entry.state._tag) &&
        entry.createdAt <= now() - Retention.keyMillis
      if (!isFree) continue
      state.idempotency.delete(key)
      keys++
    }
    return keys
  }

  /** Those that were removed among them, whose records are known as long. */
  const allTriggers = () => [...state.triggers.values(), ...state.removed.values()]

  const retireSlots = (limit: number): number => {
    let slots = 0
    for (const kept of allTriggers()) {
      const { namespace, task } = kept.view.definition
      slots += retireSlotsOf(kept, over(namespace, task), limit - slots)
      slots += earliest(kept.followed, over(namespace, task), limit - slots).length
    }
    return slots
  }

  const retireAsked = (limit: number): number => {
    let asked = 0
    for (const kept of allTriggers()) {
      const { namespace, task } = kept.view.definition
      const overAt = over(namespace, task)
      for (let at = 0; at < kept.asked.length && asked < limit;) {
        if (recordedAt(kept.asked[at]!) > overAt) at++
        else {
          kept.asked.splice(at, 1)
          asked++
        }
      }
    }
    return asked
  }

  /** What ended after this instant stays, whatever its task. */
  const latestOver = (): number => {
    const all = [...state.tasks.values()].map(({ definition: { policy } }) =>
      Retention.millis[policy.retention ?? Retention.usual]
    )
    return now() - Math.min(Retention.millis[Retention.usual], ...all)
  }

  const retire = (limit: number): Retired => {
    const runs = state.retire(
      latestOver(),
      ({ finishedAt, spec }) =>
        finishedAt !== undefined && finishedAt <= over(spec.namespace, spec.task),
      limit,
      now(),
    )
    const keys = retireKeys(limit)
    const recorded = retireSlots(limit)
    const slots = recorded + retireAsked(limit - recorded)
    return { runs, keys, slots, hasMore: Math.max(runs, keys, slots) >= limit }
  }

  return { retire: (limit) => Effect.sync(() => retire(limit)) }
}

const recordedAt = ({ latenessMillis, through }: SlotRecord): number => through + latenessMillis

/** Those before the first that stays, at most `limit`. */
const retireSlotsOf = (kept: KeptTrigger, over: number, limit: number): number => {
  const gone = earliest(kept.records, over, limit)
  const last = gone.at(-1)
  if (last !== undefined) kept.usedThrough = last.through
  return gone.length
}

/** Takes them away. */
const earliest = (records: Array<SlotRecord>, over: number, limit: number) => {
  const stays = records.findIndex((record) => recordedAt(record) > over)
  return records.splice(0, Math.min(stays === -1 ? records.length : stays, limit))
}
