/** Placements in memory: see `PlacementStorage` for the laws. */
import { Effect } from "effect"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { type Load, type Move, nothing, type Unplaced } from "../../core/domain/Placing.ts"
import type { Applied, Decision, PlacementStorage } from "../../core/services/PlacementStorage.ts"
import { standingOf } from "./MemoryExecutors.ts"
import type { Entry, MemoryState } from "./MemoryState.ts"

export const make = (state: MemoryState, now: () => number): PlacementStorage => {
  const readyIn = (lane: Lane.Lane): ReadonlyArray<Entry> => [...state.ready.get(lane) ?? []]
  const revisionOf = (lane: Lane.Lane) => state.revisions.get(Lane.taskOf(lane).namespace) ?? 0

  const displace = (limit: number) => {
    let displaced = 0
    for (const lane of [...state.ready.keys()]) {
      const executor = Lane.executorOf(lane)
      if (executor === undefined) continue
      if (standingOf(state.members.get(executor), now()) === "live") continue
      for (const entry of readyIn(lane)) {
        if (displaced >= limit) break
        displaced++
        state.moveTo(entry, entry.spec.lane)
      }
    }
    return { displaced, lanes: [...state.ready.keys()].filter(Lane.isUnplaced) }
  }

  const unplaced = ({ boundTo, id, shard, spec, state: { fence } }: Entry): Unplaced => ({
    run: id,
    fence,
    gate: spec.gate!.key,
    ...(boundTo !== undefined && { boundTo }),
    ...(shard !== undefined && { shard }),
  })

  const waiting = (lane: Lane.Lane, limit: number) => {
    const runs = readyIn(lane).slice(0, limit).map(unplaced)
    return {
      revision: revisionOf(lane),
      remembered: state.remembered.get(lane) ?? nothing,
      runs,
      loads: runs.length === 0 ? [] : loadsIn(Lane.taskOf(lane).namespace),
    }
  }

  const loadsIn = (namespace: string): ReadonlyArray<Load> => {
    const loads: Array<Load> = []
    for (const { held, incarnation, joining } of state.members.values()) {
      if (joining.namespace !== namespace) continue
      for (const { spec: { task } } of held) loads.push({ incarnation, task, runs: 1 })
    }
    for (const [lane, { size }] of state.ready) {
      const incarnation = Lane.executorOf(lane)
      const of = Lane.taskOf(lane)
      if (incarnation === undefined || of.namespace !== namespace) continue
      loads.push({ incarnation, task: of.task, runs: size })
    }
    return loads
  }

  const place = ({ lane, moves, remembered, revision }: Decision): Applied => {
    const entries = moves.map((move) => {
      const entry = state.runs.get(move.run)
      const waits = entry?.state._tag === "Ready" && entry.lane === lane &&
        entry.state.fence === move.fence
      return waits ? { entry, move } : undefined
    })
    if (revision !== revisionOf(lane) || entries.includes(undefined)) return { _tag: "Stale" }
    const gates = new Set<GateKey>()
    for (const each of entries) {
      const gate = apply(each!.entry, each!.move)
      if (gate !== undefined) gates.add(gate)
    }
    state.revisions.set(Lane.taskOf(lane).namespace, revision + 1)
    state.remembered.set(lane, remembered)
    return { _tag: "Applied", gates: [...gates] }
  }

  /** The gate that has to be looked at for it, if any. */
  const apply = (entry: Entry, move: Move): GateKey | undefined => {
    const at = now()
    switch (move._tag) {
      case "To":
        if (move.placed !== undefined) {
          const { incarnation, name, strategy } = move.placed
          entry.placed = { ...move.placed, at }
          state.note(entry, "Placed", at, `with ${name} (${incarnation}), by ${strategy}`)
        }
        state.moveTo(entry, move.lane)
        return undefined
      case "Fail":
        entry.failure = move.failure
        state.move(entry, { _tag: "Misplace" }, at)
        return entry.spec.gate?.key
      case "Spread": {
        const count = move.parts.length
        state.note(entry, "Spread", at, `in ${count} parts`)
        state.move(entry, { _tag: "Spread" }, at)
        const gate = FanIn.gate(entry.id, count)
        const { deadlineAt } = entry
        const deadlineMillis = deadlineAt === undefined ? undefined : Math.max(1, deadlineAt - at)
        state.forgetDeadline(entry)
        const spec = { ...entry.spec, gate, delayMillis: 0, deadlineMillis }
        for (const [index, { boundTo }] of move.parts.entries()) {
          const shard = { parent: entry.id, index, count }
          const idempotencyKey = FanIn.keyOf(shard)
          const part = state.add({ ...spec, idempotencyKey }, at, undefined, { shard })
          part.boundTo = boundTo
          entry.children.push(part)
        }
        return gate.key
      }
    }
  }

  return {
    displace: (limit) => Effect.sync(() => displace(limit)),
    waiting: (lane, limit) => Effect.sync(() => waiting(lane, limit)),
    place: (decision) => Effect.sync(() => place(decision)),
  }
}
