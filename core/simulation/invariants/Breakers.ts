/** Runs behind a breaker, and those of a limited rate. */
import { breakerSettings, policyOf } from "../tasks.ts"
import type { Checker } from "./Invariant.ts"
import { firstGrants } from "./tenures.ts"

/** An open breaker lets nobody through; one that tries lets few, until they have gone well. */
export const I24: Checker = ({ clock, kept: { runs }, ledger }, that) => {
  const { probeMillis, probes } = breakerSettings
  const permits = ledger.of("permitted")
  const looks = permits.filter(({ count }) => count >= 0)
  for (const { at, count, epoch, phase } of permits) {
    if (phase === "Open") that(count === 0, () => `${count} were let through at ${at}, it was open`)
    if (phase !== "HalfOpen" || !clock.isSteady(at - probeMillis, at)) continue
    const before = permits.filter((other) =>
      other.epoch === epoch && at - probeMillis < other.at && other.at <= at
    )
    const through = before.reduce((sum, other) => sum + other.count, 0)
    // In its last stage it lets four times as many through, and in the one before it twice.
    that(through <= probes * 7, () => `${through} were let through at ${at}, while it tried`)
  }
  const opened = looks.filter(({ phase }, nth) =>
    phase === "Open" && looks[nth - 1]?.phase !== phase
  )
  const granted = firstGrants(ledger).filter(({ run }) =>
    policyOf(runs.get(run)?.task ?? "plain").breaker !== undefined
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
