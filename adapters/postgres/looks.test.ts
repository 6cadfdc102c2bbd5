/**
 * Tried, and caught: each look by itself; the second of a name left out; an answer that only the first
 * hears of; one whose asker was interrupted before it had begun to ask; with patience, one that goes at
 * once, never by itself, or twice; the same look twice in one statement.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Scheduler } from "effect"
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
const waiting = Effect.gen(function* () {
  const statements: Array<Statement> = []
  const query = ((_pool: unknown, _operation: unknown, text: string, params: Array<unknown>) =>
    Effect.suspend(() => {
      const answer = Deferred.makeUnsafe<ReadonlyArray<Row>, StorageUnavailable>()
      statements.push({ text, params, answer })
      return Deferred.await(answer)
    })) as Pg["query"]
  return { looks: yield* PgLooks.make({ query }), statements }
})

const look = (name: string, ...params: ReadonlyArray<unknown>): PgLooks.Look => ({
  name,
  columns: (first) => params.map((_, at) => `$${first + at} AS ${name}_${at}`).join(", "),
  params: () => params,
})

const asked = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.forkChild(effect, { startImmediately: true })

const soon = Effect.sleep("30 millis")

describe("looks", () => {
  it.live("go out as one where they come together", () =>
    Effect.gen(function* () {
      const { looks, statements } = yield* waiting
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
    }).pipe(Effect.scoped))

  it.live("are never answered by what was asked before them", () =>
    Effect.gen(function* () {
      const { looks, statements } = yield* waiting
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
    }).pipe(Effect.scoped))

  it.live("of one name have a statement each", () =>
    Effect.gen(function* () {
      const { looks, statements } = yield* waiting
      for (const n of [1, 2]) yield* asked(looks(look("a", n)))
      yield* soon
      assert.deepStrictEqual(statements.map(({ params }) => params).toSorted(), [[1], [2]])
    }).pipe(Effect.scoped))

  it.live("are asked though whoever came first was interrupted, wherever it was", () =>
    Effect.gen(function* () {
      for (const before of times(16)) {
        const { looks, statements } = yield* waiting
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
    }).pipe(Effect.scoped))

  it.live("with patience go along with the next, with what they change, and alone when it ends", () =>
    Effect.gen(function* () {
      const { looks, statements } = yield* waiting
      const patient: PgLooks.Look = {
        ...look("p", 7),
        part: (first) => `made AS (UPDATE $${first})`,
      }
      const along = yield* asked(looks(patient, Duration.millis(400)))
      yield* soon
      assert.strictEqual(statements.length, 0)
      yield* asked(looks(look("a", 1, 2)))
      yield* soon
      assert.strictEqual(statements.length, 1)
      const [{ answer, params, text }] = statements as [Statement]
      assert.include(text, "ms), made AS (UPDATE $3) SELECT $1 AS a_0, $2 AS a_1, $3 AS p_0")
      assert.deepStrictEqual(params, [1, 2, 7])
      yield* Deferred.succeed(answer, [{ p_0: 7 }])
      assert.deepStrictEqual(yield* Fiber.join(along), { p_0: 7 })

      const begin = performance.now()
      const alone = yield* asked(looks(patient, Duration.millis(400)))
      while (statements.length === 1) yield* Effect.sleep(5)
      assert.isAtLeast(performance.now() - begin, 390)
      yield* Effect.sleep("450 millis")
      assert.strictEqual(statements.length, 2)
      yield* Deferred.succeed(statements[1]!.answer, [{ p_0: 8 }])
      assert.deepStrictEqual(yield* Fiber.join(alone), { p_0: 8 })
    }).pipe(Effect.scoped))

  it.live("that went out shortly before their patience ended wait for that answer", () =>
    Effect.gen(function* () {
      const { looks, statements } = yield* waiting
      const patient = yield* asked(looks(look("p", 7), Duration.millis(60)))
      yield* asked(looks(look("a", 1)))
      yield* Effect.sleep("150 millis")
      assert.strictEqual(statements.length, 1)
      yield* Deferred.succeed(statements[0]!.answer, [{ p_0: 7 }])
      assert.deepStrictEqual(yield* Fiber.join(patient), { p_0: 7 })
    }).pipe(Effect.scoped))

  it.live("that are one object are asked once, until they have gone out", () =>
    Effect.gen(function* () {
      const { looks, statements } = yield* waiting
      const values: Array<number> = []
      const shared: PgLooks.Look = { ...look("s", 1), params: () => [values.join("+")] }
      const fibers = yield* Effect.forEach([1, 2, 3], (value) => {
        values.push(value)
        return asked(looks(shared))
      })
      yield* soon
      assert.deepStrictEqual(statements.map(({ params }) => params), [["1+2+3"]])
      const late = yield* asked(looks(shared))
      yield* soon
      assert.strictEqual(statements.length, 2)
      yield* Deferred.succeed(statements[0]!.answer, [{ s_0: "first" }])
      for (const fiber of fibers) assert.deepStrictEqual(yield* Fiber.join(fiber), { s_0: "first" })
      assert.isUndefined(late.pollUnsafe())
    }).pipe(Effect.scoped))

  it.live("all fail when their statement does", () =>
    Effect.gen(function* () {
      const { looks, statements } = yield* waiting
      const fibers = yield* Effect.forEach(["a", "b"], (name) => asked(looks(look(name, 1))))
      yield* soon
      const error = new StorageUnavailable({ storage: "postgres", operation: "a", cause: "gone" })
      yield* Deferred.fail(statements[0]!.answer, error)
      for (const fiber of fibers) {
        assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail(error))
      }
    }).pipe(Effect.scoped))
})
