/** Runs of triggers that somebody asks for by hand. */
import { millis } from "../Kept.ts"
import { accountOf } from "./accounts.ts"
import type { Checker } from "./Invariant.ts"

/**
 * A request makes one run, however often and by however many it is asked for, and all are told of that.
 * A slot that is over and has no run is filled in once, and no other is.
 */
export const T13: Checker = (outcome, that) => {
  const { judged, kept, ledger } = outcome
  const told = Map.groupBy(ledger.of("told"), (each) => each.trigger)
  for (const { trigger } of judged) {
    const keptTrigger = kept.triggers.find(({ name }) => name === trigger)!
    for (const wrong of accountOf(outcome, keptTrigger).filled) {
      that(wrong === undefined, () => wrong!)
    }
    const asked = ledger.of("asked").filter((each) => each.trigger === keptTrigger.id)
    const made = Map.groupBy(
      asked.filter(({ answer }) => answer === "Fired"),
      ({ request, slot }) => slot === undefined ? request : `slot ${slot}`,
    )
    for (const [what, all] of made) {
      that(all.length === 1, () => `${what} of ${trigger} has made ${all.length} runs by hand`)
      const records = keptTrigger.asked.filter(({ run }) => run === all[0]!.run)
      const run = kept.runs.get(all[0]!.run!)
      that(
        records.length === 1 && run?.trigger === trigger &&
          (run.slot && millis(run.slot)) === all[0]!.slot,
        () => `${what} of ${trigger} is run ${all[0]!.run}, which has ${records.length} records`,
      )
    }
    that(
      keptTrigger.asked.length === made.size,
      () => `${trigger} has ${keptTrigger.asked.length} records by hand, of ${made.size} runs`,
    )
    for (const { answer, request, run, slot } of told.get(trigger) ?? []) {
      if (answer === "pending") continue
      const known = slot === undefined
        ? made.get(request)?.[0]?.run
        : made.get(`slot ${slot}`)?.[0]?.run ??
          keptTrigger.records.find((each) => each.slot === slot)?.run
      that(run === known, () => `${request} was told of run ${run}, and ${slot} is ${known}`)
    }
  }
}
