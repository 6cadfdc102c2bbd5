/**
 * Looks for several things at once.
 *
 * Mostly there is nothing to do, and whoever finds that out asks for little before asking for more. What
 * each statement costs, the process above all, is then most of what is used; so looks that come at about
 * the same time go out as one. Those of an engine do: see `InStep`.
 *
 * The answer is never older than the question. Who asks with a look that has not gone out yet, the same
 * object, is answered with it; and who has patience goes along with what others ask meanwhile.
 */
import { Deferred, type Duration, Effect, Option, type Scope } from "effect"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Pg, Row } from "./Pg.ts"

/** Scalar columns, each of a name that no other look has; they may read `now`, which has `ms`. */
export interface Look {
  readonly name: string
  /** Its parameters are numbered from `first`. */
  readonly columns: (first: number) => string
  /** A part of `WITH` that it needs, as for a change that is made with it. */
  readonly part?: (first: number) => string
  /** Read right before it goes out. */
  readonly params: () => ReadonlyArray<unknown>
}

/** With patience it goes by itself only when nothing has gone out for so long that it could have joined. */
export type PgLooks = <R extends Row>(
  look: Look,
  patience?: Duration.Duration,
) => Effect.Effect<R, StorageUnavailable>

type Answer = Deferred.Deferred<Row, StorageUnavailable>
type Asked = readonly [look: Look, answer: Answer]

/** So long a look waits for others, unless there was one not long before. */
const windowMillis = 3
const rareMillis = 100

export const make = Effect.fnUntraced(function* (
  pg: Pick<Pg, "query">,
): Effect.fn.Return<PgLooks, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let waiting = new Map<Look, Answer>()
  let isAsking = false
  let lookedAt = -Infinity

  const ask = (all: ReadonlyArray<Asked>) => {
    const params: Array<unknown> = []
    const parts = ["now AS MATERIALIZED (SELECT clock() AS ms)"]
    const columns = all.map(([look]) => {
      const first = params.length + 1
      params.push(...look.params())
      if (look.part !== undefined) parts.push(look.part(first))
      return look.columns(first)
    })
    const asked = pg.query(
      "writes",
      all.map(([{ name }]) => name).join(", "),
      `WITH ${parts.join(", ")} SELECT ${columns.join(", ")}`,
      params,
    )
    // Whoever waits hears of it also when the scope ends: that is not held up by a silent connection.
    return Effect.interruptible(asked).pipe(
      Effect.map(([row]) => row!),
      Effect.onExit((exit) =>
        Effect.forEach(all, ([, answer]) => Deferred.done(answer, exit), { discard: true })
      ),
      Effect.exit,
      Effect.uninterruptible,
    )
  }

  const askAll = Effect.gen(function* () {
    if (performance.now() > lookedAt + rareMillis) yield* Effect.sleep(windowMillis)
    else yield* Effect.yieldNow
    lookedAt = performance.now()
    isAsking = false
    // In one order, so that there are few statements.
    const some = [...waiting].sort(([a], [b]) => a.name < b.name ? -1 : 1)
    waiting = new Map()
    const [together, alone]: [Array<Asked>, Array<Asked>] = [[], []]
    for (const each of some) {
      const isTaken = together.at(-1)?.[0].name === each[0].name
      ;(isTaken ? alone : together).push(each)
    }
    for (const part of [together, ...alone.map((each) => [each])]) {
      yield* Effect.forkIn(ask(part), scope)
    }
  }).pipe(Effect.uninterruptible)

  /** Whoever waits first sees to it that they are asked: interrupted in between, nobody would again. */
  const go = () => {
    if (isAsking) return Effect.void
    isAsking = true
    return Effect.forkIn(askAll, scope)
  }

  const answerTo = (look: Look) => {
    const known = waiting.get(look)
    if (known !== undefined) return known
    const made: Answer = Deferred.makeUnsafe()
    waiting.set(look, made)
    return made
  }

  return <R extends Row>(look: Look, patience?: Duration.Duration) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const answer = answerTo(look)
        const answered = restore(Deferred.await(answer)) as Effect.Effect<R, StorageUnavailable>
        if (patience === undefined) return Effect.andThen(go(), answered)
        return Effect.flatMap(Effect.timeoutOption(answered, patience), (along) =>
          Option.isSome(along)
            ? Effect.succeed(along.value)
            // It may have gone out right now.
            : Effect.andThen(waiting.get(look) === answer ? go() : Effect.void, answered))
      })
    )
})
