/**
 * The laws of `Registry`, as tests. A registry passes when `suite` passes with `process`, which makes
 * the registry of one more process over the storage of the layer; `kill` cuts that process off.
 *
 * Tried on the registry over storage, and caught:
 *
 * | law | mistake                                                                             |
 * | --- | ----------------------------------------------------------------------------------- |
 * | G1  | the gone are listed; the draining are not; a thousand gone ones crowd a live one out |
 * | G2  | kept whatever its age; every age is 0                                               |
 * | G3  | one revision for ever; a new one each time; what they hold is part of it            |
 * | G4  | looks once in a minute                                                              |
 * | G5  | does not leave; does not beat; the earlier of one name; everybody is oneself        |
 * | G6  | one kept answer for all namespaces; schedulers in a namespace of users              |
 */
import { assert } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { ExecutorName } from "../domain/Executor.ts"
import { standard } from "../domain/Namespace.ts"
import * as StorageRegistry from "../engine/StorageRegistry.ts"
import { Registry } from "../services/Registry.ts"
import { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import {
  block,
  definitionOf,
  type Elapse,
  fresh,
  freshNamespace,
  joined,
  type Options,
  pass,
  specOf,
  submitOne,
  type Tests,
  times,
} from "./world.ts"

export interface Process {
  readonly registry: Registry["Service"]
  /** From now on nothing that it does arrives. */
  readonly kill: Effect.Effect<void>
}

type MakeProcess = Effect.Effect<Process, unknown, Storage | Scope.Scope>

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  process: MakeProcess,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`Registry, ${adapter}`, layer, options, (it) => laws(it, process, elapse, options))

const cutOff = new StorageUnavailable({
  storage: "any",
  operation: "any",
  cause: new Error("cut off"),
})

/** One more process whose registry asks the storage. */
export const overStorage: MakeProcess = Effect.gen(function* () {
  const storage = yield* Storage
  let isCutOff = false
  const reached = <A>(call: Effect.Effect<A, StorageUnavailable>) =>
    Effect.suspend(() => isCutOff ? Effect.fail(cutOff) : call)
  const { beat, join, leave, list } = storage.executors
  const executors: Storage["Service"]["executors"] = {
    ...storage.executors,
    join: (joining) => reached(join(joining)),
    beat: (incarnation, held) => reached(beat(incarnation, held)),
    leave: (incarnation) => reached(leave(incarnation)),
    list: (namespace) => reached(list(namespace)),
  }
  const context = yield* StorageRegistry.layer.pipe(
    Layer.provide(Layer.succeed(Storage, { ...storage, executors })),
    Layer.fresh,
    Layer.build,
  )
  return {
    registry: Context.get(context, Registry),
    kill: Effect.sync(() => {
      isCutOff = true
    }),
  }
})

const short = Duration.seconds(30)

const laws = <R>(
  it: Tests<Storage | R>,
  process: MakeProcess,
  elapse: Elapse<R>,
  options: Options,
): void => {
  const registry = Effect.map(process, ({ registry }) => registry)
  const schedulerName = () => ExecutorName.make(fresh("scheduler"))
  // It must have looked once before anything changes, or it would see the change at once.
  const waitingFor = Effect.forkChild({ startImmediately: true })
  const listed = (of: Registry["Service"], name: ExecutorName) =>
    Effect.map(of.schedulers, (all) => all.filter((each) => each.name === name))

  it.effect("G1 alive: lists who is live or drains, and nobody who left or is lost", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const { snapshot } = yield* registry
      const namespace = freshNamespace()
      assert.deepStrictEqual((yield* snapshot(namespace)).executors, [])
      const lost = yield* joined(namespace, short)
      const left = yield* joined(namespace)
      const draining = yield* joined(namespace)
      const live = yield* joined(namespace)
      yield* left.leave
      yield* executors.drain(draining.incarnation)
      yield* elapse(Duration.seconds(31))
      const { executors: listed } = yield* snapshot(namespace)
      assert.deepStrictEqual(listed.map(({ incarnation, standing }) => [incarnation, standing]), [
        [live.incarnation, "live"],
        [draining.incarnation, "draining"],
      ])
      assert.deepEqual(
        listed,
        (yield* executors.list(namespace)).slice(0, 4).filter((view) =>
          listed.some(({ incarnation }) => incarnation === view.incarnation)
        ),
      )
      assert.isDefined(lost)
    }))

  it.effect("G1 alive: also when many have gone", () =>
    Effect.gen(function* () {
      const { snapshot } = yield* registry
      const namespace = freshNamespace()
      const { executors: storage } = yield* Storage
      const first = yield* joined(namespace)
      const joining = {
        namespace,
        name: ExecutorName.make("restless"),
        capacity: 1,
        labels: {},
        ttlMillis: 60_000,
      }
      yield* Effect.forEach(
        times(1001),
        () => Effect.flatMap(storage.join(joining), storage.leave),
        { concurrency: 8 },
      )
      const { executors } = yield* snapshot(namespace)
      assert.deepStrictEqual(executors.map(({ incarnation }) => incarnation), [first.incarnation])
    }))

  it.effect("G2 dated: without a bound it is asked for anew, and with one it is no older", () =>
    Effect.gen(function* () {
      const { snapshot } = yield* registry
      const namespace = freshNamespace()
      yield* joined(namespace)
      assert.strictEqual((yield* snapshot(namespace, "1 hour")).executors.length, 1)
      yield* joined(namespace)
      yield* pass(options)("300 millis")
      const old = yield* snapshot(namespace, "1 hour")
      // Whoever does not know of the second one yet says that it is older.
      if (old.executors.length === 1) assert.isAtLeast(old.ageMillis, 300)
      assert.isAtLeast(old.ageMillis, 0)
      assert.strictEqual((yield* snapshot(namespace, "200 millis")).executors.length, 2)
      yield* joined(namespace)
      assert.strictEqual((yield* snapshot(namespace)).executors.length, 3)
    }))

  it.effect("G3 revision: another one with every change of who is here and what they are", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const { snapshot } = yield* registry
      const namespace = freshNamespace()
      const revisions: Array<number> = []
      const look = Effect.gen(function* () {
        const { revision } = yield* snapshot(namespace)
        assert.strictEqual((yield* snapshot(namespace)).revision, revision, "nothing has changed")
        revisions.push(revision)
      })
      yield* look
      const hand = yield* joined(namespace)
      yield* look
      yield* executors.serve(hand.incarnation, [definitionOf(namespace, "other")])
      yield* look
      yield* executors.drain(hand.incarnation)
      yield* look
      yield* hand.leave
      yield* look
      yield* joined(namespace)
      yield* look
      for (const [at, revision] of revisions.entries()) {
        if (at > 0) assert.notStrictEqual(revision, revisions[at - 1], `change ${at}`)
      }
    }))

  it.effect("G3 revision: says who is here, and not how busy they are", () =>
    Effect.gen(function* () {
      const { snapshot } = yield* registry
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const before = yield* snapshot(namespace)
      yield* submitOne(specOf(namespace))
      yield* hand.one
      yield* hand.beat
      const after = yield* snapshot(namespace)
      assert.strictEqual(after.revision, before.revision)
      assert.deepStrictEqual(
        [before, after].map(({ executors: [one] }) => one!.held),
        [0, 1],
      )
    }))

  it.effect("G4 watched: whoever waits for a change hears of it soon", () =>
    Effect.gen(function* () {
      const { changed, snapshot } = yield* registry
      const namespace = freshNamespace()
      const { revision } = yield* snapshot(namespace)
      const waiting = yield* waitingFor(changed(namespace, revision))
      const hand = yield* joined(namespace)
      yield* pass(options)("3 seconds")
      assert.isDefined(waiting.pollUnsafe(), "of a join")
      const { revision: then } = yield* snapshot(namespace)
      const again = yield* waitingFor(changed(namespace, then))
      yield* hand.leave
      yield* pass(options)("3 seconds")
      assert.isDefined(again.pollUnsafe(), "of a leave")
      yield* Fiber.interruptAll([waiting, again])
      yield* changed(namespace, then)
    }))

  it.effect("G5 schedulers: one is listed as long as its scope lasts", () =>
    Effect.gen(function* () {
      const [own, other] = [yield* registry, yield* registry]
      const name = schedulerName()
      const labels = { url: "http://10.0.0.7:7070" }
      const scope = yield* Scope.make()
      yield* Scope.provide(own.announce({ name, labels, ttl: "4 seconds" }), scope)
      for (const [of, isSelf] of [[own, true], [other, false]] as const) {
        const [one, ...others] = yield* listed(of, name)
        assert.deepStrictEqual(others, [])
        assert.deepInclude(one!, { name, labels, isSelf })
      }
      yield* pass(options)("5 seconds")
      assert.strictEqual((yield* listed(other, name)).length, 1, "it keeps itself alive")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* listed(other, name), [])
      assert.deepStrictEqual(yield* listed(own, name), [])
    }))

  it.effect("G5 schedulers: one that was killed is gone after its ttl", () =>
    Effect.gen(function* () {
      const { kill, registry: dying } = yield* process
      const other = yield* registry
      const name = schedulerName()
      yield* dying.announce({ name, ttl: "1 minute" })
      yield* kill
      assert.strictEqual((yield* listed(other, name)).length, 1)
      yield* elapse(Duration.seconds(61))
      assert.deepStrictEqual(yield* listed(other, name), [])
    }))

  it.effect("G5 schedulers: one that comes back under its name is listed once", () =>
    Effect.gen(function* () {
      const { kill, registry: dying } = yield* process
      const again = yield* registry
      const name = schedulerName()
      yield* dying.announce({ name, ttl: "1 minute" })
      yield* kill
      yield* again.announce({ name, ttl: "1 minute", labels: { version: "2" } })
      const all = yield* listed(again, name)
      assert.deepStrictEqual(all.map(({ isSelf, labels }) => ({ isSelf, labels })), [
        { isSelf: true, labels: { version: "2" } },
      ])
    }))

  it.effect("G6 isolated: who is here is nobody's business elsewhere", () =>
    Effect.gen(function* () {
      const { announce, snapshot } = yield* registry
      const [here, there] = [freshNamespace(), freshNamespace()]
      yield* joined(there)
      const name = schedulerName()
      yield* announce({ name })
      assert.deepStrictEqual((yield* snapshot(here)).executors, [])
      const { executors } = yield* snapshot(standard)
      assert.notInclude(executors.map((view) => view.name), name)
      assert.strictEqual((yield* snapshot(there)).executors.length, 1)
      assert.deepStrictEqual((yield* snapshot(here, "1 hour")).executors, [])
    }))
}
