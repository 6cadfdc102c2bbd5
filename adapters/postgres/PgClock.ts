/**
 * Watches whether the clock of the database is set, so that no lease ends or lasts for that.
 *
 * All instants are the database's, and every process has a clock of its own that cannot be set. From
 * the two it knows what the other should say. A command that ends or grants leases says what that is,
 * and does nothing if the database disagrees; then one of the processes settles the step, and the
 * command is given again. What only refuses is asked again if a step was found.
 */
import { Clock, Duration, Effect, type Scope } from "effect"
import * as ClockStep from "../../core/domain/ClockStep.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { type Pg, unavailable } from "./Pg.ts"

/** What `steady_clock()` should say, and by how many milliseconds it may differ. */
export type Expectation = readonly [expected: string, tolerance: string]

interface Seen extends ClockStep.Sighting {
  /** Of the steps that were settled. */
  readonly number: number
  /** Somebody has just written down that the clock goes evenly. */
  readonly is_even: boolean
}

export interface PgClock {
  /** Looks at the clock, and settles a step. */
  readonly look: Effect.Effect<void, StorageUnavailable>
  /** Gives a command again that answers `undefined` because the clock was not as expected. */
  readonly expecting: <A, E>(
    command: (expectation: Expectation) => Effect.Effect<A | undefined, E>,
  ) => Effect.Effect<A | undefined, E | StorageUnavailable>
  /** Gives a command again that was refused because the clock was set meanwhile. */
  readonly unlessStepped: <A, E>(
    command: Effect.Effect<A, E>,
    isRefusal: (answer: A) => boolean,
  ) => Effect.Effect<A, E | StorageUnavailable>
}

/** Often enough that the two clocks have not drifted apart. */
const interval = Duration.seconds(5)
/** That the clock goes evenly is written down once in this time, by one of all. */
const evenMillis = 4000
/** A slower answer says too little of when the clock was read; then it is asked again, so often. */
const slowMillis = 250
const looksMax = 3

const whatever: Expectation = ["0", `${Number.MAX_SAFE_INTEGER}`]

export const make = Effect.fn("PgClock.make")(function* (
  pg: Pg,
): Effect.fn.Return<PgClock, StorageUnavailable, Scope.Scope> {
  const clock = yield* Clock.Clock
  const elapsed = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  const sight = Effect.gen(function* () {
    let best: Seen | undefined
    for (let nth = 0; nth < looksMax && (best === undefined || best.error > slowMillis); nth++) {
      const before = elapsed()
      const [row] = yield* pg.query<{ said: number; number: number; is_even: boolean }>(
        "beats",
        "clock",
        `SELECT steady_clock()::float8 AS said, number,
           even_at > clock() - ${evenMillis} AS is_even FROM clock_step`,
      )
      const error = (elapsed() - before) / 2
      if (row === undefined) return yield* unavailable("clock")(new Error("clock_step is empty"))
      if (best === undefined || error < best.error) best = { ...row, at: before + error, error }
    }
    return best!
  })

  let seen = yield* sight

  const look: PgClock["look"] = Effect.gen(function* () {
    const earlier = seen
    const now = yield* sight
    const step = Math.round(ClockStep.between(earlier, now))
    if (step === 0) {
      seen = now
      if (now.is_even) return
      return yield* Effect.asVoid(
        pg.query("beats", "clock", "UPDATE clock_step SET even_at = clock() WHERE number = $1", [
          now.number,
        ]),
      )
    }
    const [row] = yield* pg.query<{ is_settled: boolean }>(
      "beats",
      "clock",
      "SELECT settle_clock_step($1, $2::bigint) AS is_settled",
      [now.number, `${step}`],
    )
    // If not, another process was quicker, or it was this one that has slept.
    seen = yield* sight
    if (!row!.is_settled) return
    yield* Effect.logWarning(
      "the clock of the database was set; leases keep what was left of them",
      {
        millis: step,
      },
    )
  })

  yield* Effect.sleep(interval).pipe(
    Effect.andThen(Effect.ignore(look)),
    Effect.forever,
    Effect.forkScoped,
  )

  return {
    look,
    expecting: (command) =>
      Effect.flatMap(
        Effect.suspend(() =>
          command([
            `${Math.round(ClockStep.expected(seen, elapsed()))}`,
            `${Math.round(ClockStep.noticedMillis + seen.error)}`,
          ])
        ),
        (answer) =>
          answer === undefined ? Effect.andThen(look, command(whatever)) : Effect.succeed(answer),
      ),
    unlessStepped: (command, isRefusal) =>
      Effect.suspend(() => {
        const { number } = seen
        return Effect.flatMap(command, (answer) => {
          if (!isRefusal(answer)) return Effect.succeed(answer)
          return Effect.flatMap(
            look,
            () => seen.number === number ? Effect.succeed(answer) : command,
          )
        })
      }),
  }
})
