/** Back-pressure as those meet it who submit over REST. */
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import * as Direct from "../adapters/direct/mod.ts"
import * as Memory from "../adapters/memory/mod.ts"
import * as Blocking from "../core/domain/Blocking.ts"
import { standard } from "../core/domain/Namespace.ts"
import { TaskDefinition } from "../core/domain/Task.ts"
import { Executor } from "../core/engine/Executor.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import * as Task from "../core/engine/Task.ts"
import { Storage } from "../core/services/Storage.ts"
import * as RemoteScheduler from "./remote/RemoteScheduler.ts"
import { Server } from "./Server.ts"

const token = Redacted.make("a-token-of-the-tests-and-nobody-else")

const backlog = { high: 2, low: 1 }
const flooded = {
  "full": Task.make("flooded", { policy: { backlog } }),
  "full at a gate": Task.make("queued", { policy: { backlog, blocking: Blocking.fifo } }),
}

const Main = Server.layer({ port: 0, token }).pipe(
  Layer.provideMerge(Direct.layer),
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(LocalOwnership.layer),
)

layer(Main, { excludeTestServices: true })("back-pressure over REST", (it) => {
  for (const [how, task] of Object.entries(flooded)) {
    it.effect(`G16: answers 429 with Retry-After while the backlog is ${how}, and takes in after`, () =>
      Effect.gen(function* () {
        const { url } = yield* Server
        const { tasks } = yield* Storage
        const { name, policy } = task
        yield* tasks.define([new TaskDefinition({ namespace: standard, name, policy })])
        const send = Effect.promise(() =>
          fetch(`${url}/api/v1/runs`, {
            method: "POST",
            headers: {
              authorization: `Bearer ${Redacted.value(token)}`,
              "content-type": "application/json",
            },
            body: JSON.stringify({ task: name }),
          })
        )
        const statuses: Array<number> = []
        for (const _ of [1, 2]) statuses.push((yield* send).status)
        yield* Effect.sleep("300 millis")
        const refused = yield* send
        assert.deepEqual([...statuses, refused.status], [201, 201, 429])
        assert.strictEqual(refused.headers.get("retry-after"), "1")
        const problem = yield* Effect.promise(() => refused.json())
        assert.deepInclude(problem, { code: "backlog-full", high: 2 })

        const remote = yield* Layer.build(RemoteScheduler.layer({ urls: [url], token }))
        const submit = (whenFull: "refuse" | "wait") =>
          task.submit({}, { whenFull }).pipe(Effect.provide(remote))
        assert.strictEqual((yield* Effect.flip(submit("refuse")))._tag, "BacklogFull")
        const waiting = yield* Effect.forkChild(submit("wait"))
        yield* Layer.build(Layer.provide(task.toLayer(() => Effect.void), Executor.layer))
        const run = yield* Fiber.join(waiting)
        assert.strictEqual((yield* Scheduler.use((local) => local.ended(run))).state, "Succeeded")
      }))
  }
})
