/**
 * The laws of `LogStorage`, as tests. `suite(name, layer, elapse)` passes when an adapter keeps them.
 *
 * Tried on each adapter, and caught:
 *
 * | law | mistake                                                                     |
 * | --- | --------------------------------------------------------------------------- |
 * | N1  | the last to come counts; the sequence without the fence; anybody may say it |
 * | N2  | in the order in which they came; doubled when appended twice                |
 * | N3  | only who holds the run is heard; any fence is                               |
 * | N4  | no bound; a bound without a word                                            |
 * | H2  | lines, or progress, stay when their run leaves                              |
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, type Layer, Option } from "effect"
import * as Retention from "../domain/Retention.ts"
import { Fence } from "../domain/Lease.ts"
import * as LogLine from "../domain/LogLine.ts"
import type { RunId } from "../domain/RunId.ts"
import { charsMax, type Told } from "../services/LogStorage.ts"
import { Storage } from "../services/Storage.ts"
import {
  block,
  type Elapse,
  freshNamespace,
  type Held,
  joined,
  type Options,
  retry,
  specOf,
  submitOne,
  succeed,
  type Tests,
  times,
  together,
} from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`LogStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

/** Lines that say their number. */
export const lines = (first: number, count = 1, agoMillis = 0): Pick<Told, "first" | "lines"> => ({
  first,
  lines: times(count).map((nth) => ({ level: "Info", text: `line ${first + nth}`, agoMillis })),
})

export const tell = ({ fence, run }: Held, told: Partial<Told>): Told => ({
  run,
  fence,
  first: 1,
  lines: [],
  ...told,
})

const read = (run: RunId, after?: LogLine.Place, limit = 100) =>
  Storage.use(({ logs }) => logs.read({ run, after, limit }))

const said = (run: RunId) =>
  Effect.map(read(run), (page) => page.lines.map(({ fence, text }) => `${fence}: ${text}`))

const progress = (run: RunId) =>
  Effect.map(
    Storage.use(({ logs }) => logs.progress(run)),
    (kept) => Option.getOrUndefined(Option.map(kept, ({ fence, text }) => `${fence}: ${text}`)),
  )

const granted = Effect.gen(function* () {
  const namespace = freshNamespace()
  const hand = yield* joined(namespace)
  yield* submitOne(specOf(namespace))
  const grant = yield* hand.one
  return { namespace, hand, grant, run: grant.run }
})

/** The run is granted once more, to somebody else. */
const passedOn = Effect.gen(function* () {
  const { grant: before, hand: earlier, namespace, run } = yield* granted
  yield* earlier.settle({ _tag: "Release", run, fence: before.fence })
  const hand = yield* joined(namespace)
  const grant = yield* hand.one
  return { before, earlier, grant, hand, run, namespace }
})

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("N1 newest: an older word never takes the place of a newer", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { grant, hand, run } = yield* granted
      assert.isUndefined(yield* progress(run))
      const say = (sequence: number) =>
        logs.append(hand.incarnation, [
          tell(grant, { progress: { sequence, percent: sequence, text: `${sequence}` } }),
        ])
      yield* say(2)
      assert.strictEqual(yield* progress(run), `${grant.fence}: 2`)
      yield* say(1)
      assert.strictEqual(yield* progress(run), `${grant.fence}: 2`)
      yield* together(times(6).map((nth) => say(8 - nth)))
      const kept = Option.getOrThrow(yield* logs.progress(run))
      assert.deepInclude(kept, { sequence: 8, percent: 8, text: "8", fence: grant.fence })
      assert.approximately(DateTime.toEpochMillis(kept.at), yield* Storage.use((s) => s.now), 9000)
    }))

  it.effect("N1 newest: only the holder says it, and the next holder begins anew", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { before, earlier, grant, hand, run } = yield* passedOn
      const say = (incarnation: typeof hand.incarnation, held: Held, sequence: number) =>
        logs.append(incarnation, [
          tell(held, { progress: { sequence, text: `${sequence}` } }),
        ])
      yield* say(earlier.incarnation, before, 5)
      yield* say(earlier.incarnation, grant, 6)
      assert.isUndefined(yield* progress(run))
      yield* say(hand.incarnation, grant, 1)
      yield* say(earlier.incarnation, before, 7)
      assert.strictEqual(yield* progress(run), `${grant.fence}: 1`)
      yield* hand.settle(succeed(grant))
      yield* say(hand.incarnation, grant, 9)
      assert.strictEqual(yield* progress(run), `${grant.fence}: 1`)
    }))

  it.effect("N1 newest: of two grants the later counts, whatever their sequences", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { grant, hand, run } = yield* granted
      yield* logs.append(hand.incarnation, [
        tell(grant, { progress: { sequence: 40, text: "first" } }),
      ])
      yield* hand.settle({ _tag: "Release", run, fence: grant.fence })
      const next = yield* hand.one
      yield* logs.append(hand.incarnation, [
        tell(next, { progress: { sequence: 1, text: "second" } }),
      ])
      assert.strictEqual(yield* progress(run), `${next.fence}: second`)
    }))

  it.effect("N2 ordered: by fence and number, however they came", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { before, earlier, grant, hand, run } = yield* passedOn
      yield* logs.append(hand.incarnation, [tell(grant, lines(3, 2))])
      yield* logs.append(hand.incarnation, [tell(grant, lines(1, 2))])
      yield* logs.append(earlier.incarnation, [tell(before, lines(1))])
      assert.deepStrictEqual(yield* said(run), [
        `${before.fence}: line 1`,
        ...[1, 2, 3, 4].map((number) => `${grant.fence}: line ${number}`),
      ])
    }))

  it.effect("N2 ordered: what is appended twice, or by two at once, is there once", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { grant, hand, run } = yield* granted
      const batch = [
        tell(grant, { ...lines(1, 3), progress: { sequence: 1 } }),
        tell(grant, lines(4)),
        tell(grant, lines(4)),
      ]
      yield* together(times(4).map(() => logs.append(hand.incarnation, batch)))
      const { lines: kept } = yield* read(run)
      assert.deepStrictEqual(kept.map(({ number }) => number), [1, 2, 3, 4])
    }))

  it.effect("N2 ordered: page by page, and each line as it was said", () =>
    Effect.gen(function* () {
      const { logs, now } = yield* Storage
      const { grant, hand, run } = yield* granted
      const text = 'quoted "ö" 🎩 \\ \n\t<b>'
      yield* logs.append(hand.incarnation, [tell(grant, {
        first: 1,
        lines: [
          { level: "Error", text, agoMillis: 5000 },
          { level: "Warn", text: "2", agoMillis: 0, leftOut: 12 },
        ],
      })])
      for (const part of times(5)) {
        yield* logs.append(hand.incarnation, [tell(grant, lines(3 + part * 2, 2))])
      }
      const seen: Array<LogLine.LogLine> = []
      for (;;) {
        const { isCut, lines } = yield* read(run, seen.at(-1), 3)
        assert.isFalse(isCut)
        assert.isAtMost(lines.length, 3)
        if (lines.length === 0) break
        seen.push(...lines)
      }
      assert.deepStrictEqual(seen.map(({ number }) => number), times(12).map((n) => n + 1))
      assert.deepInclude(seen[0], { level: "Error", text, fence: grant.fence })
      assert.deepInclude(seen[1], { level: "Warn", leftOut: 12 })
      assert.approximately(DateTime.toEpochMillis(seen[0]!.at), (yield* now) - 5000, 4000)
    }))

  it.effect("N3 evidence: lines of a grant that is over are kept under its fence", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { before, earlier, grant, hand, run } = yield* passedOn
      yield* logs.append(earlier.incarnation, [tell(before, lines(1))])
      assert.deepStrictEqual(yield* said(run), [`${before.fence}: line 1`])
      yield* hand.settle(retry(grant, 3_600_000))
      yield* logs.append(hand.incarnation, [tell(grant, lines(1))])
      assert.strictEqual((yield* said(run)).length, 2)
    }))

  it.effect("N3 evidence: so are those that come when the run has ended", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { grant, hand, run } = yield* granted
      yield* hand.settle(succeed(grant))
      yield* logs.append(hand.incarnation, [tell(grant, lines(1, 2))])
      assert.strictEqual((yield* said(run)).length, 2)
    }))

  it.effect("N3 evidence: nothing is kept of a fence or a run that never was", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { grant, hand, namespace, run } = yield* granted
      const fence = Fence.make(grant.fence + 1)
      const unknown = (run + 1_000_000_000) as RunId
      const waiting = yield* submitOne(specOf(namespace))
      yield* logs.append(hand.incarnation, [
        tell({ run, fence }, { ...lines(1), progress: { sequence: 1 } }),
        tell({ run: unknown, fence }, { ...lines(1), progress: { sequence: 1 } }),
        tell({ run: waiting, fence: Fence.make(1) }, { ...lines(1), progress: { sequence: 1 } }),
      ])
      for (const each of [run, unknown, waiting]) {
        assert.deepStrictEqual(yield* said(each), [])
        assert.isUndefined(yield* progress(each))
      }
    }))

  it.effect("N4 bounded: past the bound lines are left out, and readers are told", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const { grant, hand, run } = yield* granted
      const text = "x".repeat(LogLine.textMax)
      const linesOfOne = 128
      const told = (nth: number) =>
        tell(grant, {
          first: 1 + nth * linesOfOne,
          lines: times(linesOfOne).map(() => ({ level: "Info", text, agoMillis: 0 })),
        })
      const fitting = charsMax / (linesOfOne * text.length)
      for (const nth of times(fitting)) yield* logs.append(hand.incarnation, [told(nth)])
      assert.isFalse((yield* read(run, undefined, 1)).isCut)
      yield* logs.append(hand.incarnation, [told(fitting)])
      yield* logs.append(hand.incarnation, [told(fitting)])
      assert.isTrue((yield* read(run, undefined, 1)).isCut)
      const last = { fence: grant.fence, number: fitting * linesOfOne }
      assert.deepStrictEqual(yield* read(run, last), { lines: [], isCut: true })
      assert.strictEqual(
        (yield* read(run, { ...last, number: last.number - 1 })).lines.length,
        1,
      )
    }))

  it.effect("H2 whole: what a run said leaves with it", () =>
    Effect.gen(function* () {
      const { history, logs } = yield* Storage
      const { grant, hand, run } = yield* granted
      yield* logs.append(hand.incarnation, [
        tell(grant, { ...lines(1), progress: { sequence: 1, text: "half" } }),
      ])
      yield* hand.settle(succeed(grant))
      yield* elapse(Duration.millis(Retention.millis[Retention.usual] + 60_000))
      for (let hasMore = true; hasMore;) ({ hasMore } = yield* history.retire(500))
      for (let hasMore = true; hasMore;) ({ hasMore } = yield* history.retire(500))
      assert.isTrue(Option.isNone(yield* Storage.use(({ runs }) => runs.find(run))))
      assert.deepStrictEqual(yield* said(run), [])
      assert.isUndefined(yield* progress(run))
    }))
}
