/** Actors: one message of a key at a time, and what they remember. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Retry from "../../domain/Retry.ts"
import * as Actor from "../../engine/Actor.ts"
import { serving, type Test, TooSmall } from "../program.ts"
import { fresh } from "../world.ts"

export const acted = (test: Test): void => {
  test("an actor takes one message of a key at a time, in order, and its state counts each once", () =>
    Effect.gen(function* () {
      const tries = new Map<string, number>()
      let underWay = 0
      const log = Actor.make(fresh("log"), {
        state: Schema.Array(Schema.Int),
        initial: [],
        messages: {
          note: { payload: { n: Schema.Int } },
          read: { success: Schema.Array(Schema.Int) },
          refuse: { error: TooSmall },
        },
        policy: { retry: Retry.exponential({ attempts: 3, delayMillis: 50, jitter: 0 }) },
      })
      const live = log.toLayer({
        note: (state, { n }) =>
          Effect.gen(function* () {
            assert.strictEqual(++underWay, 1)
            yield* Effect.yieldNow
            underWay--
            const tried = (tries.get(`${n}`) ?? 0) + 1
            tries.set(`${n}`, tried)
            // What was decided about the state goes with the attempt.
            if (n % 5 === 0 && tried === 1) return yield* Effect.die(new Error("not yet"))
            return [[...state, n], undefined] as const
          }),
        read: (state) => Effect.succeed([state, state] as const),
        refuse: () => Effect.fail(new TooSmall({ least: 7 })),
      })
      yield* serving(live)
      yield* serving(live)
      const numbers = Array.from({ length: 12 }, (_, n) => n)
      yield* Effect.forEach(numbers, (n) => log.tell("a", "note", { n }))
      const refused = yield* Effect.flip(log.ask("a", "refuse", {}))
      assert.instanceOf(refused, TooSmall)
      assert.deepEqual(yield* log.ask("a", "read", {}), numbers)
      assert.deepEqual(yield* log.ask("b", "read", {}), [])
    }))
}
