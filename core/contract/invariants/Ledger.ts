/**
 * What really happened, as the handlers themselves write it down: nothing in it comes from the
 * product but who they were told to be.
 */
import { assert } from "@effect/vitest"
import { Effect, Exit } from "effect"
import type { RunId } from "../../domain/RunId.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"

export interface Entry {
  /** `stopped`: it failed, or was interrupted. */
  readonly kind: "started" | "ended" | "stopped"
  readonly by: string
  readonly run: RunId
  readonly attempt: number
  readonly fence: number
  readonly slot: number | undefined
  /** Milliseconds, by a clock that nobody sets. */
  readonly at: number
}

/** From the start of an attempt to its end; one that never ended lasts for ever. */
export interface Interval extends Entry {
  readonly until: number
}

export class Ledger {
  readonly entries: Array<Entry> = []

  /** The work of a handler, between its two entries. */
  readonly around = <A, E, R>(by: string, work: Effect.Effect<A, E, R>) =>
    CurrentRun.use(({ attempt, fence, id, slot }) => {
      const write = (kind: Entry["kind"]) =>
        this.entries.push({ kind, by, run: id, attempt, fence, slot, at: performance.now() })
      return Effect.suspend(() => {
        write("started")
        return work
      }).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => void write(Exit.isSuccess(exit) ? "ended" : "stopped"))
        ),
      )
    })

  readonly of = (kind: Entry["kind"]): ReadonlyArray<Entry> =>
    this.entries.filter((each) => each.kind === kind)

  /** In the order of their starts. */
  readonly intervals = (): ReadonlyArray<Interval> =>
    this.of("started").map((start) => ({
      ...start,
      until: this.entries.find(({ fence, kind, run }) =>
        kind !== "started" && run === start.run && fence === start.fence
      )?.at ?? Infinity,
    }))

  /** Waits until somebody has written down what is looked for. */
  readonly until = (isSo: (entries: ReadonlyArray<Entry>) => boolean) =>
    Effect.gen({ self: this }, function* () {
      while (!isSo(this.entries)) yield* Effect.sleep("10 millis")
    })
}

/** So many of them at once, at most. */
export const mostAtOnce = (intervals: ReadonlyArray<Interval>): number =>
  Math.max(
    0,
    ...intervals.map(({ at }) =>
      intervals.filter((each) => each.at <= at && at < each.until).length
    ),
  )

/** Whoever begins a run begins it under a higher fence than all who began it before. */
export const assertFencesRise = (starts: ReadonlyArray<Entry>): void => {
  for (const [run, all] of Map.groupBy(starts, (start) => start.run)) {
    for (const [nth, { fence }] of all.entries()) {
      if (nth > 0) assert.isAbove(fence, all[nth - 1]!.fence, `run ${run}, start ${nth + 1}`)
    }
  }
}
