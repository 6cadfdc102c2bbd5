/**
 * The laws of `OutboxStorage`, as tests, and H6 of `HistoryStorage`.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                                                                |
 * | --- | ---------------------------------------------------------------------- |
 * | B1  | children tell too; any end is told, or of any task; only what was held |
 * |     | tells; a revived run forgets how it had failed                         |
 * | B2  | events outlive their subscription; a changed one loses what it had     |
 * | B3  | handed to all; held for ever; the number does not rise                 |
 * | B4  | any number will do                                                     |
 * | B5  | the next of a run comes beside the one before                          |
 * | B6  | of any consumer; of any partition; without a limit                     |
 * | B7  | a round is not known again, or of any taker; its number rises; it is   |
 * |     | not held for longer, or what others were handed since is handed again; |
 * |     | something new beside it; what earlier ones took stays held             |
 * | H6  | not counted; events outlive their run                                  |
 *
 * On PostgreSQL: no trigger on outcomes, children tell in it, or in the claim (B1); the plain text of
 * the claim goes on, the executor's mark is not looked at, or not set for who joins (B2), what is
 * taken is not locked (B3), any number will do (B4), no order (B5), a round is not known again, and
 * what earlier ones took stays held (B7), as in SQLite; who joins is not waited for (B2,
 * `sessions.test.ts`).
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import * as Ends from "../domain/Ends.ts"
import * as Lane from "../domain/Lane.ts"
import type { Namespace } from "../domain/Namespace.ts"
import * as Outbox from "../domain/Outbox.ts"
import { finals, isFinal } from "../domain/Run.ts"
import type { RunId } from "../domain/RunId.ts"
import { TaskName } from "../domain/Task.ts"
import { partitions } from "../domain/Trigger.ts"
import type { OutboxEvent } from "../services/OutboxStorage.ts"
import type { Report } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import { family, retireAll, usual } from "./HistoryStorageContract.ts"
import {
  abort,
  admitAll,
  block,
  cancelled,
  discard,
  type Elapse,
  expireAll,
  failure,
  found,
  fresh,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  type Hand,
  handOver,
  type Held,
  joined,
  notified,
  type Options,
  putDown,
  recoverAll,
  release,
  resumed,
  retry,
  revived,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  timeOut,
  times,
  together,
} from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`OutboxStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

const everywhere = times(partitions)
const minuteMillis = 60_000

let takers = 0

/** A subscription, and its takers. */
export const listening = Effect.fnUntraced(function* (
  namespace: Namespace,
  differently: Partial<Outbox.Subscription> = {},
) {
  const { outbox } = yield* Storage
  const subscription: Outbox.Subscription = {
    namespace,
    consumer: Outbox.Consumer.make(fresh("consumer")),
    name: "all",
    task: greet,
    on: finals,
    ...differently,
  }
  yield* outbox.subscribe(subscription)
  /** Somebody who takes, under this round or the next. */
  const taker = () => {
    const taker = ++takers
    let last = 0
    return (limit = 100, { forMillis = minuteMillis, round = last + 1 } = {}) => {
      last = round
      const { consumer } = subscription
      return outbox.take({ consumer, partitions: everywhere, limit, forMillis, taker, round })
    }
  }
  /** As somebody else each time. */
  const take = (limit?: number, forMillis?: number) => taker()(limit, { forMillis })
  /** What there is to take, done with. */
  const all = Effect.gen(function* () {
    const events: Array<OutboxEvent> = []
    for (;;) {
      const some = yield* take()
      if (some.length === 0) return events
      events.push(...some)
      yield* outbox.done(some)
    }
  })
  return { all, outbox, subscription, take, taker }
})

const endsOf = (events: ReadonlyArray<OutboxEvent>) =>
  events.map(({ run, state }) => `${run} ${state}`)

/** Every way in which a run may end; each answers with the runs that have, children left out. */
const ways = <R>(elapse: Elapse<R>): Readonly<
  Record<
    string,
    (
      namespace: Namespace,
      hand: Hand,
    ) => Effect.Effect<ReadonlyArray<RunId>, unknown, Storage | R>
  >
> => {
  const held = (report: (grant: Held) => Report) => (namespace: Namespace, hand: Hand) =>
    Effect.gen(function* () {
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(report(yield* hand.one))
      return [run]
    })
  const asked = (report: (grant: Held) => Report) => (namespace: Namespace, hand: Hand) =>
    Effect.gen(function* () {
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      yield* cancelled(run)
      yield* hand.settle(report(grant))
      return [run]
    })
  const ended = (report: (grant: Held) => Report) => (namespace: Namespace) =>
    Effect.gen(function* () {
      const { gate, hand, parent } = yield* family(namespace, usual(namespace))
      const { grants } = yield* hand.claim(3)
      yield* hand.settle(succeed(grants[0]!), report(grants[1]!), succeed(grants[2]!))
      yield* admitAll(gate)
      return [parent]
    })
  const lost = (isAtMostOnce: boolean, isAsked: boolean) => (namespace: Namespace) =>
    Effect.gen(function* () {
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { isAtMostOnce, crashesMax: 0 }))
      yield* hand.start(yield* hand.one)
      if (isAsked) yield* cancelled(run)
      yield* hand.leave
      yield* recoverAll
      return [run]
    })
  return {
    "succeeds in a claim": (namespace, hand) =>
      Effect.gen(function* () {
        const runs = yield* submitAll(times(3).map(() => specOf(namespace)))
        const { grants } = yield* hand.claim(3)
        yield* hand.claim(1, { reports: grants.map((grant) => succeed(grant, '{"n":1}')) })
        return runs
      }),
    "succeeds": held(succeed),
    "fails": held(giveUp),
    "fails in a claim": (namespace, hand) =>
      Effect.gen(function* () {
        const run = yield* submitOne(specOf(namespace))
        yield* hand.claim(0, { reports: [giveUp(yield* hand.one)] })
        return [run]
      }),
    "times out": held(timeOut),
    "is stopped": asked(abort),
    "is discarded by its holder": held(discard),
    "is asked to stop, and retried": asked(retry),
    "is asked to stop, and given back": asked(release),
    "is asked to stop, and put down": asked(putDown),
    "is asked to stop, and not known of": (namespace, hand) =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const run = yield* submitOne(specOf(namespace))
        yield* hand.one
        yield* cancelled(run)
        yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
        return [run]
      }),
    "is cancelled while ready, scheduled or blocked": (namespace) =>
      Effect.gen(function* () {
        const runs = yield* submitAll([
          specOf(namespace),
          specOf(namespace, { delayMillis: minuteMillis }),
          specOf(namespace, { gate: gateOf(namespace, 1) }),
        ])
        for (const run of runs) yield* cancelled(run)
        return runs
      }),
    "is cancelled while suspended or awaiting": (namespace, hand) =>
      Effect.gen(function* () {
        const first = yield* submitOne(specOf(namespace))
        yield* hand.settle(handOver(yield* hand.one))
        const second = yield* submitOne(specOf(namespace))
        yield* suspended(second)
        for (const run of [first, second]) yield* cancelled(run)
        return [first, second]
      }),
    "is discarded": (namespace, hand) =>
      Effect.gen(function* () {
        const gate = gateOf(namespace, 1, "discard")
        const runs = yield* submitAll([specOf(namespace, { gate }), specOf(namespace, { gate })])
        yield* admitAll(gate.key)
        yield* hand.settle(succeed(yield* hand.one))
        return runs.toReversed()
      }),
    "is a parent whose children succeed": ended(succeed),
    "is a parent whose children fail": ended(giveUp),
    "is a parent that was cancelled": (namespace) =>
      Effect.gen(function* () {
        const { gate, parent } = yield* family(namespace, usual(namespace))
        yield* cancelled(parent)
        yield* admitAll(gate)
        return [parent]
      }),
    "is notified of": (namespace, hand) =>
      Effect.gen(function* () {
        const runs = yield* submitAll([specOf(namespace), specOf(namespace)])
        const { grants } = yield* hand.claim(2)
        yield* hand.settle(handOver(grants[0]!))
        yield* notified(grants[0]!.run, { _tag: "Failed", failure })
        // Before its holder has said that it handed it over.
        yield* notified(grants[1]!.run)
        return grants[0]!.run === runs[0] ? runs : runs.toReversed()
      }),
    "is not notified of in time": (namespace, hand) =>
      Effect.gen(function* () {
        const run = yield* submitOne(specOf(namespace))
        yield* hand.settle(handOver(yield* hand.one, 5000))
        yield* elapse(Duration.seconds(7))
        yield* expireAll
        return [run]
      }),
    "is too late to begin": (namespace) =>
      Effect.gen(function* () {
        const run = yield* submitOne(specOf(namespace, { deadlineMillis: 5000 }))
        yield* elapse(Duration.seconds(7))
        yield* expireAll
        return [run]
      }),
    "is too late when it is claimed": (namespace, hand) =>
      Effect.gen(function* () {
        const run = yield* submitOne(specOf(namespace, { deadlineMillis: 5000 }))
        yield* elapse(Duration.seconds(7))
        assert.deepEqual((yield* hand.claim(1)).grants, [])
        return [run]
      }),
    "loses its executor too often": lost(false, false),
    "loses its executor, at most once": lost(true, false),
    "loses its executor while it is stopped": lost(false, true),
  }
}

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  for (const [how, way] of Object.entries(ways(elapse))) {
    it.effect(`B1 told: once, when a run ${how}`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const { all } = yield* listening(namespace)
        const runs = yield* way(namespace, hand)
        const events = yield* all
        assert.sameMembers(events.map(({ run }) => run), [...runs])
        assert.strictEqual(events.length, runs.length)
        for (const event of events) {
          const { attempt, failure: failed, fence, finishedAt, state, task } = yield* found(
            event.run,
          )
          if (!isFinal(state)) return assert.fail(state)
          assert.deepInclude(event, { namespace, name: "all", state, fence, attempt, task })
          assert.deepEqual(event.failure, failed)
          // Time that has gone by since moves both, or neither.
          assert.approximately(event.at, finishedAt!.epochMilliseconds, 10_000)
        }
      }))
  }

  it.effect("B1 told: not before a run ends", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { all } = yield* listening(namespace)
      const [retried, released, put, handed] = yield* submitAll(
        times(4).map(() => specOf(namespace)),
      )
      const { grants } = yield* hand.claim(4)
      const of = (run: RunId | undefined) => grants.find((grant) => grant.run === run)!
      yield* hand.settle(
        retry(of(retried)),
        release(of(released)),
        putDown(of(put)),
        handOver(of(handed)),
      )
      const gated = gateOf(namespace, 1)
      yield* submitAll([specOf(namespace, { gate: gated }), specOf(namespace, { gate: gated })])
      yield* admitAll(gated.key)
      const other = yield* joined(namespace)
      yield* other.start(yield* other.one)
      yield* other.leave
      yield* recoverAll
      assert.deepEqual(yield* all, [])
    }))

  it.effect("B1 told: of its task alone, and of the ends that it names", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const elsewhere = freshNamespace()
      const task = TaskName.make("other")
      const lane = Lane.ofTask(namespace, task)
      const failed = yield* listening(namespace, { on: Ends.of(["TimedOut", "Failed"]) })
      const others = yield* listening(namespace, { task })
      const away = yield* listening(elsewhere)
      const hand = yield* joined(namespace)
      const runs = yield* submitAll(times(4).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(3)
      yield* hand.settle(succeed(grants[0]!), giveUp(grants[1]!), timeOut(grants[2]!))
      yield* cancelled(runs.find((run) => grants.every((grant) => grant.run !== run))!)
      const another = yield* submitOne(specOf(namespace, { task, lane }))
      const claimed = yield* hand.claim(1, { lanes: [lane] })
      yield* hand.settle(succeed(claimed.grants[0]!))
      assert.sameMembers(endsOf(yield* failed.all), [
        `${grants[1]!.run} Failed`,
        `${grants[2]!.run} TimedOut`,
      ])
      assert.deepEqual(endsOf(yield* others.all), [`${another} Succeeded`])
      assert.deepEqual(yield* away.all, [])
    }))

  it.effect("B1 told: each subscription for itself, and a repeated report not again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const takers = [
        yield* listening(namespace),
        yield* listening(namespace, { on: ["Succeeded"] }),
      ]
      const one = takers[0]!.subscription
      const { outbox } = yield* Storage
      yield* outbox.subscribe({ ...one, name: "second" })
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      for (const _ of times(3)) yield* hand.settle(succeed(grant))
      const events = yield* takers[0]!.all
      assert.sameMembers(events.map(({ name }) => name), ["all", "second"])
      assert.deepEqual(endsOf(yield* takers[1]!.all), [`${run} Succeeded`])
    }))

  it.effect("B1 told: each end of a run that was revived, with how it failed then", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { all } = yield* listening(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(giveUp(yield* hand.one))
      yield* revived(run)
      yield* hand.settle(succeed(yield* hand.one))
      const events = yield* all
      assert.deepEqual(endsOf(events), [`${run} Failed`, `${run} Succeeded`])
      assert.deepEqual(events.map((event) => event.failure), [failure, undefined])
      assert.deepEqual(events.map(({ attempt, fence }) => [attempt, fence as number]), [
        [1, 1],
        [2, 2],
      ])
      assert.isAbove(events[1]!.event, events[0]!.event)
    }))

  it.effect("B1 told: of two parents that fail twice, each time", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { all } = yield* listening(namespace)
      const { gate, hand, parent } = yield* family(namespace, usual(namespace))
      const { grants } = yield* hand.claim(3)
      yield* hand.settle(giveUp(grants[0]!), succeed(grants[1]!), succeed(grants[2]!))
      yield* admitAll(gate)
      yield* revived(parent)
      yield* admitAll(gate)
      yield* hand.settle(giveUp(yield* hand.one))
      yield* admitAll(gate)
      assert.deepEqual(endsOf(yield* all), [`${parent} Failed`, `${parent} Failed`])
    }))

  it.effect("B2 from then on: nothing that ended before, whoever has joined before", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const early = yield* joined(namespace)
      const runs = yield* submitAll(times(3).map(() => specOf(namespace)))
      yield* early.settle(succeed(yield* early.one))
      const grant = yield* early.one
      const { all, outbox, subscription } = yield* listening(namespace)
      const late = yield* joined(namespace)
      const other = yield* late.one
      yield* early.settle(succeed(grant))
      yield* late.claim(0, { reports: [succeed(other)] })
      assert.sameMembers(
        endsOf(yield* all),
        [grant, other].map(({ run }) => `${run} Succeeded`),
      )
      assert.isTrue(yield* outbox.unsubscribe(subscription))
      assert.isFalse(yield* outbox.unsubscribe(subscription))
      const more = yield* submitAll(times(2).map(() => specOf(namespace)))
      for (const hand of [early, late]) {
        yield* hand.claim(0, { reports: [succeed(yield* hand.one)] })
      }
      yield* outbox.subscribe(subscription)
      assert.deepEqual(yield* all, [], "what ended while nobody was subscribed")
      const last = yield* submitOne(specOf(namespace))
      yield* early.claim(0, { reports: [succeed(yield* early.one)] })
      assert.deepEqual(endsOf(yield* all), [`${last} Succeeded`])
      assert.strictEqual(runs.length + more.length, 5)
    }))

  it.effect("B2 from then on: what was told to a subscription goes with it, and no other", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { all, outbox, subscription } = yield* listening(namespace)
      yield* outbox.subscribe({ ...subscription, name: "second" })
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(succeed(yield* hand.one))
      yield* outbox.unsubscribe(subscription)
      yield* outbox.subscribe(subscription)
      const events = yield* all
      assert.deepEqual(events.map(({ name }) => name), ["second"])
      assert.deepEqual(endsOf(events), [`${run} Succeeded`])
      assert.deepEqual(yield* all, [])
    }))

  it.effect("B2 from then on: a changed subscription keeps what it was told", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { all, outbox, subscription } = yield* listening(namespace)
      const first = yield* submitOne(specOf(namespace))
      yield* hand.settle(succeed(yield* hand.one))
      yield* outbox.subscribe({ ...subscription, on: ["Failed"] })
      const runs = yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(2)
      yield* hand.settle(succeed(grants[0]!), giveUp(grants[1]!))
      assert.sameMembers(endsOf(yield* all), [`${first} Succeeded`, `${grants[1]!.run} Failed`])
      assert.strictEqual(runs.length, 2)
      assert.deepEqual(yield* outbox.subscriptions(namespace), [
        { ...subscription, on: ["Failed"], missed: 0 },
      ])
    }))

  it.effect("B2 from then on: subscribed while runs end, it misses none that ended after", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hands = yield* together(times(3).map(() => joined(namespace)))
      yield* submitAll(times(60).map(() => specOf(namespace)))
      let subscribed: ReadonlyArray<RunId> | undefined
      const after: Array<RunId> = []
      const working = hands.map((hand) =>
        Effect.gen(function* () {
          for (;;) {
            const { grants } = yield* hand.claim(2)
            if (grants.length === 0) return
            const isAfter = subscribed !== undefined
            yield* hand.claim(0, { reports: grants.map((grant) => succeed(grant)) })
            if (isAfter) after.push(...grants.map(({ run }) => run))
          }
        })
      )
      const subscribing = Effect.gen(function* () {
        yield* hands[0]!.beat
        const listener = yield* listening(namespace)
        subscribed = []
        return listener
      })
      const [{ all }] = yield* Effect.all([subscribing, together(working)], {
        concurrency: "unbounded",
      })
      const told = (yield* all).map(({ run }) => run)
      assert.strictEqual(new Set(told).size, told.length)
      assert.includeMembers(told, after)
    }))

  it.effect("B3 handed to one: many takers at once share no event", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { take } = yield* listening(namespace)
      const runs = yield* submitAll(times(20).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(20)
      yield* hand.settle(...grants.map((grant) => succeed(grant)))
      const taken: Array<OutboxEvent> = []
      while (taken.length < runs.length) {
        const some = (yield* together(times(6).map(() => take(3)))).flat()
        if (some.length === 0) break
        taken.push(...some)
      }
      assert.deepEqual(sorted(taken.map(({ run }) => run)), sorted(runs))
      assert.isTrue(taken.every((event) => event.hand === 1))
      assert.deepEqual(yield* take(), [])
    }))

  it.effect("B3 handed to one: again when the time is up, with a higher number", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { outbox, take } = yield* listening(namespace)
      yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(3)
      yield* hand.settle(...grants.map((grant) => succeed(grant)))
      const first = yield* take(2, 10_000)
      const rest = yield* take(9, 3_600_000)
      assert.deepEqual([first.length, rest.length], [2, 1])
      yield* elapse(Duration.seconds(7))
      assert.deepEqual(yield* take(), [])
      yield* elapse(Duration.seconds(5))
      const again = yield* take(9, 10_000)
      assert.deepEqual(sorted(endsOf(again)), sorted(endsOf(first)))
      assert.isTrue(again.every((event) => event.hand === 2))
      assert.deepEqual(yield* outbox.done(first), [], "the hands have passed on")
      yield* elapse(Duration.seconds(12))
      assert.deepEqual(
        (yield* take()).map((event) => [event.event, event.hand]),
        again.map(({ event }) => [event, 3]),
      )
    }))

  it.effect("B4 done: for ever, and once", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { outbox, take } = yield* listening(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(2)
      yield* hand.settle(...grants.map((grant) => succeed(grant)))
      const [one, other] = yield* take(2, 5000)
      assert.deepEqual(yield* outbox.done([{ ...one!, hand: 7 }]), [])
      assert.deepEqual(yield* outbox.done([one!, one!, { ...other!, hand: 0 }]), [one!.event])
      assert.deepEqual(yield* outbox.done([one!]), [])
      assert.deepEqual(yield* outbox.done([]), [])
      yield* elapse(Duration.seconds(7))
      assert.deepEqual((yield* take()).map(({ event }) => event), [other!.event])
    }))

  it.effect("B5 in order: of one run the next comes when the one before is done", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { outbox, take } = yield* listening(namespace)
      const run = yield* submitOne(specOf(namespace))
      for (const _ of times(2)) {
        yield* hand.settle(giveUp(yield* hand.one))
        yield* revived(run)
      }
      yield* hand.settle(succeed(yield* hand.one))
      const other = yield* submitOne(specOf(namespace))
      yield* hand.settle(succeed(yield* hand.one))
      const first = yield* take(9, 5000)
      assert.deepEqual(endsOf(first), [`${run} Failed`, `${other} Succeeded`])
      assert.deepEqual(yield* take(), [])
      yield* outbox.done([first[1]!])
      yield* elapse(Duration.seconds(7))
      const again = yield* take()
      assert.deepEqual(again.map(({ event }) => event), [first[0]!.event])
      yield* outbox.done(again)
      const second = yield* take()
      assert.deepEqual(endsOf(second), [`${run} Failed`])
      assert.isAbove(second[0]!.event, first[0]!.event)
      yield* outbox.done(second)
      assert.deepEqual(endsOf(yield* take()), [`${run} Succeeded`])
    }))

  it.effect("B6 own: by consumer, by partition, and no more than is asked for", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { outbox, subscription, take } = yield* listening(namespace)
      const other = yield* listening(namespace)
      const consumer = subscription.consumer
      for (const name of times(20)) {
        yield* outbox.subscribe({ ...subscription, name: `nr-${name}` })
      }
      yield* submitOne(specOf(namespace))
      yield* hand.settle(succeed(yield* hand.one))
      const of = (wanted: ReadonlyArray<number>, limit = 100) =>
        outbox.take({
          consumer,
          partitions: wanted,
          limit,
          forMillis: minuteMillis,
          taker: ++takers,
          round: 1,
        })
      assert.deepEqual(yield* of([]), [])
      assert.deepEqual(yield* of(everywhere, 0), [])
      const own = Outbox.partition({ namespace, name: "nr-7" })
      const some = yield* of([own])
      assert.include(some.map(({ name }) => name), "nr-7")
      for (const { name } of some) {
        assert.strictEqual(Outbox.partition({ namespace, name }), own)
      }
      assert.strictEqual((yield* take(2)).length, 2)
      assert.strictEqual((yield* take()).length, 19 - some.length)
      assert.strictEqual((yield* other.all).length, 1)
    }))

  /** Events of so many runs, for one subscription. */
  const told = (count: number) =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const listener = yield* listening(namespace)
      yield* submitAll(times(count).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(count)
      yield* hand.settle(...grants.map((grant) => succeed(grant)))
      return listener
    })
  const handsOf = (events: ReadonlyArray<OutboxEvent>) =>
    events.map(({ event, hand }) => [event, hand])

  it.effect("B7 rounds: under its round the same is handed out again, and nothing new beside it", () =>
    Effect.gen(function* () {
      const { outbox, take, taker } = yield* told(6)
      const [mine, others] = [taker(), taker()]
      const first = yield* mine(3, { round: 7 })
      assert.strictEqual(first.length, 3)
      const again = yield* mine(5, { round: 7 })
      assert.deepEqual(again, first, "with the same numbers")
      const elsewhere = yield* others(1, { round: 7 })
      assert.strictEqual(elsewhere.length, 1)
      assert.notInclude(first.map(({ event }) => event), elsewhere[0]!.event)
      yield* outbox.done([first[1]!])
      assert.deepEqual(yield* mine(5, { round: 7 }), [first[0]!, first[2]!])
      assert.deepEqual(yield* mine(1, { round: 7 }), [first[0]!], "no more than is asked for")
      yield* outbox.done(first)
      const rest = yield* mine(5, { round: 7 })
      assert.strictEqual(rest.length, 2, "then something new")
      assert.deepEqual(yield* take(), [])
      const all = [...first, ...elsewhere, ...rest].map(({ event }) => event)
      assert.strictEqual(new Set(all).size, 6)
    }))

  it.effect("B7 rounds: what is handed out again is held for as long from then", () =>
    Effect.gen(function* () {
      const { outbox, take, taker } = yield* told(2)
      const mine = taker()
      const first = yield* mine(9, { forMillis: 10_000, round: 1 })
      yield* elapse(Duration.seconds(7))
      assert.deepEqual(handsOf(yield* mine(9, { forMillis: 10_000, round: 1 })), handsOf(first))
      yield* elapse(Duration.seconds(7))
      assert.deepEqual(yield* take(), [])
      yield* elapse(Duration.seconds(5))
      const late = yield* mine(9, { forMillis: 10_000, round: 1 })
      assert.deepEqual(handsOf(late), handsOf(first), "its time was up, and nobody else came")
      yield* elapse(Duration.seconds(12))
      const [other] = yield* take(1)
      assert.strictEqual(other!.hand, 2)
      const left = first.filter(({ event }) => event !== other!.event)
      assert.deepEqual(handsOf(yield* mine(9, { round: 1 })), handsOf(left))
      const done = yield* outbox.done([...first, other!])
      assert.sameMembers([...done], [...left, other!].map(({ event }) => event))
    }))

  it.effect("B7 rounds: a later one has what is left of those before it, and others have not", () =>
    Effect.gen(function* () {
      const { outbox, take, taker } = yield* told(4)
      const mine = taker()
      const first = yield* mine(3)
      yield* outbox.done([first[0]!])
      assert.strictEqual((yield* take(1)).length, 1)
      assert.deepEqual(yield* take(), [])
      const second = yield* mine(1)
      assert.deepEqual(handsOf(second), [[first[1]!.event, 2]])
      assert.deepEqual(yield* outbox.done(first), [first[2]!.event], "the others have passed on")
      const earlier = yield* mine(9, { round: 1 })
      assert.deepEqual(earlier, [], "a round that comes late has nothing of a later one")
      assert.deepEqual(yield* outbox.done(second), [second[0]!.event])
    }))

  it.effect("subscriptions: of one namespace, by consumer and name", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { outbox, subscription } = yield* listening(namespace, { name: "b" })
      yield* listening(freshNamespace())
      const made = [
        { ...subscription, name: "c", on: Ends.of(["Expired", "Succeeded"]) },
        { ...subscription, name: "a", task: TaskName.make("other") },
        { ...subscription, consumer: Outbox.Consumer.make("another"), name: "z" },
      ]
      for (const each of made) yield* outbox.subscribe(each)
      assert.deepEqual(
        yield* outbox.subscriptions(namespace),
        [made[2]!, made[1]!, subscription, made[0]!].map((each) => ({ ...each, missed: 0 })),
      )
    }))

  it.effect("H6 events: leave with their run, and are counted as missed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { all, outbox, subscription, take } = yield* listening(namespace)
      const early = yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(3)
      yield* hand.settle(...grants.map((grant) => succeed(grant)))
      const [taken] = yield* take(1)
      yield* outbox.done([taken!])
      yield* take(1)
      yield* elapse(Duration.days(20))
      const late = yield* submitOne(specOf(namespace))
      yield* cancelled(late)
      yield* elapse(Duration.days(11))
      yield* retireAll
      assert.deepEqual(endsOf(yield* all), [`${late} Cancelled`])
      assert.deepEqual(yield* outbox.subscriptions(namespace), [{ ...subscription, missed: 2 }])
      assert.strictEqual(early.length, 3)
      const resting = yield* submitOne(specOf(namespace))
      yield* suspended(resting)
      yield* resumed(resting)
      const other = yield* joined(namespace)
      yield* other.settle(giveUp(yield* other.one))
      assert.deepEqual(endsOf(yield* all), [`${resting} Failed`])
    }))
}
