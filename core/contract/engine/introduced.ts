/** A trigger that comes from code brings what is known of its task, before anybody serves it. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, Schema, Stream } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import * as Retry from "../../domain/Retry.ts"
import { usualPolicy } from "../../domain/Task.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Source from "../../engine/Source.ts"
import * as Task from "../../engine/Task.ts"
import * as Trigger from "../../engine/Trigger.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { Storage } from "../../services/Storage.ts"
import { serving, state, type Test, until } from "../program.ts"

const found = Effect.fnUntraced(function* ({ name }: Pick<Task.Task, "name">) {
  const { tasks } = yield* Storage
  return yield* tasks.find(yield* CurrentNamespace, name)
})

const defined = (task: Pick<Task.Task, "name">) => Effect.map(found(task), Option.getOrThrow)

/** The runs of a trigger, in the order of their slots. */
const firedBy = Effect.fnUntraced(function* (trigger: string) {
  const records = yield* Triggers.use(({ records }) =>
    Effect.flatMap(CurrentNamespace, (namespace) => records(namespace, trigger, 100))
  )
  return records.flatMap(({ run, slot }) => run === undefined ? [] : [{ run, slot }]).reverse()
})

export const introduced = (test: Test): void => {
  test("the first slot fires by the policy of its task, although nobody has served it yet", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const only = Task.make("only", {
        policy: {
          blocking: Blocking.discard,
          level: 1,
          deadlineMillis: 3_600_000,
          retry: Retry.exponential({ attempts: 2, delayMillis: 20 }),
        },
        owner: "team-bells",
      })
      yield* Layer.build(only.schedule("secondly", Trigger.cron("* * * * * *"), {}))
      yield* until(firedBy("secondly"), ({ length }) => length >= 3)
      yield* Triggers.use(({ pause }) => pause(namespace, "secondly"))
      const [first, ...others] = yield* firedBy("secondly")
      const waiting = yield* state(first!.run)
      assert.deepInclude(waiting, { state: "Ready", level: 1 })
      assert.isDefined(waiting.gate)
      assert.strictEqual(
        DateTime.toEpochMillis(waiting.deadlineAt!) - DateTime.toEpochMillis(waiting.dueAt),
        3_600_000,
      )
      // The last is there before it is decided about.
      for (const { run } of others) {
        yield* until(state(run), ({ state }) => state === "Discarded")
      }
      const brought = yield* defined(only)
      let begun = 0
      yield* serving(only.toLayer(() => Effect.sync(() => begun++)))
      yield* Scheduler.use(({ ended }) => ended(first!.run))
      assert.strictEqual(begun, 1)
      // Claims do not wait for what it brings.
      const { definition } = yield* until(
        defined(only),
        ({ definition: { hooks } }) => hooks !== undefined,
      )
      const { hooks, ...served } = definition
      assert.deepEqual(served, { ...brought.definition }, "an executor brings the same")
      assert.deepEqual(hooks, [], "and what only it knows")
    }))

  test("whatever it is that fires it", () =>
    Effect.gen(function* () {
      const policy = { retry: Retry.exponential({ attempts: 9, delayMillis: 20 }) }
      const behind = Task.make("behind", { policy })
      const always = Task.make("always", { policy })
      const tailing = Task.make("tailing", { payload: { name: Schema.String }, policy })
      const source = Source.fromStream("guests", () => Stream.empty)
      yield* Layer.build(Layer.mergeAll(
        behind.schedule("behind", Trigger.after("other"), {}),
        always.schedule("always", Trigger.permanent(), {}),
        tailing.schedule("tailing", Trigger.tail(source, { entry: Schema.String }), (name) => ({
          name,
        })),
      ))
      for (const task of [behind, always, tailing]) {
        assert.deepEqual(yield* defined(task), {
          definition: task.definition(yield* CurrentNamespace),
          revision: 1,
        })
      }
    }))

  test("it changes nothing of a task that somebody has brought", () =>
    Effect.gen(function* () {
      const before = Task.make("changing", { policy: { level: 3 } })
      const now = Task.make("changing", { policy: { level: 1 } })
      yield* serving(now.toLayer(() => Effect.void))
      yield* until(found(now), Option.isSome)
      yield* Layer.build(before.schedule("yearly", Trigger.cron("0 0 1 1 *"), {}))
      const { definition, revision } = yield* defined(now)
      assert.strictEqual(definition.policy.level, 1)
      assert.strictEqual(revision, 1)
    }))

  test("a trigger from elsewhere fires by the usual policy, and by the task's as soon as it is brought", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const { now, tasks } = yield* Storage
      const only = Task.make("only", { policy: { blocking: Blocking.discard } })
      yield* Triggers.use(({ put }) =>
        put({
          namespace,
          name: "secondly",
          task: only.name,
          schedule: Trigger.cron("* * * * * *"),
          payload: "{}",
        })
      )
      yield* until(firedBy("secondly"), ({ length }) => length >= 1)
      yield* tasks.define([only.definition(namespace)])
      // What is handed to the storage before its instant was made before it as well.
      const since = (yield* now) + 250
      const isAfter = ({ slot }: { readonly slot: number }) => slot > since
      const fired = yield* until(firedBy("secondly"), (all) => all.filter(isAfter).length >= 3)
      yield* Triggers.use(({ pause }) => pause(namespace, "secondly"))
      const [first] = fired
      const { gate, level } = yield* state(first!.run)
      assert.isUndefined(gate)
      assert.strictEqual(level, usualPolicy.level)
      for (const { run } of fired.filter(isAfter)) {
        assert.isDefined((yield* state(run)).gate)
      }
    }))
}
