/**
 * The laws of `TaskStorage`, as tests.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                     |
 * | --- | --------------------------- |
 * | D1  | the first definition stays; without the schemas of its payloads |
 * | D2  | always raised; never raised |
 * | D3  | the latest submitted only (behind a backlog); what was never carried out |
 * | D4  | introduced over what is defined |
 *
 * On PostgreSQL: the latest submitted only; nothing looked at before those that wait, or before those
 * that are held; the first that ended; what was never carried out (D3). Introduced over what is defined, on
 * SQLite too; at no revision (D4).
 */
import { assert } from "@effect/vitest"
import { Effect, type Layer, Option } from "effect"
import { TaskDefinition, TaskName } from "../domain/Task.ts"
import { Storage } from "../services/Storage.ts"
import { lookedAt, saidMax } from "../services/TaskStorage.ts"
import {
  block,
  cancelled,
  definitionOf,
  failure,
  found,
  freshNamespace,
  giveUp,
  greet,
  joined,
  type Options,
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
  options: Options = {},
): void => block(`TaskStorage, ${adapter}`, layer, options, (it) => laws(it))

const rich = (namespace: ReturnType<typeof freshNamespace>): TaskDefinition =>
  new TaskDefinition({
    namespace,
    name: greet,
    policy: {
      retry: { attempts: 7, delayMillis: 250, growth: 1.5, capMillis: 60_000, jitter: 0.25 },
      timeoutMillis: 30_000,
      blocking: { _tag: "Concurrent", limit: 12 },
      delivery: "at-most-once",
      crashesMax: 0,
      level: 0,
    },
    owner: "Ада & söhne",
    purpose: "greets 🎩 '\\u0000'",
    hooks: ["rollback", "clean"],
    payloads: [
      null,
      {
        type: "object",
        properties: {
          name: { type: "string", pattern: "^[^\\u0000]'🎩$" },
          at: { $ref: "#/$defs/At" },
        },
        required: ["name"],
        $defs: {
          At: {
            type: ["string", "null"],
            minLength: 1,
            default: null,
            examples: [1.5, true, [], {}],
          },
        },
      },
    ],
  })

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("D3 last: of each task how the last run went, whatever waits behind it", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      const other = TaskName.make("other")
      yield* tasks.define([definitionOf(namespace), definitionOf(namespace, other)])
      assert.deepEqual(yield* tasks.lasts(namespace), [])
      const hand = yield* joined(namespace)
      const first = yield* submitOne(specOf(namespace))
      yield* hand.settle(succeed(yield* hand.one))
      const second = yield* submitOne(specOf(namespace))
      yield* hand.settle(giveUp(yield* hand.one))
      assert.isAbove(second, first)
      const [failed, ...more] = yield* tasks.lasts(namespace)
      assert.deepEqual(more, [])
      assert.deepInclude(failed, {
        task: greet,
        run: second,
        state: "Failed",
        attempt: 1,
        said: failure.message,
      })
      assert.isAtLeast(failed!.finishedAt, failed!.claimedAt)
      // Neither what was never carried out, nor what waits, is how it went.
      yield* cancelled(yield* submitOne(specOf(namespace)))
      yield* submitAll(times(2 * lookedAt).map(() => specOf(namespace)))
      assert.deepEqual(yield* tasks.lasts(namespace), [failed!])
      const { grants: [next, after] } = yield* hand.claim(2)
      yield* hand.settle(succeed(next!, JSON.stringify("x".repeat(2 * saidMax))))
      const [last] = yield* tasks.lasts(namespace)
      assert.deepInclude(last, { run: next!.run, state: "Succeeded" })
      assert.strictEqual(last!.said, `"${"x".repeat(saidMax - 1)}`)
      assert.strictEqual((yield* found(after!.run)).state, "Running")
      const { grants: rest } = yield* hand.claim(2 * lookedAt)
      assert.strictEqual(rest.length, 2 * lookedAt - 2, "all are held, and none waits")
      assert.deepEqual(yield* tasks.lasts(namespace), [last!])
      assert.deepEqual(yield* tasks.lasts(freshNamespace()), [])
    }))

  it.effect("D1 latest: what was defined last is found and listed, whole", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      yield* tasks.define([definitionOf(namespace), definitionOf(namespace, "b")])
      yield* tasks.define([rich(namespace)])
      const kept = Option.getOrThrow(yield* tasks.find(namespace, greet))
      assert.deepEqual(kept, { definition: rich(namespace), revision: 2 })
      assert.deepEqual(yield* tasks.list(namespace), [
        { definition: definitionOf(namespace, "b"), revision: 1 },
        kept,
      ])
    }))

  it.effect("D1 latest: what was never defined is not found", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      yield* tasks.define([])
      assert.isTrue(Option.isNone(yield* tasks.find(namespace, TaskName.make("none"))))
      assert.deepEqual(yield* tasks.list(namespace), [])
    }))

  it.effect("D1 latest: of one name twice in a call the last counts", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      yield* tasks.define([
        definitionOf(namespace, greet, "a"),
        definitionOf(namespace, greet, "b"),
      ])
      const { definition } = Option.getOrThrow(yield* tasks.find(namespace, greet))
      assert.strictEqual(definition.purpose, "b")
    }))

  it.effect("D2 revision: rises by one with a different definition only", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      const revision = (definition: TaskDefinition) =>
        Effect.gen(function* () {
          yield* tasks.define([definition])
          return Option.getOrThrow(yield* tasks.find(namespace, greet)).revision
        })
      const first = definitionOf(namespace)
      assert.strictEqual(yield* revision(first), 1)
      assert.strictEqual(yield* revision(definitionOf(namespace)), 1)
      assert.strictEqual(yield* revision(rich(namespace)), 2)
      assert.strictEqual(yield* revision(rich(namespace)), 2)
      const { policy } = first
      const others = [
        definitionOf(namespace, greet, "for a purpose"),
        new TaskDefinition({ ...first, policy: { ...policy, level: 2 } }),
        new TaskDefinition({ ...first, policy: { ...policy, timeoutMillis: 1 } }),
        new TaskDefinition({ ...first, hooks: [] }),
        new TaskDefinition({ ...first, hooks: ["rollback"] }),
        first,
      ]
      for (const [at, other] of others.entries()) {
        assert.strictEqual(yield* revision(other), 3 + at)
      }
    }))

  it.effect("D4 introduced: where there is none, and nowhere else", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      const kept = (name = greet) => Effect.map(tasks.find(namespace, name), Option.getOrThrow)
      yield* tasks.introduce(rich(namespace))
      const first = { definition: rich(namespace), revision: 1 }
      assert.deepEqual(yield* kept(), first)
      assert.deepEqual(yield* tasks.list(namespace), [first])
      yield* tasks.introduce(definitionOf(namespace))
      assert.deepEqual(yield* kept(), first)
      // Who serves it has the last word.
      yield* tasks.define([rich(namespace)])
      assert.deepEqual(yield* kept(), first)
      yield* tasks.define([definitionOf(namespace)])
      const second = { definition: definitionOf(namespace), revision: 2 }
      assert.deepEqual(yield* kept(), second)
      yield* tasks.introduce(rich(namespace))
      assert.deepEqual(yield* kept(), second)
      // Its name may be known already, by its runs.
      const other = TaskName.make("other")
      yield* submitOne({ ...specOf(namespace), task: other })
      assert.isTrue(Option.isNone(yield* tasks.find(namespace, other)))
      yield* tasks.introduce(definitionOf(namespace, other))
      assert.deepEqual(yield* kept(other), {
        definition: definitionOf(namespace, other),
        revision: 1,
      })
    }))

  it.effect("D4 introduced: at once by many, while it is defined", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      const names = times(20).map((n) => TaskName.make(`task-${n}`))
      for (const name of names) {
        yield* together([
          ...times(4).map((n) => tasks.introduce(definitionOf(namespace, name, `guessed ${n}`))),
          tasks.define([definitionOf(namespace, name, "served")]),
          ...times(4).map((n) => tasks.introduce(definitionOf(namespace, name, `later ${n}`))),
        ])
        const { definition, revision } = Option.getOrThrow(yield* tasks.find(namespace, name))
        assert.strictEqual(definition.purpose, "served")
        assert.isAtMost(revision, 2)
      }
    }))

  it.effect("D2 revision: equal definitions at once are one", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const namespace = freshNamespace()
      yield* together(
        times(8).map((n) =>
          // In any order, as executors that start together do.
          tasks.define(
            (n % 2 ? ["a", "b"] : ["b", "a"]).map((name) => definitionOf(namespace, name)),
          )
        ),
      )
      assert.deepEqual((yield* tasks.list(namespace)).map(({ revision }) => revision), [1, 1])
    }))
}
