/**
 * How a run will end, kept before the last of its work is done: what its handler took is given back,
 * and before that, where it failed, what it did is undone. Should its holder be lost meanwhile, the
 * next one does only that.
 */
import { Schema } from "effect"
import { Failure } from "./RunView.ts"

export const Conclusion = Schema.Struct({
  state: Schema.Literals(["Succeeded", "Failed", "TimedOut"]),
  /** What is left to do: to undo first, or only to give back. */
  phase: Schema.Literals(["rollingBack", "cleaning"]),
  /** JSON text; of one that is rolled back, what it had succeeded with. */
  result: Schema.optionalKey(Schema.String),
  failure: Schema.optionalKey(Failure),
})
export type Conclusion = typeof Conclusion.Type

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

const pattern = /, having concluded (Succeeded|Failed|TimedOut)$/

/** What an entry of a loss says of it. */
export const ofLoss = (detail: string): Conclusion["state"] | undefined =>
  pattern.exec(detail)?.[1] as Conclusion["state"] | undefined
