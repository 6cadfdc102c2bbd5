/**
 * Keeps warm the connections that claim, while somebody claims here.
 *
 * What is due together comes after a silence, and an executor then claims on two connections at once. One that
 * is opened only then takes 15 to 20 ms until it has the statement and its plan; and each VACUUM and ANALYZE,
 * which come about once a minute, makes it plan anew, for 3 ms. So both are asked now and then to claim
 * nothing for nobody, which is all of the statement but its rows.
 */
import { Clock, type Duration, Effect, Latch, type Scope } from "effect"
import type { Pg } from "./Pg.ts"

/** An executor has two loops for what is plain. */
const connections = 2
const interval: Duration.Input = "10 seconds"
/** A text that is new is made ready at once, but none sooner after another than so. */
const apart: Duration.Input = "1 second"
/** Whoever waits for work claims three times in so long. */
const unusedMillis = 60_000

interface Used {
  /** Those of a claim of nothing for nobody. */
  readonly params: ReadonlyArray<unknown>
  at: number
}

export interface PgWarm {
  /** A claim was made with this text. */
  readonly claimed: (text: string, vain: () => ReadonlyArray<unknown>) => void
}

export const make = Effect.fnUntraced(function* (
  pg: Pick<Pg, "config" | "queryOnEach">,
): Effect.fn.Return<PgWarm, never, Scope.Scope> {
  const count = Math.min(connections, pg.config.claimConnections ?? connections)
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const used = new Map<string, Used>()
  const isNew = Latch.makeUnsafe()

  const warm = Effect.suspend(() => {
    const since = now() - unusedMillis
    for (const [text, { at }] of used) if (at < since) used.delete(text)
    return Effect.forEach(
      used,
      ([text, { params }]) => pg.queryOnEach("claims", "warm", count, text, params),
    )
  })

  yield* isNew.await.pipe(
    Effect.timeoutOption(interval),
    Effect.andThen(isNew.close),
    Effect.andThen(warm),
    Effect.ignore,
    Effect.andThen(Effect.sleep(apart)),
    Effect.forever,
    Effect.forkScoped,
  )

  return {
    claimed: (text, vain) => {
      const known = used.get(text)
      if (known !== undefined) {
        known.at = now()
        return
      }
      used.set(text, { params: vain(), at: now() })
      isNew.openUnsafe()
    },
  }
})
