/**
 * The laws of `PlacementStorage`, as tests.
 *
 * Tried on each adapter in the way that is likely there, and caught:
 *
 * | law | mistake                                                                                 |
 * | --- | --------------------------------------------------------------------------------------- |
 * | P1  | order lost when moved; looked for in the lane of its own                                |
 * | P2  | revision unchecked; a part applied                                                      |
 * | P3  | not remembered                                                                          |
 * | P4  | taken from a live one; not from one that drains, or has not beaten; released, retried   |
 * |     | or reconciled to the executor it was with                                               |
 * | P5  | the first one kept                                                                      |
 * | P6  | not bound; bound to nobody in particular; deadline dropped                              |
 * | P7  | gate not named                                                                          |
 * | P8  | what waits in lanes not counted                                                         |
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import type { GateKey } from "../domain/Blocking.ts"
import type { Incarnation } from "../domain/Executor.ts"
import * as FanIn from "../domain/FanIn.ts"
import * as Lane from "../domain/Lane.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Move, Remembered, Unplaced } from "../domain/Placing.ts"
import { type Policy, usualPolicy } from "../domain/Policy.ts"
import type { RunId } from "../domain/RunId.ts"
import { place } from "../domain/Waiting.ts"
import type { Waiting } from "../services/PlacementStorage.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import {
  admitAll,
  assertState,
  block,
  cancelled,
  type Elapse,
  expireAll,
  found,
  freshNamespace,
  greet,
  type Hand,
  ids,
  joined,
  type Options,
  promoteAll,
  recoverAll,
  release,
  retry,
  revived,
  specOf,
  submitAll,
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
): void => block(`PlacementStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

const routed: Policy = { ...usualPolicy, routing: { _tag: "First" } }

/** A run of a routed task. */
const routedSpec = (namespace: Namespace, differently: Partial<RunSpec> = {}): RunSpec =>
  specOf(namespace, { ...place(namespace, greet, routed, undefined), ...differently })

const laneOf = (namespace: Namespace) => Lane.unplaced(namespace, greet)
const laneWith = (namespace: Namespace, { incarnation }: Hand) =>
  Lane.ofExecutor(namespace, greet, incarnation)

const waitingIn = (namespace: Namespace, limit = 100) =>
  Storage.use(({ placements }) => placements.waiting(laneOf(namespace), limit))

/** Submits routed runs and lets them pass their gate. */
const readied = (specs: ReadonlyArray<RunSpec>) =>
  Effect.gen(function* () {
    const made = yield* submitAll(specs)
    for (const gate of new Set(specs.map(({ gate }) => gate!.key))) yield* admitAll(gate)
    return made
  })

const decide = (
  namespace: Namespace,
  { remembered, revision }: Pick<Waiting, "revision" | "remembered">,
  moves: ReadonlyArray<Move>,
  next: Remembered = remembered,
) =>
  Storage.use(({ placements }) =>
    placements.place({ lane: laneOf(namespace), revision, remembered: next, moves })
  )

const to =
  (namespace: Namespace, hand: Hand) => ({ fence, run }: Pick<Unplaced, "run" | "fence">) =>
    ({
      _tag: "To",
      run,
      fence,
      lane: laneWith(namespace, hand),
      placed: { incarnation: hand.incarnation, name: hand.name, strategy: "First", passedOver: [] },
    }) satisfies Move

/** Places all that wait with `hand`. */
const placedWith = (namespace: Namespace, hand: Hand) =>
  Effect.gen(function* () {
    const waiting = yield* waitingIn(namespace)
    const moves = waiting.runs.map(to(namespace, hand))
    const answer = yield* decide(namespace, waiting, moves)
    assert.strictEqual(answer._tag, "Applied")
  })

/** Takes back until there is nothing; those of the namespace. */
const displaceAll = (namespace: Namespace) =>
  Effect.gen(function* () {
    const { placements } = yield* Storage
    for (;;) {
      const { displaced, lanes } = yield* placements.displace(500)
      if (displaced === 0) return lanes.filter((lane) => lane === laneOf(namespace))
    }
  })

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("P1 one executor: nobody is granted what waits to be placed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [run] = yield* readied([routedSpec(namespace)])
      yield* assertState(run!, "Ready")
      const lanes = [Lane.ofTask(namespace, greet), laneWith(namespace, hand)]
      assert.deepStrictEqual((yield* hand.claim(5, { lanes })).grants, [])
      const { runs } = yield* waitingIn(namespace)
      assert.deepStrictEqual(ids(runs), [run!])
      const why = yield* Storage.use(({ runs }) => runs.why(run!))
      assert.deepInclude(why, { value: { _tag: "Unplaced", task: greet, passedOver: [] } } as never)
    }))

  it.effect("P1 one executor: only the one it was placed with is granted it", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const [ada, bob] = yield* Effect.all([joined(namespace), joined(namespace)])
      const made = yield* readied(times(3).map(() => routedSpec(namespace)))
      yield* placedWith(namespace, ada)
      const plain = Lane.ofTask(namespace, greet)
      const ofBob = { lanes: [plain, laneWith(namespace, bob)] }
      assert.deepStrictEqual((yield* bob.claim(5, ofBob)).grants, [])
      assert.deepStrictEqual((yield* waitingIn(namespace)).runs, [])
      const { grants } = yield* ada.claim(5, { lanes: [plain, laneWith(namespace, ada)] })
      assert.deepStrictEqual(ids(grants), made)
      yield* ada.settle(...grants.map((grant) => succeed(grant)))
      for (const run of made) yield* assertState(run, "Succeeded")
    }))

  it.effect("P1 one executor: placed, it is cancelled, put down and listed as any that is ready", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [first, second] = yield* readied(times(2).map(() => routedSpec(namespace)))
      yield* placedWith(namespace, hand)
      const ready = { namespace, task: greet, states: ["Ready" as const], limit: 9 }
      assert.deepStrictEqual((yield* runs.list(ready)).map(({ id }) => id), [second!, first!])
      assert.deepInclude(yield* runs.counts(namespace), { Ready: 2 })
      const why = yield* runs.why(second!)
      const lane = laneWith(namespace, hand)
      assert.deepInclude(why, { value: { _tag: "Waiting", lane, ahead: 1 } } as never)
      assert.strictEqual((yield* cancelled(first!)).answer, "confirmed")
      const { grants } = yield* hand.claim(5, { lanes: [lane] })
      assert.deepStrictEqual(ids(grants), [second!])
    }))

  it.effect("P2 whole or stale: a decision by an older state changes nothing", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* readied(times(2).map(() => routedSpec(namespace)))
      const before = yield* waitingIn(namespace)
      const [first, second] = before.runs.map(to(namespace, hand))
      assert.deepInclude(yield* decide(namespace, before, [first!]), { _tag: "Applied" })
      const remembered = { turn: 77 }
      const late = yield* decide(namespace, before, [second!], remembered)
      assert.deepStrictEqual(late, { _tag: "Stale" })
      const after = yield* waitingIn(namespace)
      assert.deepStrictEqual(ids(after.runs), [second!.run])
      assert.notDeepEqual(after.remembered, remembered)
      assert.isAbove(after.revision, before.revision)
    }))

  it.effect("P2 whole or stale: another task of the namespace makes it stale, another namespace not", () =>
    Effect.gen(function* () {
      const { placements } = yield* Storage
      const [here, there] = [freshNamespace(), freshNamespace()]
      const [ada, bob] = yield* Effect.all([joined(here), joined(there)])
      yield* readied([routedSpec(here), routedSpec(there)])
      const waiting = { here: yield* waitingIn(here), there: yield* waitingIn(there) }
      const lane = Lane.unplaced(here, "other" as typeof greet)
      const { remembered, revision } = waiting.here
      yield* placements.place({ lane, revision, remembered, moves: [] })
      const move = waiting.here.runs.map(to(here, ada))
      assert.strictEqual((yield* decide(here, waiting.here, move))._tag, "Stale")
      const other = waiting.there.runs.map(to(there, bob))
      assert.strictEqual((yield* decide(there, waiting.there, other))._tag, "Applied")
    }))

  it.effect("P2 whole or stale: when one of the runs does not wait any more, none is placed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* readied(times(3).map(() => routedSpec(namespace)))
      const waiting = yield* waitingIn(namespace)
      yield* cancelled(made[1]!)
      const moves = waiting.runs.map(to(namespace, hand))
      assert.deepStrictEqual(yield* decide(namespace, waiting, moves), { _tag: "Stale" })
      const after = yield* waitingIn(namespace)
      assert.deepStrictEqual(ids(after.runs), [made[0]!, made[2]!])
      assert.isUndefined((yield* found(made[0]!)).placed)
    }))

  it.effect("P2 whole or stale: of decisions at once one is applied", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hands = yield* together(times(4).map(() => joined(namespace)))
      yield* readied(times(8).map(() => routedSpec(namespace)))
      const waiting = yield* waitingIn(namespace)
      const answers = yield* together(
        hands.map((hand, at) => {
          const moves = waiting.runs.slice(at * 2, at * 2 + 2).map(to(namespace, hand))
          return decide(namespace, waiting, moves, { turn: at })
        }),
      )
      const applied = answers.flatMap(({ _tag }, at) => _tag === "Applied" ? [at] : [])
      assert.strictEqual(applied.length, 1)
      const after = yield* waitingIn(namespace)
      assert.strictEqual(after.runs.length, 6)
      assert.deepEqual(after.remembered, { turn: applied[0]! })
    }))

  it.effect("P3 remembered: what one decision says is read with the next, lane by lane", () =>
    Effect.gen(function* () {
      const { placements } = yield* Storage
      const namespace = freshNamespace()
      const { incarnation, name } = yield* joined(namespace)
      const first = yield* waitingIn(namespace)
      assert.deepEqual(first.remembered, { turn: 0 })
      const last = { incarnation, name }
      const remembered = { turn: 3, last, chosen: [{ incarnation, turn: 3, times: 2 }] }
      yield* decide(namespace, first, [], remembered)
      assert.deepEqual((yield* waitingIn(namespace)).remembered, remembered)
      const other = Lane.unplaced(namespace, "other" as typeof greet)
      assert.deepEqual((yield* placements.waiting(other, 1)).remembered, { turn: 0 })
    }))

  it.effect("P4 taken back: what waits for a lost executor is to be placed again, in its order", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const ada = yield* joined(namespace, Duration.seconds(10))
      const bob = yield* joined(namespace)
      const levels: ReadonlyArray<Lane.Level> = [1, 0, 2, 1]
      const made = yield* readied(levels.map((level) => routedSpec(namespace, { level })))
      const order = [1, 0, 3, 2].map((at) => made[at]!)
      assert.deepStrictEqual(ids((yield* waitingIn(namespace)).runs), order)
      yield* placedWith(namespace, ada)
      assert.deepStrictEqual(yield* displaceAll(namespace), [], "it is live")
      yield* elapse(Duration.seconds(11))
      assert.deepStrictEqual(yield* displaceAll(namespace), [laneOf(namespace)])
      const { runs } = yield* waitingIn(namespace)
      assert.deepStrictEqual(ids(runs), order)
      assert.deepStrictEqual(runs.map(({ fence }) => fence as number), [0, 0, 0, 0])
      yield* placedWith(namespace, bob)
      const { grants } = yield* bob.claim(9, { lanes: [laneWith(namespace, bob)] })
      assert.deepStrictEqual(ids(grants), order)
      assert.deepStrictEqual(grants.map(({ fence }) => fence as number), [1, 1, 1, 1])
    }))

  it.effect("P4 taken back: also from one that drains, or has left, at most so many at once", () =>
    Effect.gen(function* () {
      const { executors, placements } = yield* Storage
      const namespace = freshNamespace()
      for (const go of [executors.drain, executors.leave]) {
        const hand = yield* joined(namespace)
        yield* readied(times(3).map(() => routedSpec(namespace)))
        yield* placedWith(namespace, hand)
        yield* go(hand.incarnation)
        assert.isAtMost((yield* placements.displace(1)).displaced, 1)
        yield* displaceAll(namespace)
        const { runs } = yield* waitingIn(namespace)
        assert.strictEqual(runs.length, 3)
        for (const { run } of runs) yield* cancelled(run)
      }
    }))

  it.effect("P4 taken back: what comes back from its executor waits to be placed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made = yield* readied(times(3).map(() => routedSpec(namespace)))
      yield* placedWith(namespace, hand)
      const lanes = [laneWith(namespace, hand)]
      const { grants: [first, second, third] } = yield* hand.claim(3, { lanes })
      yield* hand.settle(release(first!), retry(second!, 60_000))
      assert.deepStrictEqual((yield* hand.claim(3, { lanes })).grants, [])
      yield* elapse(Duration.seconds(61))
      const { unplaced } = yield* Storage.use(({ runs }) => runs.promote(500))
      assert.include(unplaced, laneOf(namespace))
      yield* promoteAll
      assert.isTrue(yield* hand.start(third!))
      yield* hand.leave
      yield* recoverAll
      yield* displaceAll(namespace)
      const { runs } = yield* waitingIn(namespace)
      assert.deepStrictEqual(new Set(ids(runs)), new Set(made))
      assert.deepStrictEqual(runs.map(({ fence }) => fence as number), [1, 1, 1])
      const next = yield* joined(namespace)
      yield* placedWith(namespace, next)
      const again = yield* next.claim(9, { lanes: [laneWith(namespace, next)] })
      assert.deepStrictEqual(again.grants.map(({ fence }) => fence as number), [2, 2, 2])
    }))

  it.effect("P4 taken back: what its holder never knew of waits to be placed", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [run] = yield* readied([routedSpec(namespace)])
      yield* placedWith(namespace, hand)
      yield* hand.claim(3, { lanes: [laneWith(namespace, hand)] })
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      assert.deepStrictEqual(ids((yield* waitingIn(namespace)).runs), [run!])
    }))

  it.effect("P5 told: a run says with whom it was placed last, how, and why no other", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [ada, bob] = yield* Effect.all([joined(namespace), joined(namespace)])
      const [run] = yield* readied([routedSpec(namespace)])
      assert.isUndefined((yield* found(run!)).placed)
      const passedOver = [{
        incarnation: bob.incarnation,
        name: bob.name,
        obstacle: { _tag: "LacksResource" as const, resource: "gpu", needed: 1, free: 0.5 },
      }]
      const waiting = yield* waitingIn(namespace)
      const move = to(namespace, ada)(waiting.runs[0]!)
      yield* decide(namespace, waiting, [{ ...move, placed: { ...move.placed, passedOver } }])
      const { placed } = yield* found(run!)
      assert.isDefined(placed?.at)
      const { at: _, ...rest } = placed!
      const { incarnation, name } = ada
      assert.deepEqual(rest, { incarnation, name, strategy: "First", passedOver })
      yield* hand(run!, ada, namespace)
      yield* placedWith(namespace, bob)
      assert.strictEqual((yield* found(run!)).placed?.incarnation, bob.incarnation)
      const { grants } = yield* bob.claim(1, { lanes: [laneWith(namespace, bob)] })
      yield* bob.settle(succeed(grants[0]!))
      assert.strictEqual((yield* found(run!)).placed?.name, bob.name, "also when it has ended")
      const happened = (yield* runs.events(run!)).filter(({ kind }) => kind === "Placed")
      assert.deepStrictEqual(
        happened.map(({ detail }) => detail),
        [ada, bob].map(({ incarnation, name }) => `with ${name} (${incarnation}), by First`),
      )
    }))

  it.effect("P6 spread: a run becomes the parent of its parts, and ends with the last of them", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [ada, bob] = yield* Effect.all([joined(namespace), joined(namespace)])
      const [run] = yield* readied([
        routedSpec(namespace, { payload: '{"all":1}', level: 2, deadlineMillis: 600_000 }),
      ])
      const gate = yield* spread(namespace, [ada.incarnation, bob.incarnation])
      assert.deepStrictEqual(gate, FanIn.gate(run!, 1).key)
      yield* assertState(run!, "Awaiting")
      assert.deepStrictEqual(ids(yield* admitAll(gate)).length, 2)
      const { runs: parts } = yield* waitingIn(namespace)
      assert.deepStrictEqual(
        parts.map(({ boundTo, shard }) => [boundTo, shard?.index, shard?.count]),
        [[ada.incarnation, 0, 2], [bob.incarnation, 1, 2]],
      )
      const view = yield* found(parts[0]!.run)
      assert.deepInclude(view, { payload: '{"all":1}', level: 2, task: greet })
      assert.deepEqual(view.shard, { parent: run!, index: 0, count: 2 })
      const waiting = yield* waitingIn(namespace)
      yield* decide(namespace, waiting, [
        to(namespace, ada)(parts[0]!),
        to(namespace, bob)(parts[1]!),
      ])
      for (const each of [ada, bob]) {
        const { grants } = yield* each.claim(5, { lanes: [laneWith(namespace, each)] })
        assert.strictEqual(grants.length, 1)
        assert.strictEqual(grants[0]!.shard?.parent, run!)
        yield* assertState(run!, "Awaiting")
        const { freed } = yield* each.settle(succeed(grants[0]!))
        yield* admitAll(freed[0]!)
      }
      yield* assertState(run!, "Succeeded")
      const happened = (yield* runs.events(run!)).map(({ kind }) => kind)
      assert.deepStrictEqual(happened, ["Submitted", "Admitted", "Spread", "Succeeded"])
    }))

  it.effect("P6 spread: a part stays bound however often it comes back, and can be tried again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [run] = yield* readied([routedSpec(namespace)])
      yield* admitAll(yield* spread(namespace, [hand.incarnation, undefined]))
      const isBound = Effect.map(
        waitingIn(namespace),
        ({ runs }) => runs.find(({ shard }) => shard?.index === 0)?.boundTo === hand.incarnation,
      )
      yield* placedWith(namespace, hand)
      const lanes = [laneWith(namespace, hand)]
      const { grants } = yield* hand.claim(5, { lanes })
      yield* hand.settle(...grants.map((grant) => release(grant)))
      assert.isTrue(yield* isBound)
      const waiting = yield* waitingIn(namespace)
      const failure = { tag: "ExecutorLost", message: "it is gone" }
      const applied = yield* decide(
        namespace,
        waiting,
        waiting.runs.map(({ fence, run }) => ({ _tag: "Fail", run, fence, failure })),
      )
      assert(applied._tag === "Applied")
      for (const gate of applied.gates) yield* admitAll(gate)
      yield* assertState(run!, "Failed")
      for (const gate of (yield* revived(run!)).freed) yield* admitAll(gate)
      yield* assertState(run!, "Awaiting")
      assert.isTrue(yield* isBound)
    }))

  it.effect("P6 spread: to cancel the parent is to cancel its parts, which keep its deadline", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      // Past the patience of their level, so that neither puts one before the other.
      const specs = [600_000, 90_000].map((deadlineMillis) =>
        routedSpec(namespace, { deadlineMillis })
      )
      const [first, second] = yield* readied(specs)
      const gates = [yield* spread(namespace, [undefined, undefined])]
      gates.push(yield* spread(namespace, [undefined]))
      for (const gate of gates) yield* admitAll(gate)
      assert.strictEqual((yield* cancelled(first!)).answer, "requested")
      yield* admitAll(gates[0]!)
      yield* assertState(first!, "Cancelled")
      yield* elapse(Duration.seconds(91))
      const { freed } = yield* expireAll
      assert.isTrue(freed.has(gates[1]!))
      yield* admitAll(gates[1]!)
      yield* assertState(second!, "Failed")
    }))

  it.effect("P7 failed: what is not to be placed ends, with the reason, and frees its place", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const policy: Policy = { ...routed, blocking: { _tag: "Fifo" } }
      const spec = specOf(namespace, place(namespace, greet, policy, undefined))
      const gate = spec.gate!.key
      const [first, second] = yield* submitAll([spec, spec])
      assert.deepEqual(yield* admitAll(gate), [{
        run: first!,
        state: "Ready",
        unplaced: laneOf(namespace),
      }])
      const waiting = yield* waitingIn(namespace)
      const failure = { tag: "NoExecutor", message: "b is away" }
      const applied = yield* decide(namespace, waiting, [{
        _tag: "Fail",
        run: first!,
        fence: waiting.runs[0]!.fence,
        failure,
      }])
      assert.deepStrictEqual(applied, { _tag: "Applied", gates: [gate] })
      assert.deepInclude(yield* found(first!), { state: "Failed", failure, attempt: 0 })
      assert.deepStrictEqual(ids(yield* admitAll(gate)), [second!])
    }))

  it.effect("P8 loads: what executors hold and what waits for them is counted, by task", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const [ada, bob] = yield* Effect.all([joined(namespace), joined(namespace)])
      yield* readied(times(3).map(() => routedSpec(namespace)))
      yield* placedWith(namespace, ada)
      yield* ada.claim(1, { lanes: [laneWith(namespace, ada)] })
      const other = Lane.ofTask(namespace, "other" as typeof greet)
      yield* submitOne(specOf(namespace, { task: "other" as typeof greet, lane: other }))
      yield* bob.claim(1, { lanes: [other] })
      assert.deepStrictEqual((yield* waitingIn(namespace)).loads, [], "nobody waits")
      yield* readied([routedSpec(namespace)])
      const sums = new Map<string, number>()
      for (const { incarnation, runs, task } of (yield* waitingIn(namespace)).loads) {
        const key = `${incarnation === ada.incarnation ? "ada" : "bob"} ${task}`
        sums.set(key, (sums.get(key) ?? 0) + runs)
      }
      assert.deepStrictEqual(Object.fromEntries(sums), { [`ada ${greet}`]: 3, "bob other": 1 })
    }))
}

/** Claims the run in that lane and gives it back. */
const hand = (run: RunId, of: Hand, namespace: Namespace) =>
  Effect.gen(function* () {
    const { grants } = yield* of.claim(1, { lanes: [laneWith(namespace, of)] })
    assert.deepStrictEqual(ids(grants), [run])
    yield* of.settle(release(grants[0]!))
  })

/** Spreads the first that waits; the gate of its parts. */
const spread = (namespace: Namespace, bound: ReadonlyArray<Incarnation | undefined>) =>
  Effect.gen(function* () {
    const waiting = yield* waitingIn(namespace)
    const { fence, run } = waiting.runs[0]!
    const parts = bound.map((boundTo) => ({ boundTo }))
    const applied = yield* decide(namespace, waiting, [{ _tag: "Spread", run, fence, parts }])
    assert(applied._tag === "Applied")
    return applied.gates[0] as GateKey
  })
