import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import { times } from "../contract/world.ts"
import { Spell } from "./Spell.ts"

/** What is logged meanwhile. */
const logged = <A, E, R>(body: (lines: ReadonlyArray<string>) => Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make(({ message }) => lines.push(String([message].flat()[0])))
  return Effect.provide(Effect.suspend(() => body(lines)), Logger.layer([logger]))
}

const cause = Cause.fail("away")

describe("a spell of failures", () => {
  it.effect("is told of at once, then at doubling intervals, and when it is over", () =>
    logged((lines) =>
      Effect.gen(function* () {
        const spell = new Spell("sweep")
        for (const _ of times(100)) {
          yield* spell.failed(cause)
          yield* TestClock.adjust("1 second")
        }
        yield* spell.wentWell
        yield* spell.wentWell
        assert.deepStrictEqual(lines, [
          "could not sweep",
          "could not sweep, 10 times more in 10 s so far",
          "could not sweep, 20 times more in 30 s so far",
          "could not sweep, 40 times more in 70 s so far",
          "can sweep again, after 100 s",
        ])
      })
    ))

  it.effect("of now and then is told of no more often", () =>
    logged((lines) =>
      Effect.gen(function* () {
        const spell = new Spell("sweep")
        for (const _ of times(3600)) {
          yield* spell.failed(cause)
          yield* spell.wentWell
          yield* TestClock.adjust("1 second")
        }
        assert.isAtMost(lines.length, 2 * 10)
        assert.isAtLeast(lines.length, 2 * 9)
      })
    ))

  it.effect("begins anew when it went well for long", () =>
    logged((lines) =>
      Effect.gen(function* () {
        const spell = new Spell("sweep")
        for (const _ of times(2)) {
          yield* spell.failed(cause)
          yield* spell.wentWell
          yield* TestClock.adjust("3 minutes")
        }
        const once = ["could not sweep", "can sweep again, after 0 s"]
        assert.deepStrictEqual(lines, [...once, ...once])
      })
    ))

  it.effect("that never ends is told of once an hour", () =>
    logged((lines) =>
      Effect.gen(function* () {
        const spell = new Spell("sweep")
        for (const _ of times(48 * 60)) {
          yield* spell.failed(cause)
          yield* TestClock.adjust("1 minute")
        }
        assert.isAtMost(lines.length, 60)
        assert.isAtLeast(lines.length, 48)
      })
    ))
})
