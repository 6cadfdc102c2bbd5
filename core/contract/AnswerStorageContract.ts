/**
 * The laws of `AnswerStorage`, as tests.
 *
 * Tried on every adapter, and caught:
 *
 * | law | mistake                                                                           |
 * | --- | --------------------------------------------------------------------------------- |
 * | K1  | always begun; begun as soon as it is unsettled; looked up and written in two steps |
 * | K2  | the last answer kept; an answer kept of another order                              |
 * | K3  | the order not compared                                                             |
 * | K4  | what was answered given up; nothing given up                                       |
 * | K5  | a key never free; free at once; nothing let go of                                  |
 * | K5  | what is over looked for behind what was begun first, or where that lies ahead      |
 * | K6  | an answer kept, or an order given up, that is another's                            |
 * | K7  | unsettled although it is the beginner's own                                        |
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import { keptMillis, leavingMax } from "../domain/Answer.ts"
import { Storage } from "../services/Storage.ts"
import { block, type Elapse, fresh, type Options, type Tests, times, together } from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`AnswerStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

/** Somebody, unless named, who begins or has begun it under this name alone. */
const begin = (key: string, order = "an order", beginner = fresh("beginner")) =>
  Storage.use(({ answers }) => answers.begin(key, order, beginner))
const keep = (key: string, beginner: string, answer: string) =>
  Storage.use(({ answers }) => answers.keep(key, beginner, answer))
const giveUp = (key: string, beginner: string) =>
  Storage.use(({ answers }) => answers.giveUp(key, beginner))
const count = Storage.use(({ answers }) => answers.count)

/** Who has begun it. */
const begun = (key: string, order?: string, beginner = fresh("beginner")) =>
  Effect.map(begin(key, order, beginner), ({ _tag }) => {
    assert.strictEqual(_tag, "Begun")
    return beginner
  })

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("K1 once: of many who begin it at once, one carries it out", () =>
    Effect.gen(function* () {
      for (const _ of times(5)) {
        const key = fresh("key")
        const told = yield* together(times(8).map(() => begin(key)))
        const tags = told.map(({ _tag }) => _tag).sort()
        assert.deepStrictEqual(tags, ["Begun", ...times(7).map(() => "Unsettled")])
      }
    }))

  it.effect("K1 once: whoever comes later learns for how long it is unsettled", () =>
    Effect.gen(function* () {
      const key = fresh("key")
      yield* begun(key)
      yield* elapse(Duration.minutes(2))
      const later = yield* begin(key)
      assert.strictEqual(later._tag, "Unsettled")
      if (later._tag === "Unsettled") assert.approximately(later.forMillis, 120_000, 9000)
      yield* elapse(Duration.millis(keptMillis / 2))
      assert.strictEqual((yield* begin(key))._tag, "Unsettled")
    }))

  it.effect("K2 answered: everybody learns the first answer, whole", () =>
    Effect.gen(function* () {
      const [key, other] = [fresh("key"), fresh("key")]
      const answer = JSON.stringify({ body: 'ü \u0001 \n"quoted" 🗝'.repeat(2000) })
      const beginner = yield* begun(key)
      yield* begun(other)
      yield* keep(key, beginner, answer)
      yield* keep(key, beginner, "another answer")
      yield* keep(fresh("key"), beginner, "of none")
      for (const _ of times(2)) {
        assert.deepStrictEqual(yield* begin(key), { _tag: "Answered", answer })
      }
      assert.strictEqual((yield* begin(other))._tag, "Unsettled")
    }))

  it.effect("K3 another: a key names one order", () =>
    Effect.gen(function* () {
      const key = fresh("key")
      const beginner = yield* begun(key, "first")
      assert.deepStrictEqual(yield* begin(key, "second"), { _tag: "Another" })
      yield* keep(key, beginner, "done")
      assert.deepStrictEqual(yield* begin(key, "second"), { _tag: "Another" })
      assert.deepStrictEqual(yield* begin(key, "first"), { _tag: "Answered", answer: "done" })
    }))

  it.effect("K4 given up: the key is as if nobody had used it", () =>
    Effect.gen(function* () {
      const key = fresh("key")
      yield* giveUp(key, yield* begun(key, "first"))
      const second = yield* begun(key, "second")
      yield* keep(key, second, "done")
      yield* giveUp(key, second)
      assert.deepStrictEqual(yield* begin(key, "second"), { _tag: "Answered", answer: "done" })
      yield* giveUp(fresh("key"), second)
    }))

  it.effect("K5 bounded: a key is free after its time, and no sooner", () =>
    Effect.gen(function* () {
      const [answered, unsettled] = [fresh("key"), fresh("key")]
      yield* keep(answered, yield* begun(answered), "done")
      yield* begun(unsettled)
      yield* elapse(Duration.millis(keptMillis - 60_000))
      assert.strictEqual((yield* begin(answered))._tag, "Answered")
      assert.strictEqual((yield* begin(unsettled))._tag, "Unsettled")
      yield* elapse(Duration.minutes(2))
      // Some that are over are let go of with each one; these two are over all the same.
      yield* begun(answered, "another order")
      yield* begun(unsettled)
      assert.strictEqual((yield* begin(answered, "another order"))._tag, "Unsettled")
    }))

  it.effect("K5 bounded: whoever begins one lets go of what is over", () =>
    Effect.gen(function* () {
      const many = leavingMax * 3
      yield* together(times(many).map(() => begun(fresh("key"))))
      assert.isAtLeast(yield* count, many)
      yield* elapse(Duration.millis(keptMillis + 60_000))
      for (const _ of times(many)) yield* begun(fresh("key"))
      // Others may have begun some of their own before.
      assert.strictEqual(yield* count, many)
    }))

  it.effect("K5 bounded: what was begun before the clock was set back is in nothing's way", () =>
    Effect.gen(function* () {
      const many = leavingMax * 2
      const ahead = fresh("key")
      yield* begun(ahead)
      yield* elapse(Duration.days(-1))
      for (const _ of times(many)) yield* begun(fresh("key"))
      const most = yield* count
      yield* elapse(Duration.millis(keptMillis + 60_000))
      for (const _ of times(many)) yield* begun(fresh("key"))
      assert.isAtMost(yield* count, most)
      assert.strictEqual((yield* begin(ahead))._tag, "Unsettled")
    }))

  it.effect("K6 fenced: who has given it up changes nothing of what another has begun", () =>
    Effect.gen(function* () {
      const key = fresh("key")
      const first = yield* begun(key)
      yield* giveUp(key, first)
      const second = yield* begun(key)
      yield* giveUp(key, first)
      assert.strictEqual((yield* begin(key))._tag, "Unsettled")
      yield* keep(key, first, "of the first")
      assert.strictEqual((yield* begin(key))._tag, "Unsettled")
      yield* keep(key, second, "of the second")
      const answered = { _tag: "Answered", answer: "of the second" } as const
      assert.deepStrictEqual(yield* begin(key), answered)
      yield* giveUp(key, first)
      assert.deepStrictEqual(yield* begin(key), answered)
    }))

  it.effect("K7 heard again: who begins it again has begun it, and nobody else", () =>
    Effect.gen(function* () {
      const key = fresh("key")
      const beginner = yield* begun(key)
      yield* begun(key, undefined, beginner)
      const told = yield* together([
        begin(key, undefined, beginner),
        begin(key),
        begin(key, undefined, beginner),
      ])
      assert.deepStrictEqual(told.map(({ _tag }) => _tag), ["Begun", "Unsettled", "Begun"])
      assert.strictEqual((yield* begin(key, "another", beginner))._tag, "Another")
      yield* keep(key, beginner, "done")
      assert.strictEqual((yield* begin(key, undefined, beginner))._tag, "Answered")
    }))
}
