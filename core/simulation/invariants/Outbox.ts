/** Whoever is to be told of the end of a run is told of it once. */
import * as Run from "../../domain/Run.ts"
import { millis, wholes } from "../Kept.ts"
import type { Checker } from "./Invariant.ts"

/** Each end of a run that is followed has made one run, and none before it had ended. */
export const I19: Checker = ({ followed, kept, ledger }, that) => {
  const revived = new Set(
    ledger.of("ordered").filter(({ order }) => order === "revive").map(({ run }) => run),
  )
  // What nobody has witnessed has ended at least once.
  const ends = Map.groupBy(
    ledger.of("moved").filter(({ to }) => Run.isFinal(to)),
    ({ run }) => run,
  )
  const made = Map.groupBy(
    [...kept.runs.values()].filter(({ after }) => after !== undefined),
    ({ after }) => after!,
  )
  for (const { finishedAt, id, task } of wholes(kept)) {
    const followers = made.get(id) ?? []
    const isFollowed = task === followed && finishedAt !== undefined
    if (!isFollowed && followers.length === 0) continue
    that(
      revived.has(id) && !ends.has(id)
        ? followers.length > 0
        : followers.length === (isFollowed ? ends.get(id)?.length ?? 1 : 0),
      () => `run ${id} of ${task} is followed by ${followers.length} runs`,
    )
    for (const each of followers) {
      that(
        finishedAt !== undefined &&
          (revived.has(id) || millis(each.createdAt) >= millis(finishedAt)),
        () => `run ${each.id} was made before run ${id} had ended, which it follows`,
      )
    }
  }
}
