import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { standard } from "../../core/domain/Namespace.ts"
import { TaskDefinition, TaskName, usualPolicy } from "../../core/domain/Task.ts"
import { Executor } from "../../core/engine/Executor.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import * as Task from "../../core/engine/Task.ts"
import { Required } from "../../core/services/Required.ts"
import { Storage } from "../../core/services/Storage.ts"
import { Transport } from "../../core/services/Transport.ts"
import { Server } from "../Server.ts"
import { api, authorized, call, token } from "../Server.fixture.ts"

const Invoices = Task.make("invoices", { owner: "billing", purpose: "sends invoices" })
const Refunds = Task.make("refunds", {
  owner: "billing",
  purpose: "pays back",
  policy: { timeout: "20 millis" },
})
const Mirror = Task.make("mirror", { owner: "ops", purpose: "copies what there is" })

const Main = Layer.mergeAll(
  Invoices.toLayer(() => Effect.sleep("60 millis")),
  Refunds.toLayer(() => Effect.never),
  Mirror.toLayer(() => Effect.succeed(undefined)),
).pipe(
  Layer.provideMerge(Executor.layerWith({ name: "in-process", drainTimeout: "10 millis" })),
  Layer.provideMerge(Server.layer({ port: 0, token, dueInterval: "20 millis" })),
  Layer.provideMerge(Direct.layer.pipe(
    Layer.provide(Layer.succeed(Required, ["owner", "purpose"])),
    Layer.provideMerge(Memory.layer),
    Layer.provideMerge(LocalOwnership.layer),
  )),
)

layer(Main, { excludeTestServices: true })("tasks, over REST", (it) => {
  it.effect("J15: each with its last run: when, how long, timed out or not, and its result", () =>
    Effect.gen(function* () {
      const client = yield* api
      const before = yield* client.tasks.list({ query: {} })
      assert.isTrue(before.items.every(({ last }) => last === undefined))
      const mirror = yield* Mirror.submit({})
      yield* Mirror.result(mirror)
      yield* Invoices.execute({})
      yield* Effect.flip(Refunds.execute({}))
      const sorted = (sort: "last" | "duration" | "outcome") =>
        Effect.map(
          client.tasks.list({ query: { sort } }),
          ({ items }) => items.map(({ name }) => String(name)),
        )
      assert.deepStrictEqual(yield* sorted("last"), ["refunds", "invoices", "mirror"])
      assert.deepStrictEqual((yield* sorted("duration"))[0], "invoices")
      assert.deepStrictEqual((yield* sorted("outcome"))[0], "refunds")
      const shown = (name: string) => client.tasks.get({ params: { name }, query: {} })
      const invoices = yield* shown("invoices")
      assert.strictEqual(invoices.last?.state, "Succeeded")
      assert.isAtLeast(invoices.last!.durationMillis, 59)
      const refunds = yield* shown("refunds")
      assert.deepInclude(refunds.last, { state: "TimedOut", attempt: 1 })
      assert.include(refunds.last!.said, "20 ms")
      assert.deepInclude((yield* shown("mirror")).last, { run: mirror, state: "Succeeded" })
    }))

  it.effect("J3: listed, counted and exported by namespace, owner and state", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const client = yield* api
      const idle = { name: TaskName.make("idle"), owner: "ops", purpose: "waits for somebody" }
      yield* tasks.define([
        new TaskDefinition({ namespace: standard, policy: usualPolicy, ...idle }),
      ])
      const all = yield* client.tasks.list({ query: {} })
      assert.strictEqual(all.total, (yield* tasks.list(standard)).length)
      assert.strictEqual(all.total, all.items.length)
      const names = (query: Parameters<typeof client.tasks.list>[0]["query"]) =>
        Effect.map(
          client.tasks.list({ query }),
          ({ items, total }) => [total, ...items.map(({ name }) => String(name))],
        )
      assert.deepStrictEqual(yield* names({ owner: "billing" }), [2, "invoices", "refunds"])
      assert.deepStrictEqual(yield* names({ owner: "ops" }), [2, "idle", "mirror"])
      assert.deepStrictEqual(yield* names({ owner: "ops", state: "unserved" }), [1, "idle"])
      assert.deepStrictEqual(yield* names({ owner: "nobody" }), [0])
      assert.deepStrictEqual(yield* names({ namespace: "elsewhere" as never }), [0])
      const wrong = yield* call("GET", "/api/v1/tasks?state=asleep", authorized)
      assert.strictEqual(wrong.status, 400)
    }))

  it.effect("J3: where owner and purpose are required, no task is taken in without them", () =>
    Effect.gen(function* () {
      const { executors, tasks } = yield* Storage
      const transport = yield* Transport
      const [member] = yield* executors.list(standard)
      const serving = (more: Partial<TaskDefinition>) =>
        transport.serve(member!.incarnation, [
          new TaskDefinition({
            namespace: standard,
            name: TaskName.make("anonymous"),
            policy: usualPolicy,
            ...more,
          }),
        ])
      for (
        const [more, field] of [
          [{}, "anonymous.owner"],
          [{ owner: " ", purpose: "is for something" }, "anonymous.owner"],
          [{ owner: "ops" }, "anonymous.purpose"],
        ] as const
      ) {
        const refused = yield* Effect.flip(serving(more))
        assert.deepInclude(refused, { _tag: "Refused", field })
      }
      const kept = yield* tasks.list(standard)
      assert.isFalse(kept.some(({ definition }) => definition.name === "anonymous"))
    }))
})
