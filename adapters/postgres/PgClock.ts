/**
 * Watches whether the clock of the database is set, so that no lease ends or lasts for that.
 *
 * All instants are the database's, and every process has a clock of its own that cannot be set. From
 * the two it knows what the other should say. A command that ends or grants leases says what that is,
 * and does nothing if the database disagrees; then one of the processes settles the step, and the
 * command is given again. What only refuses is asked again if a step was found.
 */
import { Clock, Duration, Effect, Option, type Scope } from "effect"
import * as ClockStep from "../../core/domain/ClockStep.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { type Pg, unavailable } from "./Pg.ts"
import type { Look, PgLooks } from "./PgLooks.ts"

/** What `steady_clock()` should say, and by how many milliseconds it may differ. */
export type Expectation = readonly [expected: string, tolerance: string]

interface Seen extends ClockStep.Sighting {
  /** Of the steps that were settled. */
  readonly number: number
}

interface Said {
  readonly [column: string]: unknown
  readonly said: number | null
  readonly number: number
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
/** Of that it waits so long for other looks, to go along with. */
const patience = Duration.times(interval, 1 / 4)
/** That the clock goes evenly is written down once in this time, by one of all. */
const evenMillis = 4000
/** A slower answer says too little of when the clock was read; then it is asked again, so often. */
const slowMillis = 250
const looksMax = 3

const whatever: Expectation = ["0", `${Number.MAX_SAFE_INTEGER}`]
/** Before the clock was seen there is nothing to compare it with. */
const nothing: Expectation = ["0", "-1"]

const saidIn = "steady_clock()::float8 AS said, (SELECT number FROM clock_step) AS number"

/** Whoever sees the clock go evenly writes it down with that, unless somebody just has. */
const evenAt = (first: number) => `
  even AS (
    UPDATE clock_step SET even_at = clock() WHERE even_at <= clock() - ${evenMillis}
      AND abs(steady_clock() - $${first}::bigint) <= $${first + 1}::bigint)`

export const make = Effect.fn("PgClock.make")(function* (
  pg: Pg,
  looks: PgLooks,
): Effect.fn.Return<PgClock, StorageUnavailable, Scope.Scope> {
  const clock = yield* Clock.Clock
  const elapsed = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  let seen: Seen | undefined

  const expectation = (): Expectation =>
    seen === undefined ? nothing : [
      `${Math.round(ClockStep.expected(seen, elapsed()))}`,
      `${Math.round(ClockStep.noticedMillis + seen.error)}`,
    ]

  /** What was asked right after `before` has just been answered. */
  const seenOf = ({ number, said }: Said, before: number) => {
    if (said === null) {
      return Effect.fail(unavailable("clock")(new Error("clock_step is empty")))
    }
    const error = (elapsed() - before) / 2
    return Effect.succeed<Seen>({ number, said, at: before + error, error })
  }

  const sight = Effect.gen(function* () {
    let best: Seen | undefined
    for (let nth = 0; nth < looksMax && (best === undefined || best.error > slowMillis); nth++) {
      const before = elapsed()
      const [row] = yield* pg.query<Said>(
        "beats",
        "clock",
        `WITH ${evenAt(1)} SELECT ${saidIn}`,
        expectation(),
      )
      const now = yield* seenOf(row!, before)
      if (best === undefined || now.error < best.error) best = now
    }
    return best!
  })

  let sentAt = 0
  const along: Look = {
    name: "clock",
    part: evenAt,
    columns: () => saidIn,
    params: () => {
      sentAt = elapsed()
      return expectation()
    },
  }
  /** Along with other looks, which may be held up. */
  const sightAlong = looks<Said>(along, patience).pipe(
    Effect.flatMap((said) => seenOf(said, sentAt)),
    Effect.timeoutOption(interval),
    Effect.map(Option.filter(({ error }) => error <= slowMillis)),
    Effect.flatMap(Option.match({ onNone: () => sight, onSome: Effect.succeed })),
  )

  const lookBy = Effect.fnUntraced(function* (sighting: Effect.Effect<Seen, StorageUnavailable>) {
    const earlier = seen!
    const now = yield* sighting
    const step = Math.round(ClockStep.between(earlier, now))
    if (step === 0) {
      seen = now
      return
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

  seen = yield* sight
  const look = lookBy(sight)

  yield* Effect.sleep(Duration.subtract(interval, patience)).pipe(
    Effect.andThen(Effect.ignore(lookBy(sightAlong))),
    Effect.forever,
    Effect.forkScoped,
  )

  return {
    look,
    expecting: (command) =>
      Effect.flatMap(
        Effect.suspend(() => command(expectation())),
        (answer) =>
          answer === undefined ? Effect.andThen(look, command(whatever)) : Effect.succeed(answer),
      ),
    unlessStepped: (command, isRefusal) =>
      Effect.suspend(() => {
        const number = seen?.number
        return Effect.flatMap(command, (answer) => {
          if (!isRefusal(answer)) return Effect.succeed(answer)
          return Effect.flatMap(
            look,
            () => seen?.number === number ? Effect.succeed(answer) : command,
          )
        })
      }),
  }
})
