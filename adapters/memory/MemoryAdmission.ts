/** Who passes a gate, in memory: see `RunStorage` for the laws. */
import { Effect } from "effect"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Run from "../../core/domain/Run.ts"
import type { Failure } from "../../core/domain/RunView.ts"
import * as Share from "../../core/domain/Share.ts"
import * as Touching from "../../core/domain/Touching.ts"
import type { Admission, RunStorage } from "../../core/services/RunStorage.ts"
import { Sorted } from "./Sorted.ts"
import { type Entry, type MemoryState, within } from "./MemoryState.ts"

/** `cancelHolder` asks who is replaced to stop. */
export const make = (
  state: MemoryState,
  now: () => number,
  cancelHolder: (holder: Entry) => void,
) => {
  /** Those of a pool of shares hold its places together. */
  const holders = (gate: GateKey): ReadonlyArray<Entry> =>
    !Share.isGate(gate)
      ? [...state.holders.get(gate) ?? []]
      : [...state.holders].flatMap(([key, held]) =>
        key.startsWith(Share.poolOf(gate)) ? [...held] : []
      )

  const admitted = (entry: Entry): Admission => {
    const { lane } = entry.spec
    state.move(entry, { _tag: "Admit" }, now())
    state.note(entry, "Admitted", now())
    return { run: entry.id, state: "Ready", ...(Lane.isUnplaced(lane) && { unplaced: lane }) }
  }

  const discarded = (entry: Entry, failure: Failure): Admission => {
    entry.failure = failure
    state.move(entry, { _tag: "Discard" }, now())
    return { run: entry.id, state: "Discarded" }
  }

  const admit = (gate: GateKey): ReadonlyArray<Admission> => {
    if (Touching.isGate(gate)) return admitTouching(Touching.touchesOf(gate).namespace)
    const admissions: Array<Admission> = []
    for (;;) {
      const entry = state.blocked.get(gate)?.first
      if (entry === undefined) return [...admissions, ...gather(gate)]
      if (Blocking.keepsLatest(entry.spec.gate!)) return [...admissions, ...admitLatest(gate)]
      const decision = Blocking.decide(entry.spec.gate!, state.holders.get(gate)?.size ?? 0)
      if (decision === "wait") return admissions
      const [holder] = holders(gate)
      admissions.push(
        decision === "admit" ? admitted(entry) : discarded(entry, Blocking.busyWith(holder!.id)),
      )
    }
  }

  const admitLatest = (gate: GateKey): ReadonlyArray<Admission> => {
    const waiting = [...state.blocked.get(gate)!].sort((a, b) => a.turn - b.turn)
    const latest = waiting.pop()!
    const admissions = waiting.map((entry) => discarded(entry, Blocking.replacedBy(latest.id)))
    const decided = () => Blocking.decide(latest.spec.gate!, state.holders.get(gate)?.size ?? 0)
    if (decided() === "replace") {
      for (const holder of holders(gate)) {
        if (holder.state._tag === "Running" && holder.state.isCancelling) continue
        state.note(holder, "Replaced", now(), Blocking.replacedBy(latest.id).message)
        cancelHolder(holder)
      }
    }
    return decided() === "admit" ? [...admissions, admitted(latest)] : admissions
  }

  /** Those of one pool. */
  const admitSharing = (gates: ReadonlyArray<GateKey>): ReadonlyArray<Admission> => {
    const admissions: Array<Admission> = []
    const pool = Share.poolOf(gates[0]!)
    const queues = within(
      state.shares,
      pool,
      () => new Sorted<Share.Queue>((a, b) => a.tag - b.tag || a.turn - b.turn),
    )
    const forget = (gate: GateKey) => {
      const queue = state.sharing.get(gate)
      if (queue !== undefined) queues.delete(queue)
      state.sharing.delete(gate)
    }
    Share.admit<Entry>(
      {
        first: () => queues.first,
        has: (gate) => state.sharing.has(gate),
        put: (queue) => {
          forget(queue.gate)
          queues.add(queue)
          state.sharing.set(queue.gate, queue)
        },
        forget,
        waiting: (gate) => {
          const run = state.blocked.get(gate)?.first
          return run && { run, turn: run.turn, places: run.spec.gate!.places }
        },
      },
      gates,
      holders(gates[0]!).length,
      Infinity,
      (entry) => admissions.push(admitted(entry)),
    )
    if (queues.size === 0) state.shares.delete(pool)
    return admissions
  }

  /** Those that touch something, in the order in which they came. */
  const admitTouching = (namespace: Namespace): ReadonlyArray<Admission> => {
    const of = Touching.prefixOf(namespace)
    const taken = new Touching.Taken()
    for (const [key, { size }] of state.holders) {
      if (key.startsWith(of) && size > 0) taken.take(Touching.touchesOf(key).touches)
    }
    return [...state.blocked].flatMap(([key, waiting]) => key.startsWith(of) ? [...waiting] : [])
      .sort((a, b) => a.turn - b.turn)
      .flatMap((entry) =>
        taken.take(Touching.touchesOf(entry.spec.gate!.key).touches) ? [admitted(entry)] : []
      )
  }

  const haveEnded = ({ children }: Entry) =>
    children.every((child) => Run.isFinal(child.state._tag))

  /** Ends the parent behind the gate, if its children have. */
  const gather = (gate: GateKey): ReadonlyArray<Admission> => {
    const parent = state.parents.get(FanIn.parentOf(gate)!)
    if (parent === undefined || !haveEnded(parent)) return []
    const ends = parent.children.map((child) => child.state._tag)
    const verdict = FanIn.verdict(ends)
    if (verdict === "Failed") {
      const unsuccessful = ends.filter((end) => end !== "Succeeded").length
      parent.failure = FanIn.failureOf(unsuccessful, ends.length)
    }
    state.move(parent, { _tag: "Gather", verdict }, now())
    return [{ run: parent.id, state: verdict }]
  }

  const admitAll: RunStorage["admit"] = (gates) =>
    Effect.sync(() => {
      const sharing = Map.groupBy(gates.filter(Share.isGate), Share.poolOf)
      return [
        ...gates.filter((gate) => !Share.isGate(gate)).flatMap(admit),
        ...[...sharing.values()].flatMap(admitSharing),
      ]
    })

  const openGates: RunStorage["openGates"] = (limit) =>
    Effect.sync(() => {
      const open: Array<GateKey> = [...state.parents.values()].filter(haveEnded)
        .slice(0, limit).map(({ id }) => FanIn.gate(id, 1).key)
      for (const [key, waiting] of state.blocked) {
        if (open.length === limit) break
        const isNew = Share.isGate(key) && !state.sharing.has(key)
        const held = holders(key).length
        const gate = waiting.first!.spec.gate!
        const isOver = Blocking.keepsLatest(gate) && waiting.size > 1
        if (isNew || isOver || Blocking.decide(gate, held) !== "wait") open.push(key)
      }
      return open
    })

  return { holders, admit: admitAll, openGates }
}
