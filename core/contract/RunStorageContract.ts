/**
 * The laws of `RunStorage`, as tests. `suite(name, layer, elapse)` passes when an adapter keeps them.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law    | mistake                                                                                |
 * | ------ | -------------------------------------------------------------------------------------- |
 * | R1     | finished runs forgotten; payload parsed and printed again                              |
 * | R2     | key not kept; no conflict                                                              |
 * | R3     | granted runs stay ready                                                                |
 * | R4     | fence stays as it was                                                                  |
 * | R5     | fence unchecked; holder unchecked; no duplicates                                       |
 * | R6     | by id alone; no ageing; only the first lane with a run                                 |
 * | R7     | `isAgain` ignored; loop ignored; round ignored; later rounds too                       |
 * | R8     | one holder too many; level ignored; a retry gives its place back; freed gate not named |
 * | R9     | promoted early; retried at once                                                        |
 * | R10    | a retry comes back after the request; user code starts after it                        |
 * | R11    | what left keeps its grants; an unstarted run counts as crash; limit ignored            |
 * | R12    | time-out kept as failure; at-most-once forgotten when lost                             |
 * | R13    | nothing given back; rounds ignored                                                     |
 * | events | retry not noted                                                                        |
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, type Layer, Option } from "effect"
import * as Lane from "../domain/Lane.ts"
import { Fence } from "../domain/Lease.ts"
import type { StateName } from "../domain/Run.ts"
import { RunId } from "../domain/RunId.ts"
import type { Reason } from "../domain/RunView.ts"
import { TaskName } from "../domain/Task.ts"
import { Storage } from "../services/Storage.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import * as Agreement from "./agreement.ts"
import {
  abort,
  admitAll,
  assertState,
  block,
  cancelled,
  type Elapse,
  failure,
  found,
  fresh,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  type Hand,
  ids,
  joined,
  type Options,
  promoteAll,
  recoverAll,
  release,
  retry,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  timeOut,
  times,
  together,
} from "./world.ts"

export interface RunOptions extends Options {
  /** How many random command sequences are compared with the state machine. */
  readonly sequences?: number
  /** The first of their seeds. */
  readonly seed?: number
}

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: RunOptions = {},
): void =>
  block(
    `RunStorage, ${adapter}`,
    layer,
    options,
    (it) => laws(it, elapse, options),
  )

export const laws = <R>(
  it: Tests<Storage | R>,
  elapse: Elapse<R>,
  options: RunOptions = {},
): void => {
  known(it)
  idempotent(it)
  granted(it)
  fenced(it)
  ordered(it, elapse)
  rounds(it)
  gated(it, elapse)
  onTime(it, elapse)
  cancelling(it)
  recovering(it, elapse)
  Agreement.laws(it, elapse, options)
  reconciling(it)
  told(it, elapse)
}

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

const known = <R>(it: Tests<Storage | R>): void => {
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
      }
      yield* hand.settle({ _tag: "GiveUp", run, fence, failure: whole })
      assert.deepStrictEqual((yield* found(run)).failure, whole)
    }))
}

const idempotent = <R>(it: Tests<Storage | R>): void => {
  it.effect("R2 idempotent submit: a key names one run, in every state of it", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace, { idempotencyKey: fresh("key") })
      const again = Effect.map(runs.submit([spec]), ([answer]) => answer!)
      const first = yield* again
      assert.deepInclude(first, { _tag: "Submitted", isNew: true, state: "Ready" })
      const run = first.run
      assert.deepEqual(yield* again, { _tag: "Submitted", run, isNew: false, state: "Ready" })
      const grant = yield* hand.one
      assert.deepEqual(yield* again, { _tag: "Submitted", run, isNew: false, state: "Running" })
      yield* hand.settle(succeed(grant))
      assert.deepEqual(yield* again, { _tag: "Submitted", run, isNew: false, state: "Succeeded" })
      assert.strictEqual((yield* runs.list({ namespace, limit: 10 })).length, 1)
    }))

  it.effect("R2 idempotent submit: another task or payload is a conflict", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const spec = specOf(namespace, { idempotencyKey: fresh("key") })
      const run = yield* submitOne(spec)
      const conflict = { _tag: "Conflict" as const, run }
      assert.deepEqual(
        yield* runs.submit([
          { ...spec, payload: '{"name":"Bob"}' },
          { ...spec, task: TaskName.make("other") },
          { ...spec, level: 0, delayMillis: 1000 },
        ]),
        [conflict, conflict, { _tag: "Submitted", run, isNew: false, state: "Ready" }],
      )
    }))

  it.effect("R2 idempotent submit: a key twice in one call is one run", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const keyed = specOf(namespace, { idempotencyKey: fresh("key") })
      const answers = yield* runs.submit([
        keyed,
        specOf(namespace),
        keyed,
        { ...keyed, payload: "0" },
        specOf(namespace),
      ])
      const run = answers[0]!.run
      assert.deepEqual(answers.map(({ _tag }) => _tag), [
        "Submitted",
        "Submitted",
        "Submitted",
        "Conflict",
        "Submitted",
      ])
      assert.strictEqual(answers[2]!.run, run)
      assert.strictEqual(answers[3]!.run, run)
      assert.strictEqual(new Set(answers.map(({ run }) => run)).size, 3)
      const all = yield* runs.list({ namespace, limit: 10 })
      assert.strictEqual(all.length, 3)
    }))

  it.effect("R2 idempotent submit: many at once make one run", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      for (const _ of times(5)) {
        const spec = specOf(namespace, { idempotencyKey: fresh("key") })
        const answers = (yield* together(
          times(8).map((n) =>
            // Beside others, so that what is keyed and what is not shares a call.
            Effect.map(
              runs.submit(n % 2 ? [spec] : [specOf(namespace), spec]),
              (some) => some[some.length - 1]!,
            )
          ),
        )).map((answer) => answer._tag === "Submitted" ? answer : assert.fail("a conflict"))
        assert.strictEqual(new Set(answers.map(({ run }) => run)).size, 1)
        assert.strictEqual(answers.filter(({ isNew }) => isNew).length, 1)
      }
    }))
}

const granted = <R>(it: Tests<Storage | R>): void => {
  it.effect("R3 single grant: claims at once share no run, and leave none behind", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const made = yield* submitAll(times(150).map(() => specOf(namespace)))
      const hands = yield* together(times(6).map(() => joined(namespace)))
      const all = (yield* together(hands.map((hand) =>
        Effect.gen(function* () {
          const mine: Array<RunId> = []
          for (let misses = 0; misses < 3;) {
            const { grants } = yield* hand.claim(7)
            assert.isAtMost(grants.length, 7)
            mine.push(...ids(grants))
            if (grants.length === 0) misses++
          }
          return mine
        })
      ))).flat()
      assert.deepStrictEqual(sorted(all), sorted(made))
    }))

  it.effect("R3 single grant: a grant names the run, and its holder is seen", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const careful = specOf(namespace, { isAtMostOnce: true, payload: "[1]" })
      const run = yield* submitOne(careful)
      const grant = yield* hand.one
      assert.deepEqual(grant, {
        run,
        fence: Fence.make(1),
        namespace,
        task: greet,
        attempt: 1,
        crashes: 0,
        isCareful: true,
        payload: "[1]",
      })
      const view = yield* found(run)
      assert.deepInclude(view, { state: "Running", attempt: 1, fence: Fence.make(1) })
      assert.deepEqual(view.executor, { incarnation: hand.incarnation, name: hand.name })
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
    }))

  it.effect("R3 single grant: a limit of none grants none", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      assert.deepEqual(yield* hand.claim(0), { settled: [], grants: [], freed: [] })
      assert.deepEqual((yield* hand.claim(5, { lanes: [] })).grants, [])
      yield* assertState(run, "Ready")
    }))

  it.effect("R3 single grant: only the claimed lanes are looked at", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [here, there, elsewhere] = ["here", "there", "elsewhere"].map((name) =>
        Lane.Lane.make(`${namespace}:${name}`)
      )
      const inLane = (lane: Lane.Lane) => submitOne(specOf(namespace, { lane }))
      const a = yield* inLane(here!)
      const b = yield* inLane(there!)
      yield* inLane(elsewhere!)
      const { grants } = yield* hand.claim(5, { lanes: [here!, there!] })
      assert.deepStrictEqual(sorted(ids(grants)), sorted([a, b]))
    }))
}

const fenced = <R>(it: Tests<Storage | R>): void => {
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
      for (const report of [succeed, retry, giveUp, timeOut, release, abort]) {
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

  for (const report of [succeed, retry, giveUp, timeOut, release, abort]) {
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

const ordered = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  /** The order in which `hand` gets all runs of `lanes`, by `limit` at a time. */
  const drained = (hand: Hand, lanes: ReadonlyArray<Lane.Lane>, limit: number) =>
    Effect.gen(function* () {
      const order: Array<RunId> = []
      for (;;) {
        const { grants } = yield* hand.claim(limit, { lanes })
        if (grants.length === 0) return order
        order.push(...sorted(ids(grants)))
      }
    })

  it.effect("R6 order: within a level, the first that became ready goes first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made: Array<RunId> = []
      for (const _ of times(12)) made.push(yield* submitOne(specOf(namespace)))
      assert.deepStrictEqual(yield* drained(hand, [Lane.ofTask(namespace, greet)], 1), made)
      const batch = yield* submitAll(times(12).map(() => specOf(namespace)))
      assert.deepStrictEqual(yield* drained(hand, [Lane.ofTask(namespace, greet)], 5), batch)
    }))

  it.effect("R6 order: better levels go first, across lanes", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lanes = ["a", "b", "c"].map((name) => Lane.Lane.make(`${namespace}:${name}`))
      const levels: ReadonlyArray<Lane.Level> = [2, 1, 0, 1, 2, 0, 0, 2, 1]
      const made: Array<readonly [RunId, Lane.Level]> = []
      for (const [n, level] of levels.entries()) {
        made.push([yield* submitOne(specOf(namespace, { level, lane: lanes[n % 3]! })), level])
      }
      const wanted = Lane.levels.flatMap((of) =>
        made.filter(([, level]) => level === of).map(([run]) => run)
      )
      const three = yield* hand.claim(3, { lanes })
      assert.deepStrictEqual(sorted(ids(three.grants)), wanted.slice(0, 3), "three at once")
      assert.deepStrictEqual(yield* drained(hand, lanes, 1), wanted.slice(3))
    }))

  it.effect("R6 order: an urgent one that comes later goes first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const usual = yield* submitAll(times(3).map(() => specOf(namespace)))
      assert.strictEqual((yield* hand.one).run, usual[0])
      const urgent = yield* submitOne(specOf(namespace, { level: 0 }))
      assert.strictEqual((yield* hand.one).run, urgent)
      assert.strictEqual((yield* hand.one).run, usual[1])
    }))

  it.effect("R6 order: a run past the patience of its level yields to no level", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lanes = ["a", "b"].map((name) => Lane.Lane.make(`${namespace}:${name}`))
      const [a, b] = lanes as [Lane.Lane, Lane.Lane]
      const low = yield* submitOne(specOf(namespace, { level: 2, lane: a }))
      yield* elapse(Duration.minutes(9))
      const usual = yield* submitOne(specOf(namespace, { lane: b }))
      const urgent = yield* submitOne(specOf(namespace, { level: 0, lane: b }))
      const { grants } = yield* hand.claim(1, { lanes })
      assert.deepStrictEqual(ids(grants), [urgent], "nine minutes are within the patience")
      yield* hand.settle(release(grants[0]!))
      // Now `low` is due since half a minute and `usual` since a quarter, before any urgent one.
      yield* elapse(Duration.seconds(75))
      const late = yield* submitOne(specOf(namespace, { level: 0, lane: b }))
      const order = yield* drained(hand, lanes, 1)
      assert.deepStrictEqual(order, [urgent, low, usual, late])
    }))

  it.effect("R6 order: one overdue run goes before better ones of its own lane", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lane = Lane.ofTask(namespace, greet)
      const low = yield* submitAll(times(2).map(() => specOf(namespace, { level: 2 })))
      yield* elapse(Duration.minutes(11))
      const usual = yield* submitAll(times(2).map(() => specOf(namespace)))
      const fresh = yield* submitOne(specOf(namespace, { level: 2 }))
      assert.deepStrictEqual(yield* drained(hand, [lane], 1), [...low, ...usual, fresh])
    }))

  it.effect("R6 order: a retried or released run has its place from when it is ready again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [first, second] = yield* submitAll([specOf(namespace), specOf(namespace)])
      const grant = yield* hand.one
      assert.strictEqual(grant.run, first)
      yield* elapse(Duration.seconds(5))
      yield* hand.settle(release(grant))
      assert.strictEqual((yield* hand.one).run, second)
      assert.strictEqual((yield* hand.one).run, first)
    }))
}

const rounds = <R>(it: Tests<Storage | R>): void => {
  it.effect("R7 rounds: an answer that was lost is given again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(10).map(() => specOf(namespace)))
      const lost = yield* hand.claim(4)
      for (const _ of times(3)) {
        const again = yield* hand.claim(4, { isAgain: true })
        assert.deepStrictEqual(
          again.grants.toSorted((a, b) => a.run - b.run),
          lost.grants.toSorted((a, b) => a.run - b.run),
        )
      }
      const next = yield* hand.claim(4)
      assert.deepStrictEqual(ids(next.grants).filter((run) => ids(lost.grants).includes(run)), [])
      assert.strictEqual(next.grants.length, 4)
    }))

  it.effect("R7 rounds: only the named round is given again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const heard = yield* hand.claim(2)
      const lost = yield* hand.claim(2)
      const again = yield* hand.claim(4, { isAgain: true })
      assert.deepStrictEqual(sorted(ids(again.grants)), sorted(ids(lost.grants)))
      assert.deepStrictEqual(ids(again.grants).filter((run) => ids(heard.grants).includes(run)), [])
    }))

  it.effect("R7 rounds: an earlier round is given again without those after it", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const first = yield* hand.claim(2)
      const rounds = hand.answered()
      yield* hand.claim(2)
      const again = yield* runs.claim({
        incarnation: hand.incarnation,
        ...rounds[0]!,
        isAgain: true,
        lanes: [Lane.ofTask(namespace, greet)],
        limit: 4,
        reports: [],
      })
      if (again === "Lost") return assert.fail("the executor is lost")
      assert.deepStrictEqual(sorted(ids(again.grants)), sorted(ids(first.grants)))
    }))

  it.effect("R7 rounds: a request that was lost is simply carried out", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const empty = yield* hand.claim(2)
      assert.deepStrictEqual(empty.grants, [])
      const run = yield* submitOne(specOf(namespace))
      const { grants } = yield* hand.claim(2, { isAgain: true })
      assert.deepStrictEqual(ids(grants), [run])
    }))

  it.effect("R7 rounds: its reports are settled once", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [first, second] = yield* submitAll([specOf(namespace), specOf(namespace)])
      const grant = yield* hand.one
      assert.strictEqual(grant.run, first)
      const reports = [succeed(grant, '"once"')]
      const sent = yield* hand.claim(1, { reports })
      assert.deepEqual(sent.settled, ["applied"])
      assert.deepStrictEqual(ids(sent.grants), [second!])
      const again = yield* hand.claim(1, { reports, isAgain: true })
      assert.deepEqual(again.settled, ["duplicate"])
      assert.deepStrictEqual(again.grants, sent.grants)
      assert.strictEqual((yield* found(first!)).result, '"once"')
    }))

  it.effect("R7 rounds: what was settled since is not handed out again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants: [a, b, c] } = yield* hand.claim(3)
      yield* hand.settle(succeed(a!), release(b!))
      const again = yield* hand.claim(3, { isAgain: true })
      const fences = new Map(again.grants.map(({ fence, run }) => [run, fence]))
      assert.isFalse(fences.has(a!.run))
      assert.strictEqual(fences.get(c!.run), c!.fence)
      // The released one may come along as a new grant, never with its old fence.
      assert.notStrictEqual(fences.get(b!.run), b!.fence)
    }))

  it.effect("R7 rounds: rounds of another loop or incarnation are not mixed up", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const other = yield* joined(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const mine = yield* hand.one
      const theirs = yield* other.one
      const request = {
        incarnation: hand.incarnation,
        loop: 2,
        round: 1,
        isAgain: true,
        lanes: [Lane.ofTask(namespace, greet)],
        limit: 5,
        reports: [],
      }
      assert.deepEqual(yield* runs.claim(request), { settled: [], grants: [], freed: [] })
      const again = yield* hand.claim(5, { isAgain: true })
      assert.deepStrictEqual(again.grants, [mine])
      assert.deepStrictEqual((yield* other.claim(5, { isAgain: true })).grants, [theirs])
    }))

  it.effect("R7 rounds: the last round is handed out again while new runs wait", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitOne(specOf(namespace, { level: 2 }))
      const lost = yield* hand.claim(2)
      yield* submitAll(times(5).map(() => specOf(namespace, { level: 0 })))
      const again = yield* hand.claim(2, { isAgain: true })
      assert.include(ids(again.grants), lost.grants[0]!.run)
      assert.isAtMost(again.grants.length, 2)
    }))
}

const gated = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R8 gates: a gated run is ready only after admit", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [answer] = yield* runs.submit([specOf(namespace, { gate })])
      assert.deepInclude(answer!, { state: "Blocked", isNew: true })
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
      assert.strictEqual((yield* found(answer!.run)).gate, gate.key)
      assert.deepEqual(yield* admitAll(gate.key), [{ run: answer!.run, state: "Ready" }])
      assert.strictEqual((yield* hand.one).run, answer!.run)
    }))

  it.effect("R8 gates: one at a time, in order of submit, and each end frees the place", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const made = yield* submitAll(times(5).map(() => specOf(namespace, { gate })))
      const ends = [succeed, giveUp, timeOut, abort, succeed]
      for (const [n, run] of made.entries()) {
        assert.deepEqual(yield* admitAll(gate.key), [{ run, state: "Ready" }])
        const grant = yield* hand.one
        assert.strictEqual(grant.run, run)
        assert.deepEqual(yield* admitAll(gate.key), [], "the place is taken")
        const { freed } = yield* hand.settle(ends[n]!(grant))
        assert.deepEqual(freed, [gate.key])
      }
    }))

  it.effect("R8 gates: a claim that settles names the freed gates too", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      const grant = yield* hand.one
      const { freed } = yield* hand.claim(1, { reports: [succeed(grant)] })
      assert.deepEqual(freed, [gate.key])
    }))

  it.effect("R8 gates: the better level passes first, then the one submitted first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const levels: ReadonlyArray<Lane.Level> = [1, 2, 1, 0, 2, 0]
      const made = yield* submitAll(levels.map((level) => specOf(namespace, { gate, level })))
      const wanted = [3, 5, 0, 2, 1, 4].map((at) => made[at]!)
      const order: Array<RunId> = []
      for (const _ of made) {
        const [admission] = yield* admitAll(gate.key)
        order.push(admission!.run)
        yield* cancelled(admission!.run)
      }
      assert.deepStrictEqual(order, wanted)
    }))

  it.effect("R8 gates: as many hold places as there are, retries and releases included", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 3)
      yield* submitAll(times(6).map(() => specOf(namespace, { gate })))
      assert.strictEqual((yield* admitAll(gate.key)).length, 3)
      const { grants: [a, b, c] } = yield* hand.claim(5)
      assert.isDefined(c)
      yield* hand.settle(retry(a!, 60_000), release(b!))
      yield* assertState(a!.run, "Scheduled")
      assert.deepEqual(yield* admitAll(gate.key), [], "between attempts a run keeps its place")
      yield* hand.settle(succeed(c!))
      assert.strictEqual((yield* admitAll(gate.key)).length, 1)
      yield* elapse(Duration.seconds(61))
      assert.notInclude([...yield* promoteAll], gate.key, "a retry does not pass the gate again")
      yield* assertState(a!.run, "Ready")
      assert.deepEqual(yield* admitAll(gate.key), [])
    }))

  it.effect("R8 gates: a lost run keeps its place until it has ended", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [first] = yield* submitAll(
        times(2).map(() => specOf(namespace, { gate, isAtMostOnce: true })),
      )
      yield* admitAll(gate.key)
      yield* hand.one
      yield* hand.leave
      const { freed, states } = yield* recoverAll
      assert.strictEqual(states.get(first!), "Ready")
      assert.isFalse(freed.has(gate.key))
      assert.deepEqual(yield* admitAll(gate.key), [])
      const next = yield* joined(namespace)
      assert.isTrue(yield* next.start(yield* next.one))
      yield* next.leave
      const ended = yield* recoverAll
      assert.strictEqual(ended.states.get(first!), "Failed")
      assert.isTrue(ended.freed.has(gate.key))
      assert.strictEqual((yield* admitAll(gate.key)).length, 1)
    }))

  it.effect("R8 gates: discard ends what comes while the gate is full", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1, "discard")
      const [first, second, third] = yield* submitAll(
        times(3).map(() => specOf(namespace, { gate })),
      )
      assert.deepEqual(
        (yield* admitAll(gate.key)).toSorted((a, b) => a.run - b.run),
        [
          { run: first!, state: "Ready" },
          { run: second!, state: "Discarded" },
          { run: third!, state: "Discarded" },
        ],
      )
      const view = yield* found(third!)
      assert.deepInclude(view, { state: "Discarded", attempt: 0, fence: Fence.make(0) })
      assert.isDefined(view.finishedAt)
      yield* hand.settle(succeed(yield* hand.one))
      const fourth = yield* submitOne(specOf(namespace, { gate }))
      assert.deepEqual(yield* admitAll(gate.key), [{ run: fourth, state: "Ready" }])
    }))

  it.effect("R8 gates: the run admitted last says how many places there are", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { key } = gateOf(namespace, 1)
      const withPlaces = (places: number) =>
        submitOne(specOf(namespace, { gate: { key, places, whenFull: "wait" } }))
      const runs = [yield* withPlaces(1), yield* withPlaces(3), yield* withPlaces(3)]
      const last = yield* withPlaces(2)
      assert.deepStrictEqual(ids(yield* admitAll(key)), runs)
      yield* cancelled(runs[0]!)
      assert.deepEqual(yield* admitAll(key), [], "two hold, and it allows two")
      yield* cancelled(runs[1]!)
      assert.deepStrictEqual(ids(yield* admitAll(key)), [last])
    }))

  it.effect("R8 gates: one gate does not hold up another", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [a, b] = [gateOf(namespace, 1), gateOf(namespace, 1)]
      const [first, , other] = yield* submitAll(
        [a, a, b].map((gate) => specOf(namespace, { gate })),
      )
      const admitted = yield* runs.admit([a.key, b.key, gateOf(namespace, 1).key])
      assert.deepStrictEqual(sorted(ids(admitted)), sorted([first!, other!]))
    }))

  it.effect("R8 gates: openGates names those at which somebody can pass", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [open, full, discarding, never] = [
        gateOf(namespace, 1),
        gateOf(namespace, 1),
        gateOf(namespace, 1, "discard"),
        gateOf(namespace, 1),
      ]
      const at = (gate: typeof open) => submitOne(specOf(namespace, { gate: gate! }))
      yield* at(full)
      yield* at(discarding)
      yield* admitAll(full!.key)
      yield* admitAll(discarding!.key)
      yield* at(full)
      yield* at(discarding)
      yield* at(open)
      const keys = yield* runs.openGates(100_000)
      assert.include(keys, open!.key)
      assert.include(keys, discarding!.key, "its waiting run can be discarded")
      assert.notInclude(keys, full!.key)
      assert.notInclude(keys, never!.key)
      assert.isAtMost((yield* runs.openGates(1)).length, 1)
      yield* admitAll(open!.key)
      assert.notInclude(yield* runs.openGates(100_000), open!.key)
    }))

  it.effect("R8 gates: decisions that race never let in more than there are places", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 3)
      const made = yield* submitAll(times(36).map(() => specOf(namespace, { gate })))
      const hands = yield* together(times(4).map(() => joined(namespace)))
      // Those whose admission was answered and whose report was not yet sent: at most the holders.
      const holding = new Set<RunId>()
      let ended = 0
      const admitting = Effect.gen(function* () {
        for (const { run } of yield* runs.admit([gate.key])) {
          holding.add(run)
          assert.isAtMost(holding.size, gate.places)
        }
      })
      const working = (hand: Hand) =>
        Effect.gen(function* () {
          for (let idle = 0; ended < made.length && idle < 400;) {
            yield* admitting
            const { grants } = yield* hand.claim(2)
            idle = grants.length === 0 ? idle + 1 : 0
            for (const grant of grants) {
              yield* admitting
              const holders = yield* runs.list({ namespace, states: ["Running"], limit: 100 })
              assert.isAtMost(holders.length, gate.places)
              holding.delete(grant.run)
              yield* hand.settle(succeed(grant))
              ended++
            }
            yield* Effect.yieldNow
          }
        })
      yield* together(hands.map(working))
      assert.deepInclude(yield* runs.counts(namespace), { Succeeded: made.length })
    }))

  it.effect("R8 gates: decisions that race discard all but one", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      for (const _ of times(4)) {
        const gate = gateOf(namespace, 1, "discard")
        const made = yield* submitAll(times(5).map(() => specOf(namespace, { gate })))
        const admissions = (yield* together(times(6).map(() => runs.admit([gate.key])))).flat()
        assert.deepStrictEqual(sorted(ids(admissions)), sorted(made), "each is decided once")
        assert.strictEqual(admissions.filter(({ state }) => state === "Ready").length, 1)
      }
    }))

  it.effect("R8 gates: gates named in any order by many at once do not lock each other up", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gates = times(6).map(() => gateOf(namespace, 1))
      const made = yield* submitAll(gates.map((gate) => specOf(namespace, { gate })))
      const keys = gates.map(({ key }) => key)
      const admitted = yield* together(
        times(6).map((n) =>
          runs.admit([...keys.slice(n), ...keys.slice(0, n)].slice(n % 2 ? 0 : 1))
        ),
      )
      const rest = yield* runs.admit(keys)
      assert.deepStrictEqual(sorted(ids([...admitted.flat(), ...rest])), sorted(made))
    }))
}

const onTime = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R9 not early: a delayed run waits its time", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const soon = yield* submitOne(specOf(namespace, { delayMillis: 30_000 }))
      const later = yield* submitOne(specOf(namespace, { delayMillis: 90_000 }))
      yield* elapse(Duration.seconds(25))
      yield* promoteAll
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
      yield* assertState(soon, "Scheduled")
      yield* elapse(Duration.seconds(6))
      yield* promoteAll
      assert.deepStrictEqual(ids((yield* hand.claim(5)).grants), [soon])
      yield* assertState(later, "Scheduled")
      yield* elapse(Duration.seconds(60))
      yield* promoteAll
      assert.deepStrictEqual(ids((yield* hand.claim(5)).grants), [later])
    }))

  it.effect("R9 not early: a retry waits its delay, and counts its attempt", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(retry(yield* hand.one, 20_000))
      yield* elapse(Duration.seconds(15))
      yield* promoteAll
      assert.deepInclude(yield* found(run), {
        state: "Scheduled",
        attempt: 1,
        fence: Fence.make(1),
        failure,
      })
      assert.deepStrictEqual((yield* hand.claim(5)).grants, [])
      yield* elapse(Duration.seconds(6))
      yield* promoteAll
      assert.deepInclude(yield* hand.one, { run, attempt: 2, fence: Fence.make(2) })
    }))

  it.effect("R9 not early: a delayed gated run waits for both", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const run = yield* submitOne(specOf(namespace, { gate, delayMillis: 10_000 }))
      yield* assertState(run, "Scheduled")
      assert.deepEqual(yield* admitAll(gate.key), [])
      const first = yield* submitOne(specOf(namespace, { gate }))
      assert.deepEqual(ids(yield* admitAll(gate.key)), [first], "it holds no place before its time")
      yield* elapse(Duration.seconds(11))
      yield* promoteAll
      yield* assertState(run, "Blocked")
      assert.deepEqual(yield* admitAll(gate.key), [])
      yield* cancelled(first)
      assert.deepEqual(yield* admitAll(gate.key), [{ run, state: "Ready" }])
    }))

  it.effect("R9 not early: promote names the gates at which runs now wait", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      yield* submitOne(specOf(namespace, { gate, delayMillis: 5000 }))
      yield* elapse(Duration.seconds(6))
      const gates = yield* promoteAll
      // Somebody else's sweep may have been first; then the gate is open all the same.
      if (!gates.has(gate.key)) assert.include(yield* runs.openGates(100_000), gate.key)
    }))

  it.effect("R9 not early: promote says when the next is due, and keeps to its limit", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      yield* promoteAll
      yield* submitAll([5000, 6000, 7000].map((delayMillis) => specOf(namespace, { delayMillis })))
      const before = yield* runs.promote(500)
      assert.isDefined(before.nextInMillis)
      assert.isAtMost(before.nextInMillis!, 5000)
      yield* elapse(Duration.seconds(10))
      assert.isAtMost((yield* runs.promote(2)).promoted, 2)
      yield* promoteAll
      assert.deepInclude(yield* runs.counts(namespace), { Ready: 3 })
    }))

  it.effect("R9 not early: promoting at once moves each run once", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(30).map(() => specOf(namespace, { delayMillis: 5000 })))
      yield* elapse(Duration.seconds(6))
      yield* together(times(5).map(() => runs.promote(10)))
      yield* promoteAll
      const { grants } = yield* hand.claim(100)
      assert.deepStrictEqual(sorted(ids(grants)), sorted(made))
    }))
}

const cancelling = <R>(it: Tests<Storage | R>): void => {
  it.effect("R10 cancel: what is not granted yet is confirmed, and never granted", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const [scheduled, blocked, ready, admitted] = yield* submitAll([
        specOf(namespace, { delayMillis: 60_000 }),
        specOf(namespace, { gate, level: 2 }),
        specOf(namespace),
        specOf(namespace, { gate }),
      ])
      yield* admitAll(gate.key)
      yield* assertState(admitted!, "Ready")
      for (const run of [scheduled!, blocked!, ready!]) {
        assert.strictEqual((yield* cancelled(run)).answer, "confirmed")
        yield* assertState(run, "Cancelled")
        assert.deepEqual(yield* cancelled(run), { answer: "ended", freed: [] })
      }
      const { answer, freed } = yield* cancelled(admitted!)
      assert.strictEqual(answer, "confirmed")
      assert.deepEqual(freed, [gate.key], "it held a place")
      assert.deepEqual(yield* admitAll(gate.key), [])
      assert.deepEqual((yield* hand.claim(10)).grants, [])
    }))

  it.effect("R10 cancel: a run between attempts is confirmed, and gives its place back", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const run = yield* submitOne(specOf(namespace, { gate }))
      yield* admitAll(gate.key)
      yield* hand.settle(retry(yield* hand.one, 60_000))
      assert.deepEqual(yield* cancelled(run), { answer: "confirmed", freed: [gate.key] })
      assert.deepInclude(yield* found(run), {
        state: "Cancelled",
        attempt: 1,
        fence: Fence.make(1),
      })
    }))

  const endings = [
    [succeed, "Succeeded"],
    [retry, "Cancelled"],
    [giveUp, "Cancelled"],
    [timeOut, "Cancelled"],
    [release, "Cancelled"],
    [abort, "Cancelled"],
  ] as const
  for (const [report, state] of endings) {
    const { _tag } = report({ run: RunId.make(1), fence: Fence.make(1) })
    it.effect(`R10 cancel: after a request, ${_tag} is its end: ${state}`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const gate = gateOf(namespace, 1)
        const run = yield* submitOne(specOf(namespace, { gate }))
        yield* admitAll(gate.key)
        const grant = yield* hand.one
        for (const _ of times(2)) {
          assert.deepEqual(yield* cancelled(run), { answer: "requested", freed: [] })
        }
        assert.deepInclude(yield* found(run), { state: "Running", isCancelling: true })
        assert.isFalse(yield* hand.start(grant), "its user code may not start any more")
        const { freed, settled } = yield* hand.settle(report(grant))
        assert.deepEqual(settled, ["applied"])
        assert.deepEqual(freed, [gate.key])
        yield* assertState(run, state)
        assert.deepEqual(yield* cancelled(run), { answer: "ended", freed: [] })
        assert.deepEqual((yield* hand.claim(5)).grants, [])
      }))
  }

  it.effect("R10 cancel: after a request, the loss of its holder is its end", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.one
      yield* cancelled(run)
      yield* hand.leave
      assert.strictEqual((yield* recoverAll).states.get(run), "Cancelled")
      assert.deepInclude(yield* found(run), { state: "Cancelled", crashes: 0 })
    }))

  it.effect("R10 cancel: a cancel that races a claim is confirmed or requested, never both", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(40).map(() => specOf(namespace)))
      const answers = new Map<RunId, string>()
      const cancelling = made.toReversed().map((run) =>
        Effect.map(cancelled(run), ({ answer }) => void answers.set(run, answer))
      )
      const got = new Set<RunId>()
      const claiming = times(10).map(() =>
        Effect.map(hand.claim(4), ({ grants }) => grants.forEach(({ run }) => got.add(run)))
      )
      yield* together([...cancelling.slice(0, 20), ...claiming, ...cancelling.slice(20)])
      for (const run of made) {
        const { state } = yield* found(run)
        assert.strictEqual(answers.get(run), got.has(run) ? "requested" : "confirmed")
        assert.strictEqual(state, got.has(run) ? "Running" : "Cancelled")
      }
    }))

  it.effect("R10 cancel: a cancel that races a report leaves one end", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(20).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(20)
      const reported = grants.map((grant) => Effect.asVoid(hand.settle(retry(grant, 60_000))))
      const asked = made.map((run) => Effect.asVoid(cancelled(run)))
      yield* together(made.flatMap((_, n) => [asked[n]!, reported[n]!]))
      for (const run of made) yield* assertState(run, "Cancelled")
    }))
}

const recovering = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R11 recovery: frees what a lost incarnation held, as the table says", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace, Duration.seconds(10))
      const spec = (differently: Partial<RunSpec>) => specOf(namespace, differently)
      const [unstarted, started, once, frail, stopping] = yield* submitAll([
        spec({}),
        spec({}),
        spec({ isAtMostOnce: true }),
        spec({ crashesMax: 0 }),
        spec({}),
      ])
      const { grants } = yield* hand.claim(10)
      assert.strictEqual(grants.length, 5)
      for (const grant of grants) {
        if (grant.run !== unstarted) assert.isTrue(yield* hand.start(grant))
      }
      yield* cancelled(stopping!)
      yield* elapse(Duration.seconds(5))
      assert.notInclude((yield* recoverAll).lost, hand.incarnation, "it is in time")
      yield* elapse(Duration.seconds(6))
      const { lost, states } = yield* recoverAll
      // Whoever else sweeps this database may have found it first.
      if (lost.includes(hand.incarnation)) {
        assert.deepStrictEqual(
          [unstarted, started, once, frail, stopping].map((run) => states.get(run!)),
          ["Ready", "Ready", "Failed", "Quarantined", "Cancelled"],
        )
      }
      const numbers = (run: RunId) =>
        Effect.map(found(run), ({ attempt, crashes, fence, state }) => ({
          state,
          attempt,
          crashes,
          fence,
        }))
      assert.deepEqual(yield* numbers(unstarted!), {
        state: "Ready",
        attempt: 0,
        crashes: 0,
        fence: Fence.make(1),
      })
      assert.deepEqual(yield* numbers(started!), {
        state: "Ready",
        attempt: 1,
        crashes: 1,
        fence: Fence.make(1),
      })
      assert.deepInclude(yield* found(once!), { state: "Failed", attempt: 1 })
      assert.deepInclude(yield* found(frail!), { state: "Quarantined", crashes: 1 })
      assert.isDefined((yield* found(frail!)).failure, "it says why")
      yield* assertState(stopping!, "Cancelled")
      const next = yield* joined(namespace)
      const again = yield* next.claim(10)
      assert.deepStrictEqual(sorted(ids(again.grants)), sorted([unstarted!, started!]))
      assert.isTrue(again.grants.every(({ isCareful }) => isCareful), "from now on it is careful")
    }))

  it.effect("R11 recovery: crashes add up to quarantine", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const run = yield* submitOne(specOf(namespace, { crashesMax: 2 }))
      for (const crashes of [1, 2, 3]) {
        const hand = yield* joined(namespace)
        assert.isTrue(yield* hand.start(yield* hand.one))
        yield* hand.leave
        yield* recoverAll
        const state = crashes > 2 ? "Quarantined" : "Ready"
        assert.deepInclude(yield* found(run), { state, crashes, attempt: crashes })
      }
    }))

  it.effect("R11 recovery: two at once free each grant once", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hands = yield* together(times(3).map(() => joined(namespace)))
      const made = yield* submitAll(times(30).map(() => specOf(namespace)))
      for (const hand of hands) {
        const { grants } = yield* hand.claim(10)
        for (const grant of grants) assert.isTrue(yield* hand.start(grant))
        yield* hand.leave
      }
      const answers = yield* together(times(4).map(() => runs.recover(500)))
      const freed = ids(answers.flatMap(({ runs }) => runs)).filter((run) => made.includes(run))
      assert.strictEqual(new Set(freed).size, freed.length, "no grant is freed twice")
      yield* recoverAll
      for (const view of yield* runs.findMany(made)) {
        assert.deepInclude(view, { state: "Ready", crashes: 1, attempt: 1 })
      }
    }))

  it.effect("R11 recovery: keeps to its limit, and gets through in the end", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* submitAll(times(7).map(() => specOf(namespace)))
      yield* hand.claim(7)
      yield* hand.leave
      const freed: Array<RunId> = []
      for (;;) {
        const { runs: some } = yield* runs.recover(3)
        assert.isAtMost(some.length, 3)
        if (some.length === 0) break
        freed.push(...ids(some))
      }
      for (const run of made) yield* assertState(run, "Ready")
      assert.strictEqual(new Set(freed).size, freed.length)
    }))

  it.effect("R11 recovery: leaves alone what live and draining executors hold", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const [live, draining] = yield* together([joined(namespace), joined(namespace)])
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const [a, b] = [yield* live!.one, yield* draining!.one]
      yield* executors.drain(draining!.incarnation)
      const { states } = yield* recoverAll
      assert.isFalse(states.has(a.run) || states.has(b.run))
      assert.deepEqual((yield* draining!.settle(succeed(b))).settled, ["applied"])
    }))
}

const reconciling = <R>(it: Tests<Storage | R>): void => {
  it.effect("R13 reconciled: what came with an answer and is not known is given back", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(5).map(() => specOf(namespace)))
      const { grants: [known, forgotten] } = yield* hand.claim(2)
      const rounds = hand.answered()
      // The answer of the next round is still under way.
      const { grants: [young, other] } = yield* hand.claim(2)
      const grants = [known!].map(({ fence, run }) => ({ run, fence }))
      const reconcile = (of: typeof rounds) =>
        Effect.map(runs.reconcile(hand.incarnation, { grants, rounds: of }), ({ passed }) => passed)
      assert.deepEqual(yield* reconcile([]), [])
      yield* assertState(forgotten!.run, "Running")
      assert.deepEqual(yield* reconcile(rounds), [])
      assert.deepInclude(yield* found(forgotten!.run), {
        state: "Ready",
        attempt: 0,
        fence: Fence.make(1),
      })
      for (const { run } of [known!, young!, other!]) yield* assertState(run, "Running")
      // It is granted anew, and then the same call comes late, a second time.
      const next = yield* hand.claim(5)
      assert.include(ids(next.grants), forgotten!.run)
      assert.deepEqual(yield* reconcile(rounds), [])
      yield* assertState(forgotten!.run, "Running")
      assert.deepEqual((yield* hand.settle(succeed(known!))).settled, ["applied"])
    }))

  it.effect("R13 reconciled: what was asked to stop and is not known has ended", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.one
      yield* cancelled(run)
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      yield* assertState(run, "Cancelled")
    }))

  it.effect("R13 reconciled: what another holds is not given back", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [hand, other] = [yield* joined(namespace), yield* joined(namespace)]
      const run = yield* submitOne(specOf(namespace))
      yield* other.one
      yield* hand.claim(1)
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      yield* assertState(run, "Running")
    }))

  it.effect("R13 reconciled: names the grants that have passed on", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const other = yield* joined(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const { grants: [settled, released, held] } = yield* hand.claim(3)
      const theirs = yield* other.one
      yield* hand.settle(succeed(settled!), release(released!))
      const unknown = { run: RunId.make(Number.MAX_SAFE_INTEGER - 11), fence: held!.fence }
      const { passed } = yield* runs.reconcile(hand.incarnation, {
        grants: [settled!, released!, held!, theirs, unknown]
          .map(({ fence, run }) => ({ run, fence })),
        rounds: hand.answered(),
      })
      assert.deepStrictEqual(
        sorted(passed),
        sorted(ids([settled!, released!, theirs, unknown])),
      )
      yield* assertState(held!.run, "Running")
      yield* assertState(theirs.run, "Running")
    }))
}

const told = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  const kinds = (run: RunId) =>
    Effect.map(
      Storage.use(({ runs }) => runs.events(run)),
      (events) => events.map(({ kind }) => kind),
    )

  it.effect("events: tell how a run went, the earliest first", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      assert.deepEqual(yield* kinds(run), ["Submitted"])
      yield* elapse(Duration.seconds(2))
      yield* hand.settle(retry(yield* hand.one))
      yield* elapse(Duration.seconds(2))
      yield* promoteAll
      yield* hand.settle(release(yield* hand.one))
      yield* elapse(Duration.seconds(2))
      const last = yield* hand.one
      yield* elapse(Duration.seconds(2))
      yield* cancelled(run)
      yield* elapse(Duration.seconds(2))
      yield* hand.settle(abort(last))
      const events = yield* runs.events(run)
      const wanted = ["Submitted", "Retried", "Released", "Claimed", "CancelAsked", "Cancelled"]
      const told = events.map(({ kind }) => kind).filter((kind) => wanted.includes(kind))
      // Earlier claims may be told of as well.
      const last6 = told.filter((kind, n) => kind !== "Claimed" || n === told.lastIndexOf(kind))
      assert.deepEqual(last6, wanted)
      const instants = events.map(({ at }) => DateTime.toEpochMillis(at))
      assert.deepEqual(instants, sorted(instants))
      const retried = events.find(({ kind }) => kind === "Retried")!
      assert.strictEqual(retried.detail, failure.message)
      assert.deepInclude(events[events.length - 1]!, {
        kind: "Cancelled",
        attempt: 2,
        fence: Fence.make(3),
      })
    }))

  it.effect("events: tell of a lost executor", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { crashesMax: 0 }))
      yield* hand.start(yield* hand.one)
      yield* hand.leave
      yield* recoverAll
      assert.includeMembers([...yield* kinds(run)], ["Submitted", "Lost", "Quarantined"])
    }))

  it.effect("events: of the plain path are three", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(succeed(yield* hand.one))
      assert.deepEqual(yield* kinds(run), ["Submitted", "Claimed", "Succeeded"])
    }))

  const why = (run: RunId): Effect.Effect<Reason, unknown, Storage> =>
    Effect.map(
      Storage.use(({ runs }) => runs.why(run)),
      Option.getOrThrowWith(() => new Error("not known")),
    )

  it.effect("why DueLater: names the instant, and the failure before it", () =>
    Effect.gen(function* () {
      const { now } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { delayMillis: 60_000 }))
      const reason = yield* why(run)
      if (reason._tag !== "DueLater") return assert.fail(reason._tag)
      const at = yield* now
      assert.approximately(DateTime.toEpochMillis(reason.at), at + 60_000, 5000)
      assert.isUndefined(reason.failure)
      const other = yield* submitOne(specOf(namespace))
      yield* hand.settle(retry(yield* hand.one, 60_000))
      const later = yield* why(other)
      assert.deepInclude(later, { _tag: "DueLater", failure })
    }))

  it.effect("why GateFull and GateOpen: name the gate, who holds it, and how many go first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const [first, second, third] = yield* submitAll(
        times(3).map(() => specOf(namespace, { gate })),
      )
      assert.deepEqual(yield* why(first!), { _tag: "GateOpen", gate: gate.key })
      yield* admitAll(gate.key)
      const full = { _tag: "GateFull" as const, gate: gate.key, holders: [first!] }
      assert.deepEqual(yield* why(second!), { ...full, ahead: 0 })
      assert.deepEqual(yield* why(third!), { ...full, ahead: 1 })
      yield* cancelled(first!)
      assert.deepInclude(yield* why(second!), { _tag: "GateOpen" })
    }))

  it.effect("why NoExecutor: nobody live serves its task", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const task = TaskName.make("unheard-of")
      const lane = Lane.ofTask(namespace, task)
      yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { task, lane }))
      assert.deepEqual(yield* why(run), { _tag: "NoExecutor", task })
      const usual = yield* submitOne(specOf(namespace))
      assert.deepInclude(yield* why(usual), { _tag: "Waiting" })
      for (const { incarnation } of yield* executors.list(namespace)) {
        yield* executors.leave(incarnation)
      }
      assert.deepEqual(yield* why(usual), { _tag: "NoExecutor", task: greet })
    }))

  it.effect("why Waiting: names the lane and how many go first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      yield* joined(namespace)
      const lane = Lane.ofTask(namespace, greet)
      const [low, usual, urgent] = yield* submitAll(
        ([2, 1, 0] as const).map((level) => specOf(namespace, { level })),
      )
      assert.deepEqual(yield* why(low!), { _tag: "Waiting", lane, ahead: 2 })
      assert.deepEqual(yield* why(usual!), { _tag: "Waiting", lane, ahead: 1 })
      assert.deepEqual(yield* why(urgent!), { _tag: "Waiting", lane, ahead: 0 })
    }))

  it.effect("why Held: names the holder, and whether it was asked to stop", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { incarnation, name, one } = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* one
      const held = { _tag: "Held" as const, incarnation, name }
      assert.deepEqual(yield* why(run), { ...held, isCancelling: false })
      yield* cancelled(run)
      assert.deepEqual(yield* why(run), { ...held, isCancelling: true })
    }))

  it.effect("why Ended: names the end, and the failure", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [a, b] = yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(2)
      yield* hand.settle(...grants.map((held) => held.run === a ? succeed(held) : giveUp(held)))
      assert.deepEqual(yield* why(a!), { _tag: "Ended", state: "Succeeded" })
      assert.deepEqual(yield* why(b!), { _tag: "Ended", state: "Failed", failure })
    }))
}
