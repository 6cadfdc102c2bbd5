import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TaskName } from "../../core/domain/TaskName.ts"
import * as Task from "../../core/engine/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import {
  type Answer,
  api,
  authorized,
  call,
  Exits,
  Hello,
  Lonely,
  Main,
  post,
  problem,
  untilEnded,
} from "../Server.fixture.ts"

layer(Main, { excludeTestServices: true })("runs, over REST", (it) => {
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
      const { items } = yield* client.runs.events({ params: { id: run.id }, query: {} })
      assert.deepStrictEqual(items.map(({ kind }) => kind), ["Submitted", "Claimed", "Succeeded"])
      const executions = yield* client.runs.executions({ params: { id: run.id } })
      assert.strictEqual(executions.items.length, 1)
      assert.deepInclude(executions.items[0], { id: `${run.id}.1`, attempt: 1, logAfter: "1.0" })
      assert.deepInclude(executions.items[0], { end: "Succeeded", executor: run.executor! })
      const why = yield* client.runs.why({ params: { id: run.id } })
      assert.deepStrictEqual(why, { _tag: "Ended", state: "Succeeded" })
      const { answer } = yield* client.runs.cancel({ params: { id: run.id }, query: {} })
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

  it.effect("refuses a deadline that comes before the delay", () =>
    Effect.gen(function* () {
      const body = { task: "lonely", delayMillis: 5000, deadlineMillis: 100 }
      const read = problem(yield* post("/api/v1/runs", body), "request-refused", 422)
      assert.strictEqual(read.field, "deadline")
      assert.include(read.reason, "due in 5000 ms")
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
      const by = (id: RunId, name: string) => ({ ...params(id), query: { by: name } })
      const { run } = yield* client.runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "x" }, delayMillis: 3_600_000 },
      })
      assert.strictEqual((yield* client.runs.suspend(by(run, "Ada"))).answer, "confirmed")
      assert.strictEqual((yield* client.runs.why(params(run)))._tag, "Suspended")
      const early = problem(yield* post(`/api/v1/runs/${run}/notify`, {}), "order-refused", 409)
      assert.strictEqual(early.state, "Suspended")
      assert.strictEqual((yield* client.runs.resume(by(run, "Bob"))).answer, "confirmed")
      assert.strictEqual(
        (yield* client.runs.get({ ...params(run), query: {} })).state,
        "Scheduled",
      )
      const failing = yield* client.runs.submit({
        headers: {},
        payload: { task: Exits.name },
      })
      assert.strictEqual((yield* untilEnded(failing.run)).state, "Failed")
      assert.strictEqual((yield* client.runs.revive(by(failing.run, "Eve"))).answer, "confirmed")
      const again = yield* untilEnded(failing.run)
      assert.deepInclude(again, { state: "Failed", attempt: 2 })
      problem(yield* post("/api/v1/runs/12345/revive", {}), "run-unknown", 404)
    }))

  it.effect("Q32: has a run rolled back that has ended, and tells who asked, and why", () =>
    Effect.gen(function* () {
      const client = yield* api
      const { run } = yield* client.runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "x" }, delayMillis: 3_600_000 },
      })
      const early = yield* post(`/api/v1/runs/${run}/rollback`, {})
      assert.include(problem(early, "order-refused", 409).reason, "cancel it")
      const Undone = Task.make("undone")
      yield* Layer.build(Undone.toLayer(() => Effect.void, { rollback: () => Effect.void }))
      const { run: done } = yield* client.runs.submit({
        headers: {},
        payload: { task: Undone.name, payload: {} },
      })
      assert.strictEqual((yield* untilEnded(done)).state, "Succeeded")
      const asked = yield* post(`/api/v1/runs/${done}/rollback?by=Ada&note=by%20mistake`, {})
      assert.deepStrictEqual([asked.status, JSON.parse(asked.text).answer], [200, "confirmed"])
      const ended = yield* untilEnded(done)
      assert.strictEqual(ended.state, "Failed")
      assert.strictEqual(ended.failure?.tag, "RolledBack")
      const { items } = yield* client.runs.events({ params: { id: done }, query: {} })
      const order = items.find(({ kind }) => kind === "RollbackAsked")
      assert.deepInclude(order, { by: "Ada", detail: "by mistake" })
      const long = `note=${"x".repeat(1025)}`
      assert.strictEqual((yield* post(`/api/v1/runs/${done}/rollback?${long}`, {})).status, 400)
      problem(yield* post("/api/v1/runs/12345/rollback", {}), "run-unknown", 404)
      const { run: kept } = yield* client.runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "x" } },
      })
      yield* untilEnded(kept)
      const without = yield* post(`/api/v1/runs/${kept}/rollback`, {})
      assert.include(problem(without, "order-refused", 409).reason, "has no `rollback`")
      assert.strictEqual((yield* untilEnded(kept)).state, "Succeeded")
      const shown = (name: string) => client.tasks.get({ params: { name }, query: {} })
      assert.deepStrictEqual((yield* shown(Undone.name)).hooks, ["rollback"])
      assert.deepStrictEqual((yield* shown(Hello.name)).hooks, [])
    }))

  it.effect("Q2: says with each order whose it was, and refuses a name that is none", () =>
    Effect.gen(function* () {
      const client = yield* api
      const { run } = yield* client.runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "x" }, delayMillis: 3_600_000 },
      })
      const path = `/api/v1/runs/${run}`
      for (const order of ["suspend?by=Ada", "resume?by=B%C3%B6b", "cancel?by=Cy"]) {
        assert.strictEqual((yield* post(`${path}/${order}`, {})).status, 200)
      }
      const { items } = yield* client.runs.events({ params: { id: run }, query: {} })
      assert.deepStrictEqual(
        items.map(({ by, kind }) => [kind, by]),
        [
          ["Submitted", undefined],
          ["Suspended", "Ada"],
          ["Resumed", "Böb"],
          ["CancelAsked", "Cy"],
          ["Cancelled", undefined],
        ],
      )
      for (const name of ["", "x".repeat(257)]) {
        assert.strictEqual((yield* post(`${path}/cancel?by=${name}`, {})).status, 400)
        assert.strictEqual((yield* post(`${path}/notify`, { by: name })).status, 400)
      }
    }))

  it.effect("leaves a run as it is that does not take an order", () =>
    Effect.gen(function* () {
      const client = yield* api
      const seen = (id: RunId) =>
        Effect.all([
          client.runs.get({ params: { id }, query: {} }),
          client.runs.events({ params: { id }, query: {} }),
        ])
      const submit = (task: TaskName, delayMillis: number) =>
        Effect.map(
          client.runs.submit({
            headers: {},
            payload: { task, payload: { name: "x" }, delayMillis },
          }),
          ({ run }) => run,
        )
      const ended = yield* submit(Hello.name, 0)
      yield* untilEnded(ended)
      const failed = yield* submit(Exits.name, 0)
      yield* untilEnded(failed)
      const suspended = yield* submit(Hello.name, 3_600_000)
      yield* client.runs.suspend({ params: { id: suspended }, query: {} })
      const scheduled = yield* submit(Hello.name, 3_600_000)
      const taken: Readonly<Record<string, ReadonlyArray<RunId>>> = {
        suspend: [ended, failed],
        resume: [ended, failed],
        notify: [ended, failed, suspended, scheduled],
        revive: [ended],
        rollback: [suspended, scheduled],
      }
      for (const [order, runs] of Object.entries(taken)) {
        for (const run of runs) {
          const before = yield* seen(run)
          problem(yield* post(`/api/v1/runs/${run}/${order}`, {}), "order-refused", 409)
          assert.deepStrictEqual(yield* seen(run), before, `${order} of ${before[0].state}`)
        }
      }
    }))

  it.effect("tells states, and is asked for them, in other words", () =>
    Effect.gen(function* () {
      const client = yield* api
      const { run: failed } = yield* client.runs.submit({
        headers: {},
        payload: { task: Exits.name },
      })
      yield* untilEnded(failed)
      const { run: waits } = yield* client.runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "x" }, delayMillis: 3_600_000 },
      })
      const wanted = { stages: ["Fail", "Create"], dotted: ["Faulted", "Created"] } as const
      const before = yield* client.system.status({ query: {} })
      for (const [name, [fail, create]] of Object.entries(wanted)) {
        const vocabulary = name as keyof typeof wanted
        const get = (id: RunId) => client.runs.get({ params: { id }, query: { vocabulary } })
        assert.deepStrictEqual(
          [(yield* get(failed)).state, (yield* get(waits)).state],
          [fail, create],
        )
        const { items: events } = yield* client.runs.events({
          params: { id: failed },
          query: { vocabulary },
        })
        assert.deepStrictEqual(events.map(({ kind }) => kind), ["Submitted", "Claimed", fail])
        const { items } = yield* client.runs.list({
          query: { vocabulary, state: [fail, create], limit: 500 },
        })
        assert.include(items.map(({ id }) => id), failed)
        assert.include(items.map(({ id }) => id), waits)
        assert.deepStrictEqual(new Set(items.map(({ state }) => state)), new Set([fail, create]))
        const { runs } = yield* client.system.status({ query: { vocabulary } })
        assert.deepStrictEqual(
          runs[fail as keyof typeof runs],
          ["Failed", "TimedOut", "Quarantined"].reduce(
            (sum, state) => sum + before.runs[state as keyof typeof before.runs]!,
            0,
          ),
        )
      }
      const none = yield* client.runs.list({
        query: { vocabulary: "stages", state: ["Rollback"] },
      })
      assert.deepStrictEqual(none, { items: [], next: null })
    }))

  it.effect("refuses words of no vocabulary, and of another one than was named", () =>
    Effect.gen(function* () {
      const list = (query: string) => call("GET", `/api/v1/runs?${query}`, authorized)
      const unknown = problem(yield* list("vocabulary=latin"), "request-unreadable", 400)
      assert.strictEqual(unknown.field, "query.vocabulary")
      assert.match(unknown.reason, /stages.*dotted/)
      for (
        const query of [
          "state=Faulted",
          "vocabulary=stages&state=Faulted",
          "vocabulary=dotted&state=Failed&state=Succeeded",
        ]
      ) {
        const refused = problem(yield* list(query), "request-refused", 422)
        assert.strictEqual(refused.field, "state")
        assert.match(refused.reason, /vocabulary/)
      }
      problem(yield* list("state=Gone"), "request-unreadable", 400)
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

  it.effect("changes a run that waits, if it is at the revision that is named", () =>
    Effect.gen(function* () {
      const client = yield* api
      const { run } = yield* client.runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "x" }, delayMillis: 3_600_000 },
      })
      const set = (payload: object) =>
        call(
          "PATCH",
          `/api/v1/runs/${run}`,
          { ...authorized, "content-type": "application/json" },
          JSON.stringify(payload),
        )
      assert.deepEqual(
        yield* client.runs.change({ params: { id: run }, payload: { level: 0, by: "Ada" } }),
        { run, answer: "confirmed" },
      )
      const shown = yield* client.runs.get({ params: { id: run }, query: {} })
      assert.deepInclude(shown, { level: 0, submittedLevel: 1, state: "Scheduled" })
      const { items } = yield* client.runs.events({ params: { id: run }, query: {} })
      assert.deepInclude(items.at(-1)!, { kind: "LevelSet", detail: "usual → urgent", by: "Ada" })
      problem(yield* set({ level: 7 }), "request-unreadable", 400)
      const change = { deadlineMillis: 7_200_000, revision: 2 }
      assert.deepEqual(yield* client.runs.change({ params: { id: run }, payload: change }), {
        run,
        answer: "confirmed",
      })
      const { deadlineAt, dueAt } = yield* client.runs.get({ params: { id: run }, query: {} })
      assert.isBelow(
        Math.abs(Number(deadlineAt!.epochMilliseconds) - dueAt.epochMilliseconds - 3_600_000),
        60_000,
      )
      assert.strictEqual(problem(yield* set(change), "run-changed", 409).revision, 3)
      yield* client.runs.change({ params: { id: run }, payload: { deadlineMillis: null } })
      assert.notProperty(
        yield* client.runs.get({ params: { id: run }, query: {} }),
        "deadlineAt",
      )
      problem(yield* set({ deadlineMillis: 0 }), "request-refused", 422)
      problem(yield* set({}), "request-refused", 422)
      yield* client.runs.cancel({ params: { id: run }, query: {} })
      assert.strictEqual(
        problem(yield* set({ level: 1 }), "order-refused", 409).state,
        "Cancelled",
      )
    }))

  it.effect("answers discarded, cancels, and says why a run waits", () =>
    Effect.gen(function* () {
      const client = yield* api
      const submit = client.runs.submit({ headers: {}, payload: { task: Lonely.name } })
      const first = yield* submit
      const second = yield* submit
      assert.strictEqual(second.state, "Discarded")
      const { answer } = yield* client.runs.cancel({ params: { id: first.run }, query: {} })
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

  it.effect("A20: does a run again, as it was or with another payload, and says whose and by whom", () =>
    Effect.gen(function* () {
      const { runs } = yield* api
      const first = yield* runs.submit({
        headers: {},
        payload: { task: Hello.name, payload: { name: "Ada" }, level: 0, by: "Grace" },
      })
      assert.deepStrictEqual((yield* untilEnded(first.run)).asked, { by: "Grace" })
      const again = (payload: { name: string } | undefined, key?: string) =>
        runs.again({
          params: { id: first.run },
          headers: key === undefined ? {} : { "idempotency-key": key },
          payload: { by: "Ada", ...(payload && { payload }) },
        })
      const same = yield* untilEnded((yield* again(undefined)).run)
      assert.deepStrictEqual(same.asked, { by: "Ada", again: first.run })
      assert.deepInclude(same, { result: "Hello, Ada!", level: 0 })
      const edited = yield* again({ name: "Edsger" }, "edited")
      assert.isTrue(edited.isNew)
      assert.strictEqual((yield* untilEnded(edited.run)).result, "Hello, Edsger!")
      assert.deepInclude(yield* again({ name: "Edsger" }, "edited"), {
        run: edited.run,
        isNew: false,
      })
      const { items } = yield* runs.events({ params: { id: edited.run }, query: {} })
      assert.deepInclude(items[1], {
        kind: "Asked",
        detail: `again, after run ${first.run}, by Ada`,
      })
      const conflict = yield* Effect.flip(again({ name: "Alan" }, "edited"))
      assert.strictEqual(conflict._tag, "KeyConflict")
      problem(yield* post("/api/v1/runs/1/again", {}), "run-unknown", 404)
      const nobody = yield* post(`/api/v1/runs/${first.run}/again`, { by: "" })
      assert.strictEqual(nobody.status, 400)
    }))

  it.effect("B67: lists page by page, and leaves payloads and stacks out", () =>
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
      // Others of this file come before them, and none twice.
      assert.deepStrictEqual(seen.slice(0, ids.length), ids)
      assert.strictEqual(new Set(seen).size, seen.length)
    }))
})
