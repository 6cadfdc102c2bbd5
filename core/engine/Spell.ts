/**
 * A spell of failures of what is done again and again, as the log tells of it: the first one at once, then
 * how it stands at doubling intervals, and that it goes on again. So an outage of an hour costs ten lines
 * a loop, whether it fails all the time or now and then, and not one a second.
 *
 * Who has not failed for minutes, and for longer than it last kept silent, begins a new spell.
 */
import { Cause, Clock, Effect } from "effect"

const leastMillis = 10_000
/** A question that gets no answer may take a while to fail. */
const quietMillis = 120_000
/** What never goes well is told of once an hour. */
const mostMillis = 3_600_000
/** Who has failed tries again after so long. */
export const pauseMillis = 1000

export class Spell {
  readonly #what: string
  #began = 0
  #failedAt = -Infinity
  /** It is not told of before then. */
  #nextAt = -Infinity
  #silentMillis = leastMillis
  /** Since it was told of. */
  #failures = 0
  #isTold = false

  /** `what` could not be done, as in "sweep". */
  constructor(what: string) {
    this.#what = what
  }

  readonly failed = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
    Effect.flatMap(monotonic, (now) => {
      if (now - this.#failedAt > Math.max(this.#silentMillis, quietMillis)) {
        this.#began = now
        this.#silentMillis = leastMillis
        this.#failures = 0
      }
      this.#failedAt = now
      this.#failures++
      if (now < this.#nextAt) return Effect.void
      const line = now === this.#began
        ? `could not ${this.#what}`
        : `could not ${this.#what}, ${this.#failures} times more in ${
          seconds(now - this.#began)
        } so far`
      this.#nextAt = now + this.#silentMillis
      this.#silentMillis = Math.min(2 * this.#silentMillis, mostMillis)
      this.#failures = 0
      this.#isTold = true
      return Effect.logWarning(line, cause)
    })

  readonly wentWell: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.#isTold) return Effect.void
    this.#isTold = false
    return Effect.flatMap(
      monotonic,
      (now) => Effect.logInfo(`can ${this.#what} again, after ${seconds(now - this.#began)}`),
    )
  })
}

/** Does it again and again. An outage costs a pause, and some lines in the log, never the loop. */
export const endure = <E, R>(
  what: string,
  step: Effect.Effect<unknown, E, R>,
): Effect.Effect<never, never, R> =>
  Effect.suspend(() => {
    const spell = new Spell(what)
    return Effect.andThen(step, spell.wentWell).pipe(
      Effect.catchCause((cause) => Effect.andThen(spell.failed(cause), Effect.sleep(pauseMillis))),
      Effect.forever,
    )
  })

const seconds = (millis: number) => `${Math.round(millis / 1000)} s`

const monotonic = Effect.map(
  Clock.Clock,
  (clock) => Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
)
