/** What was taken in is kept, once, and ends. */
import * as Run from "../../domain/Run.ts"
import { requestOf, wholes } from "../Kept.ts"
import type { Checker } from "./Invariant.ts"

/** What was acknowledged is kept and ends; what exists was asked for. */
export const I1: Checker = ({ kept: { runs }, ledger }, that) => {
  const succeeded = new Set(
    ledger.of("ended").filter(({ how }) => how === "succeeded").map(({ run }) => run),
  )
  // What was handed over, or stands for others, has succeeded elsewhere.
  const elsewhere = new Set([
    ...ledger.of("ordered").filter(({ order }) => order === "notify").map(({ run }) => run),
    ...runs.values().map(({ shard }) => shard?.parent),
  ])
  const asked = new Set(ledger.of("sent").map(({ request }) => request))
  for (const { run, task } of ledger.of("acknowledged")) {
    that(runs.has(run), () => `run ${run} of ${task} was acknowledged and is gone`)
  }
  for (const view of runs.values()) {
    const { id, state } = view
    that(Run.isFinal(state), () => `run ${id} never ended, it is ${state}`)
    that(
      view.trigger !== undefined || asked.has(requestOf(view)),
      () => `run ${id} was asked for by nobody`,
    )
    if (state === "Succeeded" && !elsewhere.has(id)) {
      that(succeeded.has(id), () => `run ${id} is said to have succeeded, and no handler did`)
    }
  }
}

/**
 * What is sent again under its key is one run, and all are told of the same one; another request
 * under the same key is refused.
 */
export const I2: Checker = ({ kept, ledger }, that) => {
  const keyed = new Set(
    ledger.of("sent").filter(({ isKeyed }) => isKeyed).map(({ request }) => request),
  )
  const told = Map.groupBy(
    ledger.of("acknowledged").filter(({ request }) => keyed.has(request)),
    ({ request }) => request,
  )
  const made = Map.groupBy(wholes(kept), requestOf)
  for (const request of keyed) {
    const runs = made.get(request) ?? []
    that(runs.length <= 1, () => `${request} is ${runs.length} runs under one key`)
    for (const { isOther, run } of told.get(request) ?? []) {
      that(!isOther, () => `${request} was taken in under the key of another`)
      that(run === runs[0]?.id, () => `${request} was told of run ${run}, not its own`)
    }
  }
}
