import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { api, Hello, Main, post, untilEnded } from "../Server.fixture.ts"

layer(Main, { excludeTestServices: true })("triggers, over REST", (it) => {
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
