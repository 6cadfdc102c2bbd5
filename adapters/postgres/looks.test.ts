/**
 * Tried, and caught: each look by itself; the second of a name left out; an answer that only the first
 * hears of; one whose asker was interrupted before it had begun to ask.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scheduler } from "effect"
import { times } from "../../core/contract/world.ts"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Pg, Row } from "./Pg.ts"
import * as PgLooks from "./PgLooks.ts"

interface Statement {
  readonly text: string
  readonly params: ReadonlyArray<unknown>
  readonly answer: Deferred.Deferred<ReadonlyArray<Row>, StorageUnavailable>
}

/** A server that answers when it is told to. */
const waiting = () => {
  const statements: Array<Statement> = []
  const query =
    ((_pool: unknown, _operation: unknown, text: string, params: Array<unknown>) =>
      Effect.suspend(() => {
        const answer = Deferred.makeUnsafe<ReadonlyArray<Row>, StorageUnavailable>()
        statements.push({ text, params, answer })
        return Deferred.await(answer)
      })) as Pg["query"]
  return { looks: PgLooks.make({ query }), statements }
}

const look = (name: string, ...params: ReadonlyArray<unknown>): PgLooks.Look => ({
  name,
  columns: (first) => params.map((_, at) => `$${first + at} AS ${name}_${at}`).join(", "),
  params,
})

const asked = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.forkChild(effect, { startImmediately: true })

const soon = Effect.sleep("30 millis")

describe("looks", () => {
  it.live("go out as one where they come together", () =>
    Effect.gen(function* () {
      const { looks, statements } = waiting()
      const fibers = yield* Effect.forEach(
        [look("b", 1, 2), look("c"), look("a", 3)],
        (each) => asked(looks(each)),
      )
      yield* soon
      assert.strictEqual(statements.length, 1)
      const [{ answer, params, text }] = statements as [Statement]
      assert.include(text, "SELECT $1 AS a_0, $2 AS b_0, $3 AS b_1, ")
      assert.deepStrictEqual(params, [3, 1, 2])
      yield* Deferred.succeed(answer, [{ a_0: 3 }])
      for (const fiber of fibers) assert.deepStrictEqual(yield* Fiber.join(fiber), { a_0: 3 })
    }))

  it.live("are never answered by what was asked before them", () =>
    Effect.gen(function* () {
      const { looks, statements } = waiting()
      const first = yield* asked(looks(look("a", 1)))
      yield* soon
      const second = yield* asked(looks(look("a", 1)))
      yield* soon
      assert.strictEqual(statements.length, 2)
      yield* Deferred.succeed(statements[0]!.answer, [{ a_0: "before" }])
      assert.deepStrictEqual(yield* Fiber.join(first), { a_0: "before" })
      assert.isUndefined(second.pollUnsafe())
      yield* Deferred.succeed(statements[1]!.answer, [{ a_0: "after" }])
      assert.deepStrictEqual(yield* Fiber.join(second), { a_0: "after" })
    }))

  it.live("of one name have a statement each", () =>
    Effect.gen(function* () {
      const { looks, statements } = waiting()
      for (const n of [1, 2]) yield* asked(looks(look("a", n)))
      yield* soon
      assert.deepStrictEqual(statements.map(({ params }) => params).toSorted(), [[1], [2]])
    }))

  it.live("are asked though whoever came first was interrupted, wherever it was", () =>
    Effect.gen(function* () {
      for (const before of times(16)) {
        const { looks, statements } = waiting()
        // It gives way after some steps, at another place each time.
        const first = yield* times(before).reduce<Effect.Effect<Row, StorageUnavailable>>(
          (rest) => Effect.suspend(() => rest),
          looks(look("a", 1)),
        ).pipe(
          Effect.provideService(Scheduler.MaxOpsBeforeYield, 8),
          asked,
        )
        yield* Fiber.interrupt(first)
        yield* asked(looks(look("b", 2)))
        yield* soon
        assert.isTrue(statements.some(({ text }) => text.includes("b_0")), `after ${before}`)
      }
    }))

  it.live("all fail when their statement does", () =>
    Effect.gen(function* () {
      const { looks, statements } = waiting()
      const fibers = yield* Effect.forEach(["a", "b"], (name) => asked(looks(look(name, 1))))
      yield* soon
      const error = new StorageUnavailable({ storage: "postgres", operation: "a", cause: "gone" })
      yield* Deferred.fail(statements[0]!.answer, error)
      for (const fiber of fibers) {
        assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail(error))
      }
    }))
})
