import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { TaskName } from "../../core/domain/Task.ts"
import { Executor } from "../../core/engine/Executor.ts"
import * as Task from "../../core/engine/Task.ts"
import { Server } from "../Server.ts"
import { api, Platform, token } from "../Server.fixture.ts"

const Order = Task.make("shop/order", {
  payload: { total: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 99 })) },
  earlier: Task.earlier({ amount: Schema.Int }).now(({ amount }) => ({ total: amount })),
})

const Main = Order.toLayer(() => Effect.void).pipe(
  Layer.provideMerge(Executor.layerWith({ name: "in-process", drainTimeout: "10 millis" })),
  Layer.provideMerge(Server.layer({ port: 0, token, dueInterval: "20 millis" })),
  Layer.provideMerge(Platform),
)

layer(Main, { excludeTestServices: true })("payloads, over REST", (it) => {
  it.effect("shows how a payload looks, by version, of one task and not in lists", () =>
    Effect.gen(function* () {
      const client = yield* api
      const { payloads } = yield* client.tasks.get({ params: { name: Order.name }, query: {} })
      const [first, present] = payloads!
      assert.deepInclude(first, { type: "object", required: ["amount"] })
      assert.deepInclude(present, {
        type: "object",
        properties: { total: { type: "integer", minimum: 1, maximum: 99 } },
        required: ["total"],
      })
      const { items } = yield* client.tasks.list({ query: {} })
      assert.isTrue(items.every((each) => !("payloads" in each)))
    }))

  it.effect("refuses a payload that its code could not read, however it comes, and keeps nothing", () =>
    Effect.gen(function* () {
      const client = yield* api
      const task = Order.name
      const fields = { schedule: { everyMillis: 86_400_000 }, task }
      yield* client.triggers.put({
        params: { name: "orders" },
        payload: { ...fields, payload: { $version: 2, total: 1 } },
      })
      const before = yield* Order.submit({ total: 7 })
      yield* Order.result(before)
      const count = Effect.map(
        client.runs.list({ query: { task, limit: 100 } }),
        ({ items }) => items.length,
      )
      const bad = { $version: 2, total: 100 }
      const ways: Readonly<
        Record<string, (payload: Schema.Json) => Effect.Effect<unknown, unknown>>
      > = {
        submit: (payload) => client.runs.submit({ headers: {}, payload: { task, payload } }),
        again: (payload) =>
          client.runs.again({ params: { id: before }, headers: {}, payload: { payload } }),
        put: (payload) =>
          client.triggers.put({ params: { name: "others" }, payload: { ...fields, payload } }),
        fire: (payload) =>
          client.triggers.fire({ params: { name: "orders" }, headers: {}, payload: { payload } }),
      }
      for (const [way, give] of Object.entries(ways)) {
        const many = yield* count
        const refused = yield* Effect.flip(give(bad))
        assert.deepInclude(refused, { _tag: "RequestRefused", field: "payload.total" }, way)
        assert.match((refused as { remedy: string }).remedy, /\/tasks\/shop%2Forder/)
        for (
          const [payload, field] of [[{ total: 5 }, "payload.amount"], [
            {},
            "payload.amount",
          ]] as const
        ) {
          assert.deepInclude(yield* Effect.flip(give(payload)), { field }, "of the first version")
        }
        assert.strictEqual(yield* count, many, way)
        // Of the first version, of the present one, with more than is known, and of one to come.
        yield* give({ amount: 3 })
        yield* give({ ...bad, total: 99, more: true })
        yield* give({ $version: 3, whatever: 1 })
      }
      const { items } = yield* client.triggers.list({ query: {} })
      assert.sameMembers(items.map(({ name }) => `${name}`), ["orders", "others"])
      // A trigger may come before the task that it names.
      yield* client.triggers.put({
        params: { name: "early" },
        payload: { ...fields, task: TaskName.make("not/yet"), payload: 3 },
      })
      // What it follows gives the payload of each run.
      yield* client.triggers.put({
        params: { name: "follows" },
        payload: {
          task,
          schedule: { after: TaskName.make("mirror"), on: "success", passing: "result" },
        },
      })
    }))
})
