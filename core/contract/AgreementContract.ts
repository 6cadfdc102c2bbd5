/**
 * R12, and every other law where it leaves no choice: random sequences of up to 80 commands are given
 * to an adapter and to the reference in step, and after every command both must have answered the
 * same; at the end they show the same of all they keep. The reference is the storage in memory, in
 * which every change of a run is one that `Run.advance` makes.
 *
 * Both clocks stand still until time is let go by, so instants are compared as they are, and what is
 * due to the millisecond is tried. Ids are compared by the order in which they came up.
 *
 * What the laws leave open is not compared:
 *
 * - R5: which of `fenced` and `duplicate` answers a report with a fence that was granted, but is not
 *   the one that settled last, or by another than who settled. It is not applied, in any case.
 * - R7: the order within a round that is handed out again.
 * - R8: in which order specs of one call come in of which some have a key.
 * - R11: whether a sweep finds somebody lost whom a beat has told so.
 * - R16: which of the runs that are too late to begin a claim comes across; `expire` ends the rest.
 * - Which of several things a bounded sweep takes first: sweeps are repeated until nothing is left.
 * - The order of gates, of holders and of what happened to a run in one instant.
 * - E9: what is said of a grant that was left twice for one instant in different words; so it is the same
 *   words each time.
 * - Of a view: who held a run that was cancelled or has expired; and, once it is not waiting for it,
 *   which of several times a run became due.
 * - Which grants and late reports are among a run's events.
 *
 * Tried on SQLite and PostgreSQL, and caught:
 *
 * | law | mistake                                                                                   |
 * | --- | ----------------------------------------------------------------------------------------- |
 * | R2  | no conflict with another payload                                                          |
 * | R13 | rounds ignored                                                                            |
 * | R15 | limit not kept                                                                            |
 * | R16 | start not marked                                                                          |
 * | E4  | who drains gets grants                                                                    |
 * | R41 | what is left said before its time; the gates that it frees not told of                    |
 * | E9  | the number of a beat ignored; what was left before kept beside what is                    |
 * | R38 | no deadline counts where a run comes to a gate                                            |
 *
 * And found by it, where it was not planted: a result that got lost (R5), a round handed out again
 * past its deadline (R16), lists that left out lanes (R1), a place in the lane that depended on when
 * a sweep came (R6), failures that were forgotten (R10, R17). Not caught, for it is too rare: a run of
 * at most once that is begun again when lost (R12, see `runs/modelled.ts`), a trigger that is resumed
 * where it was, something said of a run that its holder has concluded (R41).
 */
import { assert } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Layer, type Scope } from "effect"
import { Storage } from "../services/Storage.ts"
import { differenceOf, type Pair, planOf, shrunk } from "./agreement/sequence.ts"
import { block, type Elapse, inThePresent, type Options, times } from "./world.ts"

export interface AgreementOptions<R, E> extends Options {
  /** How many sequences. */
  readonly sequences?: number
  /** The first of their seeds. */
  readonly seed?: number
  /** The storage in memory, as `belfry/memory` exports it. */
  readonly reference: Layer.Layer<Storage>
  /** An empty storage for each sequence. Its clock stands still, but for `elapse`. */
  readonly empty: Effect.Effect<Storage["Service"], E, R | Scope.Scope>
}

/** An empty storage, for adapters that make one as soon as they are asked. */
export const fresh = <E, R>(
  layer: Layer.Layer<Storage, E, R>,
): Effect.Effect<Storage["Service"], E, R | Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), Context.get(Storage))

/** A difference is found soon, and shortened by hundreds of trials. */
const patience = 300_000
/** So many sequences are one test, which takes a second or two where nothing else goes on. */
const atOnce = 25

export const suite = <R, LE, E>(
  adapter: string,
  layer: Layer.Layer<R, LE>,
  elapse: Elapse<R>,
  { empty, reference, seed: first = 1, sequences = 1000, ...options }: AgreementOptions<R, E>,
): void => {
  const begin = Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    yield* inThePresent(options)
    const subject = yield* empty
    const { clock, forward } = standing(yield* Clock.Clock, yield* subject.now)
    const built = yield* Layer.build(Layer.fresh(reference)).pipe(
      Effect.provideService(Clock.Clock, clock),
    )
    const pair: Pair = {
      reference: Context.get(built, Storage),
      subject,
      elapse: (millis) =>
        Effect.andThen(
          Effect.provide(elapse(Duration.millis(millis)), context),
          forward(millis),
        ),
    }
    return pair
  })

  block(`Agreement, ${adapter}`, layer, options, (it) => {
    for (const from of times(Math.ceil(sequences / atOnce)).map((nth) => first + nth * atOnce)) {
      const last = Math.min(from + atOnce, first + sequences) - 1
      it.effect(
        `R12 agreement: answers as the reference does, SEED=${from} to ${last}`,
        () =>
          Effect.gen(function* () {
            for (let seed = from; seed <= last; seed++) {
              const plan = planOf(seed)
              const found = yield* Effect.scoped(
                Effect.flatMap(begin, (pair) => differenceOf(pair, plan)),
              )
              if (found === undefined) continue
              const { parts, trail } = yield* shrunk(begin, plan, found)
              assert.fail(`SEED=${seed}: ${[...trail, ...parts].join("\n  ")}`)
            }
          }),
        patience,
      )
    }
  })
}

/** A clock that stands still, but is put forward. */
const standing = (real: Clock.Clock, since: number) => {
  let now = since
  const clock: Clock.Clock = Object.create(real, {
    currentTimeMillisUnsafe: { value: () => now },
    currentTimeMillis: { value: Effect.sync(() => now) },
    // Else a storage takes what goes by for a clock that was set.
    monotonicTimeNanosUnsafe: { value: () => BigInt(Math.round(now * 1e6)) },
  })
  const forward = (millis: number) =>
    Effect.sync(() => {
      now += millis
    })
  return { clock, forward }
}
