/** Runs that wait for each other. */
import * as Blocking from "../../domain/Blocking.ts"
import * as Run from "../../domain/Run.ts"
import type { RunView } from "../../domain/RunView.ts"
import { isDueAtOnce, millis, requestOf } from "../Kept.ts"
import { rounding } from "../SetClock.ts"
import { policyOf, queues } from "../tasks.ts"
import type { Checker } from "./Invariant.ts"
import { firstOf, levelsOf } from "./levels.ts"
import { attemptEnds } from "./tenures.ts"

/**
 * Runs of a queue pass by level as long as patience lasts, and in the order in which they were taken in,
 * each when the one before has ended, its retries with it.
 */
export const I11: Checker = ({ kept: { runs }, ledger }, that) => {
  const delayed = new Set(
    ledger.of("sent").filter(({ delayMillis }) => delayMillis > 0).map(({ request }) => request),
  )
  // What was put down, or tried again, has taken its place anew.
  const ordered = new Set(
    ledger.of("ordered").filter(({ order }) => order !== "cancel").map(({ run }) => run),
  )
  const admitted = firstOf(ledger, "admitted", ({ state }) => state === "Ready")
  const levelOf = levelsOf(ledger)
  const queued = [...runs.values()].filter((view) =>
    queues.has(view.task) && !ordered.has(view.id) && !delayed.has(requestOf(view))
  )
  for (const [gate, all] of Map.groupBy(queued, ({ gate }) => gate)) {
    for (const [at, view] of all.entries()) {
      const passed = admitted.get(view.id)
      if (passed === undefined) continue
      for (const before of all.slice(0, at)) {
        // A better level goes first, within the patience of the other.
        const [first, second] = [before, view]
          .map((each) => placeOf({ ...each, level: levelOf(each, passed.nth) }))
        if (Blocking.order(first!, second!) > 0) continue
        const ended = before.finishedAt === undefined ? Infinity : millis(before.finishedAt)
        that(
          ended <= passed.at + rounding,
          () => `run ${view.id} passed ${gate} before run ${before.id} had ended`,
        )
      }
    }
  }
}

/** It came to its gate at once, where no deadline counts. */
const placeOf = ({ id, level, task }: RunView): Blocking.Place => {
  const { order } = policyOf(task)
  return { rank: Blocking.rank({ level, turn: id, places: placesOf(task), order }), turn: id }
}

/**
 * What comes while another is under way is discarded; what is discarded was never started, and another was
 * under way when it was.
 */
export const I12: Checker = (outcome, that) => {
  discardedWhenBusy(outcome, that)
  discardedRightly(outcome, that)
}

/** When all is well it has been decided by then about whoever came, by a sweep if by nobody else. */
const decidedMillis = 2000

/** About who waits the next decision about its gate is made, and no later than when all is well. */
const discardedWhenBusy: Checker = (outcome, that) => {
  const { calmFrom, kept: { runs }, ledger } = outcome
  const comes = [...runs.values()].filter(({ task }) => task === "discard")
  const ordered = firstOf(ledger, "ordered")
  const admitted = firstOf(ledger, "admitted", ({ state }) => state === "Ready")
  const [freed, settled] = [
    firstOf(ledger, "freed"),
    firstOf(ledger, "settled", ({ answer }) => answer === "applied"),
  ]
  // Whoever was told to stop, was lost or given back may have left the gate.
  const holders = comes.flatMap(({ finishedAt, id }) => {
    const from = admitted.get(id)?.at
    if (from === undefined) return []
    const ends = [ordered, freed, settled].map((first) => first.get(id)?.at ?? Infinity)
    return [{ run: id, from, to: Math.min(...ends, finishedAt ? millis(finishedAt) : Infinity) }]
  })
  const decided = ledger.of("decided")
  for (const view of comes) {
    const { createdAt, finishedAt, gate, id, state } = view
    if (ordered.has(id) || state === "Expired" || !isDueAtOnce(view)) continue
    const came = millis(createdAt) + rounding
    const next = decided.find(({ at, gates }) => at > came && gates.includes(gate!))?.at
    const by = Math.min(next ?? Infinity, came < calmFrom ? Infinity : came + decidedMillis)
    if (finishedAt !== undefined && millis(finishedAt) < by - rounding) continue
    const holder = holders.find(({ from, run, to }) => run !== id && from < came && by < to)
    if (holder === undefined) continue
    that(
      state === "Discarded",
      () => `run ${id} is ${state}, and came while run ${holder.run} was under way`,
    )
  }
}

const discardedRightly: Checker = ({ kept: { runs }, ledger }, that) => {
  const started = new Set(ledger.of("started").map(({ run }) => run))
  // What is revived comes to the gate again.
  for (const { order, run } of ledger.of("ordered")) if (order === "revive") started.delete(run)
  for (const { id, state } of runs.values()) {
    if (state !== "Discarded") continue
    that(!started.has(id), () => `run ${id} is discarded, and was started`)
  }
  for (const { run, state } of ledger.of("acknowledged")) {
    if (state !== "Discarded") continue
    that(
      runs.get(run)?.state === "Discarded",
      () => `run ${run} was acknowledged as discarded, and is ${runs.get(run)?.state}`,
    )
  }
  // What was revived may have been discarded when it came to the gate again.
  const busy = [...runs.values()].filter(({ attempt, state, task }) =>
    task === "discard" && (state !== "Discarded" || attempt > 0)
  )
  for (const { finishedAt, id, state, task } of runs.values()) {
    if (task !== "discard" || state !== "Discarded") continue
    const at = millis(finishedAt!)
    that(
      busy.some((other) =>
        other.id !== id && millis(other.createdAt) <= at &&
        (!Run.isFinal(other.state) || at <= millis(other.finishedAt!))
      ),
      () => `run ${id} was discarded, and no other was there`,
    )
  }
}

/** How many runs may be under way at once of those that share a gate. */
const placesOf = (task: string): number => {
  const { blocking, group } = policyOf(task)
  if (group?.limit !== undefined) return group.limit
  return blocking?._tag === "Concurrent" || blocking?._tag === "Fair" ? blocking.limit : 1
}

/**
 * Under `concurrent(2)` no three runs of a gate are under way at once, and under `fair(2, …)` of all
 * keys together, and of the tasks of a group together no more than its limit; under every other
 * blocking, and where they touch a thing exclusively, no two. Of a task that is blocked per executor that
 * holds in each. An attempt counts as under way from its start until it ended or its grant did.
 */
export const I13: Checker = (outcome, that) => {
  const ends = attemptEnds(outcome)
  const byGate = Map.groupBy(
    outcome.ledger.of("started").filter(({ gate }) => gate),
    ({ gate }) => gate!,
  )
  for (const [gate, started] of byGate) {
    const places = placesOf(started[0]!.task)
    for (const { at, fence, run } of started) {
      // Its end was told before it began, and whoever had it had not heard of that.
      if ((ends.get(`${run} ${fence}`) ?? Infinity) < at) continue
      const under = started.filter((other) =>
        other.run !== run && other.at <= at &&
        at < (ends.get(`${other.run} ${other.fence}`) ?? Infinity)
      )
      const others = new Set(under.map((other) => other.run))
      that(
        others.size < places,
        () => `run ${run} was started while ${[...others].join(", ")} held ${gate}`,
      )
    }
  }
}
