import { assert, layer } from "@effect/vitest"
import { Context, DateTime, Duration, Effect, Layer, Option, Schema, Stream } from "effect"
import * as Blocking from "../../core/domain/Blocking.ts"
import { Namespace, standard } from "../../core/domain/Namespace.ts"
import { TaskName } from "../../core/domain/Task.ts"
import * as Source from "../../core/engine/Source.ts"
import * as Task from "../../core/engine/Task.ts"
import * as Trigger from "../../core/engine/Trigger.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as RemoteTriggers from "../remote/RemoteTriggers.ts"
import { Server } from "../Server.ts"
import type { ChangeTrigger } from "./Views.ts"
import {
  api,
  authorized,
  call,
  Hello,
  Main,
  post,
  problem,
  token,
  untilEnded,
} from "../Server.fixture.ts"

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

  it.effect("lists them page by page, and so does who is elsewhere", () =>
    Effect.gen(function* () {
      const client = yield* api
      const namespace = Namespace.make("pages")
      const names = Array.from({ length: 55 }, (_, at) => `t-${String(at).padStart(2, "0")}`)
      yield* Effect.forEach(names, (name) =>
        client.triggers.change({
          params: { name },
          payload: { namespace, task: TaskName.make("paged"), schedule: { cron: "@yearly" } },
        }), { concurrency: 10 })
      const first = yield* client.triggers.list({ query: { namespace } })
      assert.deepStrictEqual(first.items.map(({ name }) => String(name)), names.slice(0, 50))
      assert.strictEqual(first.next, names[49])
      const last = yield* client.triggers.list({ query: { namespace, cursor: first.next! } })
      assert.deepStrictEqual(last.items.map(({ name }) => String(name)), names.slice(50))
      assert.isNull(last.next)
      const whole = yield* client.triggers.list({ query: { namespace, limit: 55 } })
      assert.deepStrictEqual([whole.items.length, whole.next], [55, null])
      const tooMany = yield* call("GET", "/api/v1/triggers?limit=501", authorized)
      assert.strictEqual(tooMany.status, 400)
      const remote = Context.get(
        yield* Layer.build(RemoteTriggers.layer({ urls: [(yield* Server).url], token })),
        Triggers,
      )
      const far = (page?: { readonly after?: string; readonly limit?: number }) =>
        Effect.map(
          remote.list(namespace, page),
          (views) => views.map(({ definition }) => String(definition.name)),
        )
      assert.deepStrictEqual(yield* far(), names)
      assert.deepStrictEqual(yield* far({ after: names[2]!, limit: 2 }), names.slice(3, 5))
    }).pipe(Effect.scoped))

  it.effect("changes what is named of one, however many do at once, and leaves the rest", () =>
    Effect.gen(function* () {
      const client = yield* api
      const params = { name: "changed" }
      const change = (payload: ChangeTrigger) => client.triggers.change({ params, payload })
      const unknown = yield* Effect.flip(change({ schedule: { zone: "UTC" } }))
      assert.strictEqual(unknown._tag, "TriggerUnknown")
      const taskless = yield* Effect.flip(change({ schedule: { cron: "0 3 * * *" } }))
      assert.deepInclude(taskless, { _tag: "RequestRefused", field: "task" })
      const made = yield* change({
        task: Hello.name,
        schedule: { cron: "0 3 * * *", zone: "Europe/Berlin" },
        payload: { name: "Ada" },
        misfire: { _tag: "All", max: 3 },
        graceMillis: 5000,
      })
      assert.strictEqual(made.revision, 1)
      yield* Effect.all([
        change({ schedule: { jitterMillis: 60_000 } }),
        change({ schedule: { cron: "0 4 * * *" } }),
        change({ whileRunning: "skip" }),
        change({ misfire: { max: 4 } }),
        change({ payload: { name: "Grace" } }),
      ], { concurrency: "unbounded" })
      const { slots: _, ...kept } = yield* client.triggers.get({ params, query: {} })
      assert.deepInclude(kept, {
        revision: 6,
        task: Hello.name,
        payload: { name: "Grace" },
        misfire: { _tag: "All", max: 4 },
        graceMillis: 5000,
        whileRunning: "skip",
        schedule: { cron: "0 4 * * *", zone: "Europe/Berlin", jitterMillis: 60_000 },
      })
      const changed = yield* change({
        schedule: { jitterMillis: null },
        graceMillis: null,
        revision: 6,
      })
      assert.deepStrictEqual(changed.schedule, { cron: "0 4 * * *", zone: "Europe/Berlin" })
      assert.notProperty(changed, "graceMillis")
      const stale = yield* Effect.flip(change({ whileRunning: "allow", revision: 6 }))
      assert.deepInclude(stale, { _tag: "TriggerChanged", revision: 7 })
      const stray = yield* Effect.flip(change({ schedule: { everyMillis: 90_000, zone: "UTC" } }))
      assert.deepInclude(stray, { _tag: "RequestRefused", field: "schedule.zone" })
      const misfit = yield* Effect.flip(change({ payload: { name: 3 } }))
      assert.strictEqual(misfit._tag, "RequestRefused")
      assert.strictEqual((yield* client.triggers.get({ params, query: {} })).revision, 7)
      yield* client.triggers.remove({ params, query: {} })
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

  it.effect("keeps one that follows a task, fires it, and shows what it followed", () =>
    Effect.gen(function* () {
      const client = yield* api
      const params = { name: "after-hello" }
      const schedule = {
        after: Hello.name,
        on: ["Failed", "Succeeded"],
        when: [{ at: "", is: "equal", to: "Hello, first!" }],
      } as const
      const put = yield* client.triggers.put({
        params,
        payload: { task: Hello.name, schedule, payload: { name: "second" } },
      })
      assert.deepEqual(put.schedule, { ...schedule, on: ["Succeeded", "Failed"] })
      assert.isNull(put.nextSlot)
      const remote = Context.get(
        yield* Layer.build(RemoteTriggers.layer({ urls: [(yield* Server).url], token })),
        Triggers,
      )
      const [view] = (yield* remote.list(standard)).filter(({ definition }) =>
        definition.name as string === params.name
      )
      assert.strictEqual(view!.definition.schedule._tag, "After")
      const { run } = yield* client.runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "first" } },
      })
      for (;;) {
        const { slots } = yield* client.triggers.get({ params, query: {} })
        // Its own run has ended as it follows, too, but said hello to another.
        if (slots.length < 2) {
          yield* Effect.sleep(50)
          continue
        }
        const [skipped, fired] = slots
        assert.deepInclude(fired!, { outcome: "fired", after: { run, state: "Succeeded" } })
        const made = yield* untilEnded(fired!.run!)
        assert.deepInclude(made, { after: run, result: "Hello, second!" })
        assert.deepInclude(skipped!, {
          outcome: "skipped",
          reason: 'not so: the result is equal to "Hello, first!"',
          after: { run: made.id, state: "Succeeded" },
        })
        const records = yield* remote.records(standard, params.name, 2)
        assert.deepEqual(records.map(({ after }) => after?.run), [made.id, run])
        break
      }
      yield* client.triggers.remove({ params, query: {} })
    }).pipe(Effect.scoped))

  it.effect("shows how far one has come that tails a source, and how it stands over REST", () =>
    Effect.gen(function* () {
      const client = yield* api
      const params = { name: "tailing" }
      const names = ["Ada", "Grace"]
      const source = Source.fromStream(
        "guests",
        (after) =>
          Stream.fromIterable(
            names.slice(Number(after)).map((name, at) => ({
              position: `${Number(after) + at + 1}`,
              value: name,
            })),
          ),
      )
      const tailing = Hello.schedule(
        params.name,
        Trigger.tail(source, { entry: Schema.String, unreadable: "stop" }),
        (name) => name === "Grace" ? undefined : { name },
      )
      yield* Layer.build(tailing)
      const shown = Effect.gen(function* () {
        for (;;) {
          const found = yield* client.triggers.get({ params, query: {} })
          if (found.tail?.position === "2") return found
          yield* Effect.sleep(50)
        }
      })
      const { schedule, slots, tail } = yield* shown
      assert.deepEqual(schedule, { tail: "guests", from: "beginning", unreadable: "stop" })
      assert.deepInclude(tail!, { position: "2", fired: 1, passed: 1, skipped: 0 })
      assert.deepInclude(slots[0]!, { entry: "1", outcome: "fired" })
      const run = yield* untilEnded(slots[0]!.run!)
      assert.strictEqual(run.result, "Hello, Ada!")
      assert.deepEqual(run.fired, { kind: "entry", revision: 1, entry: "1", latenessMillis: 0 })
      const { items } = yield* client.triggers.list({ query: {} })
      assert.strictEqual(items.find(({ name }) => name === params.name as never)!.tail?.fired, 1)
      const remote = Context.get(
        yield* Layer.build(RemoteTriggers.layer({ urls: [(yield* Server).url], token })),
        Triggers,
      )
      const [far] = yield* remote.tails(standard)
      assert.deepInclude(far!.tail, { position: "2", fired: 1 })
      const refused = yield* Effect.flip(Effect.provideService(
        Effect.scoped(Layer.build(tailing)),
        Triggers,
        remote,
      ))
      assert.match(String(refused), /this program has no storage/)
      yield* client.triggers.remove({ params, query: {} })
    }).pipe(Effect.scoped))

  it.effect("says of which nobody has brought the task, and a program far away brings it", () =>
    Effect.gen(function* () {
      const client = yield* api
      const params = { name: "far" }
      const schedule = { cron: "0 3 * * *" }
      const put = (task: string) =>
        client.triggers.put({
          params,
          payload: { task: TaskName.make(task), schedule, payload: { name: "Ada" } },
        })
      const { taskUnknown } = yield* put("helo/world")
      assert.include(taskUnknown?.detail, 'no task "helo/world"')
      assert.include(taskUnknown?.remedy, "the usual policy")
      assert.deepStrictEqual(taskUnknown?.suggestions, ["hello/world"])
      assert.isUndefined((yield* put(Hello.name)).taskUnknown)
      const Far = Task.make("far", {
        payload: { name: Schema.String },
        owner: "team-far",
        purpose: "is far away",
        policy: { blocking: Blocking.discard, level: 1 },
      })
      const remote = yield* Layer.build(
        RemoteTriggers.layer({ urls: [(yield* Server).url], token }),
      )
      yield* Effect.scoped(Layer.build(
        Far.schedule("far", Trigger.cron("0 3 * * *"), { name: "Ada" }).pipe(
          Layer.provide(Layer.succeed(Triggers, Context.get(remote, Triggers))),
        ),
      ))
      const { tasks } = yield* Storage
      assert.deepEqual(Option.getOrThrow(yield* tasks.find(standard, Far.name)), {
        definition: Far.definition(standard),
        revision: 1,
      })
      assert.isUndefined((yield* put("far")).taskUnknown)
      yield* client.triggers.remove({ params, query: {} })
    }).pipe(Effect.scoped))

  it.effect("previews what would become of an end that a trigger follows", () =>
    Effect.gen(function* () {
      const schedule = {
        after: "order",
        on: "success",
        when: [{ at: "/total", is: "greater", to: 10 }],
        passing: "result",
      }
      const preview = (ended: unknown) =>
        Effect.map(
          post("/api/v1/triggers/preview", { schedule, ended }),
          ({ text }) => JSON.parse(text),
        )
      assert.deepEqual(yield* preview({ state: "Succeeded", result: { total: 12 } }), {
        fires: [],
        isComplete: true,
        followed: { payload: { total: 12 } },
      })
      const small = yield* preview({ state: "Succeeded", result: { total: 2 } })
      assert.deepEqual(small.followed, { reason: "not so: /total is greater than 10" })
      const failed = yield* preview({ state: "Failed" })
      assert.match(failed.followed.reason, /does not follow Failed/)
      assert.deepEqual(yield* preview(undefined), { fires: [], isComplete: true })
    }))

  it.effect("refuses to change one that somebody else has changed, and says to what", () =>
    Effect.gen(function* () {
      const client = yield* api
      const params = { name: "shared" }
      const put = (payload: number, revision: number) =>
        client.triggers.put({
          params,
          payload: {
            task: Hello.name,
            schedule: { cron: "0 3 * * *" },
            payload: { name: `${payload}` },
            whileRunning: "skip",
            revision,
          },
        })
      assert.deepInclude(yield* put(1, 0), { revision: 1, whileRunning: "skip" })
      assert.strictEqual((yield* put(2, 1)).revision, 2)
      const conflict = yield* Effect.flip(put(3, 1))
      assert.deepInclude(conflict, {
        _tag: "TriggerChanged",
        code: "trigger-changed",
        revision: 2,
      })
      const { items } = yield* client.triggers.versions({ params, query: {} })
      assert.deepStrictEqual(
        items.map(({ definition, revision }) => [revision, definition?.payload]),
        [[2, { name: "2" }], [1, { name: "1" }]],
      )
      yield* client.triggers.remove({ params, query: {} })
    }))

  it.effect("fires one by hand, and fills a range in", () =>
    Effect.gen(function* () {
      const client = yield* api
      const params = { name: "by-hand" }
      yield* client.triggers.put({
        params,
        payload: {
          task: Hello.name,
          schedule: { cron: "0 * * * *" },
          payload: { name: "Ada" },
        },
      })
      const headers = { "idempotency-key": "now" }
      const fired = yield* client.triggers.fire({ params, headers, payload: { by: "Ada" } })
      assert.isTrue(fired.isNew)
      const ended = yield* untilEnded(fired.run)
      assert.strictEqual(ended.result, "Hello, Ada!")
      assert.deepInclude(ended.fired, { kind: "manual", by: "Ada", revision: 1 })
      const again = yield* client.triggers.fire({ params, headers, payload: {} })
      assert.deepStrictEqual(again, { run: fired.run, isNew: false })
      const conflict = yield* Effect.flip(
        client.triggers.fire({ params, headers, payload: { payload: { name: "Bob" } } }),
      )
      assert.strictEqual(conflict._tag, "KeyConflict")
      const from = DateTime.makeUnsafe("2031-01-01T00:00:00Z")
      const early = yield* Effect.flip(
        client.triggers.backfill({
          params,
          payload: { from, to: DateTime.add(from, { hours: 2 }) },
        }),
      )
      assert.deepInclude(early, { _tag: "RequestRefused", field: "to" })
      const range = {
        from: DateTime.makeUnsafe("2026-01-01T00:00:00Z"),
        to: DateTime.makeUnsafe("2026-01-01T03:00:00Z"),
      }
      const dry = yield* client.triggers.backfill({ params, payload: { ...range, isDry: true } })
      assert.deepStrictEqual(dry.slots.map(({ answer }) => answer), [
        "would fire",
        "would fire",
        "would fire",
      ])
      const filled = yield* client.triggers.backfill({
        params,
        payload: { ...range, request: "gap", paceMillis: 3_600_000, by: "Ada" },
      })
      assert.strictEqual(filled.request, "gap")
      yield* untilEnded(filled.slots[0]!.run!)
      const { slots } = yield* client.triggers.get({ params, query: {} })
      assert.deepStrictEqual(slots.map(({ asked }) => asked), [
        { kind: "manual", request: "now", by: "Ada" },
        { kind: "backfill", request: "gap", by: "Ada" },
        { kind: "backfill", request: "gap", by: "Ada" },
        { kind: "backfill", request: "gap", by: "Ada" },
      ])
      const counts = yield* client.triggers.cancelBackfill({
        params: { ...params, request: "gap" },
        query: { by: "Bob" },
      })
      assert.deepStrictEqual(counts, { confirmed: 2, requested: 0, ended: 1 })
      const last = filled.slots.at(-1)!.run!
      const { items } = yield* client.runs.events({ params: { id: last }, query: {} })
      const orders = items.flatMap(({ by, kind }) => by === undefined ? [] : [kind, by])
      assert.deepStrictEqual(orders, ["CancelAsked", "Bob"])
      yield* client.triggers.remove({ params, query: {} })
    }))

  it.effect("keeps a permanent one, and says what the audit of slots has found", () =>
    Effect.gen(function* () {
      const client = yield* api
      const params = { name: "always" }
      const kept = yield* client.triggers.put({
        params,
        payload: {
          task: Hello.name,
          schedule: { permanent: { delayMillis: 60_000 } },
          payload: { name: "for ever" },
        },
      })
      assert.deepStrictEqual(kept.schedule, {
        permanent: {
          delayMillis: 60_000,
          growth: 2,
          delayMaxMillis: 300_000,
          steadyMillis: 60_000,
        },
      })
      for (;;) {
        const { slots } = yield* client.triggers.get({ params, query: {} })
        if (slots.length > 0) break
        yield* Effect.sleep(50)
      }
      yield* client.triggers.remove({ params, query: {} })
      const audit = yield* client.triggers.audit({ query: {} })
      assert.deepStrictEqual(audit.findings, [])
      assert.isAtMost(audit.judgedUpTo.epochMilliseconds, audit.now.epochMilliseconds)
    }))

  const refusals = [
    [{ cron: "61 * * * *" }, "cron"],
    [{ cron: "tomorrow" }, "cron"],
    [{ cron: "0 0 30 2 *" }, "cron"],
    [{ cron: "0 0 31 4 *" }, "cron"],
    [{ cron: "0 3 * * *", zone: "Mars/Olympus" }, "zone"],
  ] as const
  for (const [schedule, field] of refusals) {
    it.effect(`B34: refuses ${JSON.stringify(schedule)} by its ${field}, fast, and keeps nothing`, () =>
      Effect.gen(function* () {
        const client = yield* api
        const name = "never"
        // The first call of all loads what later ones have.
        yield* post("/api/v1/triggers/preview", { schedule: { cron: "0 0 * * *" } })
        const body = JSON.stringify({ task: Hello.name, schedule, payload: { name: "nobody" } })
        const headers = { ...authorized, "content-type": "application/json" }
        const answers = [
          yield* Effect.timed(call("PUT", `/api/v1/triggers/${name}`, headers, body)),
          yield* Effect.timed(post("/api/v1/triggers/preview", { schedule })),
        ]
        for (const [took, answer] of answers) {
          const refused = problem(answer, "request-refused", 422)
          assert.strictEqual(refused.field, `schedule.${field}`)
          assert.isAbove(refused.remedy.length, 10)
          assert.isBelow(Duration.toMillis(took), 500)
        }
        const { items } = yield* client.triggers.list({ query: {} })
        assert.notInclude(items.map(({ name }) => String(name)), name)
        const unknown = yield* Effect.flip(client.triggers.get({ params: { name }, query: {} }))
        assert.strictEqual(unknown._tag, "TriggerUnknown")
      }))
  }

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
