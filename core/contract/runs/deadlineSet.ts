/** R35, R36: runs that an operator has begin by another instant, and who changed them meanwhile. */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect } from "effect"
import * as Lane from "../../domain/Lane.ts"
import type { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  assertState,
  cancelled,
  changed,
  type Elapse,
  expireAll,
  found,
  freshNamespace,
  gateOf,
  greet,
  ids,
  joined,
  release,
  resumed,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
} from "../world.ts"
import { waysToWait } from "../waysToWait.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  const ways = waysToWait(elapse)
  const withinOf = { "without one": undefined, "with one": 50_000 } as const

  for (const [where, way] of Object.entries(ways)) {
    for (const [before, deadlineMillis] of Object.entries(withinOf)) {
      it.effect(`R35 deadline set: of one that waits ${where}, ${before}`, () =>
        Effect.gen(function* () {
          const namespace = freshNamespace()
          const made = yield* Effect.forEach(
            times(3),
            () => way(freshNamespace(), { deadlineMillis }),
          )
          const [sooner, later, never] = made.map(([run]) => run)
          const change = (run: RunId | undefined, within: number | null) =>
            Effect.map(changed(run!, { deadlineMillis: within }), ({ answer }) => answer)
          assert.strictEqual(yield* change(sooner, 20_000), "confirmed")
          assert.strictEqual(yield* change(later, 90_000), "confirmed")
          assert.strictEqual(yield* change(never, null), "confirmed")
          assert.notProperty(yield* found(never!), "deadlineAt")
          const { createdAt, deadlineAt } = yield* found(later!)
          const between = DateTime.toEpochMillis(deadlineAt!) - DateTime.toEpochMillis(createdAt)
          assert.isAtLeast(between, 90_000)
          assert.isBelow(between, 99_000)
          yield* elapse(Duration.seconds(30))
          yield* expireAll
          yield* assertState(sooner!, "Expired")
          yield* elapse(Duration.seconds(30))
          yield* expireAll
          assert.notStrictEqual((yield* found(later!)).state, "Expired")
          yield* elapse(Duration.seconds(40))
          yield* expireAll
          yield* assertState(later!, "Expired")
          assert.notStrictEqual((yield* found(never!)).state, "Expired")

          // It goes by that, and is found where it stands.
          const elsewhere = Lane.Lane.make(`${namespace}:elsewhere`)
          const calm = yield* submitOne(specOf(namespace, { lane: elsewhere }))
          const [run, on] = yield* way(namespace, {
            deadlineMillis,
            lane: Lane.ofTask(namespace, greet),
          })
          assert.strictEqual(yield* change(run, 30_000), "confirmed")
          yield* on
          yield* assertState(run, "Ready")
          yield* suspended(run)
          yield* resumed(run)
          const hand = yield* joined(namespace)
          const lanes = [elsewhere, Lane.ofTask(namespace, greet)]
          const order: Array<RunId> = []
          for (const _ of times(2)) order.push(...ids((yield* hand.claim(1, { lanes })).grants))
          assert.deepStrictEqual(order, [run, calm])
        }))
    }
  }

  it.effect("R35 deadline set: both are told, and who set it, and it counts until the start", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace))
      yield* changed(run, { deadlineMillis: 40_000, level: 0, by: "Ada" })
      const at = DateTime.formatIso((yield* found(run)).deadlineAt!)
      yield* changed(run, { deadlineMillis: null })
      yield* changed(run, { deadlineMillis: 40_000 })
      const said = (yield* runs.events(run)).filter(({ kind }) => kind.endsWith("Set"))
      assert.deepStrictEqual(said.slice(0, 3).map(({ by, detail, kind }) => [kind, detail, by]), [
        ["LevelSet", "usual → urgent", "Ada"],
        ["DeadlineSet", `none → ${at}`, "Ada"],
        ["DeadlineSet", `${at} → none`, undefined],
      ])
      const hand = yield* joined(namespace)
      const grant = yield* hand.one
      assert.isTrue(grant.isCareful)
      yield* elapse(Duration.seconds(50))
      yield* expireAll
      assert.isFalse(yield* hand.start(grant))
      yield* assertState(run, "Expired")
    }))

  it.effect("R35 deadline set: not of what was granted, is too late or has ended", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [back, running, ended] = yield* submitAll(
        times(3).map(() => specOf(namespace, { deadlineMillis: 40_000 })),
      )
      const { grants } = yield* hand.claim(3)
      const of = (run: RunId | undefined) => grants.find((grant) => grant.run === run)!
      yield* hand.settle(release(of(back)))
      assert.isTrue(yield* hand.start(of(ended)))
      yield* hand.settle(succeed(of(ended)))
      const late = yield* submitOne(specOf(namespace, { deadlineMillis: 1000 }))
      yield* elapse(Duration.seconds(2))
      const answers = [
        ["late", late],
        ["begun", back],
        ["begun", running],
        ["ended", ended],
      ] as const
      for (const [answer, run] of answers) {
        for (const deadlineMillis of [60_000, null]) {
          assert.strictEqual((yield* changed(run!, { deadlineMillis })).answer, answer)
        }
        assert.notProperty(yield* found(run!), "revision")
      }
      assert.strictEqual((yield* changed(back!, { level: 0 })).answer, "confirmed")
      assert.strictEqual((yield* cancelled(back!)).answer, "confirmed")
    }))

  it.effect("R36 revisions: each change makes another, and one based on another changes nothing", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace))
      assert.notProperty(yield* found(run), "revision")
      const answers: Array<string> = []
      for (const revision of [2, 1, 1, 2, undefined]) {
        answers.push((yield* changed(run, { deadlineMillis: 60_000, revision })).answer)
      }
      assert.deepStrictEqual(answers, ["stale", "confirmed", "stale", "confirmed", "confirmed"])
      const before = yield* found(run)
      assert.deepInclude(before, { revision: 4, level: 1 })
      assert.strictEqual((yield* changed(run, { level: 0, revision: 3 })).answer, "stale")
      assert.deepStrictEqual(yield* found(run), before)
      yield* changed(run, { level: 0, revision: 4 })
      yield* changed(run, { level: 1 })
      assert.deepInclude(yield* found(run), { revision: 6, level: 1 })
    }))

  it.effect("R36 revisions: of many at once that name the same, one holds", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      for (const spec of [{}, { delayMillis: 60_000 }, { gate }]) {
        const run = yield* submitOne(specOf(namespace, spec))
        const answers = yield* Effect.forEach(
          times(8),
          (n) =>
            changed(run, { deadlineMillis: 60_000 + n, level: n % 2 === 0 ? 0 : 2, revision: 1 }),
          { concurrency: "unbounded" },
        )
        assert.strictEqual(answers.filter(({ answer }) => answer === "confirmed").length, 1)
        assert.strictEqual(answers.filter(({ answer }) => answer === "stale").length, 7)
        assert.deepInclude(yield* found(run), { revision: 2 })
      }
    }))
}
