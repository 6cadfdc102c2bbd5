/**
 * The laws of `Wakeups`, as tests, with the storage beside it that gives the hints. An adapter
 * passes when `suite(name, layer, elapse)` passes with a layer of both.
 *
 * Hints may be lost, but not in a test where nothing fails on the way.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                              |
 * | --- | ------------------------------------ |
 * | W1  | no hint of lanes; none of executors; |
 * |     | none of what is due soon             |
 * | W2  | a wait forgets what came before it   |
 * | W3  | every hint wakes everybody           |
 * | W4  | a wait that saw nothing returns true |
 *
 * And through Redis, with every storage: executors not told of, submits by SQL not told of (W1); a
 * subscription that begins as another of its topic ends hears nothing (W1, and it was no mistake made
 * on purpose); the first connection wakes who waits (W1).
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, type Layer, type Scope } from "effect"
import type { Incarnation } from "../domain/Executor.ts"
import * as Lane from "../domain/Lane.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import { Report } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import {
  ofDue,
  ofExecutor,
  ofLane,
  ofOutbox,
  ofTriggers,
  type Topic,
  Wakeups,
} from "../services/Wakeups.ts"
import { listening } from "./OutboxStorageContract.ts"
import {
  admitAll,
  block,
  cancelled,
  type Elapse,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  type Hand,
  joined,
  type Options,
  pass,
  promoteAll,
  recoverAll,
  release,
  resumed,
  retry,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
} from "./world.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Wakeups | Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`Wakeups, ${adapter}`, layer, options, (it) => laws(it, elapse, options))

const laneOf = (namespace: Namespace) => Lane.ofTask(namespace, greet)

const subscribed = (...topics: ReadonlyArray<Topic>) =>
  Wakeups.use((wakeups) => wakeups.subscribe(topics))

const put = (namespace: Namespace, millis = 3_600_000) =>
  Storage.use(({ triggers }) =>
    triggers.put(
      new TriggerDefinition({
        namespace,
        name: TriggerName.make("hourly"),
        task: greet,
        schedule: { _tag: "Every", millis },
        payload: "1",
        misfire: { _tag: "Skip" },
      }),
    )
  )

export const laws = <R>(
  it: Tests<Wakeups | Storage | R>,
  elapse: Elapse<R>,
  options: Options = {},
): void => {
  /** Lets time go by until `effect` has ended, `atMost` at the longest. */
  const awaited = <A, E, R>(effect: Effect.Effect<A, E, R>, atMost: Duration.Duration) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
      for (const _ of times(20)) {
        if (fiber.pollUnsafe() !== undefined) break
        yield* pass(options)(Duration.times(atMost, 1 / 20))
      }
      return yield* Fiber.join(fiber)
    })
  const soon = Duration.seconds(4)
  const aWhile = Duration.millis(300)

  it.effect("W1 armed: a hint ends the wait that is under way, of all who wait", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const topic = ofLane(laneOf(namespace))
      const all = [yield* subscribed(topic), yield* subscribed(topic, ofTriggers)]
      for (const { arm } of all) yield* arm
      const waiting = yield* Effect.forEach(
        all,
        ({ wait }) => Effect.forkChild(wait(soon), { startImmediately: true }),
      )
      yield* pass(options)("50 millis")
      for (const fiber of waiting) assert.isUndefined(fiber.pollUnsafe())
      yield* submitOne(specOf(namespace))
      for (const fiber of waiting) assert.isTrue(yield* awaited(Fiber.join(fiber), soon))
    }))

  it.effect("W1 armed: again after each arm, of any of its topics", () =>
    Effect.gen(function* () {
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      const { arm, wait } = yield* subscribed(ofLane(laneOf(namespace)), ofLane(laneOf(other)))
      for (const n of times(4)) {
        yield* arm
        yield* submitOne(specOf(n % 2 ? namespace : other))
        assert.isTrue(yield* awaited(wait(soon), soon))
      }
    }))

  it.effect("W2 kept: a hint between arm and wait is not missed", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { arm, wait } = yield* subscribed(ofLane(laneOf(namespace)))
      yield* arm
      yield* submitAll(times(3).map(() => specOf(namespace)))
      yield* pass(options)("100 millis")
      assert.isTrue(yield* awaited(wait(soon), soon))
    }))

  it.effect("W3 own topics: hints of other topics wake nobody here", () =>
    Effect.gen(function* () {
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      const hand = yield* joined(namespace)
      const { arm, wait } = yield* subscribed(
        ofLane(laneOf(namespace)),
        ofExecutor(hand.incarnation),
      )
      yield* arm
      yield* submitOne(specOf(other))
      yield* put(other)
      const theirs = yield* joined(other)
      yield* cancelled((yield* theirs.one).run)
      assert.isFalse(yield* awaited(wait(aWhile), aWhile))
    }))

  it.effect("W3 own topics: what becomes ready later wakes nobody now", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { arm, wait } = yield* subscribed(ofLane(laneOf(namespace)))
      yield* arm
      yield* submitOne(specOf(namespace, { delayMillis: 600_000 }))
      yield* submitOne(specOf(namespace, { gate: gateOf(namespace, 1) }))
      assert.isFalse(yield* awaited(wait(aWhile), aWhile))
    }))

  it.effect("W4 late is not lost: a wait that saw no hint returns false, at its time", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { arm, wait } = yield* subscribed(ofLane(laneOf(namespace)))
      yield* arm
      const waiting = yield* Effect.forkChild(wait(Duration.seconds(1)), { startImmediately: true })
      yield* pass(options)("500 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* pass(options)("900 millis")
      assert.isDefined(waiting.pollUnsafe())
      assert.isFalse(yield* Fiber.join(waiting))
      // And the next one is armed like the first.
      yield* arm
      yield* submitOne(specOf(namespace))
      assert.isTrue(yield* awaited(wait(soon), soon))
    }))

  it.effect("W4 late is not lost: a subscription that has ended holds up nobody", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const topic = ofLane(laneOf(namespace))
      yield* Effect.scoped(Effect.flatMap(subscribed(topic), ({ arm }) => arm))
      const { arm, wait } = yield* subscribed(topic)
      yield* arm
      yield* submitOne(specOf(namespace))
      assert.isTrue(yield* awaited(wait(soon), soon))
    }))

  type Way = readonly [
    string,
    (namespace: Namespace, hand: Hand) => Effect.Effect<
      {
        readonly topic?: (incarnation: Incarnation) => Topic
        readonly then: Effect.Effect<
          unknown,
          unknown,
          Storage | R
        >
      },
      unknown,
      Storage | R | Scope.Scope
    >,
  ]
  const ways: ReadonlyArray<Way> = [
    [
      "its lane when a run is submitted",
      (namespace) => Effect.succeed({ then: submitOne(specOf(namespace)) }),
    ],
    ["its lane when a run is admitted", (namespace) =>
      Effect.gen(function* () {
        const gate = gateOf(namespace, 1)
        yield* submitOne(specOf(namespace, { gate }))
        return { then: admitAll(gate.key) }
      })],
    ["its lane when a run is promoted", (namespace) =>
      Effect.gen(function* () {
        yield* submitOne(specOf(namespace, { delayMillis: 5000 }))
        return { then: Effect.andThen(elapse(Duration.seconds(6)), promoteAll) }
      })],
    ["its lane when a run is given back", (namespace, hand) =>
      Effect.gen(function* () {
        yield* submitOne(specOf(namespace))
        const grant = yield* hand.one
        return { then: hand.settle(release(grant)) }
      })],
    ["its lane when a retry is due", (namespace, hand) =>
      Effect.gen(function* () {
        yield* submitOne(specOf(namespace))
        const grant = yield* hand.one
        return { then: Effect.andThen(hand.settle(retry(grant)), promoteAll) }
      })],
    ["its lane when a run is recovered", (namespace, hand) =>
      Effect.gen(function* () {
        yield* submitOne(specOf(namespace))
        yield* hand.one
        return { then: Effect.andThen(hand.leave, recoverAll) }
      })],
    ["its lane when a slot has fired", (namespace) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const { definition } = yield* put(namespace, 10_000)
        yield* elapse(Duration.seconds(12))
        const [view] = yield* triggers.list(definition.namespace)
        return {
          then: triggers.fire([{
            trigger: view!.id,
            revision: view!.revision,
            passed: undefined,
            fire: { slot: view!.cursor!, spec: specOf(namespace) },
            next: view!.cursor! + 10_000,
          }]),
        }
      })],
    ["what is due when a run is submitted for soon", (namespace) =>
      Effect.succeed({
        topic: () => ofDue,
        then: submitOne(specOf(namespace, { delayMillis: 900 })),
      })],
    ["what is due when one with a key is", (namespace) =>
      Effect.succeed({
        topic: () => ofDue,
        then: submitOne(specOf(namespace, { delayMillis: 900, idempotencyKey: "once" })),
      })],
    [
      "what is due when a run is to be tried again soon",
      (namespace, hand) =>
        Effect.gen(function* () {
          yield* submitOne(specOf(namespace))
          const grant = yield* hand.one
          return { topic: () => ofDue, then: hand.settle(retry(grant)) }
        }),
    ],
    [
      "what is due when a run is postponed, and more are asked for",
      (namespace, hand) =>
        Effect.gen(function* () {
          yield* submitOne(specOf(namespace))
          const { fence, run } = yield* hand.one
          const report = Report.cases.Postpone.make({ run, fence, delayMillis: 500 })
          return { topic: () => ofDue, then: hand.claim(1, { reports: [report] }) }
        }),
    ],
    ["what is due when a run that is due soon is resumed", (namespace) =>
      Effect.gen(function* () {
        const run = yield* submitOne(specOf(namespace, { delayMillis: 1000 }))
        yield* suspended(run)
        return { topic: () => ofDue, then: resumed(run) }
      })],
    ["what is due when a slot has fired for soon", (namespace) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const { definition } = yield* put(namespace, 10_000)
        yield* elapse(Duration.seconds(12))
        const [view] = yield* triggers.list(definition.namespace)
        return {
          topic: () => ofDue,
          then: triggers.fire([{
            trigger: view!.id,
            revision: view!.revision,
            passed: undefined,
            fire: { slot: view!.cursor!, spec: specOf(namespace, { delayMillis: 500 }) },
            next: view!.cursor! + 10_000,
          }]),
        }
      })],
    ["an executor when its grant is revoked", (namespace, hand) =>
      Effect.gen(function* () {
        yield* submitOne(specOf(namespace))
        const { run } = yield* hand.one
        return { topic: ofExecutor, then: cancelled(run) }
      })],
    [
      "triggers when one is put",
      (namespace) => Effect.succeed({ topic: () => ofTriggers, then: put(namespace) }),
    ],
    ["triggers when one is resumed", (namespace) =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const { definition: { name } } = yield* put(namespace)
        yield* triggers.pause(namespace, name, true)
        return { topic: () => ofTriggers, then: triggers.pause(namespace, name, false) }
      })],
    ["the outbox when a run succeeds", (namespace, hand) =>
      Effect.gen(function* () {
        const grant = yield* watchedGrant(namespace, hand)
        return { topic: () => ofOutbox, then: hand.claim(1, { reports: [succeed(grant)] }) }
      })],
    ["the outbox when a run fails", (namespace, hand) =>
      Effect.gen(function* () {
        const grant = yield* watchedGrant(namespace, hand)
        return { topic: () => ofOutbox, then: hand.settle(giveUp(grant)) }
      })],
    ["the outbox when a run that waits is cancelled", (namespace, hand) =>
      Effect.gen(function* () {
        yield* watchedGrant(namespace, hand)
        const run = yield* submitOne(specOf(namespace))
        return { topic: () => ofOutbox, then: cancelled(run) }
      })],
  ]
  /** A grant of a task that somebody is subscribed to. */
  function watchedGrant(namespace: Namespace, hand: Hand) {
    return Effect.gen(function* () {
      yield* listening(namespace)
      yield* submitOne(specOf(namespace))
      return yield* hand.one
    })
  }

  for (const [what, way] of ways) {
    it.effect(`W1 armed: storage hints ${what}`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const { then, topic } = yield* way(namespace, hand)
        const { arm, wait } = yield* subscribed(
          topic?.(hand.incarnation) ?? ofLane(laneOf(namespace)),
        )
        yield* arm
        yield* then
        assert.isTrue(yield* awaited(wait(soon), soon))
      }))
  }

  it.effect("W1 armed: whoever looks after arming, and waits, sees every run", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { arm, wait } = yield* subscribed(ofLane(laneOf(namespace)))
      let done = 0
      const working = yield* Effect.forkChild(Effect.gen(function* () {
        while (done < 20) {
          yield* arm
          const { grants } = yield* hand.claim(2)
          done += grants.length
          yield* hand.settle(...grants.map((grant) => succeed(grant)))
          if (grants.length === 0) assert.isTrue(yield* wait(soon), "a hint was missed")
        }
      }))
      for (const n of times(10)) {
        yield* submitAll(times(2).map(() => specOf(namespace)))
        if (n % 3 === 0) yield* pass(options)("20 millis")
      }
      yield* awaited(Fiber.join(working), soon)
    }))
}
