import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Group from "../../core/domain/Group.ts"
import { Executor } from "../../core/engine/Executor.ts"
import * as Task from "../../core/engine/Task.ts"
import { Server } from "../Server.ts"
import { api, Platform, post, problem, token } from "../Server.fixture.ts"

const billing = Group.make("billing", { limit: 1 })
const Send = Task.make("send", { policy: { group: billing } })
const Post = Task.make("post", { policy: { group: billing } })

const Main = Layer.mergeAll(Send.toLayer(() => Effect.void), Post.toLayer(() => Effect.never)).pipe(
  Layer.provideMerge(Executor.layerWith({ drainTimeout: "10 millis" })),
  Layer.provideMerge(Server.layer({ port: 0, token, dueInterval: "20 millis" })),
  Layer.provideMerge(Platform),
)

layer(Main, { excludeTestServices: true })("groups, over REST", (it) => {
  it.effect("G4: lists them, counts, pauses and cancels as one", () =>
    Effect.gen(function* () {
      const client = yield* api
      const params = { name: "billing" }
      const { items } = yield* client.groups.list({ query: {} })
      assert.deepEqual(items, [{
        namespace: "default",
        ...{ name: "billing", limit: 1, isPaused: false },
        tasks: [{ name: Post.name, limit: 1 }, { name: Send.name, limit: 1 }],
      }] as never)
      const paused = yield* client.groups.pause({
        params,
        payload: { by: "Ada", note: "the books are being closed" },
      })
      assert.deepInclude(paused, { isPaused: true, by: "Ada", note: "the books are being closed" })
      const { run } = yield* client.runs.submit({ headers: {}, payload: { task: Send.name } })
      for (const _ of [1, 2]) {
        yield* client.runs.submit({ headers: {}, payload: { task: Post.name } })
      }
      const why = yield* client.runs.why({ params: { id: run } })
      assert.deepInclude(why, { _tag: "GroupPaused", group: "billing", since: paused.since! })
      const counted = yield* client.groups.get({ params, query: {} })
      assert.deepInclude(counted.runs, { Ready: 1, Blocked: 2, Running: 0 })
      assert.isTrue(counted.isPaused)
      assert.deepEqual(
        yield* client.groups.cancel({ params, payload: { by: "Ada" } }),
        { confirmed: 3, requested: 0 },
      )
      assert.isFalse((yield* client.groups.resume({ params, payload: {} })).isPaused)
      const after = yield* client.groups.get({ params, query: {} })
      assert.deepInclude(after.runs, { Cancelled: 3, Ready: 0, Blocked: 0 })
    }))

  it.effect("refuses what is no group, and what is too long, by name", () =>
    Effect.gen(function* () {
      const unknown = problem(
        yield* post("/api/v1/groups/biling/pause", {}),
        "group-unknown",
        404,
      )
      assert.deepEqual(unknown.suggestions, ["billing"])
      const long = yield* post("/api/v1/groups/billing/pause", { note: "x".repeat(1025) })
      assert.strictEqual(problem(long, "request-refused", 422).field, "order.note")
      const odd = yield* post("/api/v1/groups/billing/cancel", { before: "later" })
      problem(odd, "request-unreadable", 400)
    }))
})
