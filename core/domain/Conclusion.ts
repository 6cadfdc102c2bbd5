/**
 * How a run will end, kept before the last of its work is done: what its handler took is given back,
 * and before that, where it failed, what it did is undone. Should its holder be lost meanwhile, the
 * next one does only that.
 *
 * Of a run that is handed over and whose hooks are still to come, how it ends unless somebody notifies
 * is kept in the same way, as a mark of that. It is none yet: it becomes one, with what the notice says,
 * when the run ends for those outside, and then the run is granted once more, for its hooks.
 */
import { Schema } from "effect"
import type { Fence } from "./Lease.ts"
import { isFinal, type StateName } from "./Run.ts"
import { Failure, unnotified } from "./RunView.ts"

export const Conclusion = Schema.Struct({
  /** `Cancelled`: only of what was handed over. Nothing of it is undone. */
  state: Schema.Literals(["Succeeded", "Failed", "TimedOut", "Cancelled"]),
  /**
   * What is left to do: to undo first, or only to give back. `handedOver`: nothing yet, it is a mark;
   * `finishing`: whatever its task does after an outcome.
   */
  phase: Schema.Literals(["rollingBack", "cleaning", "handedOver", "finishing"]),
  /** JSON text; of one that is rolled back, what it had succeeded with. */
  result: Schema.optionalKey(Schema.String),
  failure: Schema.optionalKey(Failure),
})
export type Conclusion = typeof Conclusion.Type

/** The mark of a run that is handed over, and whose hooks are still to come. */
export const handedOver: Conclusion = {
  state: "TimedOut",
  phase: "handedOver",
  failure: unnotified,
}

/** Of what was handed over, once it is known how it ends. */
export const finishing = (
  { failure, result, state }: Pick<Conclusion, "state" | "result" | "failure">,
): Conclusion => ({
  state,
  phase: "finishing",
  ...(result !== undefined && { result }),
  ...(failure !== undefined && { failure }),
})

export const isMark = ({ phase }: Pick<Conclusion, "phase">): boolean => phase === "handedOver"

/** A mark counts for the grant with which it was made, and no other. */
export const marks = (
  conclusion: (Pick<Conclusion, "phase"> & { readonly fence: Fence }) | undefined,
  { fence }: { readonly fence: Fence },
): boolean => conclusion !== undefined && isMark(conclusion) && conclusion.fence === fence

/** Whether a cancel comes too late: only what is left of it is done, unless somebody puts the run down. */
export const isFinishing = (
  conclusion: Pick<Conclusion, "phase"> | undefined,
  state: StateName,
): boolean =>
  conclusion?.phase === "finishing" && !isFinal(state) && state !== "Suspended" &&
  state !== "Awaiting"

/** What a run shows of it while it is held. */
export const shown = (
  phase: Conclusion["phase"] | undefined,
): "rollingBack" | "cleaning" | undefined =>
  phase === "rollingBack" || phase === "cleaning" ? phase : undefined

/** What the journal says where the hooks of what was handed over are still to come. */
export const hooksLeft = "its hooks are left"

/** What a run has that ends so: only a success has a result. */
export const resultOf = ({ result, state }: Conclusion): string | undefined =>
  state === "Succeeded" ? result : undefined

/** What the journal says of a loss: who had the run, and how the run will end, if that was concluded. */
export const lossOf = (
  name: string,
  standing: string,
  conclusion: Pick<Conclusion, "state"> | undefined,
): string =>
  `${name} is ${standing}${
    conclusion === undefined ? "" : `, having concluded ${conclusion.state}`
  }`

const pattern = /, having concluded (Succeeded|Failed|TimedOut|Cancelled)$/

/** What an entry of a loss says of it. */
export const ofLoss = (detail: string): Conclusion["state"] | undefined =>
  pattern.exec(detail)?.[1] as Conclusion["state"] | undefined
