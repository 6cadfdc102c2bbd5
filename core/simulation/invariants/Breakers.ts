/** Runs behind a breaker, and those of a limited rate. */
import * as Breaker from "../../domain/Breaker.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { Outcome } from "../Outcome.ts"
import { breaker as named, breakerSettings, keyIn, policyOf } from "../tasks.ts"
import type { Checker, That } from "./Invariant.ts"
import { firstGrants } from "./tenures.ts"

/**
 * Runs behind the breaker of their key: each start had its permit, a key opens by calls of its own,
 * and who was postponed has lost no attempt.
 */
const byKey = ({ kept: { runs }, ledger }: Outcome, that: That) => {
  const keyOf = (run: RunId) => {
    const view = runs.get(run)
    return view !== undefined && Breaker.isByKey(policyOf(view.task).breaker)
      ? keyIn(view)
      : undefined
  }
  const left = new Map<string, number>()
  const failed = new Map<string, number>()
  const starts = new Map<RunId, number>()
  const add = <K>(counts: Map<K, number>, key: K, count: number) => {
    const sum = (counts.get(key) ?? 0) + count
    counts.set(key, sum)
    return sum
  }
  for (const entry of ledger.entries) {
    if (entry.kind === "permitted" && entry.key !== undefined) {
      const { at, count, isOrdered, key, phase } = entry
      add(left, key, count)
      if (phase !== "Open" || isOrdered) continue
      that((failed.get(key) ?? 0) > 1, () => `${key} was open at ${at}, and had not failed`)
    } else if (entry.kind === "started") {
      const { run } = entry
      const key = keyOf(run)
      if (key === undefined) continue
      that(
        add(left, key, -1) >= 0,
        () => `run ${run} was started, and ${key} had not let it through`,
      )
      add(starts, run, 1)
    } else if (entry.kind === "ended" && entry.how === "failed") {
      const key = keyOf(entry.run)
      if (key !== undefined) add(failed, key, 1)
    } else if (entry.kind === "freed") add(starts, entry.run, 1)
  }
  for (const { attempt, id, state } of runs.values()) {
    if (state !== "Succeeded" || keyOf(id) === undefined) continue
    const most = starts.get(id) ?? 0
    that(attempt <= most, () => `run ${id} has had ${attempt} attempts, and only ${most} starts`)
  }
}

/** An open breaker lets nobody through; one that tries lets few, until they have gone well. */
export const I24: Checker = (outcome, that) => {
  const { clock, kept: { runs }, ledger } = outcome
  byKey(outcome, that)
  const { probeMillis, probes } = breakerSettings
  const all = ledger.of("permitted")
  const looks = all.filter(({ breaker, count }) => breaker === named && count >= 0)
  for (const entry of all) {
    const { at, count, epoch, phase } = entry
    const permits = all.filter(({ breaker, key }) => breaker === entry.breaker && key === entry.key)
    if (phase === "Open") that(count === 0, () => `${count} were let through at ${at}, it was open`)
    if (phase !== "HalfOpen" || !clock.isSteady(at - probeMillis, at)) continue
    const before = permits.filter((other) =>
      other.epoch === epoch && at - probeMillis < other.at && other.at <= at
    )
    const through = before.reduce((sum, other) => sum + other.count, 0)
    // In its last stage it lets four times as many through in each stretch of time, and this may have
    // the end of one in it and the beginning of the next.
    that(through <= probes * 8, () => `${through} were let through at ${at}, while it tried`)
  }
  const opened = looks.filter(({ phase }, nth) =>
    phase === "Open" && looks[nth - 1]?.phase !== phase
  )
  const granted = firstGrants(ledger).filter(({ run }) =>
    policyOf(runs.get(run)?.task ?? "plain").breaker === named
  )
  for (const { at, epoch } of opened) {
    const until = looks.find((other) => other.at >= at && other.epoch !== epoch)?.at ?? Infinity
    const through = granted.filter((grant) => grant.at > at && grant.at < until)
    that(
      through.length === 0,
      () => `run ${through[0]!.run} was granted while the breaker was open`,
    )
  }
  // A rate is another bound of the same kind: in no time t more than burst + t × rate.
  const limited = Map.groupBy(firstGrants(ledger), ({ run }) => runs.get(run)?.task ?? "plain")
  for (const [task, grants] of limited) {
    const { rateLimit } = policyOf(task)
    if (rateLimit === undefined) continue
    for (const [nth, { at }] of grants.entries()) {
      if (!clock.isSteady(at - rateLimit.perMillis, at)) continue
      const since = grants.slice(0, nth + 1).findIndex((other) =>
        at - other.at < rateLimit.perMillis
      )
      const count = nth + 1 - since
      const most = (rateLimit.burst ?? rateLimit.limit) + rateLimit.limit
      that(
        count <= most,
        () => `${count} runs of ${task} were granted within ${rateLimit.perMillis} ms`,
      )
    }
  }
}
