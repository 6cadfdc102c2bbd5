/**
 * What is new in the history of a run, for whoever looks at it again and again. An event may come before
 * others that were told already, and old ones may have been left out meanwhile, so they are not counted.
 */
import { DateTime } from "effect"
import type { RunHappening } from "./RunView.ts"

const nameOf = ({ at, attempt, detail = "", fence, kind }: RunHappening): string =>
  `${DateTime.toEpochMillis(at)} ${kind} ${attempt} ${fence} ${detail}`

/** Those that are not in `told`, which has them from then on. */
export const untold = (
  told: Set<string>,
  happenings: ReadonlyArray<RunHappening>,
): ReadonlyArray<RunHappening> => {
  const news = happenings.filter((happening) => !told.has(nameOf(happening)))
  for (const happening of happenings) told.add(nameOf(happening))
  return news
}
