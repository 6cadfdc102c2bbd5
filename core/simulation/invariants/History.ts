/** What leaves by its age. */
import * as Run from "../../domain/Run.ts"
import type { RunView } from "../../domain/RunView.ts"
import type { Later, Outcome } from "../Outcome.ts"
import { millis } from "../Kept.ts"
import { policyOf } from "../tasks.ts"
import type { Checker } from "./Invariant.ts"

const day = 86_400_000
const kept = (task: string): number => day * Number.parseInt(policyOf(task).retention ?? "30 days")

/** Each family, and whether all of it has ended as long ago as its tasks are kept for. */
const families = ({ clock, kept: { runs }, stirred }: Outcome) => {
  const all = Map.groupBy(runs.values(), ({ id, shard }) => shard?.parent ?? id)
  const isOver = ({ finishedAt, id, state, task }: RunView, { now }: Later) =>
    Run.isFinal(state) && !stirred.has(id) && finishedAt !== undefined &&
    clock.said(millis(finishedAt)) <= now - kept(task)
  return [...all.values()].map((members) => ({
    members,
    isOver: (later: Later) => members.every((member) => isOver(member, later)),
  }))
}

/** What has not ended so long ago as its task is kept for is known, with all of its family. */
export const H1: Checker = (outcome, that) => {
  for (const { isOver, members } of families(outcome)) {
    for (const later of outcome.later) {
      if (isOver(later)) continue
      const lost = members.filter(({ id }) => !later.runs.has(id))
      that(lost.length === 0, () => `run ${lost[0]!.id} of ${lost[0]!.task} left too early`)
    }
  }
}

/** What is older has left, with all of its family. */
export const H2: Checker = (outcome, that) => {
  for (const { isOver, members } of families(outcome)) {
    for (const later of outcome.later) {
      if (!isOver(later)) continue
      const known = members.filter(({ id }) => later.runs.has(id))
      that(known.length === 0, () => `run ${known[0]!.id} of ${known[0]!.task} has not left`)
    }
  }
}

/** Records of slots leave by the age that runs of their task have. */
export const H4: Checker = ({ judged, kept: { triggers }, later }, that) => {
  for (const { trigger } of judged) {
    const { asked, records } = triggers.find(({ name }) => name === trigger)!
    for (const { now, slots } of later) {
      const known = slots.get(trigger)
      if (known === undefined) continue
      for (const { latenessMillis, slot, through } of [...records, ...asked]) {
        const isOver = through + latenessMillis <= now - kept("plain")
        that(
          known.includes(slot) === !isOver,
          () => `the record of slot ${slot} of ${trigger} has ${isOver ? "not left" : "left"}`,
        )
      }
    }
  }
}
