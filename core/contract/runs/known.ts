/** R1: nothing that was acknowledged is lost. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Option } from "effect"
import * as Lane from "../../domain/Lane.ts"
import { Fence } from "../../domain/Lease.ts"
import type { StateName } from "../../domain/Run.ts"
import { RunId } from "../../domain/RunId.ts"
import { Selector } from "../../domain/Selector.ts"
import { TaskName } from "../../domain/Task.ts"
import type { RunQuery } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import {
  abort,
  failure,
  found,
  fresh,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  ids,
  joined,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  timeOut,
  times,
} from "../world.ts"

// Text that a store might be tempted to parse, and would give back changed.
const payloads: ReadonlyArray<readonly [string, string]> = [
  ["unicode", '{"name":"Ада 🎩 \u00e9 e\u0301 \u2028 \u{1F468}\u200d\u{1F469}\u200d\u{1F467}"}'],
  ["an escaped NUL", '{"name":"a\\u0000b","a\\u0000":1}'],
  ["a lone surrogate, escaped", '"\\ud800"'],
  ["numbers no double can hold", "[1e400,-1e400,12345678901234567890,0.1000,1E+2,-0]"],
  ["spaces, doubled keys and their order", '{ "b" : 1,\n\t"a":2, "b":3 }'],
  ["a bare null", "null"],
  ["quotes and backslashes", '"it\'s \\"$1\\" %s \\\\ ?"'],
  ["256 KB", JSON.stringify("é".repeat(128 * 1024))],
]

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R40 brief, B67: a list in brief tells all but payloads and results", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [ended, failed] = yield* submitAll([specOf(namespace), specOf(namespace)])
      const { grants } = yield* hand.claim(2)
      const of = (run: RunId | undefined) => grants.find((grant) => grant.run === run)!
      yield* hand.settle(succeed(of(ended), '"kept"'), giveUp(of(failed)))
      yield* submitOne(specOf(namespace, { delayMillis: 60_000 }))
      const family = yield* runs.submitFamily({
        parent: specOf(namespace),
        children: times(3).map((n) => specOf(namespace, { payload: `${n}` })),
        places: 3,
      })
      assert(family._tag === "Submitted")
      const { children, run: parent } = family
      for (
        const query of [
          { namespace },
          { namespace, task: greet },
          { namespace, states: ["Succeeded", "Failed", "Scheduled"] },
          { namespace, parent },
        ] satisfies ReadonlyArray<Omit<RunQuery, "limit">>
      ) {
        const whole = yield* runs.list({ ...query, limit: 10 })
        const brief = yield* runs.list({ ...query, limit: 10, isBrief: true })
        assert.isAtLeast(whole.length, children.length)
        assert.deepEqual(
          brief,
          whole.map(({ result: _, ...rest }) => ({ ...rest, payload: "null" })),
        )
      }
      assert.strictEqual((yield* found(ended!)).result, '"kept"')
    }))

  it.effect("R1 no loss: a submitted run is known as it was submitted", () =>
    Effect.gen(function* () {
      const { now, runs } = yield* Storage
      const namespace = freshNamespace()
      const before = yield* now
      const idempotencyKey = fresh("key")
      const spec = specOf(namespace, { level: 0, idempotencyKey, delayMillis: 5000 })
      const run = yield* submitOne(spec)
      const view = yield* found(run)
      const { createdAt, dueAt, ...rest } = view
      assert.deepStrictEqual(rest, {
        id: run,
        namespace,
        task: greet,
        state: "Scheduled",
        attempt: 0,
        crashes: 0,
        fence: Fence.make(0),
        lane: spec.lane,
        level: 0,
        payload: spec.payload,
        idempotencyKey,
      })
      const created = DateTime.toEpochMillis(createdAt)
      assert.isAtLeast(created, before)
      assert.isAtMost(created, yield* now)
      assert.approximately(DateTime.toEpochMillis(dueAt), created + 5000, 1)
      assert.deepStrictEqual(yield* runs.findMany([run]), [view])
    }))

  it.effect("R1 no loss: final runs stay known, and are listed and counted", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(6).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(5)
      const [a, b, c, d, e] = grants
      yield* hand.settle(succeed(a!, '"done"'), giveUp(b!), timeOut(c!), abort(d!))
      const ended = new Map<RunId, StateName>([
        [a!.run, "Succeeded"],
        [b!.run, "Failed"],
        [c!.run, "TimedOut"],
        [d!.run, "Cancelled"],
        [e!.run, "Running"],
        [made.find((run) => !ids(grants).includes(run))!, "Ready"],
      ])
      const all = yield* runs.list({ namespace, limit: 100 })
      assert.deepStrictEqual(ids(all.map(({ id }) => ({ run: id }))), made.toReversed())
      for (const view of all) {
        assert.strictEqual(view.state, ended.get(view.id))
        assert.deepStrictEqual(yield* found(view.id), view)
        const isFinal = view.state !== "Running" && view.state !== "Ready"
        assert.strictEqual(view.finishedAt !== undefined, isFinal)
        assert.strictEqual(view.claimedAt !== undefined, view.state !== "Ready")
        if (view.state !== "Ready") assert.strictEqual(view.executor?.name, hand.name)
      }
      assert.strictEqual((yield* found(a!.run)).result, '"done"')
      assert.deepStrictEqual((yield* found(b!.run)).failure, failure)
      const counts = yield* runs.counts(namespace)
      assert.deepStrictEqual(
        Object.entries(counts).filter(([, count]) => count > 0).sort(),
        ["Cancelled", "Failed", "Ready", "Running", "Succeeded", "TimedOut"].map((s) => [s, 1]),
      )
    }))

  it.effect("R33 counted: of some tasks as of all, whatever lane a run waits in", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [longer, other] = ["greet/more", "other"].map((name) => TaskName.make(name))
      const hand = yield* joined(namespace)
      yield* submitAll([
        ...times(3).map(() => specOf(namespace)),
        specOf(namespace, { lane: Lane.ofTask(namespace, greet, Selector.make("gpu")) }),
        specOf(namespace, { lane: Lane.ofExecutor(namespace, greet, hand.incarnation) }),
        specOf(namespace, { delayMillis: 60_000 }),
        specOf(namespace, { gate: gateOf(namespace, 1) }),
        ...[other!, other!, longer!].map((task) =>
          specOf(namespace, { task, lane: Lane.ofTask(namespace, task) })
        ),
      ])
      yield* submitOne(specOf(freshNamespace()))
      const { grants } = yield* hand.claim(3, { lanes: [Lane.ofTask(namespace, greet)] })
      yield* hand.settle(succeed(grants[0]!), giveUp(grants[1]!))
      const own = { Succeeded: 1, Failed: 1, Running: 1, Ready: 2, Scheduled: 1, Blocked: 1 }
      assert.deepEqual(yield* runs.counts(namespace, [greet]), own)
      assert.deepEqual(yield* runs.counts(namespace, [other!]), { Ready: 2 })
      assert.deepEqual(yield* runs.counts(namespace, [greet, other!]), { ...own, Ready: 4 })
      assert.deepEqual(yield* runs.counts(namespace), { ...own, Ready: 5 })
      assert.deepEqual(yield* runs.counts(namespace, []), {})
      assert.deepEqual(yield* runs.counts(namespace, [TaskName.make("nobody")]), {})
    }))

  it.effect("R1 no loss: a list is narrowed, and paged by id, without gap or overlap", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const other = TaskName.make("other")
      const hand = yield* joined(namespace)
      const made = yield* submitAll(
        times(25).map((n) => specOf(namespace, n % 5 === 0 ? { task: other } : {})),
      )
      const { grants } = yield* hand.claim(25, { lanes: [Lane.ofTask(namespace, greet)] })
      yield* hand.settle(...grants.slice(0, 9).map((grant) => succeed(grant)))
      const paged: Array<RunId> = []
      let before: RunId | undefined
      for (;;) {
        const page = yield* runs.list({ namespace, limit: 4, ...(before && { before }) })
        if (page.length === 0) break
        paged.push(...page.map(({ id }) => id))
        before = page[page.length - 1]!.id
      }
      assert.deepStrictEqual(paged, made.toReversed())
      const of = yield* runs.list({ namespace, task: other, limit: 100 })
      assert.deepStrictEqual(of.map(({ id }) => id), made.filter((_, n) => n % 5 === 0).reverse())
      const succeeded = yield* runs.list({ namespace, states: ["Succeeded"], limit: 100 })
      assert.deepStrictEqual(
        sorted(succeeded.map(({ id }) => id)),
        sorted(ids(grants.slice(0, 9))),
      )
      const mixed = yield* runs.list({ namespace, states: ["Succeeded", "Running"], limit: 3 })
      assert.deepStrictEqual(mixed.map(({ id }) => id), made.slice(-3).reverse())
      assert.deepStrictEqual(yield* runs.list({ namespace, states: ["Failed"], limit: 9 }), [])
    }))

  it.effect("R1 no loss: a list of a task has the runs of all its lanes, one of no state has none", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const lane = Lane.ofTask(namespace, greet, Selector.make("gpu"))
      const made = yield* submitAll([
        specOf(namespace),
        specOf(namespace, { lane }),
        specOf(namespace, { lane, delayMillis: 60_000 }),
      ])
      const listed = (states: ReadonlyArray<StateName>) =>
        Effect.map(
          runs.list({ namespace, task: greet, states, limit: 9 }),
          (views) => views.map(({ id }) => id),
        )
      assert.deepStrictEqual(yield* listed(["Ready", "Scheduled"]), made.toReversed())
      assert.deepStrictEqual(yield* listed([]), [])
    }))

  it.effect("R1 no loss: what is unknown is not found", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const unknown = RunId.make(Number.MAX_SAFE_INTEGER - 7)
      assert.isTrue(Option.isNone(yield* runs.find(unknown)))
      assert.isTrue(Option.isNone(yield* runs.why(unknown)))
      assert.isTrue(Option.isNone(yield* runs.cancel(unknown)))
      assert.deepStrictEqual(yield* runs.events(unknown), [])
      const run = yield* submitOne(specOf(freshNamespace()))
      assert.deepStrictEqual((yield* runs.findMany([unknown, run])).map(({ id }) => id), [run])
      assert.deepStrictEqual(yield* runs.findMany([]), [])
      assert.deepStrictEqual(yield* runs.submit([]), [])
      assert.deepStrictEqual(yield* runs.admit([]), [])
    }))

  for (const [what, payload] of payloads) {
    it.effect(`R1 no loss: keeps ${what} as it was given`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const idempotencyKey = fresh(`key ${what}`)
        const run = yield* submitOne(specOf(namespace, { payload, idempotencyKey }))
        const grant = yield* hand.one
        assert.isTrue(grant.payload === payload, "the grant has the payload")
        assert.strictEqual(grant.idempotencyKey, idempotencyKey)
        yield* hand.settle(succeed(grant, payload))
        const view = yield* found(run)
        assert.isTrue(view.payload === payload, "the view has the payload")
        assert.isTrue(view.result === payload, "the view has the result")
      }))
  }

  it.effect("R1 no loss: a failure is kept whole", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const { fence } = yield* hand.one
      const whole = {
        tag: "NoSuchCard",
        message: "карта 💳 \\u0000 'nope'",
        stack: "Error: nope\n    at pay (pay.ts:1:1)",
        error: '{"_tag":"NoSuchCard","limit":1e400}',
        causes: [{
          tag: "HttpError",
          message: "404",
          stack: "Error: 404\n    at get (get.ts:2:3)",
        }],
      }
      yield* hand.settle({ _tag: "GiveUp", run, fence, failure: whole })
      assert.deepStrictEqual((yield* found(run)).failure, whole)
    }))
}
