/** Keys that have their places in common. */
import type { GateKey } from "../../domain/Blocking.ts"
import type { RunId } from "../../domain/RunId.ts"
import * as Share from "../../domain/Share.ts"
import type { Checker } from "./Invariant.ts"

/** How far two keys are apart while runs wait at both: what the one was given beyond the other. */
interface Pair {
  apart: number
  least: number
  most: number
}

/**
 * While runs wait at several gates of a pool they pass by their weights: however long that goes on, no
 * two are further apart than one run of each. A gate counts from its first run that passed, since
 * nobody may have known of it before.
 */
export const R23: Checker = ({ kept: { runs }, ledger }, that) => {
  const waiting = new Map<GateKey, Set<RunId>>()
  const pairs = new Map<string, Pair>()
  const known = new Set<GateKey>()
  const nameOf = (one: GateKey, other: GateKey) => `${one} and ${other}`

  const leave = (gate: GateKey) => {
    known.delete(gate)
    for (const name of pairs.keys()) if (name.split(" and ").includes(gate)) pairs.delete(name)
  }
  const pass = (gate: GateKey, run: RunId) => {
    for (const other of known) {
      if (other === gate || !known.has(gate) || Share.poolOf(other) !== Share.poolOf(gate)) continue
      const isFirst = gate < other
      const name = isFirst ? nameOf(gate, other) : nameOf(other, gate)
      const pair = pairs.get(name) ?? { apart: 0, least: 0, most: 0 }
      pair.apart += isFirst ? Share.costOf(gate) : -Share.costOf(gate)
      pair.least = Math.min(pair.least, pair.apart)
      pair.most = Math.max(pair.most, pair.apart)
      pairs.set(name, pair)
      that(
        pair.most - pair.least <= Share.costOf(gate) + Share.costOf(other),
        () => `run ${run} passed ${gate} when it was the turn of ${other}`,
      )
    }
  }
  for (const { run, to } of ledger.of("moved")) {
    const gate = runs.get(run)?.gate
    if (gate === undefined || !Share.isGate(gate)) continue
    const here = waiting.get(gate) ?? new Set()
    waiting.set(gate, here)
    if (to === "Blocked") here.add(run)
    else if (here.delete(run)) {
      if (to === "Ready") pass(gate, run)
      if (here.size === 0) leave(gate)
      else if (to === "Ready") known.add(gate)
    }
  }
}
