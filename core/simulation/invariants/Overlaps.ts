/** Slots that come while a run of their trigger is under way. */
import type { RunView } from "../../domain/RunView.ts"
import { millis } from "../Kept.ts"
import { accountOf } from "./accounts.ts"
import type { Checker } from "./Invariant.ts"

/** Instants are told in whole milliseconds: what begins or ends within these may be under way, or not. */
const rounding = 2

/**
 * While a run of its trigger is under way, whoever asked for that, a slot with `skip` is skipped and one with
 * `fail` makes a run that has failed without being granted, each with such a run for its reason; and without
 * one each makes a run like any other.
 */
export const T14: Checker = (outcome, that) => {
  const { judged, kept, ledger } = outcome
  const granted = new Set(ledger.of("granted").map(({ run }) => run))
  for (const { trigger } of judged) {
    const keptTrigger = kept.triggers.find(({ name }) => name === trigger)!
    const { steps } = accountOf(outcome, keptTrigger)
    const own = [...kept.runs.values()].filter((run) =>
      run.trigger === trigger && run.shard === undefined
    )
    const records = new Map(keptTrigger.records.map((record) => [record.slot, record]))
    for (const { at, isSkipped, slot, whileRunning } of steps) {
      const record = records.get(slot)
      const run = record?.run === undefined ? undefined : kept.runs.get(record.run)
      const hasFailed = run?.failure?.tag === "StillRunning"
      const underWay = (slack: number) => (other: RunView) =>
        other.id !== run?.id && millis(other.createdAt) <= at + slack &&
        (other.finishedAt === undefined || millis(other.finishedAt) >= at - slack)
      const [sure, possible] = [own.filter(underWay(-rounding)), own.filter(underWay(rounding))]
      const isHeldUp = isSkipped || hasFailed
      const says = `slot ${slot} of ${trigger}, ${whileRunning} while one is running, came at ${at}`
      if (whileRunning === "allow") {
        if (isHeldUp) that(false, () => `${says}, and was held up`)
        continue
      }
      that(
        isHeldUp ? possible.length > 0 : sure.length === 0,
        () =>
          `${says}, ${isHeldUp ? "and was held up" : "and made a run"}, ` +
          `beside ${possible.map(({ id }) => id).join(", ") || "none"}`,
      )
      if (!isHeldUp) continue
      that(
        isSkipped === (whileRunning === "skip") &&
          possible.some(({ id }) => id === record?.running),
        () => `${says}, and was held up by run ${record?.running}`,
      )
      that(
        run === undefined || !granted.has(run.id),
        () => `${says}, and run ${run!.id} was granted all the same`,
      )
    }
  }
}
