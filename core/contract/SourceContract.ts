/**
 * The laws of `Source`, as tests. Where several write at once, whoever writes an adapter shows E2.
 *
 * What was tried on each adapter, and caught, stands in its test.
 */
import { assert } from "@effect/vitest"
import { Effect, type Layer, type Scope } from "effect"
import type { Entry, Reader, Source } from "../services/Source.ts"
import { block, type Options, type Tests, times } from "./world.ts"

/** A source of its own, and how entries get into it that are read as `{ "n": … }`. */
export interface Fresh {
  readonly source: Source
  readonly append: (...numbers: ReadonlyArray<number>) => Effect.Effect<unknown, unknown>
}

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<R, E>,
  fresh: Effect.Effect<Fresh, unknown, R | Scope.Scope>,
  options: Options = {},
): void => block(`Source, ${adapter}`, layer, options, (it) => laws(it, fresh))

export const numbersOf = (entries: ReadonlyArray<Entry>): ReadonlyArray<number> =>
  entries.map((entry) =>
    "value" in entry ? (entry.value as { readonly n: number }).n : assert.fail(entry.flaw)
  )

/** All that comes after a position, by readings of so many. */
export const readAll = Effect.fnUntraced(function* (reader: Reader, after: string, limit = 100) {
  const entries: Array<Entry> = []
  for (let at = after;;) {
    const reading = yield* reader.read(at, limit)
    assert.isAtMost(reading.entries.length, limit)
    entries.push(...reading.entries)
    if (reading.isAtEnd && reading.to === at) return { entries, to: at }
    at = reading.to
  }
})

const laws = <R>(it: Tests<R>, fresh: Effect.Effect<Fresh, unknown, R | Scope.Scope>): void => {
  const test = (
    title: string,
    then: (fresh: Fresh, reader: Reader) => Effect.Effect<void, unknown, Scope.Scope>,
  ) =>
    it.effect(title, () =>
      Effect.gen(function* () {
        const made = yield* fresh
        yield* then(made, yield* made.source.open)
      }).pipe(Effect.scoped))

  test(
    "E1 in order: read on, every entry comes, and none twice",
    ({ append }, reader) =>
      Effect.gen(function* () {
        assert.deepEqual((yield* readAll(reader, "")).entries, [])
        yield* append(...times(7))
        const first = yield* readAll(reader, "", 3)
        assert.deepEqual(numbersOf(first.entries), times(7))
        yield* append(7, 8)
        const second = yield* readAll(reader, first.to)
        assert.deepEqual(numbersOf(second.entries), [7, 8])
        assert.deepEqual((yield* readAll(reader, second.to)).entries, [])
      }),
  )

  test(
    "E1 in order: from the position of any entry, what comes after it",
    ({ append }, reader) =>
      Effect.gen(function* () {
        yield* append(...times(5))
        const { entries } = yield* readAll(reader, "")
        for (const [at, { position }] of entries.entries()) {
          const rest = yield* readAll(reader, position)
          assert.deepEqual(numbersOf(rest.entries), times(5).slice(at + 1))
        }
      }),
  )

  test(
    "E3 repeatable: the same from the same position, also by another",
    (made, reader) =>
      Effect.gen(function* () {
        yield* made.append(...times(6))
        const first = yield* reader.read("", 4)
        yield* made.append(6)
        const other = yield* made.source.open
        assert.deepEqual((yield* other.read("", 4)).entries, first.entries)
        assert.deepEqual(numbersOf((yield* readAll(other, first.to)).entries), [4, 5, 6])
        assert.deepEqual(numbersOf((yield* readAll(reader, first.to)).entries), [4, 5, 6])
      }),
  )

  test(
    "E4 bounded: a reading has at most so many, and says whether there is more",
    (made, reader) =>
      Effect.gen(function* () {
        yield* made.append(...times(5))
        const first = yield* reader.read("", 3)
        assert.strictEqual(first.entries.length, 3)
        assert.isFalse(first.isAtEnd)
        assert.isTrue((yield* reader.read(first.to, 100)).isAtEnd)
      }),
  )

  test(
    "E6 end: what was there does not come, and what appears later does",
    (made, reader) =>
      Effect.gen(function* () {
        const empty = yield* reader.end
        yield* made.append(1, 2)
        assert.deepEqual(numbersOf((yield* readAll(reader, empty)).entries), [1, 2])
        const end = yield* reader.end
        assert.deepEqual((yield* readAll(reader, end)).entries, [])
        yield* made.append(3)
        assert.deepEqual(numbersOf((yield* readAll(reader, end)).entries), [3])
      }),
  )
}
