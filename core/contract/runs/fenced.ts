/** R4 and R5: fences rise, and only the current one counts. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Fence } from "../../domain/Lease.ts"
import { RunId } from "../../domain/RunId.ts"
import { Storage } from "../../services/Storage.ts"
import {
  abort,
  assertState,
  discard,
  found,
  freshNamespace,
  giveUp,
  joined,
  promoteAll,
  recoverAll,
  release,
  retry,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  timeOut,
  times,
  together,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R4 fence: rises across release, retry and loss", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const fences: Array<number> = []
      const grantedOnce = Effect.tap(hand.one, ({ fence }) => Effect.sync(() => fences.push(fence)))
      yield* hand.settle(release(yield* grantedOnce))
      yield* hand.settle(retry(yield* grantedOnce))
      yield* promoteAll
      const grant = yield* grantedOnce
      assert.isTrue(yield* hand.start(grant))
      yield* hand.leave
      yield* recoverAll
      const next = yield* joined(namespace)
      fences.push((yield* next.one).fence)
      assert.deepStrictEqual(fences, [1, 2, 3, 4])
      assert.deepInclude(yield* found(run), { attempt: 3, crashes: 1, fence: Fence.make(4) })
    }))

  it.effect("R5 fenced: a report with an old fence changes nothing", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitOne(specOf(namespace))
      const old = yield* hand.one
      yield* hand.leave
      yield* recoverAll
      const next = yield* joined(namespace)
      const current = yield* next.one
      assert.strictEqual(current.run, old.run)
      const before = yield* found(old.run)
      for (const report of [succeed, retry, giveUp, timeOut, release, abort, discard]) {
        assert.deepEqual(yield* hand.settle(report(old)), { settled: ["fenced"], freed: [] })
        assert.deepEqual(yield* next.settle(report(old)), { settled: ["fenced"], freed: [] })
        assert.deepStrictEqual(yield* found(old.run), before)
      }
      assert.isFalse(yield* hand.start(old), "user code of an old grant may not start")
      assert.isFalse(yield* next.start(old))
      assert.deepEqual((yield* next.settle(succeed(current))).settled, ["applied"])
      assert.deepEqual((yield* hand.settle(succeed(old))).settled, ["fenced"])
    }))

  it.effect("R5 fenced: a report with the right fence counts only from its holder", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const other = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      assert.deepEqual((yield* other.settle(succeed(grant))).settled, ["fenced"])
      assert.isFalse(yield* other.start(grant))
      yield* assertState(run, "Running")
    }))

  it.effect("R5 fenced: what was lost and is not granted yet takes no report", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      yield* hand.leave
      yield* recoverAll
      assert.deepEqual((yield* hand.settle(succeed(grant))).settled, ["fenced"])
      yield* assertState(run, "Ready")
    }))

  it.effect("R5 fenced: a run that is not known, or not granted, takes no report", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const unknown = RunId.make(Number.MAX_SAFE_INTEGER - 9)
      const reports = [run, unknown].flatMap((run) =>
        [0, 1].map((fence) => succeed({ run, fence: Fence.make(fence) }))
      )
      assert.deepEqual(
        (yield* hand.settle(...reports)).settled,
        ["fenced", "fenced", "fenced", "fenced"],
      )
      yield* assertState(run, "Ready")
    }))

  for (const report of [succeed, retry, giveUp, timeOut, release, abort, discard]) {
    const { _tag } = report({ run: RunId.make(1), fence: Fence.make(1) })
    it.effect(`R5 fenced: ${_tag} repeated is a duplicate and counts once`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace))
        const grant = yield* hand.one
        const twice = [report(grant), report(grant)]
        assert.deepEqual((yield* hand.settle(...twice)).settled, ["applied", "duplicate"])
        const after = yield* found(run)
        assert.deepEqual((yield* hand.settle(report(grant))).settled, ["duplicate"])
        const { settled } = yield* hand.claim(0, { reports: [report(grant)] })
        assert.deepEqual(settled, ["duplicate"])
        // Not even another one, with the fence that settled.
        assert.deepEqual((yield* hand.settle(giveUp(grant))).settled, ["duplicate"])
        const { dueAt: _due, ...now } = yield* found(run)
        const { dueAt: _dueThen, ...then } = after
        // A due retry may have been promoted meanwhile, by whoever else sweeps this database.
        if (after.state === "Scheduled") assert.include(["Scheduled", "Ready"], now.state)
        else assert.deepStrictEqual(now, then)
      }))
  }

  it.effect("R5 fenced: reports of one call are settled each for itself, in order", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(4)
      const [a, b, c, d] = grants
      const wrong = { run: b!.run, fence: Fence.make(b!.fence + 1) }
      const { settled } = yield* hand.settle(
        succeed(a!),
        succeed(wrong),
        giveUp(c!),
        succeed(a!),
        release(d!),
        retry(b!, 60_000),
      )
      assert.deepEqual(settled, [
        "applied",
        "fenced",
        "applied",
        "duplicate",
        "applied",
        "applied",
      ])
      yield* assertState(a!.run, "Succeeded")
      yield* assertState(b!.run, "Scheduled")
      yield* assertState(c!.run, "Failed")
      yield* assertState(d!.run, "Ready")
    }))

  it.effect("R5 fenced: a success keeps its result when more reports of its run come along", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      const { settled } = yield* hand.settle(succeed(grant, "1"), retry(grant))
      assert.deepEqual(settled, ["applied", "duplicate"])
      assert.strictEqual((yield* found(run)).result, "1")
    }))

  it.effect("R5 fenced: one report settles, however often it is sent at once", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(12).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(12)
      const answers = yield* together(
        times(6).map((n) =>
          hand.settle(...(n % 2 ? grants.toReversed() : grants).map((grant) => succeed(grant)))
        ),
      )
      const all = answers.flatMap(({ settled }) => settled)
      assert.strictEqual(all.filter((answer) => answer === "applied").length, made.length)
      assert.strictEqual(all.filter((answer) => answer === "fenced").length, 0)
    }))

  it.effect("R5 fenced: settling and starting at once agree", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      assert.isTrue(yield* hand.start(grant))
      assert.isTrue(yield* hand.start(grant), "marking twice is one mark")
      yield* hand.settle(succeed(grant))
      assert.isFalse(yield* hand.start(grant), "what is settled does not start")
      assert.deepInclude(yield* found(run), { state: "Succeeded", attempt: 1, crashes: 0 })
    }))
}
