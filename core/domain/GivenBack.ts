/** Why the holder of a run gives it back before it has ended: told with the `Released` of its history. */
import { Schema } from "effect"

export const Why = Schema.Literals([
  "PoolFull",
  "Stopping",
  "Suspending",
  "PayloadNewer",
  "LeaseUnsure",
  "BreakerSilent",
  "AnswerFull",
])
export type Why = typeof Why.Type

const words: { readonly [W in Why]: string } = {
  PoolFull: "pool full: its executor had no room for it",
  // When a program ends, its handlers are taken from the executor before that is told to stop.
  Stopping: "its executor was stopping, or to serve its task no longer",
  Suspending: "it was to be put down, and had not begun",
  PayloadNewer: "its executor could not read a payload of a newer version",
  LeaseUnsure: "its executor was not sure to hold it any longer",
  BreakerSilent: "the breaker of its key did not answer in time",
  AnswerFull: "the answer by which it was granted had no room for it",
}

/** As it is told. Executors of earlier versions do not say why. */
export const wordsOf = (why: Why | undefined): string | undefined =>
  why === undefined ? undefined : words[why]

/** What is told of a grant that nobody gave back. */
export const unknown = "its holder does not know of it"
