/** A program that has several servers over one storage, some of which do not answer. */
import { assert, layer } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { createServer, request, type ServerResponse } from "node:http"
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net"
import { standard } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import * as Group from "../../core/domain/Group.ts"
import { Breakers } from "../../core/engine/Breakers.ts"
import { Groups } from "../../core/engine/Groups.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as Task from "../../core/engine/Task.ts"
import * as Trigger from "../../core/engine/Trigger.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as ApiClient from "../api/ApiClient.ts"
import { Platform, token } from "../Server.fixture.ts"
import { Server } from "../Server.ts"
import { firstUp } from "./firstUp.ts"
import * as Remote from "./mod.ts"

const Step = Task.make("step", { payload: { nth: Schema.Int }, success: Schema.Int })
const StepLive = Step.toLayer(({ nth }) => Effect.succeed(nth * 10))
const Office = Task.make("office", { policy: { group: Group.make("rooms") } })
const OfficeLive = Office.toLayer(() => Effect.never)
const Failing = Task.make("failing")
const FailingLive = Failing.toLayer(() => Effect.die(new Error("each time")))
/** A handler that submits, and waits for what it has submitted. */
const Sum = Task.make("sum", { payload: { count: Schema.Int }, success: Schema.Int })
const SumLive = Sum.toLayer(({ count }) =>
  Effect.orDie(Effect.reduce(
    Array.from({ length: count }, (_, at) => at + 1),
    () => 0,
    (sum, nth) => Effect.map(Step.execute({ nth }), (tens) => sum + tens),
  ))
)
const handlers = Layer.mergeAll(StepLive, OfficeLive, FailingLive, SumLive)

/** A server over the storage that there is, until its scope ends. */
const opened = Layer.build(
  Layer.fresh(Server.layer({ port: 0, token, drainTimeout: "10 millis" })),
).pipe(Effect.map((context) => Context.get(context, Server)))

type Fate = "pass" | "lose" | "cut" | "refuse"

interface Between {
  readonly url: string
}

/**
 * Something between a program and a server that loses answers once the server has given them: of the
 * next that are not to a `GET`, as `fates` say, and none after.
 */
const between = (port: number, fates: Array<Fate>) =>
  Effect.acquireRelease(
    Effect.callback<Between & { readonly end: () => void }>((resume) => {
      const lost = (answer: ServerResponse, fate: Fate, text: Buffer) => {
        if (fate === "cut") {
          answer.writeHead(200, { "content-type": "application/json", "content-length": 1000 })
          answer.write(text, () => answer.destroy())
        } else if (fate === "refuse") answer.writeHead(502).end("bad gateway")
        else answer.destroy()
      }
      const server = createServer((asked, answer) => {
        const fate = asked.method === "GET" ? "pass" : fates.shift() ?? "pass"
        const { headers, method, url } = asked
        const sent = request(
          { host: "127.0.0.1", port, method, path: url, headers },
          (response) => {
            const chunks: Array<Buffer> = []
            response.on("data", (chunk) => chunks.push(chunk))
            response.on("end", () => {
              const text = Buffer.concat(chunks)
              if (fate !== "pass") return lost(answer, fate, text)
              answer.writeHead(response.statusCode!, response.headers).end(text)
            })
          },
        )
        sent.on("error", () => answer.destroy())
        asked.pipe(sent)
      }).listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        const end = () => {
          server.closeAllConnections()
          server.close()
        }
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, end }))
      })
    }),
    ({ end }) => Effect.sync(end),
  )

interface Mute {
  readonly url: string
  readonly asked: () => number
  readonly end: () => void
}

/** Takes connections, and says nothing. */
const silent = Effect.acquireRelease(
  Effect.callback<Mute>((resume) => {
    const sockets = new Set<Socket>()
    let asked = 0
    const server = createTcpServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {}).on("data", () => asked++)
    }).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      const end = () => {
        for (const socket of sockets) socket.destroy()
        server.close()
      }
      resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, asked: () => asked, end }))
    })
  }),
  ({ end }) => Effect.sync(end),
)

const programOf = (url: ReadonlyArray<string>) =>
  Layer.build(Layer.fresh(
    handlers.pipe(Layer.provideMerge(Remote.layerWith({ url, token, drainTimeout: "10 millis" }))),
  ))

/** The tasks are known to the server once the executor has told it. */
const untilServed = Effect.gen(function* () {
  const { tasks } = yield* Storage
  while ((yield* tasks.list(standard)).length < 4) yield* Effect.sleep(20)
})

const runsOf = (task: string) =>
  Effect.flatMap(
    Storage,
    ({ runs }) => runs.list({ namespace: standard, task: task as never, limit: 100 }),
  )

layer(Platform, { excludeTestServices: true })("a program with several servers", (it) => {
  it.effect("submits, waits and orders at another one when its own is gone", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(opened, scope)
      const second = yield* opened
      const program = yield* programOf([first.url, second.url])
      yield* untilServed
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* Step.execute({ nth: 1 }), 10)
        // What a handler does counts, on a connection of its own.
        assert.strictEqual(yield* Sum.execute({ count: 2 }), 30)
        const delayed = yield* Step.submit({ nth: 2 }, { delay: "500 millis" })
        // Its result is waited for while the server goes.
        const waiting = yield* Effect.forkChild(Step.result(delayed))
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* Fiber.join(waiting), 20)
        assert.strictEqual(yield* Sum.execute({ count: 3 }), 60)
        const triggers = yield* Triggers
        yield* Layer.build(Step.schedule("often", Trigger.every("1 hour"), { nth: 4 }))
        assert.lengthOf(yield* triggers.list(standard), 1)
        yield* triggers.remove(standard, "often")
      }).pipe(Effect.provide(program))
    }))

  it.effect("is told so when there is none, and soon", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { url } = yield* Scope.provide(opened, scope)
      const program = yield* Layer.build(Remote.layerServices({ url: [url, `${url}/`], token }))
      yield* Scope.close(scope, Exit.void)
      const failed = yield* Effect.flip(Step.submit({ nth: 1 })).pipe(
        Effect.provide(program),
        Effect.timeout("5 seconds"),
      )
      assert.strictEqual(failed._tag, "StorageUnavailable")
    }))

  it.effect("goes to the first that answers, and waits for none that says nothing", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* opened, yield* opened]
      const mute = yield* silent
      assert.strictEqual(yield* firstUp([one.url, two.url]), one.url)
      const [took, url] = yield* Effect.timed(firstUp([mute.url, "http://127.0.0.1:9", two.url]))
      assert.strictEqual(url, two.url)
      // It is asked for two seconds.
      assert.isBelow(Duration.toMillis(took), 1500)
      mute.end()
      assert.strictEqual(yield* firstUp([mute.url, "http://127.0.0.1:9"]), mute.url)
    }))

  it.effect("leaves one that says nothing, and does not come back to it with each call", () =>
    Effect.gen(function* () {
      const { url } = yield* opened
      const mute = yield* silent
      const { system } = yield* ApiClient.anyOf({
        urls: [mute.url, url],
        token,
        patience: "500 millis",
      })
      for (let nth = 0; nth < 5; nth++) yield* system.status({ query: {} })
      assert.strictEqual(mute.asked(), 1)
    }))

  for (const fate of ["lose", "cut", "refuse"] as const) {
    it.effect(
      `Q4: gives an order again whose answer is lost (${fate}), and it is carried out once`,
      () =>
        Effect.gen(function* () {
          const { port, url } = yield* opened
          // Of both, as some runtimes ask again by themselves.
          const fates: Array<Fate> = []
          const [near, other] = [yield* between(port, fates), yield* between(port, fates)]
          yield* programOf([url])
          const program = yield* Layer.build(
            Remote.layerServices({ url: [near.url, other.url], token }),
          )
          yield* untilServed
          yield* Effect.gen(function* () {
            const scheduler = yield* Scheduler
            const triggers = yield* Triggers
            const breakers = yield* Breakers
            const groups = yield* Groups
            const { name } = Step
            const lost = <A, E, R>(order: Effect.Effect<A, E, R>) =>
              Effect.gen(function* () {
                fates.push(fate)
                const answer = yield* order
                fates.push(fate)
                return [answer, yield* order] as const
              })
            const submission = (nth: number) => ({
              task: name,
              payload: JSON.stringify({ nth }),
              policy: Step.policy,
            })
            const ended = (run: RunId) => scheduler.ended(run)
            const before = (yield* runsOf(name)).length
            const submitted = yield* lost(scheduler.submit(submission(1)))
            assert.isTrue(submitted.every(({ isNew }) => isNew))
            const [parent] = yield* lost(scheduler.submitSharded(submission(2), { count: 2 }))
            const [again] = yield* lost(scheduler.again(submitted[0].run))
            assert.isTrue(again.isNew)
            assert.strictEqual((yield* ended(parent.run)).state, "Succeeded")
            yield* ended(again.run)
            // Two submits, two parents with two shards each, and two that are done again.
            assert.lengthOf(yield* runsOf(name), before + 2 + 2 * 3 + 2)

            const failing = yield* Failing.submit({})
            yield* ended(failing)
            fates.push(fate)
            assert.strictEqual(yield* scheduler.revive(failing), "confirmed")
            const revived = yield* ended(failing)
            assert.strictEqual(revived.attempt, 2)
            yield* Effect.sleep(50)
            const events = yield* scheduler.events(failing)
            assert.lengthOf(events.filter(({ kind }) => kind === "Revived"), 1)

            const waiting = yield* Step.submit({ nth: 3 }, { delay: "1 hour" })
            assert.deepEqual(yield* lost(scheduler.suspend(waiting)), ["confirmed", "confirmed"])
            assert.deepEqual(yield* lost(scheduler.resume(waiting)), ["confirmed", "confirmed"])
            // What is based on a revision would find another one, the second time.
            fates.push(fate)
            yield* scheduler.change(waiting, { level: 0, revision: 1 })
            assert.strictEqual((yield* scheduler.find(waiting)).revision, 2)
            assert.deepEqual(yield* lost(scheduler.cancel(waiting)), ["confirmed", "confirmed"])

            const trigger = {
              namespace: standard,
              name: fate,
              task: name,
              schedule: Trigger.every("1 hour"),
              payload: `{"nth":4}`,
            }
            assert.strictEqual((yield* triggers.put(trigger)).revision, 1)
            fates.push(fate)
            const changed = { ...trigger, schedule: Trigger.every("2 hours"), revision: 1 }
            assert.strictEqual((yield* triggers.put(changed)).revision, 2)
            const [fired] = yield* lost(triggers.fire(standard, fate, { request: `${fate} once` }))
            yield* ended(fired.run)
            fates.push(fate)
            yield* triggers.remove(standard, fate)
            assert.lengthOf(yield* triggers.list(standard), 0)

            yield* lost(groups.pause("rooms", { by: "Ada" }))
            assert.isTrue((yield* groups.find("rooms")).isPaused)
            yield* lost(groups.resume("rooms"))
            yield* lost(breakers.set("phone", { badInARow: 3 }))
            yield* lost(breakers.order("phone", "open", { by: "Ada" }))
            assert.strictEqual((yield* breakers.find("phone")).order?.by, "Ada")
            yield* lost(breakers.order("phone", "auto"))
            assert.deepEqual(fates, [])
          }).pipe(Effect.provide(program))
        }),
      30_000,
    )
  }
})
