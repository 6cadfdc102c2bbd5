import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { api, Hello, Main, untilEnded } from "../Server.fixture.ts"

layer(Main, { excludeTestServices: true })("tasks, executors and the status, over REST", (it) => {
  it.effect("shows tasks, executors and the status", () =>
    Effect.gen(function* () {
      const client = yield* api
      const { run } = yield* client.runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "Ada" } },
      })
      yield* untilEnded(run)
      const { items } = yield* client.tasks.list({ query: {} })
      assert.deepStrictEqual(items.map(({ name }) => String(name)), [
        "exits",
        "hello/world",
        "lonely",
      ])
      const task = yield* client.tasks.get({ params: { name: "hello/world" }, query: {} })
      assert.strictEqual(task.policy.delivery, "at-least-once")
      const executors = yield* client.executors.list({ query: {} })
      assert.include(executors.items.map(({ name }) => String(name)), "in-process")
      const [executor] = executors.items
      assert.deepInclude(executor, { health: "well", waiting: 0 })
      assert.isBelow(executor!.beatAgeMillis, 60_000)
      const status = yield* client.system.status({ query: {} })
      assert.strictEqual(status.storage, "memory")
      assert.isAtLeast(status.executors.live, 1)
      assert.isAtLeast(status.runs.Succeeded, 1)
      assert.strictEqual(status.schedulers.length, 1)
    }))
})
