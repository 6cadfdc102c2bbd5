/**
 * How long the machine itself has held everybody up, as somebody sees who does nothing but wait beside
 * the test: for its turn in this process, and for an answer of the storage. For bounds that are the
 * product's alone.
 */
import { Effect } from "effect"
import { Storage } from "../../services/Storage.ts"

const everyMillis = 20

/** How many milliseconds were lost since an instant of `performance.now()`, to each turn with `asked` in it. */
export const stallsOf = Effect.fnUntraced(function* <E>(asked: Effect.Effect<unknown, E>) {
  const seen: Array<{ readonly until: number; readonly millis: number }> = []
  const look = Effect.gen(function* () {
    const from = performance.now()
    yield* Effect.sleep(everyMillis)
    yield* asked
    const until = performance.now()
    seen.push({ until, millis: Math.max(0, until - from - everyMillis) })
  })
  yield* Effect.forkScoped(Effect.forever(look))
  return (since: number): number =>
    seen.filter(({ until }) => until >= since).reduce((sum, { millis }) => sum + millis, 0)
})

export const stalls = Effect.flatMap(Storage, ({ now }) => stallsOf(now))
