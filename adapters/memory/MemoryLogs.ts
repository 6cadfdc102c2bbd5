/** What runs say, in memory: see `LogStorage` for the laws. */
import { DateTime, Effect, Option } from "effect"
import type { Incarnation } from "../../core/domain/Executor.ts"
import { linesAfter } from "../../core/domain/LogLine.ts"
import {
  charsMax,
  charsOf,
  type LogPage,
  type LogQuery,
  type LogStorage,
  type Told,
} from "../../core/services/LogStorage.ts"
import { type MemoryState, within } from "./MemoryState.ts"

export const make = (state: MemoryState, now: () => number): LogStorage => {
  const append = (incarnation: Incarnation, told: Told): void => {
    const { fence, first, lines, progress, run } = told
    const entry = state.runs.get(run)
    if (entry === undefined || fence > entry.state.fence) return
    const isHeld = entry.state._tag === "Running" && entry.state.fence === fence &&
      entry.holder?.incarnation === incarnation
    const kept = within(state.told, run, () => ({
      chars: 0,
      isCut: false,
      progress: undefined,
      parts: [],
    }))
    const known = kept.progress
    const isNewer = progress !== undefined && isHeld && (known === undefined ||
      known.fence < fence || known.fence === fence && known.sequence < progress.sequence)
    if (isNewer) kept.progress = { ...progress, fence, at: now() }
    const isKnown = kept.parts.some((part) => part.fence === fence && part.first === first)
    if (lines.length === 0 || isKnown) return
    const chars = kept.chars + charsOf(told)
    if (chars > charsMax) {
      kept.isCut = true
      return
    }
    kept.chars = chars
    kept.parts.push({ fence, first, at: now(), lines })
    kept.parts.sort((a, b) => a.fence - b.fence || a.first - b.first)
  }

  const read = ({ after, limit, run }: LogQuery): LogPage => {
    const kept = state.told.get(run)
    return { lines: linesAfter(kept?.parts ?? [], after, limit), isCut: kept?.isCut === true }
  }

  return {
    append: (incarnation, told) =>
      Effect.sync(() => told.forEach((each) => append(incarnation, each))),
    read: (query) => Effect.sync(() => read(query)),
    progress: (run) =>
      Effect.sync(() =>
        Option.map(
          Option.fromUndefinedOr(state.told.get(run)?.progress),
          ({ at, ...said }) => ({ ...said, at: DateTime.makeUnsafe(at) }),
        )
      ),
  }
}
