/**
 * The laws of `ExecutorStorage`, as tests.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                                            |
 * | --- | -------------------------------------------------- |
 * | E1  | one number for all                                 |
 * | E2  | lost only after nine ttls; a late beat revives     |
 * | E3  | no revocations                                     |
 * | E4  | who left still claims; who drains is still granted |
 * | E5  | count compared, digest not                         |
 * | E6  | resources forgotten; labels of the first join kept |
 * | E7  | not kept; a beat without any forgets them; the     |
 * |     | capacity as it joined                              |
 * | E8  | not in the answer; of another namespace; of one    |
 * |     | that left                                          |
 * | E9  | see `runs/overdue.ts`: the number ignored; what is |
 * |     | not named any more stays                           |
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, type Layer } from "effect"
import { ExecutorName, type Incarnation, type Joining } from "../domain/Executor.ts"
import * as Lane from "../domain/Lane.ts"
import { TaskName } from "../domain/Task.ts"
import { held as heldOf } from "../services/ExecutorStorage.ts"
import { Storage } from "../services/Storage.ts"
import {
  assertState,
  block,
  cancelled,
  definitionOf,
  type Elapse,
  found,
  fresh,
  freshNamespace,
  greet,
  ids,
  joined,
  nothingHeld,
  type Options,
  recoverAll,
  release,
  retry,
  sorted,
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
): void => block(`ExecutorStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

const short = Duration.seconds(30)

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  const claimed = (incarnation: Incarnation, lane: Lane.Lane) =>
    Storage.use(({ runs }) =>
      runs.claim({
        incarnation,
        loop: 9,
        round: 1,
        isAgain: false,
        lanes: [lane],
        limit: 5,
        reports: [],
      })
    )
  const viewsOf = (namespace: ReturnType<typeof freshNamespace>) =>
    Storage.use(({ executors }) => executors.list(namespace))

  it.effect("E1 incarnation: each join is a new one, under one name as well, and at once", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const joining = {
        namespace,
        name: ExecutorName.make(fresh("executor")),
        capacity: 3,
        labels: { zone: "eu-1", "größe": "XL" },
        ttlMillis: 60_000,
      }
      const made = yield* together(times(8).map(() => executors.join(joining)))
      assert.strictEqual(new Set(made).size, 8)
      const later = yield* executors.join(joining)
      assert.notInclude(made, later)
      const views = yield* viewsOf(namespace)
      assert.deepStrictEqual(sorted(views.map((view) => view.incarnation)), [
        ...sorted(made),
        later,
      ])
      assert.strictEqual(views[0]!.incarnation, later, "latest first")
      const { beatAt, joinedAt, ...rest } = views[0]!
      assert.deepEqual(rest, {
        incarnation: later,
        namespace,
        name: joining.name,
        standing: "live",
        capacity: 3,
        labels: joining.labels,
        resources: {},
        tasks: [],
        held: 0,
      })
      assert.isAtLeast(DateTime.toEpochMillis(beatAt), DateTime.toEpochMillis(joinedAt))
    }))

  it.effect("E6 told: an executor is listed with what it said of itself, each incarnation anew", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const name = ExecutorName.make(fresh("executor"))
      const told: ReadonlyArray<Pick<Joining, "capacity" | "labels" | "resources">> = [
        { capacity: 1, labels: {} },
        { capacity: 100_000, labels: { region: "eu" }, resources: { gpu: 2, memory: 0.125 } },
        { capacity: 7, labels: { region: "us", constructor: "x" }, resources: { "größe/x": 1e12 } },
      ]
      for (const each of told) {
        yield* executors.join({ namespace, name, ttlMillis: 60_000, ...each })
      }
      assert.deepEqual(
        (yield* viewsOf(namespace)).toReversed().map((view) => ({
          name: view.name,
          capacity: view.capacity,
          labels: view.labels,
          resources: view.resources,
        })),
        told.map((each) => ({ name, resources: {}, ...each })),
      )
    }))

  it.effect("E1 incarnation: says which tasks it carries out, and defines them", () =>
    Effect.gen(function* () {
      const { executors, tasks } = yield* Storage
      const namespace = freshNamespace()
      const { incarnation } = yield* joined(namespace)
      yield* executors.serve(incarnation, [definitionOf(namespace, "b"), definitionOf(namespace)])
      const [view] = yield* viewsOf(namespace)
      assert.deepEqual(sorted(view!.tasks), [TaskName.make("b"), greet])
      yield* executors.serve(incarnation, [definitionOf(namespace, "b", "differently")])
      assert.deepEqual((yield* viewsOf(namespace))[0]!.tasks, [TaskName.make("b")])
      assert.deepEqual(
        (yield* tasks.list(namespace)).map(({ definition, revision }) => [
          definition.name as string,
          revision,
        ]),
        [["b", 2], ["greet", 1]],
      )
    }))

  it.effect("E2 lease: who has not beaten for its ttl is lost, for ever", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const { incarnation } = yield* joined(namespace, short)
      for (const _ of times(3)) {
        yield* elapse(Duration.seconds(25))
        const { _tag } = yield* executors.beat(incarnation, nothingHeld)
        assert.strictEqual(_tag, "Alive", "a beat within the ttl prolongs it")
      }
      yield* elapse(Duration.seconds(31))
      assert.deepEqual(yield* executors.beat(incarnation, nothingHeld), { _tag: "Lost" })
      assert.deepEqual(yield* executors.beat(incarnation, nothingHeld), { _tag: "Lost" })
      yield* recoverAll
      assert.deepEqual(yield* executors.beat(incarnation, nothingHeld), { _tag: "Lost" })
      assert.strictEqual((yield* viewsOf(namespace))[0]!.standing, "lost")
    }))

  it.effect("E2 lease: a lost one's claims are refused, before any sweep has noticed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { incarnation } = yield* joined(namespace, short)
      const run = yield* submitOne(specOf(namespace))
      yield* elapse(Duration.seconds(31))
      assert.strictEqual(yield* claimed(incarnation, Lane.ofTask(namespace, greet)), "Lost")
      assert.strictEqual((yield* viewsOf(namespace))[0]!.standing, "lost")
      yield* assertState(run, "Ready")
    }))

  it.effect("E2 lease: an unknown incarnation is lost", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const unknown = 2_000_000_000 as Incarnation
      assert.deepEqual(yield* executors.beat(unknown, nothingHeld), { _tag: "Lost" })
      const lane = Lane.ofTask(freshNamespace(), greet)
      assert.strictEqual(yield* claimed(unknown, lane), "Lost")
    }))

  it.effect("E2 lease: a beat that races recovery is alive, or its runs are freed, not both", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const hands = yield* together(times(6).map(() => joined(namespace, short)))
      yield* submitAll(times(6).map(() => specOf(namespace)))
      const grants = yield* together(hands.map(({ one }) => one))
      yield* elapse(Duration.seconds(31))
      const [beats] = yield* Effect.all([
        together(hands.map((hand) => executors.beat(hand.incarnation, nothingHeld))),
        recoverAll,
      ], { concurrency: "unbounded" })
      yield* recoverAll
      for (const [at, { _tag }] of beats.entries()) {
        assert.strictEqual(_tag, "Lost", "its ttl was over")
        yield* assertState(grants[at]!.run, "Ready")
      }
    }))

  it.effect("E3 revocation: a beat returns the grants to stop, until they are settled", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const other = yield* joined(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(3)
      const theirs = yield* other.one
      const revoked = Effect.gen(function* () {
        const beaten = yield* executors.beat(hand.incarnation, nothingHeld)
        return beaten._tag === "Lost" ? assert.fail("lost") : beaten.revoked
      })
      assert.deepEqual(yield* revoked, [])
      const [a, b] = grants.toSorted((x, y) => x.run - y.run)
      for (const { run } of [a!, b!, theirs]) yield* cancelled(run)
      for (const _ of times(2)) {
        assert.deepEqual(
          (yield* revoked).toSorted((x, y) => x.run - y.run),
          [a!, b!].map(({ fence, run }) => ({ run, fence })),
        )
      }
      yield* hand.settle(succeed(a!))
      assert.deepEqual(ids(yield* revoked), [b!.run])
      yield* hand.settle(retry(b!))
      assert.deepEqual(yield* revoked, [])
    }))

  it.effect("E4 leaving: who left, or drains, gets no grant; what it holds it may settle", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lane = Lane.ofTask(namespace, greet)
      const [first, second] = yield* submitAll(times(2).map(() => specOf(namespace)))
      const grant = yield* hand.one
      yield* executors.drain(hand.incarnation)
      assert.strictEqual((yield* viewsOf(namespace))[0]!.standing, "draining")
      const { grants, settled } = yield* hand.claim(5, { reports: [] })
      assert.deepEqual({ grants, settled }, { grants: [], settled: [] })
      assert.strictEqual(
        (yield* executors.beat(hand.incarnation, nothingHeld))._tag,
        "Alive",
        "who drains still beats",
      )
      assert.deepEqual((yield* hand.settle(succeed(grant))).settled, ["applied"])
      yield* assertState(first!, "Succeeded")
      yield* hand.leave
      assert.strictEqual((yield* viewsOf(namespace))[0]!.standing, "left")
      assert.strictEqual(yield* claimed(hand.incarnation, lane), "Lost")
      assert.deepEqual(yield* executors.beat(hand.incarnation, nothingHeld), { _tag: "Lost" })
      yield* assertState(second!, "Ready")
    }))

  it.effect("E4 leaving: a claim of one that drains still settles its reports", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      yield* executors.drain(hand.incarnation)
      assert.deepEqual((yield* hand.claim(5, { reports: [succeed(grant)] })).settled, ["applied"])
    }))

  it.effect("E4 leaving: an answer lost just before draining is given again", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const lost = yield* hand.claim(1)
      yield* executors.drain(hand.incarnation)
      assert.deepEqual((yield* hand.claim(5, { isAgain: true })).grants, lost.grants)
    }))

  it.effect("E4 leaving: recover frees what it held", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.one
      yield* hand.leave
      yield* recoverAll
      assert.deepInclude(yield* found(run), { state: "Ready", attempt: 0, crashes: 0 })
      assert.strictEqual((yield* viewsOf(namespace))[0]!.held, 0)
    }))

  it.effect("E4 leaving: neither draining nor leaving brings back who is gone", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const lost = yield* joined(namespace, short)
      yield* elapse(Duration.seconds(31))
      yield* executors.drain(lost.incarnation)
      assert.deepEqual(yield* executors.beat(lost.incarnation, nothingHeld), { _tag: "Lost" })
      const left = yield* joined(namespace)
      yield* left.leave
      yield* executors.drain(left.incarnation)
      yield* left.leave
      assert.deepEqual(yield* executors.beat(left.incarnation, nothingHeld), { _tag: "Lost" })
      assert.strictEqual((yield* viewsOf(namespace))[0]!.standing, "left")
    }))

  it.effect("E5 agreement: a beat says whether both know of the same grants", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const isAgreed = (known: Parameters<typeof heldOf>[0]) =>
        Effect.map(
          executors.beat(hand.incarnation, heldOf(known)),
          (beaten) => beaten._tag === "Alive" && beaten.isAgreed,
        )
      assert.isTrue(yield* isAgreed([]))
      yield* submitAll(times(5).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(5)
      assert.isTrue(yield* isAgreed(grants))
      assert.isTrue(yield* isAgreed(grants.toReversed()))
      assert.isFalse(yield* isAgreed([]))
      assert.isFalse(yield* isAgreed(grants.slice(1)))
      const [first, second, ...rest] = grants
      assert.isFalse(
        yield* isAgreed([
          { run: first!.run, fence: (first!.fence + 1) as never },
          second!,
          ...rest,
        ]),
      )
      yield* hand.settle(succeed(first!), release(second!))
      assert.isTrue(yield* isAgreed(rest))
      assert.isFalse(yield* isAgreed(grants))
      const { grants: [again] } = yield* hand.claim(5)
      assert.strictEqual(again!.run, second!.run)
      assert.isTrue(yield* isAgreed([...rest, again!]))
      assert.isFalse(yield* isAgreed([...rest, second!]), "the fence is part of it")
      assert.strictEqual((yield* viewsOf(namespace))[0]!.held, 4)
    }))

  const sizes = { core: 2, maximum: 4, queueLength: 3, prefetchMillis: 100 }

  it.effect("E7 vitals: what it said last of itself is listed", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const vitals = Effect.map(viewsOf(namespace), ([view]) => view!.vitals)
      const capacity = Effect.map(viewsOf(namespace), ([view]) => view!.capacity)
      assert.strictEqual(yield* capacity, 10)
      assert.isUndefined(yield* vitals)
      const said = { sizes, running: 2, queued: 3, stuck: 1, stalledMillis: 5000 }
      yield* executors.beat(hand.incarnation, nothingHeld, said)
      assert.deepEqual(yield* vitals, said)
      yield* executors.beat(hand.incarnation, nothingHeld)
      assert.deepEqual(yield* vitals, said)
      assert.strictEqual(yield* capacity, sizes.maximum)
      const well = { sizes: { core: 1, maximum: 1, prefetchMillis: 0 }, running: 0, queued: 0 }
      yield* executors.beat(hand.incarnation, nothingHeld, { ...well, stuck: 0 })
      assert.deepEqual(yield* vitals, { ...well, stuck: 0 })
      assert.strictEqual(yield* capacity, 1)
    }))

  it.effect("E8 resized: what is wished of its pool is in the answer to each beat", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const [namespace, elsewhere] = [freshNamespace(), freshNamespace()]
      const [hand, other] = [yield* joined(namespace), yield* joined(namespace)]
      const wished = (incarnation: Incarnation) =>
        Effect.map(
          executors.beat(incarnation, nothingHeld),
          (beaten) => beaten._tag === "Alive" ? beaten.sizes : "lost",
        )
      assert.isUndefined(yield* wished(hand.incarnation))
      assert.isFalse(yield* executors.resize(elsewhere, hand.incarnation, sizes))
      assert.isTrue(yield* executors.resize(namespace, hand.incarnation, sizes))
      for (const _ of times(2)) assert.deepEqual(yield* wished(hand.incarnation), sizes)
      assert.isUndefined(yield* wished(other.incarnation))
      const less = { core: 1, maximum: 1, prefetchMillis: 0 }
      assert.isTrue(yield* executors.resize(namespace, hand.incarnation, less))
      assert.deepEqual(yield* wished(hand.incarnation), less)
      yield* other.leave
      assert.isFalse(yield* executors.resize(namespace, other.incarnation, sizes))
    }))

  it.effect("list: those gone for more than an hour are left out", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gone = yield* joined(namespace)
      yield* gone.leave
      yield* elapse(Duration.minutes(50))
      assert.strictEqual((yield* viewsOf(namespace)).length, 1)
      yield* elapse(Duration.minutes(15))
      yield* joined(namespace)
      assert.notInclude(
        (yield* viewsOf(namespace)).map(({ incarnation }) => incarnation),
        gone.incarnation,
      )
    }))
}
