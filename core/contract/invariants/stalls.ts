/**
 * How long the machine itself has held everybody up, as somebody sees who does nothing but wait beside
 * the test: for its turn in this process, and for an answer of the storage. For bounds that are the
 * product's alone.
 */
import { Effect } from "effect"
import { Storage } from "../../services/Storage.ts"

const everyMillis = 20

/**
 * How many milliseconds were lost since an instant of `performance.now()`, or between two, to each turn with
 * `asked` in it.
 */
export const stallsOf = Effect.fnUntraced(function* <E>(asked: Effect.Effect<unknown, E>) {
  const seen: Array<
    { readonly from: number; readonly until: number; readonly millis: number }
  > = []
  const look = Effect.gen(function* () {
    const from = performance.now()
    yield* Effect.sleep(everyMillis)
    yield* asked
    const until = performance.now()
    seen.push({ from, until, millis: Math.max(0, until - from - everyMillis) })
  })
  yield* Effect.forkScoped(Effect.forever(look))
  return (since: number, upTo = Infinity): number =>
    seen.filter(({ from, until }) => until >= since && from <= upTo)
      .reduce((sum, { millis }) => sum + millis, 0)
})

export const stalls = Effect.flatMap(Storage, ({ now }) => stallsOf(now))
