import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { GateKey } from "../../core/domain/Blocking.ts"
import { ExecutorName } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import * as Namespace from "../../core/domain/Namespace.ts"
import { TaskDefinition, TaskName, usualPolicy } from "../../core/domain/Task.ts"
import type { RunSpec } from "../../core/services/RunStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"

const namespace = Namespace.standard
const task = TaskName.make("greet")
const lane = Lane.ofTask(namespace, task)
const spec: RunSpec = {
  namespace,
  task,
  payload: "{}",
  lane,
  level: Lane.usual,
  delayMillis: 0,
  gate: undefined,
  idempotencyKey: undefined,
  isAtMostOnce: false,
  crashesMax: 3,
}

const join = Effect.gen(function* () {
  const { executors } = yield* Storage
  const incarnation = yield* executors.join({
    namespace,
    name: ExecutorName.make("ada"),
    capacity: 10,
    labels: {},
    ttlMillis: 10_000,
  })
  yield* executors.serve(incarnation, [
    new TaskDefinition({ namespace, name: task, policy: usualPolicy }),
  ])
  return incarnation
})

withLayer(Sqlite.layer({ file: ":memory:" }))("SqliteStorage", (it) => {
  it.effect("takes a run from submit to outcome", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const incarnation = yield* join
      const [submitted] = yield* runs.submit([spec])
      assert.deepInclude(submitted, { _tag: "Submitted", state: "Ready", isNew: true })
      assert.deepStrictEqual(Option.getOrThrow(yield* runs.why(submitted!.run)), {
        _tag: "Waiting",
        lane,
        ahead: 0,
      })
      const request = { incarnation, loop: 0, round: 1, isAgain: false, lanes: [lane], limit: 10 }
      const claimed = yield* runs.claim({ ...request, reports: [] })
      if (claimed === "Lost") return assert.fail("lost")
      assert.strictEqual(claimed.grants.length, 1)
      const again = yield* runs.claim({ ...request, isAgain: true, reports: [] })
      assert.deepStrictEqual(again, claimed)
      const { fence, run } = claimed.grants[0]!
      const report = { _tag: "Succeed", run, fence, result: "1" } as const
      assert.deepStrictEqual((yield* runs.settle(incarnation, [report])).settled, ["applied"])
      assert.deepStrictEqual((yield* runs.settle(incarnation, [report])).settled, ["duplicate"])
      const view = Option.getOrThrow(yield* runs.find(run))
      assert.strictEqual(view.state, "Succeeded")
      assert.strictEqual(view.executor?.name, "ada")
      assert.deepStrictEqual(yield* runs.counts(namespace), { Succeeded: 1 })
      assert.strictEqual((yield* runs.list({ namespace, limit: 5 })).length, 1)
      assert.deepStrictEqual(
        (yield* runs.events(run)).map(({ kind }) => kind),
        ["Submitted", "Claimed", "Succeeded"],
      )
    }))

  it.effect("goes through gates, retries, cancel and recovery", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const incarnation = yield* join
      const gate = { key: GateKey.make("g"), places: 1, whenFull: "wait" } as const
      const [a, b] = (yield* runs.submit([{ ...spec, gate }, { ...spec, gate }])).map((s) => s.run)
      assert.deepStrictEqual(yield* runs.openGates(10), [gate.key])
      assert.deepStrictEqual(yield* runs.admit([gate.key]), [{ run: a!, state: "Ready" }])
      const request = { incarnation, loop: 0, round: 1, isAgain: false, lanes: [lane], limit: 10 }
      const claimed = yield* runs.claim({ ...request, reports: [] })
      if (claimed === "Lost") return assert.fail("lost")
      const { fence } = claimed.grants[0]!
      const failure = { tag: "Boom", message: "boom" }
      yield* runs.settle(incarnation, [
        { _tag: "Retry", run: a!, fence, delayMillis: 1000, failure },
      ])
      assert.strictEqual(Option.getOrThrow(yield* runs.why(b!))._tag, "GateFull")
      assert.deepInclude(Option.getOrThrow(yield* runs.why(a!)), { _tag: "DueLater", failure })
      yield* TestClock.adjust(1000)
      assert.strictEqual((yield* runs.promote(10)).promoted, 1)
      yield* runs.claim({ ...request, round: 2, reports: [] })
      yield* TestClock.adjust(20_000)
      const recovered = yield* runs.recover(10)
      assert.deepStrictEqual(recovered.runs, [{ run: a!, state: "Ready" }])
      const cancelled = Option.getOrThrow(yield* runs.cancel(a!))
      assert.deepStrictEqual(cancelled, { answer: "confirmed", freed: [gate.key] })
    }))
})
