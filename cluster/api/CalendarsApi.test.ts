import { assert, layer } from "@effect/vitest"
import { Context, DateTime, Effect, Layer } from "effect"
import { CalendarName } from "../../core/domain/Calendar.ts"
import { standard } from "../../core/domain/Namespace.ts"
import * as Trigger from "../../core/engine/Trigger.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import * as RemoteTriggers from "../remote/RemoteTriggers.ts"
import { Server } from "../Server.ts"
import { api, authorized, call, Hello, Main, problem, token } from "../Server.fixture.ts"

layer(Main, { excludeTestServices: true })("calendars, over REST", (it) => {
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
          payload: { name: "Ada" },
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
        yield* Layer.build(RemoteTriggers.layer({ urls: [url], token })),
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
      const input = {
        namespace: standard,
        name: "remote",
        task: Hello.name,
        payload: `{"name":"Ada"}`,
      }
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
          payload: { name: "Ada" },
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
