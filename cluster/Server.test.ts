/** The server over real HTTP on the loopback, with an executor in the same process. */
import { assert, describe, it, layer } from "@effect/vitest"
import {
  Context,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Redacted,
  Schema,
  Scope,
} from "effect"
import { OpenApi } from "effect/http-api"
import { request } from "node:http"
import * as Direct from "../adapters/direct/mod.ts"
import * as Memory from "../adapters/memory/mod.ts"
import { RpcTransport } from "../adapters/rpc/mod.ts"
import * as Blocking from "../core/domain/Blocking.ts"
import { LockKey } from "../core/domain/Lease.ts"
import { CalendarName } from "../core/domain/Calendar.ts"
import { standard } from "../core/domain/Namespace.ts"
import type { RunId } from "../core/domain/RunId.ts"
import { Executor } from "../core/engine/Executor.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import * as Task from "../core/engine/Task.ts"
import { Lock } from "../core/services/Lock.ts"
import * as Trigger from "../core/engine/Trigger.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import { Storage } from "../core/services/Storage.ts"
import { StorageUnavailable } from "../core/services/StorageUnavailable.ts"
import { Api } from "./api/Api.ts"
import * as ApiClient from "./api/ApiClient.ts"
import * as RemoteTriggers from "./remote/RemoteTriggers.ts"
import { Server, type ServerOptions } from "./Server.ts"

const secret = "a-token-of-the-tests-and-nobody-else"
const token = Redacted.make(secret)

const Hello = Task.make("hello/world", {
  payload: { name: Schema.String },
  success: Schema.String,
})
const HelloLive = Hello.toLayer(({ name }) => Effect.succeed(`Hello, ${name}!`))

const Lonely = Task.make("lonely", { policy: { blocking: Blocking.discard } })
const LonelyLive = Lonely.toLayer(() => Effect.never)

const Exits = Task.make("exits", { error: Schema.String })
const ExitsLive = Exits.toLayer(() => Effect.fail("no way"))

const Platform = Direct.layer.pipe(
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(LocalOwnership.layer),
)

const Main = Layer.mergeAll(HelloLive, LonelyLive, ExitsLive).pipe(
  Layer.provideMerge(Executor.layerWith({ name: "in-process", drainTimeout: "10 millis" })),
  Layer.provideMerge(Server.layer({ port: 0, token, dueInterval: "20 millis" })),
  Layer.provideMerge(Platform),
)

const api = Effect.flatMap(Server, ({ url }) => ApiClient.make({ url, token }))

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | Array<string> | undefined>>
  readonly text: string
}

/** A request as it is written here: neither the path nor the host is mended on the way. */
const call = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: string,
) =>
  Effect.flatMap(Server, ({ port }) =>
    Effect.callback<Answer>((resume) => {
      const sent = request(
        { host: "127.0.0.1", port, method, path, headers, agent: false },
        (response) => {
          const chunks: Array<Buffer> = []
          response.on("data", (chunk: Buffer) => chunks.push(chunk))
          response.on("end", () =>
            resume(Effect.succeed({
              status: response.statusCode!,
              headers: response.headers,
              text: Buffer.concat(chunks).toString(),
            })))
          response.on("error", (error) => resume(Effect.die(error)))
        },
      )
      sent.on("error", (error) => resume(Effect.die(error)))
      sent.end(body)
    }))

const authorized = { authorization: `Bearer ${secret}` }

const post = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  call(
    "POST",
    path,
    { ...authorized, "content-type": "application/json", ...headers },
    typeof body === "string" ? body : JSON.stringify(body),
  )

const problem = ({ headers, status, text }: Answer, code: string, expected: number) => {
  assert.strictEqual(status, expected, text)
  assert.strictEqual(headers["content-type"], "application/problem+json")
  const read = JSON.parse(text)
  assert.strictEqual(read.code, code)
  assert.strictEqual(read.status, expected)
  assert.strictEqual(read.type, `urn:belfry:problem:${code}`)
  for (const word of ["title", "detail", "remedy"]) assert.match(read[word], /^\S.+/)
  assert.notMatch(text, /node_modules|\.ts\b|\\n *at |SELECT|127\.0\.0\.1/)
  return read
}

const untilEnded = Effect.fnUntraced(function* (id: RunId) {
  const client = yield* api
  for (;;) {
    const run = yield* client.runs.get({ params: { id } })
    if (run.finishedAt !== undefined) return run
    yield* Effect.sleep(10)
  }
})

const document = OpenApi.fromApi(Api)
const endpoints = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.keys(item).map((method) => ({
    method: method.toUpperCase(),
    path: path.replace("{id}", "17").replace("{name}", "hello%2Fworld").replace(
      "{incarnation}",
      "1",
    ),
    declared: path,
  }))
)

layer(Main, { excludeTestServices: true })("a server", (it) => {
  describe("runs", () => {
    it.effect("takes a run in, carries it out and shows it", () =>
      Effect.gen(function* () {
        const client = yield* api
        const submitted = yield* client.runs.submit({
          headers: {},
          payload: { task: Hello.name, payload: { name: "Ada" } },
        })
        assert.isTrue(submitted.isNew)
        const run = yield* untilEnded(submitted.run)
        assert.strictEqual(run.state, "Succeeded")
        assert.deepStrictEqual(run.payload, { name: "Ada" })
        assert.strictEqual(run.result, "Hello, Ada!")
        assert.strictEqual(run.executor?.name, "in-process")
        const { items } = yield* client.runs.events({ params: { id: run.id } })
        assert.deepStrictEqual(items.map(({ kind }) => kind), ["Submitted", "Claimed", "Succeeded"])
        const why = yield* client.runs.why({ params: { id: run.id } })
        assert.deepStrictEqual(why, { _tag: "Ended", state: "Succeeded" })
        const { answer } = yield* client.runs.cancel({ params: { id: run.id } })
        assert.strictEqual(answer, "ended")
      }))

    it.effect("shows what a run says, page by page, and resizes who says it", () =>
      Effect.gen(function* () {
        const client = yield* api
        const { executors, logs } = yield* Storage
        const { run } = yield* client.runs.submit({
          headers: {},
          payload: { task: Hello.name, payload: { name: "Ada" } },
        })
        const { fence } = yield* untilEnded(run)
        const incarnation = (yield* client.executors.list({ query: {} })).items[0]!.incarnation
        const line = { level: "Info" as const, agoMillis: 0 }
        yield* logs.append(incarnation, [
          { run, fence, first: 1, lines: [{ ...line, text: "a" }, { ...line, text: "<b>" }] },
        ])
        const params = { id: run }
        const first = yield* client.runs.log({ params, query: { limit: 1 } })
        assert.deepStrictEqual(first.items.map(({ text }) => text), ["a"])
        const rest = yield* client.runs.log({ params, query: { after: first.next! } })
        assert.deepStrictEqual(rest.items.map(({ number, text }) => [number, text]), [[2, "<b>"]])
        const none = yield* client.runs.log({ params, query: { after: rest.next! } })
        assert.deepEqual(none, { items: [], next: null, isCut: false })
        assert.deepEqual(yield* client.runs.progress({ params }), { progress: null })
        problem(
          yield* call("GET", "/api/v1/runs/17/log", authorized),
          "run-unknown",
          404,
        )
        problem(
          yield* call("GET", `/api/v1/runs/${run}/log?after=x`, authorized),
          "request-unreadable",
          400,
        )
        const sizes = { core: 3, maximum: 5, queueLength: 2, prefetchMillis: 50 }
        const resized = yield* client.executors.resize({
          params: { incarnation },
          payload: { sizes },
        })
        assert.deepEqual(resized, { incarnation, sizes })
        const { sizes: wished } = yield* Effect.map(
          executors.beat(incarnation, { count: 0, digest: 0 }),
          (beaten) => beaten._tag === "Alive" ? beaten : { sizes: undefined },
        )
        assert.deepEqual(wished, sizes)
        const gone = yield* Effect.flip(client.executors.resize({
          params: { incarnation: (incarnation + 999) as typeof incarnation },
          payload: { sizes },
        }))
        assert.strictEqual(gone._tag, "ExecutorUnknown")
      }))

    it.effect("answers 201 for a new run and 200 for the one its key names, with ids as text", () =>
      Effect.gen(function* () {
        const body = { task: "hello/world", payload: { name: "Bob" } }
        const first = yield* post("/api/v1/runs", body, { "idempotency-key": "greet-bob" })
        const second = yield* post("/api/v1/runs", body, { "idempotency-key": "greet-bob" })
        assert.deepStrictEqual([first.status, second.status], [201, 200])
        const run = JSON.parse(first.text).run
        assert.isString(run)
        assert.strictEqual(JSON.parse(second.text).run, run)
        const other = { ...body, payload: { name: "Eve" } }
        const conflict = problem(
          yield* post("/api/v1/runs", other, { "idempotency-key": "greet-bob" }),
          "key-conflict",
          409,
        )
        assert.strictEqual(conflict.run, run)
      }))

    it.effect("suspends, resumes and revives, and answers 409 to what a run does not take", () =>
      Effect.gen(function* () {
        const client = yield* api
        const params = (id: RunId) => ({ params: { id } })
        const { run } = yield* client.runs.submit({
          headers: {},
          payload: { task: Hello.name, payload: { name: "x" }, delayMillis: 3_600_000 },
        })
        assert.strictEqual((yield* client.runs.suspend(params(run))).answer, "confirmed")
        assert.strictEqual((yield* client.runs.why(params(run)))._tag, "Suspended")
        const early = problem(yield* post(`/api/v1/runs/${run}/notify`, {}), "order-refused", 409)
        assert.strictEqual(early.state, "Suspended")
        assert.strictEqual((yield* client.runs.resume(params(run))).answer, "confirmed")
        assert.strictEqual((yield* client.runs.get(params(run))).state, "Scheduled")
        const failing = yield* client.runs.submit({
          headers: {},
          payload: { task: Hello.name, payload: { name: 1 } },
        })
        assert.strictEqual((yield* untilEnded(failing.run)).state, "Failed")
        assert.strictEqual((yield* client.runs.revive(params(failing.run))).answer, "confirmed")
        const again = yield* untilEnded(failing.run)
        assert.deepInclude(again, { state: "Failed", attempt: 2 })
        problem(yield* post("/api/v1/runs/12345/revive", {}), "run-unknown", 404)
      }))

    it.effect("cuts a run into shards, and lists them by their parent", () =>
      Effect.gen(function* () {
        const client = yield* api
        const { run } = yield* client.runs.submit({
          headers: {},
          payload: { task: Hello.name, payload: { name: "x" }, shards: 3, shardsAtOnce: 2 },
        })
        assert.strictEqual((yield* untilEnded(run)).state, "Succeeded")
        const { items } = yield* client.runs.list({ query: { parent: run } })
        assert.deepStrictEqual(items.map(({ shard }) => shard?.index), [2, 1, 0])
        assert.isTrue(items.every(({ state }) => state === "Succeeded"))
      }))

    it.effect("answers discarded, cancels, and says why a run waits", () =>
      Effect.gen(function* () {
        const client = yield* api
        const submit = client.runs.submit({ headers: {}, payload: { task: Lonely.name } })
        const first = yield* submit
        const second = yield* submit
        assert.strictEqual(second.state, "Discarded")
        const { answer } = yield* client.runs.cancel({ params: { id: first.run } })
        assert.include(["confirmed", "requested"], answer)
        assert.strictEqual((yield* untilEnded(first.run)).state, "Cancelled")
        const later = yield* client.runs.submit({
          headers: {},
          payload: { task: Hello.name, payload: { name: "x" }, delayMillis: 3_600_000 },
        })
        assert.strictEqual(later.state, "Scheduled")
        const why = yield* client.runs.why({ params: { id: later.run } })
        assert.strictEqual(why._tag, "DueLater")
      }))

    it.effect("lists page by page, and leaves payloads and stacks out", () =>
      Effect.gen(function* () {
        const client = yield* api
        const ids: Array<number> = []
        for (let i = 0; i < 5; i++) {
          const { run } = yield* client.runs.submit({ headers: {}, payload: { task: Exits.name } })
          ids.unshift(run)
          yield* untilEnded(run)
        }
        const seen: Array<number> = []
        let cursor: string | null = ""
        while (cursor !== null) {
          const query = "task=exits&state=Failed&state=Quarantined&limit=2"
          const answer: Answer = yield* call(
            "GET",
            `/api/v1/runs?${query}${cursor && `&cursor=${cursor}`}`,
            authorized,
          )
          assert.strictEqual(answer.status, 200, answer.text)
          assert.notInclude(answer.text, "payload")
          assert.notInclude(answer.text, "stack")
          const page = JSON.parse(answer.text)
          seen.push(...page.items.map(({ id }: { id: string }) => Number(id)))
          cursor = page.next
        }
        assert.deepStrictEqual(seen, ids)
      }))
  })

  describe("triggers", () => {
    it.effect("keeps, shows, pauses, resumes and removes one, also with a slash in its name", () =>
      Effect.gen(function* () {
        const client = yield* api
        const params = { name: "nightly/report" }
        const put = yield* client.triggers.put({
          params,
          payload: {
            task: Hello.name,
            schedule: { cron: "0 3 * * *", zone: "Europe/Berlin" },
            payload: { name: "night" },
          },
        })
        assert.deepStrictEqual(put.schedule, { cron: "0 3 * * *", zone: "Europe/Berlin" })
        assert.strictEqual(put.revision, 1)
        const { items } = yield* client.triggers.list({ query: {} })
        assert.include(items.map(({ name }) => String(name)), "nightly/report")
        assert.isTrue((yield* client.triggers.pause({ params, query: {} })).isPaused)
        assert.isFalse((yield* client.triggers.resume({ params, query: {} })).isPaused)
        const { slots } = yield* client.triggers.get({ params, query: {} })
        assert.deepStrictEqual(slots, [])
        yield* client.triggers.remove({ params, query: {} })
        const gone = yield* Effect.flip(client.triggers.get({ params, query: {} }))
        assert.strictEqual(gone._tag, "TriggerUnknown")
      }))

    it.effect("fires one, and shows the slot with its run", () =>
      Effect.gen(function* () {
        const client = yield* api
        const params = { name: "often" }
        yield* client.triggers.put({
          params,
          payload: {
            task: Hello.name,
            schedule: { everyMillis: 1000 },
            payload: { name: "clock" },
          },
        })
        for (;;) {
          const { slots } = yield* client.triggers.get({ params, query: { slots: 1 } })
          if (slots.length > 0) {
            assert.strictEqual(slots[0]!.outcome, "fired")
            const run = yield* untilEnded(slots[0]!.run!)
            assert.strictEqual(run.result, "Hello, clock!")
            assert.strictEqual(run.trigger, "often")
            return yield* client.triggers.remove({ params, query: {} })
          }
          yield* Effect.sleep(50)
        }
      }))

    it.effect("previews cron across the end of summer time, an interval, and an instant", () =>
      Effect.gen(function* () {
        const berlin = yield* post("/api/v1/triggers/preview", {
          schedule: { cron: "30 2 * * *", zone: "Europe/Berlin" },
          from: "2026-10-24T00:00:00Z",
          count: 2,
        })
        assert.deepStrictEqual(JSON.parse(berlin.text), {
          fires: [
            {
              at: "2026-10-24T00:30:00.000Z",
              local: "2026-10-24T02:30:00.000+02:00[Europe/Berlin]",
              due: "2026-10-24T00:30:00.000Z",
              because: [],
              leftOut: [],
            },
            {
              at: "2026-10-25T00:30:00.000Z",
              local: "2026-10-25T02:30:00.000+02:00[Europe/Berlin]",
              due: "2026-10-25T00:30:00.000Z",
              because: [{ _tag: "Overlap", which: "first" }],
              leftOut: [],
            },
          ],
          isComplete: false,
        })
        const often = yield* post("/api/v1/triggers/preview", {
          schedule: { everyMillis: 90_000 },
          from: "2030-01-01T00:00:00Z",
          count: 2,
        })
        assert.deepStrictEqual(
          JSON.parse(often.text).fires.map(({ at }: { at: string }) => at),
          ["2030-01-01T00:01:30.000Z", "2030-01-01T00:03:00.000Z"],
        )
        const once = yield* post("/api/v1/triggers/preview", {
          schedule: { at: "2040-01-01T00:00:00Z" },
        })
        assert.strictEqual(JSON.parse(once.text).isComplete, true)
      }))
  })

  describe("calendars", () => {
    it.effect("keeps, shows and removes one, and triggers go by it", () =>
      Effect.gen(function* () {
        const client = yield* api
        const params = { name: "office" }
        const put = yield* client.calendars.put({
          params,
          payload: { rest: ["SUN"], holidays: ["2031-10-01"], workdays: ["2031-10-05"] },
        })
        assert.deepInclude(put, { revision: 1, holidays: ["2031-10-01"] })
        assert.deepEqual(yield* client.calendars.get({ params, query: {} }), put)
        const { items } = yield* client.calendars.list({ query: {} })
        assert.deepEqual(items.map(({ name, revision }) => [name as string, revision]), [
          ["office", 1],
        ])
        const schedule = { cron: "0 9 1 10 *", calendar: put.name, freeDay: "next" } as const
        const kept = yield* client.triggers.put({
          params: { name: "autumn" },
          payload: {
            task: Hello.name,
            schedule: { ...schedule, jitterMillis: 1000, start: DateTime.makeUnsafe(0) },
            misfire: { _tag: "All", max: 3, maxAgeMillis: 60_000 },
            graceMillis: 5000,
            payload: {},
          },
        })
        assert.deepInclude(kept.schedule, { ...schedule, zone: "UTC", jitterMillis: 1000 })
        assert.strictEqual(kept.graceMillis, 5000)
        const from = DateTime.makeUnsafe("2031-09-01T00:00:00Z")
        const stored = yield* client.triggers.preview({ payload: { schedule, from, count: 1 } })
        assert.strictEqual(DateTime.formatIso(stored.fires[0]!.at), "2031-10-02T09:00:00.000Z")
        assert.deepEqual(stored.fires[0]!.because, [{ _tag: "Moved", from: ["2031-10-01"] }])
        const given = yield* client.triggers.preview({
          payload: { schedule, from, count: 1, calendar: { rest: ["WED", "THU"] } },
        })
        assert.strictEqual(DateTime.formatIso(given.fires[0]!.at), "2031-10-03T09:00:00.000Z")
        const inUse = yield* Effect.flip(client.calendars.remove({ params, query: {} }))
        assert.strictEqual(inUse._tag, "CalendarInUse")
        yield* client.triggers.remove({ params: { name: "autumn" }, query: {} })
        yield* client.calendars.remove({ params, query: {} })
        const gone = yield* Effect.flip(client.calendars.get({ params, query: {} }))
        assert.strictEqual(gone._tag, "CalendarUnknown")
      }))

    it.effect("keeps those of an executor that has no database", () =>
      Effect.gen(function* () {
        const { url } = yield* Server
        const { calendars, put, remove } = Context.get(
          yield* Layer.build(RemoteTriggers.layer({ url, token })),
          Triggers,
        )
        const kept = yield* calendars.put({
          namespace: standard,
          name: "remote",
          rest: ["SUN"],
          holidays: ["2031-10-01"],
        })
        assert.deepEqual(yield* calendars.find(standard, "remote"), kept)
        assert.deepEqual(yield* calendars.list(standard), [
          { name: kept.calendar.name, revision: 1 },
        ])
        const schedule = Trigger.cron("@daily", {
          zone: "Asia/Shanghai",
          calendar: "remote",
          freeDay: { move: -2 },
          gap: "next",
          overlap: "both",
          start: new Date(1234),
          end: new Date("2400-01-01"),
          jitter: "90 seconds",
        })
        const input = { namespace: standard, name: "remote", task: Hello.name, payload: "{}" }
        const { definition } = yield* put({ ...input, schedule, graceMillis: 5000 })
        assert.deepEqual(definition.schedule, schedule)
        assert.strictEqual(definition.graceMillis, 5000)
        const inUse = yield* Effect.flip(calendars.remove(standard, "remote"))
        assert.strictEqual(inUse._tag, "Refused")
        yield* remove(standard, "remote")
        yield* calendars.remove(standard, "remote")
        const gone = yield* Effect.flip(calendars.remove(standard, "remote"))
        assert.strictEqual(gone._tag, "CalendarUnknown")
        const wrong = yield* Effect.flip(
          calendars.put({ namespace: standard, name: "remote", holidays: ["2031-02-29"] }),
        )
        assert.strictEqual(wrong._tag, "Refused")
      }))

    it.effect("refuses a trigger of a calendar that is not there, and days that do not exist", () =>
      Effect.gen(function* () {
        const client = yield* api
        const unknown = yield* Effect.flip(client.triggers.put({
          params: { name: "autumn" },
          payload: {
            task: Hello.name,
            schedule: { cron: "@daily", calendar: CalendarName.make("nowhere") },
          },
        }))
        assert(unknown._tag === "RequestRefused")
        assert.strictEqual(unknown.field, "schedule.calendar")
        const answer = yield* call(
          "PUT",
          "/api/v1/calendars/office",
          { ...authorized, "content-type": "application/json" },
          JSON.stringify({ holidays: ["2031-02-30"] }),
        )
        assert.match(problem(answer, "request-unreadable", 400).field, /holidays/)
        const both = yield* call(
          "PUT",
          "/api/v1/calendars/office",
          { ...authorized, "content-type": "application/json" },
          JSON.stringify({ holidays: ["2031-10-04"], workdays: ["2031-10-04"] }),
        )
        assert.strictEqual(problem(both, "request-refused", 422).field, "workdays")
      }))
  })

  it.effect("shows tasks, executors and the status", () =>
    Effect.gen(function* () {
      const client = yield* api
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
      const status = yield* client.system.status({ query: {} })
      assert.strictEqual(status.storage, "memory")
      assert.isAtLeast(status.executors.live, 1)
      assert.isAtLeast(status.runs.Succeeded, 1)
      assert.strictEqual(status.schedulers.length, 1)
    }))

  it.effect("shows who holds a lock, and releases it", () =>
    Effect.gen(function* () {
      const client = yield* api
      const lock = yield* Lock
      const ttl = Duration.minutes(1)
      for (const key of ["api/lock/longer", "api/lock", "other"]) {
        yield* lock.acquire(LockKey.make(key), "ada", ttl)
      }
      const { fences, items, technology } = yield* client.locks.list({ query: { prefix: "api/" } })
      assert.deepStrictEqual([technology, fences], ["memory", "advisory"])
      assert.deepStrictEqual(items.map(({ key }) => String(key)), ["api/lock", "api/lock/longer"])
      assert.isAtMost(items[0]!.endsInMillis, 60_000)
      const { fence, key } = items[0]!
      const wrong = yield* post("/api/v1/locks/release", { key, fence: fence + 1 })
      assert.strictEqual(problem(wrong, "lock-free", 404).field, "fence")
      const released = yield* client.locks.release({ payload: { key, fence } })
      assert.strictEqual(released.holder, "ada")
      problem(yield* post("/api/v1/locks/release", { key }), "lock-free", 404)
      const left = yield* client.locks.list({ query: { prefix: "api/" } })
      assert.deepStrictEqual(left.items.map(({ key }) => String(key)), ["api/lock/longer"])
    }))

  describe("problems", () => {
    it.effect("an unknown task names those that exist", () =>
      Effect.gen(function* () {
        const read = problem(
          yield* post("/api/v1/runs", { task: "hello/wrld" }),
          "task-unknown",
          404,
        )
        assert.include(read.detail, 'Did you mean "hello/world"?')
        assert.deepStrictEqual(read.suggestions, ["hello/world"])
        const elsewhere = problem(
          yield* post("/api/v1/runs", { task: "hello/world", namespace: "empty" }),
          "task-unknown",
          404,
        )
        assert.include(elsewhere.detail, 'The namespace "empty" has no tasks.')
        const nothingAlike = problem(
          yield* call("GET", "/api/v1/tasks/quite-another-thing", authorized),
          "task-unknown",
          404,
        )
        assert.include(nothingAlike.detail, '"lonely"')
      }))

    it.effect("unknown runs, triggers and routes", () =>
      Effect.gen(function* () {
        for (const path of ["", "/events", "/why"]) {
          problem(yield* call("GET", `/api/v1/runs/4711${path}`, authorized), "run-unknown", 404)
        }
        problem(yield* post("/api/v1/runs/4711/cancel", ""), "run-unknown", 404)
        problem(yield* call("GET", "/api/v1/triggers/x", authorized), "trigger-unknown", 404)
        problem(yield* call("DELETE", "/api/v1/triggers/x", authorized), "trigger-unknown", 404)
        problem(yield* post("/api/v1/triggers/x/pause", ""), "trigger-unknown", 404)
        problem(yield* post("/api/v1/triggers/x/resume", ""), "trigger-unknown", 404)
        for (const path of ["/", "/api", "/api/v2/runs", "/metrics"]) {
          problem(yield* call("GET", path, authorized), "route-unknown", 404)
        }
      }))

    it.effect("what cannot be read says where and why", () =>
      Effect.gen(function* () {
        const unreadable = (answer: Answer) => problem(answer, "request-unreadable", 400)
        const level = unreadable(
          yield* post("/api/v1/runs", { task: "hello/world", payload: 1, level: 7 }),
        )
        assert.strictEqual(level.field, "payload.level")
        assert.strictEqual(
          unreadable(yield* post("/api/v1/runs", { payload: 1 })).field,
          "payload.task",
        )
        assert.strictEqual(unreadable(yield* post("/api/v1/runs", "{")).field, "payload")
        assert.strictEqual(
          unreadable(yield* call("GET", "/api/v1/runs?limit=501", authorized)).field,
          "query.limit",
        )
        assert.strictEqual(
          unreadable(yield* call("GET", "/api/v1/runs/17x", authorized)).field,
          "params.id",
        )
        const deep = "[".repeat(100_000) + "]".repeat(100_000)
        unreadable(
          yield* post("/api/v1/runs", `{"task":"hello/world","payload":${deep}}`),
        )
      }))

    it.effect("what cannot be accepted is refused with a remedy", () =>
      Effect.gen(function* () {
        const cron = problem(
          yield* post("/api/v1/triggers/preview", { schedule: { cron: "every day" } }),
          "request-refused",
          422,
        )
        assert.strictEqual(cron.field, "schedule.cron")
        const zone = problem(
          yield* post("/api/v1/triggers/preview", {
            schedule: { cron: "0 0 * * *", zone: "Mars/Base" },
          }),
          "request-refused",
          422,
        )
        assert.strictEqual(zone.field, "schedule.zone")
        const large = problem(
          yield* post("/api/v1/runs", { task: "hello/world", payload: "x".repeat(300_000) }),
          "request-refused",
          422,
        )
        assert.strictEqual(large.field, "payload")
      }))

    it.effect("a body that is too large, or no JSON", () =>
      Effect.gen(function* () {
        const large = JSON.stringify({ task: "hello/world", payload: "x".repeat(1_100_000) })
        problem(yield* post("/api/v1/runs", large), "body-too-large", 413)
        problem(
          yield* post("/api/v1/runs", "a=b", { "content-type": "text/plain" }),
          "body-unsupported",
          415,
        )
      }))

    it.effect("keys that look like prototypes are only data", () =>
      Effect.gen(function* () {
        const body = '{"task":"hello/world","payload":{"__proto__":{"isAdmin":true},"name":"x"}}'
        const answer = yield* post("/api/v1/runs", body)
        assert.strictEqual(answer.status, 201)
        assert.isUndefined(({} as { isAdmin?: boolean }).isAdmin)
      }))
  })

  describe("who is let in", () => {
    it("knows all endpoints", () => assert.isAtLeast(endpoints.length, 17))

    const wrong = {
      "no token": {},
      "a wrong token": { authorization: "Bearer not-the-token-of-the-tests" },
      "another scheme": { authorization: `Basic ${btoa(`x:${secret}`)}` },
    }
    for (const { declared, method, path } of endpoints) {
      for (const [kind, headers] of Object.entries(wrong)) {
        it.effect(`${method} ${declared} with ${kind} is 401`, () =>
          Effect.gen(function* () {
            const answer = yield* call(method, path, headers)
            problem(answer, "token-refused", 401)
            assert.match(String(answer.headers["www-authenticate"]), /^Bearer/)
          }))
      }
    }

    it.effect("neither pages nor unknown paths nor spellings are answered without a token", () =>
      Effect.gen(function* () {
        const paths = [
          "/",
          "/api",
          "/api/docs",
          "/api/openapi.json",
          "/rpc",
          "//api/v1/runs",
          "/api//v1/runs",
          "/api/v1/runs/",
          "/api/v1/%72uns",
          "/livez/../api/v1/runs",
          "/livez/",
          "//livez",
          "/livez;x/api/v1/runs",
          "/livez%2f..%2fapi/v1/runs",
          "/LIVEZ",
          "/API/V1/RUNS",
          "http://localhost/api/v1/runs",
        ]
        for (const path of paths) {
          for (const method of ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]) {
            const { status } = yield* call(method, path, { "x-http-method-override": "GET" })
            assert.include([400, 401], status, `${method} ${path}`)
          }
        }
      }))

    it.effect("a browser may show the pages with the token as password", () =>
      Effect.gen(function* () {
        const basic = { authorization: `Basic ${btoa(`anyone:${secret}`)}` }
        const refused = yield* call("GET", "/api/docs")
        assert.match(String(refused.headers["www-authenticate"]), /^Basic/)
        const page = yield* call("GET", "/api/docs", basic)
        assert.strictEqual(page.status, 200)
        assert.match(String(page.headers["content-security-policy"]), /default-src 'none'/)
        assert.notMatch(page.text, /<script[^>]+src=/)
        const shown = yield* call("GET", "/api/openapi.json", basic)
        const described = JSON.parse(shown.text)
        assert.strictEqual(described.openapi, "3.1.0")
        assert.deepStrictEqual(Object.keys(described.paths), Object.keys(document.paths))
      }))

    it.effect("probes are public and empty", () =>
      Effect.gen(function* () {
        for (const path of ["/livez", "/readyz", "/startupz"]) {
          const { status, text } = yield* call("GET", path, { host: "10.1.2.3" })
          assert.deepStrictEqual([status, text], [200, ""])
        }
      }))

    it.effect("foreign host names and origins are refused, even with the token", () =>
      Effect.gen(function* () {
        for (const host of ["evil.example", "evil.example:7070", "127.0.0.1.evil.example", "a@b"]) {
          const answer = yield* call("GET", "/api/v1/runs", { ...authorized, host })
          problem(answer, "host-refused", 421)
        }
        problem(
          yield* call("GET", "/api/v1/runs", { ...authorized, origin: "http://evil.example" }),
          "origin-refused",
          403,
        )
        const { port } = yield* Server
        const own = yield* call("GET", "/api/v1/runs", {
          ...authorized,
          host: `localhost:${port}`,
          origin: `http://localhost:${port}`,
        })
        assert.strictEqual(own.status, 200)
      }))

    it.effect("a connection of an executor is refused before it opens", () =>
      Effect.gen(function* () {
        const upgrade = {
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        assert.strictEqual((yield* call("GET", "/rpc", upgrade)).status, 401)
        const foreign = { ...upgrade, ...authorized, origin: "http://evil.example" }
        assert.strictEqual((yield* call("GET", "/rpc", foreign)).status, 403)
      }))
  })

  it.effect("an executor over RPC carries runs out", () =>
    Effect.gen(function* () {
      const client = yield* api
      const { rpcUrl } = yield* Server
      const Remote = Task.make("remote", { success: Schema.String })
      yield* Effect.gen(function* () {
        const started = yield* Effect.gen(function* () {
          for (;;) {
            const submitted = yield* Effect.option(
              client.runs.submit({ headers: {}, payload: { task: Remote.name } }),
            )
            if (submitted._tag === "Some") return submitted.value
            yield* Effect.sleep(20)
          }
        })
        const run = yield* untilEnded(started.run)
        assert.strictEqual(run.result, "from afar")
        assert.strictEqual(run.executor?.name, "remote")
      }).pipe(Effect.provide(
        Remote.toLayer(() => Effect.succeed("from afar")).pipe(
          Layer.provide(Executor.layerWith({ name: "remote" })),
          Layer.provide(RpcTransport.layer({ url: rpcUrl, token })),
          Layer.fresh,
        ),
      ))
    }))
})

describe("a server's life", () => {
  const Alone = (options: Partial<ServerOptions>) =>
    Server.layer({ port: 0, token, ...options }).pipe(Layer.provide(Platform))

  const refusalOf = (options: Partial<ServerOptions>) =>
    Effect.flip(Effect.scoped(Layer.build(Layer.fresh(Alone(options)))))

  it.live("a port that is taken is told, with what to do", () =>
    Effect.gen(function* () {
      const { port } = yield* Server
      const taken = yield* refusalOf({ port })
      assert.strictEqual(taken._tag, "PortTaken")
      assert.include(taken.message, `127.0.0.1:${port} is taken`)
    }).pipe(Effect.provide(Alone({}))))

  it.live("other machines are not listened to, and a short token is not taken", () =>
    Effect.gen(function* () {
      const open = yield* refusalOf({ host: "0.0.0.0" })
      assert.include(open.message, "--behind-proxy")
      const short = yield* refusalOf({ token: Redacted.make("admin") })
      assert.include(short.message, "openssl rand")
      const foreign = yield* refusalOf({ host: "192.0.2.1", isBehindProxy: true })
      assert.strictEqual(foreign._tag, "Refused")
    }))

  it.live("its status lists every server over the same storage, as long as it is there", () =>
    Effect.gen(function* () {
      const names = Effect.gen(function* () {
        const { port } = yield* Server
        const { schedulers } = yield* Effect.flatMap(
          api,
          ({ system }) => system.status({ query: {} }),
        )
        const [self, ...more] = schedulers.filter(({ isSelf }) => isSelf)
        assert.deepStrictEqual(more, [])
        assert.match(self!.name, new RegExp(`:${port}$`))
        return schedulers.map(({ name }) => name)
      })
      const scope = yield* Scope.make()
      const second = yield* Layer.build(Layer.fresh(Server.layer({ port: 0, token }))).pipe(
        Scope.provide(scope),
      )
      const both = yield* names
      assert.strictEqual(both.length, 2)
      assert.deepStrictEqual(yield* Effect.provide(names, second), both)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* names).length, 1)
    }).pipe(
      Effect.provide(Layer.provideMerge(Server.layer({ port: 0, token }), Layer.fresh(Platform))),
    ))

  it.live("at its end it is unready first, lets connections go, and lets requests finish", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const Slow = Layer.effect(
        Storage,
        Effect.map(Storage, (storage) =>
          Storage.of({
            ...storage,
            tasks: {
              ...storage.tasks,
              list: () =>
                Deferred.succeed(asked, undefined).pipe(
                  Effect.andThen(Effect.sleep("600 millis")),
                  Effect.as([]),
                ),
            },
          })),
      ).pipe(Layer.provide(Memory.layer))
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Layer.fresh(
          Server.layer({ port: 0, token, unreadyFor: "300 millis" }).pipe(
            Layer.provide(Slow),
            Layer.provide(Platform),
          ),
        ),
        scope,
      )
      const within = Effect.provide(context)
      const { rpcUrl } = Context.get(context, Server)
      const closed = yield* Deferred.make<void>()
      const socket = new (WebSocket as unknown as new (
        url: string,
        options: { readonly headers: Readonly<Record<string, string>> },
      ) => WebSocket)(rpcUrl, { headers: authorized })
      yield* Effect.callback<void>((resume) => {
        socket.onopen = () => resume(Effect.void)
        socket.onclose = () => Effect.runFork(Deferred.succeed(closed, undefined))
      })
      const request = yield* Effect.forkChild(within(call("GET", "/api/v1/tasks", authorized)))
      yield* Deferred.await(asked)
      assert.strictEqual((yield* within(call("GET", "/readyz"))).status, 200)
      const started = performance.now()
      const end = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      while ((yield* within(call("GET", "/readyz"))).status !== 503) yield* Effect.sleep(10)
      yield* Deferred.await(closed)
      assert.strictEqual((yield* Fiber.join(request)).status, 200)
      yield* Fiber.join(end)
      assert.isBelow(performance.now() - started, 5000)
    }))
})

describe("a server in trouble", () => {
  const Broken = Layer.effect(
    Storage,
    Effect.map(Storage, (storage) => {
      const down = new StorageUnavailable({
        storage: "postgres",
        operation: "SELECT secret FROM run",
        cause: new Error("connect ECONNREFUSED 10.0.0.7:5432"),
      })
      return Storage.of({
        ...storage,
        now: Effect.fail(down),
        runs: {
          ...storage.runs,
          list: () => Effect.fail(down),
          find: () => Effect.die(new Error("SELECT * FROM run at /srv/belfry/x.ts:1")),
        },
      })
    }),
  ).pipe(Layer.provide(Memory.layer))

  const Main = Server.layer({ port: 0, token }).pipe(
    Layer.provide(LocalOwnership.layer),
    Layer.provide(Direct.layer),
    Layer.provide(Layer.merge(Memory.layer, Broken)),
  )

  layer(Main, { excludeTestServices: true })("whose storage is down", (it) => {
    it.effect("is alive and not ready", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* call("GET", "/livez")).status, 200)
        assert.strictEqual((yield* call("GET", "/readyz")).status, 503)
      }))

    it.effect("says so, when to try again, and nothing of the inside", () =>
      Effect.gen(function* () {
        const answer = yield* call("GET", "/api/v1/runs", authorized)
        problem(answer, "storage-unavailable", 503)
        assert.strictEqual(answer.headers["retry-after"], "1")
        assert.notMatch(answer.text, /10\.0\.0\.7|secret|postgres/)
      }))

    it.effect("answers a defect with an id and nothing of the inside", () =>
      Effect.gen(function* () {
        const read = problem(yield* call("GET", "/api/v1/runs/1", authorized), "server-failed", 500)
        assert.match(read.id, /^[a-z0-9]+$/)
      }))
  })
})
