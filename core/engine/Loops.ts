/**
 * What a process does again and again, each under its name: so that one that does not come round any
 * more is seen, though nobody has failed.
 */
import { Clock, Context, Effect } from "effect"
import { endure } from "./Spell.ts"

interface Loop {
  readonly name: string
  readonly everyMillis: number
  turnedAt: number
}

/** So long a round may take beside others on a busy machine. */
const leastMillis = 5000

export class Watch {
  readonly #loops = new Set<Loop>()

  /** Of what a loop is made: `body` says with the effect it is given that it has come round. */
  readonly over = <A, E, R>(
    name: string,
    everyMillis: number,
    body: (turned: Effect.Effect<void>) => Effect.Effect<A, E, R>,
  ): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.map(monotonic, (turnedAt) => {
        const loop: Loop = { name, everyMillis, turnedAt }
        this.#loops.add(loop)
        return loop
      }),
      (loop) =>
        body(Effect.map(monotonic, (now) => {
          loop.turnedAt = now
        })),
      (loop) => Effect.sync(() => this.#loops.delete(loop)),
    )

  /** The names of those that have not come round for three times as long as they should take. */
  readonly stalled: Effect.Effect<ReadonlyArray<string>> = Effect.map(
    monotonic,
    (now) =>
      [
        ...new Set(
          [...this.#loops]
            .filter(({ everyMillis, turnedAt }) =>
              now - turnedAt > Math.max(leastMillis, 3 * everyMillis)
            )
            .map(({ name }) => name),
        ),
      ].toSorted(),
  )
}

const monotonic = Effect.map(
  Clock.Clock,
  (clock) => Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
)

/** Of this process, if somebody looks. */
export const Loops = Context.Reference<Watch | undefined>("belfry/core/engine/Loops", {
  defaultValue: () => undefined,
})

/**
 * Does steps again and again, each under its name and the watch of this process: whoever holds a duty may
 * run it anywhere.
 */
export const watcher = Effect.map(
  Loops,
  (watch) =>
  <E, R>(
    name: string,
    everyMillis: number,
    step: Effect.Effect<unknown, E, R>,
  ): Effect.Effect<never, never, R> =>
    watch === undefined
      ? endure(name, step)
      : watch.over(name, everyMillis, (turned) => endure(name, Effect.andThen(step, turned))),
)
