/** Q4: an order that is given again under its key, however late, changes nothing and is answered as before. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Latch, Layer, Option } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApi, type HttpApiEndpoint } from "effect/http-api"
import { request } from "node:http"
import * as Memory from "../../adapters/memory/mod.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { CurrentRun } from "../../core/engine/CurrentRun.ts"
import { Executor } from "../../core/engine/Executor.ts"
import * as Group from "../../core/domain/Group.ts"
import * as Task from "../../core/engine/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { Readiness } from "../Readiness.ts"
import { Server } from "../Server.ts"
import { api, authorized, call, document, Platform, problem, token } from "../Server.fixture.ts"
import { Api, Once } from "./Api.ts"
import * as ApiClient from "./ApiClient.ts"
import { underWayMax } from "./Gate.ts"
import * as once from "./once.ts"

const Failing = Task.make("failing")
const Undone = Task.make("undone", { policy: { group: Group.make("some"), breaker: "calls" } })
const Handed = Task.make("handed")

const handlers = Layer.mergeAll(
  Failing.toLayer(() => Effect.die(new Error("each time"))),
  Undone.toLayer(() => Effect.void, { rollback: () => Effect.void }),
  Handed.toLayer(() => CurrentRun.use(({ handOver }) => handOver())),
)

const of = (id: RunId) => ({ params: { id }, query: {} })
const never = 3_600_000

const silent = (operation: string) =>
  Effect.fail(new StorageUnavailable({ storage: "memory", operation, cause: "silence" }))

/**
 * Storage that takes its time to revive, and to say that an order is begun, or does not say so, once;
 * and whose answer to a suspend does not arrive, nor any about tasks while a certain trigger is kept.
 */
const Odd = Layer.effect(
  Storage,
  Effect.map(Storage, (storage) => {
    let [isUnheard, isPut] = [true, false]
    return Storage.of({
      ...storage,
      tasks: {
        ...storage.tasks,
        find: (namespace, name) =>
          isPut ? silent("find a task") : storage.tasks.find(namespace, name),
      },
      triggers: {
        ...storage.triggers,
        put: (definition, revision) =>
          Effect.tap(storage.triggers.put(definition, revision), () =>
            Effect.sync(() => {
              isPut = definition.name === "before-silence"
            })),
        remove: (namespace, name) =>
          Effect.tap(storage.triggers.remove(namespace, name), () =>
            Effect.sync(() => {
              isPut = false
            })),
      },
      answers: {
        ...storage.answers,
        begin: (key, order, beginner) =>
          Effect.tap(storage.answers.begin(key, order, beginner), () => {
            if (key !== "unheard" || !isUnheard) return Effect.sleep("30 millis")
            isUnheard = false
            return silent("begin an order")
          }),
      },
      runs: {
        ...storage.runs,
        revive: (run, by) => Effect.delay(storage.runs.revive(run, by), "50 millis"),
        suspend: (run, by) =>
          Effect.andThen(
            storage.runs.suspend(run, by),
            silent("suspend"),
          ),
      },
    })
  }),
).pipe(Layer.provideMerge(Platform))

const mainOver = <R, E>(platform: Layer.Layer<R, E>) =>
  handlers.pipe(
    Layer.provideMerge(Executor.layerWith({ name: "only", drainTimeout: "10 millis" })),
    Layer.provideMerge(Server.layer({ port: 0, token, dueInterval: "20 millis" })),
    Layer.provideMerge(platform as typeof Platform),
  )

const submit = Effect.fnUntraced(function* (task: { readonly name: string }, delayMillis = 0) {
  const client = yield* api
  const { run } = yield* client.runs.submit({
    headers: {},
    payload: { task: task.name as never, delayMillis },
  })
  return run
})
const found = (id: RunId) => Effect.flatMap(api, (client) => client.runs.get(of(id)))
const until = Effect.fnUntraced(function* (id: RunId, state: string, attempt = 1) {
  for (;;) {
    const run = yield* found(id)
    if (run.state === state && run.attempt >= attempt) return run
    yield* Effect.sleep(10)
  }
})

const given = (method: string, path: string, key: string, body?: unknown) =>
  call(
    method,
    `/api/v1${path}`,
    { ...authorized, "idempotency-key": key, "content-type": "application/json" },
    body === undefined ? undefined : JSON.stringify(body),
  )

layer(mainOver(Platform), { excludeTestServices: true })("an order under a key", (it) => {
  it("is one for each endpoint that changes something", () => {
    const without: Array<string> = []
    HttpApi.reflect(Api, {
      onGroup: () => {},
      onEndpoint: ({ endpoint, group }) => {
        const { identifier, method, middlewares } = endpoint as HttpApiEndpoint.Top
        if (method !== "GET" && !middlewares.has(Once)) {
          without.push(`${group.identifier}.${identifier}`)
        }
      },
    })
    // Keys of the first three name runs; the last changes nothing.
    const others = ["runs.submit", "runs.again", "triggers.fire", "triggers.preview"]
    assert.deepStrictEqual(without.sort(), others.sort())
    const undescribed = Object.values(document.paths).flatMap((path) =>
      (["post", "put", "patch", "delete"] as const).flatMap((method) => path[method] ?? [])
    ).filter(({ parameters }) => parameters.every(({ name }) => name !== "idempotency-key"))
    assert.deepStrictEqual(undescribed.map((each) => each.operationId), ["triggers.preview"])
  })

  it.effect("Q4: comes late, and changes nothing", () =>
    Effect.gen(function* () {
      const client = yield* api
      const run = yield* submit(Failing)
      yield* until(run, "Failed")
      const revive = client.runs.revive({ params: { id: run }, query: { by: "Ada" } })
        .pipe(ApiClient.once("revive it"))
      const first = yield* revive
      yield* until(run, "Failed", 2)
      const before = (yield* client.runs.events(of(run))).items
      assert.deepStrictEqual(yield* revive, first)
      assert.deepStrictEqual((yield* client.runs.events(of(run))).items, before)
      // Without the key it is another order.
      yield* client.runs.revive(of(run))
      yield* until(run, "Failed", 3)

      const waiting = yield* submit(Undone, never)
      const suspend = client.runs.suspend(of(waiting)).pipe(ApiClient.once("suspend it"))
      yield* suspend
      yield* client.runs.resume(of(waiting)).pipe(ApiClient.once("resume it"))
      yield* suspend
      assert.strictEqual((yield* found(waiting)).state, "Scheduled")

      const change = client.runs.change({
        params: { id: waiting },
        payload: { level: 0, deadlineMillis: 7_200_000 },
      }).pipe(ApiClient.once("sooner"))
      yield* change
      yield* client.runs.change({ params: { id: waiting }, payload: { level: 4 } })
      yield* change
      assert.deepInclude(yield* found(waiting), { level: 4, revision: 3 })
      yield* client.runs.cancel(of(waiting))

      const handed = yield* submit(Handed)
      yield* until(handed, "Awaiting")
      const notify = client.runs.notify({ params: { id: handed }, payload: { result: 7 } })
        .pipe(ApiClient.once("notify it"))
      assert.deepStrictEqual([yield* notify, yield* notify].map(({ answer }) => answer), [
        "applied",
        "applied",
      ])
    }))

  it.effect("Q4: is answered as it was, to the byte, whatever it was answered", () =>
    Effect.gen(function* () {
      const run = yield* submit(Undone)
      yield* until(run, "Succeeded")
      const trigger = { task: Undone.name, schedule: { everyMillis: 86_400_000 } }
      const orders: ReadonlyArray<readonly [string, string, unknown?]> = [
        ["PUT", "/calendars/office", { holidays: ["2031-10-01"] }],
        ["PUT", "/triggers/daily", trigger],
        ["POST", "/triggers/daily/pause"],
        ["POST", "/triggers/daily/resume"],
        ["POST", "/triggers/daily/backfills", {
          from: "2026-01-01T00:00:00Z",
          to: "2026-01-03T00:00:00Z",
        }],
        ["DELETE", "/triggers/daily"],
        ["DELETE", "/calendars/office"],
        ["DELETE", "/calendars/office"],
        ["PUT", "/breakers/calls", { badInARow: 7 }],
        ["POST", "/breakers/calls/order", { to: "open", by: "Ada" }],
        ["POST", "/breakers/calls/order", { to: "auto" }],
        ["POST", "/groups/some/pause", { by: "Ada" }],
        ["POST", "/groups/some/resume", {}],
        ["POST", "/groups/some/cancel", {}],
        ["POST", "/locks/release", { key: "nobody's" }],
        ["POST", `/runs/${run}/cancel`],
        ["POST", `/runs/${run}/revive`],
        ["POST", `/runs/${run}/rollback`],
      ]
      const answers = yield* Effect.forEach(
        orders,
        ([method, path, body], nth) => given(method, path, `order ${nth}`, body),
      )
      assert.deepStrictEqual(
        answers.map(({ status }) => status),
        [200, 200, 200, 200, 200, 204, 204, 404, 200, 200, 200, 200, 200, 200, 404, 200, 409, 200],
        JSON.stringify(answers.map(({ text }) => text)),
      )
      for (const [nth, [method, path, body]] of orders.entries()) {
        const again = yield* given(method, path, `order ${nth}`, body)
        const first = answers[nth]!
        assert.deepStrictEqual([again.status, again.text], [first.status, first.text], path)
        assert.strictEqual(again.headers["content-type"], first.headers["content-type"])
        assert.strictEqual(again.headers["idempotent-replayed"], "true")
        assert.isUndefined(first.headers["idempotent-replayed"])
      }
      // The trigger is gone, although the order that made it was given again.
      assert.strictEqual((yield* call("GET", "/api/v1/triggers/daily", authorized)).status, 404)
    }))

  it.effect("Q4: is carried out once when many give it at once", () =>
    Effect.gen(function* () {
      const client = yield* api
      yield* client.triggers.put({
        params: { name: "hourly" },
        payload: { task: Undone.name, schedule: { everyMillis: 3_600_000 } },
      })
      const to = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000)
      const from = new Date(to.getTime() - 3 * 3_600_000)
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, () =>
          given("POST", "/triggers/hourly/backfills", "fill it", { from, to })),
        { concurrency: "unbounded" },
      )
      const [text, ...others] = new Set(answers.map(({ status, text }) =>
        `${status} ${text}`
      ))
      assert.match(text!, /^200 /)
      assert.deepStrictEqual(others, [])
      yield* client.triggers.remove({ params: { name: "hourly" }, query: {} })
    }))

  it.effect("is told from another one under its key", () =>
    Effect.gen(function* () {
      const run = yield* submit(Undone, never)
      const other = yield* submit(Undone, never)
      assert.strictEqual((yield* given("POST", `/runs/${run}/suspend`, "one")).status, 200)
      const conflicts = [
        yield* given("POST", `/runs/${other}/suspend`, "one"),
        yield* given("POST", `/runs/${run}/suspend?by=Ada`, "one"),
        yield* given("POST", `/runs/${run}/resume`, "one"),
        yield* given("PATCH", `/runs/${run}`, "one", { level: 0 }),
      ]
      const put = { task: Undone.name, schedule: { everyMillis: 86_400_000 } }
      assert.strictEqual((yield* given("PUT", "/triggers/told", "two", put)).status, 200)
      const later = { ...put, schedule: { everyMillis: 3_600_000 } }
      conflicts.push(yield* given("PUT", "/triggers/told", "two", later))
      for (const conflict of conflicts) {
        assert.strictEqual(problem(conflict, "key-taken", 409).field, "idempotency-key")
      }
      assert.strictEqual((yield* found(run)).state, "Suspended")
      assert.strictEqual((yield* found(other)).state, "Scheduled")
      const { runs, triggers } = yield* api
      const named = { params: { name: "told" }, query: {} }
      assert.deepInclude((yield* triggers.get(named)).schedule, { everyMillis: 86_400_000 })
      assert.strictEqual((yield* given("DELETE", "/triggers/told", "three")).status, 204)
      problem(yield* given("PUT", "/triggers/told", "three"), "key-taken", 409)
      for (const key of ["", "x".repeat(513)]) {
        const refused = yield* given("POST", `/runs/${other}/suspend`, key)
        assert.strictEqual(problem(refused, "request-refused", 422).field, "idempotency-key")
      }
      for (const id of [run, other]) yield* runs.cancel(of(id))
    }))

  it.effect("is the same under a key of any characters, however they are written", () =>
    Effect.gen(function* () {
      const { runs } = yield* api
      const run = yield* submit(Undone, never)
      const suspend = runs.suspend(of(run)).pipe(ApiClient.once("票 42, für Åsa 🗝"))
      yield* suspend
      yield* runs.resume(of(run))
      yield* suspend
      assert.strictEqual((yield* found(run)).state, "Scheduled")
      // As `curl` writes it.
      const bytes = Buffer.from("票 42, für Åsa 🗝").toString("latin1")
      const again = yield* given("POST", `/runs/${run}/suspend`, bytes)
      assert.strictEqual(again.headers["idempotent-replayed"], "true")
      // Not UTF-8, but Latin-1: another key, and one that can be given again.
      for (const replayed of [undefined, "true"]) {
        const other = yield* given("POST", `/runs/${run}/cancel`, "f\xfcr \xc5sa")
        assert.strictEqual(other.headers["idempotent-replayed"], replayed, other.text)
      }
      const spec = { task: Undone.name as never, delayMillis: never }
      const headers = { "idempotency-key": "票 43" }
      const first = yield* runs.submit({ headers, payload: spec })
      assert.deepInclude(yield* runs.submit({ headers, payload: spec }), {
        run: first.run,
        isNew: false,
      })
      const { runs: stored } = yield* Storage
      const kept = Option.getOrThrow(yield* stored.find(first.run))
      assert.strictEqual(kept.idempotencyKey, "票 43")
      yield* runs.cancel(of(first.run))
    }))

  it.effect("may be mended and given again when nothing was done", () =>
    Effect.gen(function* () {
      const bad = [{ level: 17 }, { level: "urgent" }, {}, { deadlineMillis: -1 }]
      const run = yield* submit(Undone, never)
      for (const body of bad) {
        const refused = yield* given("PATCH", `/runs/${run}`, "mended", body)
        const code = refused.status === 400 ? "request-unreadable" : "request-refused"
        problem(refused, code, refused.status)
      }
      assert.strictEqual(
        (yield* given("PATCH", `/runs/${run}`, "mended", { level: 0 })).status,
        200,
      )
      assert.deepInclude(yield* found(run), { level: 0, revision: 2 })
      yield* Effect.flatMap(api, ({ runs }) => runs.cancel(of(run)))
    }))
})

layer(mainOver(Odd), { excludeTestServices: true })(
  "an order over a storage that is slow, or silent",
  (it) => {
    it.effect("is carried out although whoever gave it has gone away", () =>
      Effect.gen(function* () {
        const { port } = yield* Server
        const { answers } = yield* Storage
        for (let nth = 0; nth < 5; nth++) {
          const run = yield* submit(Failing)
          yield* until(run, "Failed")
          const before = yield* answers.count
          const sent = request({
            host: "127.0.0.1",
            port,
            method: "POST",
            path: `/api/v1/runs/${run}/revive`,
            headers: { ...authorized, "idempotency-key": `gone ${nth}` },
            agent: false,
          })
          sent.on("error", () => {})
          sent.end()
          while ((yield* answers.count) === before) yield* Effect.sleep(1)
          sent.destroy()
          const answer = yield* given("POST", `/runs/${run}/revive`, `gone ${nth}`)
          assert.strictEqual(answer.status, 200, answer.text)
          yield* until(run, "Failed", 2)
          yield* Effect.sleep(20)
          assert.strictEqual((yield* found(run)).attempt, 2)
        }
      }))

    it.effect("has used no key when nobody knows whether it was begun", () =>
      Effect.gen(function* () {
        const run = yield* submit(Undone, never)
        const cancel = given("POST", `/runs/${run}/cancel`, "unheard")
        problem(yield* cancel, "storage-unavailable", 503)
        assert.strictEqual((yield* found(run)).state, "Scheduled")
        const answer = yield* cancel
        assert.strictEqual(answer.status, 200, answer.text)
      }))

    it.effect("is answered once it is carried out, whatever else could be said of it", () =>
      Effect.gen(function* () {
        const put = { task: Undone.name, schedule: { everyMillis: 86_400_000 } }
        const answer = yield* given("PUT", "/triggers/before-silence", "put it", put)
        yield* given("DELETE", "/triggers/before-silence", "remove it")
        assert.strictEqual(answer.status, 200, answer.text)
        assert.deepInclude(JSON.parse(answer.text), { name: "before-silence" })
      }))

    it.effect("Q4: is not carried out again when nobody knows how it ended, and whoever asks is told so", () =>
      Effect.gen(function* () {
        const client = yield* api
        const run = yield* submit(Undone, never)
        problem(yield* given("POST", `/runs/${run}/suspend`, "lost"), "storage-unavailable", 503)
        assert.strictEqual((yield* found(run)).state, "Suspended")
        yield* client.runs.resume(of(run))
        const told = problem(
          yield* given("POST", `/runs/${run}/suspend`, "lost"),
          "order-unsettled",
          409,
        )
        assert.isAtLeast(told.forMillis, 4000)
        assert.strictEqual((yield* found(run)).state, "Scheduled")
        assert.isTrue(Option.isSome(yield* Effect.option(client.runs.cancel(of(run)))))
      }))
  },
)

describe("an order whose giver has gone away", () => {
  /** An order that is carried out as `handler` says, whose giver is gone when it is begun. */
  const gone = (key: string, handler: Effect.Effect<void>) =>
    Effect.gen(function* () {
      const begun = Latch.makeUnsafe()
      const giver = yield* Effect.forkChild(order(key, Effect.andThen(begun.open, handler)))
      yield* begun.await
      yield* Fiber.interrupt(giver)
    })

  const order = (key: string, handler: Effect.Effect<void>) =>
    Once.use((once) =>
      once(Effect.as(handler, HttpServerResponse.empty({ status: 204 })), undefined as never)
    ).pipe(
      Effect.provideService(
        HttpServerRequest.HttpServerRequest,
        HttpServerRequest.fromWeb(
          new Request("http://127.0.0.1/", {
            method: "POST",
            headers: { "idempotency-key": key },
            body: "{}",
          }),
        ),
      ),
      (effect) =>
        effect as Effect.Effect<
          HttpServerResponse.HttpServerResponse,
          Effect.Error<typeof effect>,
          Once
        >,
    )

  const Alone = once.layerWith({ drainTimeout: "200 millis" }).pipe(
    Layer.provideMerge(Readiness.layer),
    Layer.provideMerge(Memory.layer),
  )

  it.live("is one of so many, and no more are begun", () =>
    Effect.gen(function* () {
      const { answers } = yield* Storage
      const latch = Latch.makeUnsafe()
      for (let nth = 0; nth < underWayMax; nth++) yield* gone(`gone ${nth}`, latch.await)
      assert.strictEqual(yield* answers.count, underWayMax)
      const refused = yield* Effect.flip(order("one more", Effect.void))
      assert.deepInclude(refused, { _tag: "ServerBusy" })
      assert.strictEqual(yield* answers.count, underWayMax)
      yield* latch.open
      yield* Effect.sleep(20)
      assert.strictEqual((yield* order("one more", Effect.void)).status, 204)
    }).pipe(Effect.provide(Alone)))

  it.live("is waited for at the end, and for so long", () =>
    Effect.gen(function* () {
      const outside = yield* Layer.build(
        Layer.provideMerge(Readiness.layer, Memory.layer),
      )
      const ending = Effect.fnUntraced(function* (millis: number) {
        let isCarriedOut = false
        const begun = performance.now()
        yield* Effect.gen(function* () {
          const handler = Effect.delay(Effect.sync(() => (isCarriedOut = true)), millis)
          yield* gone(`in ${millis} ms`, Effect.asVoid(handler))
          yield* Context.get(outside, Readiness).letGo
        }).pipe(Effect.provide(Layer.provide(
          once.layerWith({ drainTimeout: "400 millis" }),
          Layer.succeedContext(outside),
        )))
        return { isCarriedOut, took: performance.now() - begun }
      })
      const soon = yield* ending(100)
      assert.isTrue(soon.isCarriedOut)
      assert.isBelow(soon.took, 350)
      const never = yield* ending(60_000)
      assert.isFalse(never.isCarriedOut)
      assert.approximately(never.took, 500, 200)
    }))

  it.live("Q4: is carried out to its end by a server that ends", () =>
    Effect.gen(function* () {
      const platform = yield* Layer.build(Platform)
      const storage = Context.get(platform, Storage)
      const slow = Context.add(platform, Storage, {
        ...storage,
        runs: {
          ...storage.runs,
          cancel: (run, by) => Effect.delay(storage.runs.cancel(run, by), "300 millis"),
        },
      })
      const serving = mainOver(Layer.succeedContext(slow))
      const run = yield* Effect.gen(function* () {
        const { port } = yield* Server
        const run = yield* submit(Undone, never)
        const sent = request({
          host: "127.0.0.1",
          port,
          method: "POST",
          path: `/api/v1/runs/${run}/cancel`,
          headers: { ...authorized, "idempotency-key": "the last one" },
          agent: false,
        })
        sent.on("error", () => {})
        sent.end()
        while ((yield* storage.answers.count) === 0) yield* Effect.sleep(1)
        sent.destroy()
        return run
      }).pipe(Effect.provide(serving))
      const answer = yield* given("POST", `/runs/${run}/cancel`, "the last one").pipe(
        Effect.provide(serving),
      )
      assert.strictEqual(answer.status, 200, answer.text)
      assert.strictEqual(answer.headers["idempotent-replayed"], "true")
    }))
})
