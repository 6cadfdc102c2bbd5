import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { type Answer, authorized, call, Main, post, problem } from "../Server.fixture.ts"

layer(Main, { excludeTestServices: true })("problems, over REST", (it) => {
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
      assert.strictEqual(level.field, "level")
      assert.strictEqual(
        unreadable(yield* post("/api/v1/runs", { payload: 1 })).field,
        "task",
      )
      assert.strictEqual(unreadable(yield* post("/api/v1/runs", "{")).field, "body")
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

  it.effect("what nobody would read is refused by its name, and nothing is stored", () =>
    Effect.gen(function* () {
      const run = { task: "hello/world", payload: { name: "x" } }
      const cases = [
        [post("/api/v1/runs", { ...run, delayMilis: 5 }), "delayMilis", "write `delayMillis`"],
        [post("/api/v1/runs", { ...run, "": 5 }), '""', "there is `namespace`, `task`"],
        [post("/api/v1/runs?by=Ada", run), "query.by", "Give it in the body"],
        [call("GET", "/api/v1/runs?stat=Failed", authorized), "query.stat", "write `state`"],
        [call("GET", "/api/v1/runs/17/why?namespace=x", authorized), "query.namespace", "Leave it"],
        [post("/api/v1/triggers/x/pause", { namespace: "y" }), "body", "give it in the query"],
        [
          post("/api/v1/triggers/preview", { schedule: { cron: "@daily", zoen: "UTC" } }),
          "schedule.zoen",
          "write `zone`",
        ],
      ] as const
      for (const [answer, field, remedy] of cases) {
        const read = problem(yield* answer, "request-unreadable", 400)
        assert.strictEqual(read.field, field)
        assert.include(read.remedy, remedy)
      }
      const list = yield* call("GET", "/api/v1/runs?task=hello%2Fworld", authorized)
      assert.deepStrictEqual(JSON.parse(list.text).items, [])
    }))

  it.effect("what is expected is said in words", () =>
    Effect.gen(function* () {
      const put = (more: object) =>
        call(
          "PUT",
          "/api/v1/triggers/spoken",
          { ...authorized, "content-type": "application/json" },
          JSON.stringify({ task: "hello/world", schedule: { cron: "@daily" }, ...more }),
        )
      const cases = [
        [{ misfire: "skip" }, "misfire", 'an object whose `_tag` is "Skip", "Once" or "All"'],
        [{ schedule: "@daily" }, "schedule", "an object with `cron`, `everyMillis`, `at`"],
        [{ schedule: { everyMillis: 5 } }, "schedule.everyMillis", "a value between 1000 and"],
        [{ schedule: { at: "soon" } }, "schedule.at", '"soon" is not an instant such as'],
        [{ schedule: { after: "a", on: "end" } }, "schedule.on", '"success", "failure", "any" or'],
        [{ schedule: { cron: "x", at: "y" } }, "schedule", "it names both `at` and `cron`"],
        [{ revision: "1" }, "revision", '"1" is not a number'],
      ] as const
      for (const [more, field, reason] of cases) {
        const read = problem(yield* put(more), "request-unreadable", 400)
        assert.strictEqual(read.field, field)
        assert.include(read.reason, reason)
      }
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
    }))

  it.effect("B67: a body or a payload that is too large, or no JSON", () =>
    Effect.gen(function* () {
      const payload = problem(
        yield* post("/api/v1/runs", { task: "hello/world", payload: "x".repeat(300_000) }),
        "body-too-large",
        413,
      )
      assert.match(payload.detail, /300002 bytes, more than 262144/)
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
