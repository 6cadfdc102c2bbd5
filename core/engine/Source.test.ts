/** The laws of a source, kept by a stream. Tried, and caught: the stream is not begun anew (E3). */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Queue, Stream } from "effect"
import * as SourceContract from "../contract/SourceContract.ts"
import * as Source from "./Source.ts"

/** What is appended is kept, and whoever reads on gets what there is and what comes. */
const kept = Effect.sync(() => {
  const values: Array<number> = []
  const listeners = new Set<Queue.Queue<number>>()
  const from = (after: string) =>
    Stream.unwrap(Effect.gen(function* () {
      const queue = yield* Queue.unbounded<number>()
      const first = after === "" ? 0 : Number(after)
      yield* Queue.offerAll(queue, values.slice(first))
      listeners.add(queue)
      yield* Effect.addFinalizer(() => Effect.sync(() => listeners.delete(queue)))
      let at = first
      return Stream.fromQueue(queue).pipe(
        Stream.map((n) => ({ position: `${++at}`, value: { n } })),
      )
    }))
  return {
    source: Source.fromStream("kept", from, { end: Effect.sync(() => `${values.length}`) }),
    append: (...numbers: ReadonlyArray<number>) =>
      Effect.gen(function* () {
        values.push(...numbers)
        for (const queue of listeners) yield* Queue.offerAll(queue, numbers)
        yield* Effect.sleep(20)
      }),
    listeners,
  }
})

SourceContract.suite("stream", Layer.empty, kept, { runner: "live" })

describe("a stream as a source", () => {
  it.live("is let go of with the scope, and waits no longer than there is nothing", () =>
    Effect.gen(function* () {
      const { append, listeners, source } = yield* kept
      yield* Effect.scoped(Effect.gen(function* () {
        const reader = yield* source.open
        yield* reader.read("", 10)
        assert.strictEqual(listeners.size, 1)
        const waiting = Effect.timed(reader.wait!(Duration.seconds(10)))
        const [[took]] = yield* Effect.all([waiting, append(1)], { concurrency: 2 })
        assert.isBelow(Duration.toSeconds(took), 5)
        assert.deepEqual(SourceContract.numbersOf((yield* reader.read("", 10)).entries), [1])
      }))
      assert.strictEqual(listeners.size, 0)
    }))

  it.live("that ends is read from where it was again, and one that fails says why", () =>
    Effect.gen(function* () {
      let begun = 0
      const source = Source.fromStream("short", (after) => {
        begun++
        const at = after === "" ? 0 : Number(after)
        return at < 2
          ? Stream.make({ position: `${at + 1}`, value: { n: at } })
          : Stream.fail(new Error("the line is dead"))
      })
      const reader = yield* source.open
      assert.deepEqual(SourceContract.numbersOf((yield* reader.read("", 10)).entries), [0])
      assert.deepEqual(SourceContract.numbersOf((yield* reader.read("1", 10)).entries), [1])
      const failed = yield* Effect.flip(reader.read("2", 10))
      assert.strictEqual(failed.message, "short: the line is dead")
      assert.isAtLeast(begun, 3)
      const without = yield* Effect.flip(reader.end)
      assert.match(without.message, /where its end is/)
    }).pipe(Effect.scoped))
})
