/**
 * Looks for several things at once.
 *
 * Mostly there is nothing to do, and whoever finds that out asks for little before asking for more. What
 * each statement costs, the process above all, is then most of what is used; so looks that come at about
 * the same time go out as one. Those of an engine do: see `InStep`.
 *
 * The answer is never older than the question.
 */
import { Deferred, Effect } from "effect"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Pg, Row } from "./Pg.ts"

/** Scalar columns, each of a name that no other look has; they may read `now`, which has `ms`. */
export interface Look {
  readonly name: string
  /** Its parameters are numbered from `first`. */
  readonly columns: (first: number) => string
  readonly params: ReadonlyArray<unknown>
}

export type PgLooks = <R extends Row>(look: Look) => Effect.Effect<R, StorageUnavailable>

interface Asked {
  readonly look: Look
  readonly answer: Deferred.Deferred<Row, StorageUnavailable>
}

/** So long a look waits for others, unless there was one not long before. */
const windowMillis = 3
const rareMillis = 100

export const make = (pg: Pick<Pg, "query">): PgLooks => {
  let waiting: Array<Asked> = []
  let lookedAt = -Infinity

  const ask = (all: ReadonlyArray<Asked>) => {
    const params = all.flatMap(({ look }) => look.params)
    let first = 1
    const columns = all.map(({ look }) => {
      const text = look.columns(first)
      first += look.params.length
      return text
    })
    return pg.query(
      "writes",
      all.map(({ look }) => look.name).join(", "),
      `WITH now AS MATERIALIZED (SELECT clock() AS ms) SELECT ${columns.join(", ")}`,
      params,
    ).pipe(
      Effect.map(([row]) => row!),
      Effect.onExit((exit) =>
        Effect.forEach(all, ({ answer }) => Deferred.done(answer, exit), { discard: true })
      ),
      Effect.exit,
    )
  }

  const askAll = Effect.gen(function* () {
    if (performance.now() > lookedAt + rareMillis) yield* Effect.sleep(windowMillis)
    else yield* Effect.yieldNow
    lookedAt = performance.now()
    // In one order, so that there are few statements.
    const some = waiting.sort((a, b) => a.look.name < b.look.name ? -1 : 1)
    waiting = []
    const [together, alone]: [Array<Asked>, Array<Asked>] = [[], []]
    for (const each of some) {
      const isTaken = together.at(-1)?.look.name === each.look.name
      ;(isTaken ? alone : together).push(each)
    }
    yield* Effect.forEach([together, ...alone.map((each) => [each])], ask, {
      concurrency: "unbounded",
      discard: true,
    })
  })

  return <R extends Row>(look: Look) =>
    Effect.suspend(() => {
      const answer = Deferred.makeUnsafe<Row, StorageUnavailable>()
      // Whoever waits first sees to it that they are asked: interrupted in between, nobody would again.
      const wait = Effect.suspend(() =>
        waiting.push({ look, answer }) === 1 ? Effect.forkDetach(askAll) : Effect.void
      )
      return Effect.andThen(
        Effect.uninterruptible(wait),
        Deferred.await(answer) as Effect.Effect<R, StorageUnavailable>,
      )
    })
}
