/** Triggers that follow a task, in memory: see `TriggerStorage` for the laws. */
import type { Namespace } from "../../core/domain/Namespace.ts"
import { depthMax, tooDeep, untaken, whilePaused } from "../../core/domain/Following.ts"
import * as Outbox from "../../core/domain/Outbox.ts"
import type { TriggerDefinition, TriggerName } from "../../core/domain/Trigger.ts"
import type { Follow, Followed, SlotRecord } from "../../core/services/TriggerStorage.ts"
import type { KeptTrigger, MemoryState } from "./MemoryState.ts"
import type { Told } from "./Outbox.ts"

const subscriber = (namespace: Namespace, name: TriggerName) => ({
  namespace,
  consumer: Outbox.triggers,
  name,
})

/** Subscribes the trigger as its definition says, or not at all. */
export const attach = (
  { outbox }: MemoryState,
  { name, namespace, schedule }: TriggerDefinition,
): void => {
  const of = subscriber(namespace, name)
  if (schedule._tag !== "After") return void outbox.unsubscribe(of)
  outbox.subscribe({ ...of, task: schedule.task, on: schedule.on })
}

export const detach = (
  { outbox }: MemoryState,
  { name, namespace }: TriggerDefinition,
): void => void outbox.unsubscribe(subscriber(namespace, name))

export const follow = (state: MemoryState, now: number, item: Follow): Followed => {
  const kept = state.triggers.get(item.trigger)
  if (kept === undefined || kept.view.revision !== item.revision) return { _tag: "Stale" }
  const { definition, isPaused } = kept.view
  const told = state.outbox.told.get(item.event)
  const { consumer, name, namespace } = told?.to.subscription ?? {}
  const isOwn = consumer === Outbox.triggers && namespace === definition.namespace &&
    name === definition.name
  if (told === undefined || !isOwn) return { _tag: "Already" }
  state.outbox.remove(told)
  const depth = 1 + (told.entry.follows?.depth ?? 0)
  const reason = isPaused ? whilePaused : depth > depthMax ? tooDeep : undefined
  if (reason !== undefined || typeof item.fire === "string") {
    const why = reason ?? item.fire as string
    record(state, kept, told, now, { outcome: "skipped", reason: why })
    return { _tag: "Skipped", reason: why }
  }
  const { id: run } = state.add(item.fire, now, {
    trigger: definition.name,
    slot: told.at,
    follows: { run: told.entry.id, depth },
  })
  record(state, kept, told, now, { outcome: "fired", run })
  return { _tag: "Fired", run }
}

/** Events that leave with their run, and that nobody has fired. */
export const miss = (state: MemoryState, gone: ReadonlyArray<Told>, now: number): void => {
  for (const told of gone) {
    const { consumer, name, namespace } = told.to.subscription
    if (consumer !== Outbox.triggers) continue
    const kept = state.triggers.values().find(({ view: { definition } }) =>
      definition.namespace === namespace && definition.name === name
    )
    if (kept !== undefined) record(state, kept, told, now, { outcome: "skipped", reason: untaken })
  }
}

const record = (
  state: MemoryState,
  { followed }: KeptTrigger,
  { at, entry, state: end }: Told,
  now: number,
  how: Pick<SlotRecord, "outcome" | "run" | "reason">,
): void => {
  followed.push({
    slot: at,
    through: at,
    ...how,
    after: { run: entry.id, state: end },
    latenessMillis: Math.max(0, now - at),
  })
  if (followed.length > state.bounds.records) followed.shift()
}
