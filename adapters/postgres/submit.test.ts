/** `submit` in SQL: what it writes is what `Scheduler.submit` writes, in the caller's transaction. */
import { PgClient } from "@effect/sql-pg"
import { assert, layer as withLayer } from "@effect/vitest"
import { DateTime, Deferred, Duration, Effect, Fiber, Layer, Option, Result } from "effect"
import { Reactivity } from "effect/reactivity"
import {
  assertState,
  found,
  fresh,
  freshNamespace,
  greet,
  joined,
  recoverAll,
  specOf,
  submitOne,
} from "../../core/contract/world.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import * as Group from "../../core/domain/Group.ts"
import { Selector } from "../../core/domain/Selector.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { Namespace } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { type Policy, TaskDefinition, TaskName, usualPolicy } from "../../core/domain/Task.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Scheduler, type SubmitOptions } from "../../core/engine/Scheduler.ts"
import { Storage } from "../../core/services/Storage.ts"
import { ofLane, Wakeups } from "../../core/services/Wakeups.ts"
import { client, layer, TestStorage } from "./TestStorage.ts"

interface Options extends Omit<SubmitOptions, "delay"> {
  readonly delayMillis?: number
  readonly blockingKey?: string
}

/** A session of somebody else's, who knows nothing of us but the name of the schema. */
const caller = TestStorage.use(({ url }) =>
  PgClient.makeClient({ url }).pipe(Effect.provide(Reactivity.layer))
)

type Sql = Effect.Success<typeof caller>

const submit = (sql: Sql, task: string, payload: unknown, options: object = {}) =>
  Effect.map(
    sql<{ run: number }>`SELECT belfry.submit(${task}, ${JSON.stringify(payload)}::jsonb,
      ${JSON.stringify(options)}::jsonb)::float8 AS run`,
    ([row]) => row!.run as RunId,
  )

/** What the server says of a statement that it refuses. */
const refusal = (effect: Effect.Effect<unknown, unknown, never>) =>
  Effect.map(Effect.result(effect), (result) => {
    assert(Result.isFailure(result), "it is refused")
    const { code, column, hint, message } = (result.failure as { reason: { cause: object } }).reason
      .cause as { code: string; column?: string; hint?: string; message: string }
    return { code, column, hint, message }
  })

const defined = (policy: Partial<Policy>, namespace: Namespace = freshNamespace()) =>
  Effect.gen(function* () {
    const { tasks } = yield* Storage
    const definition = new TaskDefinition({
      namespace,
      name: greet,
      policy: { ...usualPolicy, ...policy },
    })
    yield* tasks.define([definition])
    return { namespace, policy: definition.policy }
  })

/** Every row there is of a run, but for names that differ, ids and instants. */
const rowsOf = (run: RunId) =>
  Effect.gen(function* () {
    const sql = yield* client
    const rows: Array<unknown> = []
    const created = DateTime.toEpochMillis((yield* found(run)).createdAt)
    for (const table of ["run", "ready", "scheduled", "blocked"]) {
      const some = yield* sql.unsafe<{ row: Record<string, unknown> }>(
        `SELECT to_jsonb(t) || jsonb_build_object('lane', l.name, 'task', k.name,
           'gate', coalesce(t.gate::text IN (r.gate, gate_id(r.gate)::text), false)) AS row
         FROM run r JOIN ${table} t ON t.${table === "run" ? "id" : "run_id"} = r.id
         JOIN lane l ON l.id = t.lane JOIN task k ON k.id = r.task WHERE r.id = $1::bigint`,
        [`${run}`],
      )
      for (const { row } of some) {
        for (const name of ["created_at", "due_at", "rank"]) {
          if (name in row) row[name] = Number(row[name]) - created
        }
        // It counts from the admission.
        if (row["gate"] === true) delete row["rank"]
        for (const name of ["id", "run_id", "turn"]) {
          if (name in row) row[name] = row[name] === run
        }
        delete row["payload"]
        rows.push([table, row])
      }
    }
    const deadlines = yield* sql<{ expires_at: string }>`
      SELECT expires_at::text FROM deadline WHERE run_id = ${run}`
    return [...rows, ...deadlines.map(({ expires_at: at }) => Number(at) - created)]
  })

withLayer(layer, { excludeTestServices: true })("submit by SQL", (it) => {
  const policies: ReadonlyArray<readonly [string, Partial<Policy>]> = [
    ["a plain task", {}],
    ["an urgent one", { level: 0 }],
    ["one for when nobody else waits", { level: 4 }],
    ["one that is carried out at most once", { delivery: "at-most-once", crashesMax: 0 }],
    ["one by one", { blocking: Blocking.fifo }],
    ["one or none", { blocking: Blocking.discard, level: 2 }],
    ["one for some executors", { selector: Selector.make("gpu in (a100,h100),region=eu") }],
    ["one that is to begin in time", { deadlineMillis: 90_000 }],
    ["one that runs in a thread of its own", { isolation: "thread" }],
    ["one that is regulated", {
      rateLimit: { limit: 5, perMillis: 1000 },
      breaker: "sms",
      backlog: { high: 1000 },
    }],
    ["seven at a time", { blocking: Blocking.concurrent(7) }],
    ["one of a group", { group: Group.make("the books") }],
    ["three at a time of a group", { group: Group.make("the books", { limit: 3 }) }],
    ["one by one, of a group", { group: Group.make("the books"), blocking: Blocking.fifo }],
    ["what only its executor minds", {
      timeoutMillis: 5,
      retry: { attempts: 3, delayMillis: 1, growth: 2, capMillis: 9, jitter: 0.5 },
    }],
  ]
  const options: ReadonlyArray<Options> = [
    {},
    { delayMillis: 60_000 },
    { level: 2, blockingKey: "größe 🔔" },
    { idempotencyKey: "order 17", blockingKey: "", delayMillis: 0 },
  ]

  for (const [what, policy] of policies) {
    it.effect(`writes what a scheduler writes: ${what}`, () =>
      Effect.gen(function* () {
        const sql = yield* caller
        const scheduler = yield* Effect.provide(Scheduler, Scheduler.layerClient)
        for (const given of options) {
          // A namespace each, so that one idempotency key names a run in both.
          const [here, there] = [yield* defined(policy), yield* defined(policy)]
          const payload = { name: "Ада", list: [1, null, { b: true }] }
          const { blockingKey, delayMillis = 0, ...rest } = given
          const { run: expected } = yield* scheduler.submit({
            task: greet,
            payload: JSON.stringify(payload),
            policy: here.policy,
            blockingKey,
          }, { ...rest, delay: delayMillis, namespace: here.namespace })
          const run = yield* submit(sql, greet, payload, { ...given, namespace: there.namespace })
          const written = Effect.fnUntraced(function* (run: RunId, namespace: Namespace) {
            const { gate, payload } = yield* found(run)
            // One gate is decided about by who submitted, the other by the sweep.
            if (gate !== undefined) yield* Storage.use(({ runs }) => runs.admit([gate]))
            const { state } = yield* found(run)
            const rows = JSON.stringify(yield* rowsOf(run)).replaceAll(namespace, "ns")
            return {
              payload: JSON.parse(payload),
              state,
              rows: JSON.parse(rows),
              gate: gate?.replaceAll(namespace, "ns"),
            }
          })
          assert.deepEqual(
            yield* written(run, there.namespace),
            yield* written(expected, here.namespace),
          )
        }
      }).pipe(Effect.scoped))
  }

  const inTurn: ReadonlyArray<readonly [what: string, Partial<Policy>, number | null]> = [
    ["a queue by deadline", { blocking: Blocking.fifo, order: "deadline" }, 30_000],
    ["a queue as usual", { blocking: Blocking.fifo }, null],
    ["two at a time as usual", { blocking: Blocking.concurrent(2) }, 30_000],
    ["two at a time by age", { blocking: Blocking.concurrent(2), order: "age" }, null],
    ["a group of two by deadline", {
      group: Group.make("the books", { limit: 2 }),
      order: "deadline",
    }, 30_000],
  ]
  for (const [what, policy, rank] of inTurn) {
    it.effect(`R38 order at gates: waits where a scheduler's would: ${what}`, () =>
      Effect.gen(function* () {
        const sql = yield* caller
        const rows = yield* client
        const scheduler = yield* Effect.provide(Scheduler, Scheduler.layerClient)
        // A turn at a gate tells the instant of the last sweep before it: here that may be long ago.
        yield* recoverAll
        const { namespace, ...kept } = yield* defined({ ...policy, deadlineMillis: 30_000 })
        const bySdk = scheduler.submit({
          task: greet,
          payload: "{}",
          policy: kept.policy,
          blockingKey: undefined,
        }, { namespace })
        yield* Effect.all([bySdk, bySdk])
        const own = yield* submit(sql, greet, {}, { namespace })
        for (const run of [own, (yield* bySdk).run]) {
          yield* assertState(run, "Blocked")
          const [row] = yield* rows<{ within: number | null }>`
            SELECT (b.by_deadline - r.created_at)::float8 AS within
            FROM blocked b JOIN run r ON r.id = b.run_id WHERE b.run_id = ${run}`
          assert.strictEqual(row!.within, rank)
        }
      }).pipe(Effect.scoped))
  }

  it.effect("R2 idempotent submit: answers the same run, whoever submitted it first", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { runs } = yield* Storage
      const { namespace } = yield* defined({})
      const bySql = (payload: unknown, idempotencyKey: string) =>
        submit(sql, greet, payload, { namespace, idempotencyKey })
      const bySdk = (payload: string, idempotencyKey: string) =>
        Effect.map(
          runs.submit([specOf(namespace, { payload, idempotencyKey })]),
          ([answer]) => answer!,
        )
      const run = yield* bySql({ a: 1, bb: [2] }, "sql first")
      assert.strictEqual(yield* bySql({ bb: [2], a: 1 }, "sql first"), run)
      // Its text is another, and it is the same.
      for (const payload of ['{"bb":[2],"a":1}', '{ "a": 1.0, "bb": [2] }']) {
        assert.deepEqual(yield* bySdk(payload, "sql first"), {
          _tag: "Submitted",
          run,
          state: "Ready",
          isNew: false,
        })
      }
      assert.deepEqual(yield* bySdk('{"a":1}', "sql first"), { _tag: "Conflict", run })
      const other = yield* bySdk('{"z":"\\u0000"}', "sdk first, not for jsonb")
      const first = yield* bySdk('{"bb":[2],"a":1}', "sdk first")
      assert.strictEqual(yield* bySql({ a: 1, bb: [2] }, "sdk first"), first.run)
      for (
        const [payload, key, known] of [
          [{ a: 2 }, "sql first", run],
          [{ a: 2 }, "sdk first", first.run],
          [{ z: "" }, "sdk first, not for jsonb", other.run],
        ] as const
      ) {
        const said = yield* refusal(bySql(payload, key))
        assert.deepInclude(said, { code: "23505", column: "idempotencyKey" })
        assert.include(said.message, `run ${known}`)
      }
      assert.strictEqual((yield* runs.list({ namespace, limit: 10 })).length, 3)
    }).pipe(Effect.scoped))

  it.effect("is part of the caller's transaction: nothing is seen before it, nor after a rollback", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { namespace } = yield* defined({})
      const { runs } = yield* Storage
      const isSubmitted = yield* Deferred.make<RunId>()
      const mayEnd = yield* Deferred.make<void>()
      const work = sql.withTransaction(Effect.gen(function* () {
        yield* Deferred.succeed(isSubmitted, yield* submit(sql, greet, {}, { namespace }))
        yield* Deferred.await(mayEnd)
        return yield* Effect.fail("changed my mind" as const)
      }))
      const fiber = yield* Effect.forkChild(Effect.flip(work))
      const run = yield* Deferred.await(isSubmitted)
      assert.isTrue(Option.isNone(yield* runs.find(run)))
      yield* Deferred.succeed(mayEnd, undefined)
      yield* Fiber.join(fiber)
      assert.isTrue(Option.isNone(yield* runs.find(run)))
      const kept = yield* sql.withTransaction(submit(sql, greet, {}, { namespace }))
      yield* assertState(kept, "Ready")
    }).pipe(Effect.scoped))

  it.effect("wakes who waits, also who began to wait after the call and before the commit", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { namespace } = yield* defined({})
      const waiting = yield* Wakeups.use((wakeups) =>
        wakeups.subscribe([ofLane(Lane.ofTask(namespace, greet))])
      )
      yield* sql.withTransaction(Effect.gen(function* () {
        yield* submit(sql, greet, {}, { namespace })
        yield* waiting.arm
        assert.isFalse(yield* waiting.wait(Duration.millis(200)), "it is not committed")
      }))
      assert.isTrue(yield* waiting.wait(Duration.seconds(5)))
    }).pipe(Effect.scoped))

  it.effect("a run with a gate is ready within a second after the commit", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { namespace } = yield* defined({ blocking: Blocking.fifo })
      yield* Layer.build(
        Scheduler.layerWith({ sweepInterval: "1 hour" }).pipe(Layer.provide(LocalOwnership.layer)),
      )
      // The sweep comes once at the start, and is not what is tried here.
      yield* Effect.sleep("300 millis")
      const took: Array<number> = []
      // A busy machine may be late once.
      for (let nth = 0; nth < 3 && !took.some((millis) => millis < 1000); nth++) {
        const run = yield* submit(sql, greet, {}, { namespace, blockingKey: `${nth}` })
        const begin = performance.now()
        while ((yield* found(run)).state !== "Ready") yield* Effect.sleep("20 millis")
        took.push(performance.now() - begin)
      }
      assert.isBelow(Math.min(...took), 1000)
    }).pipe(Effect.scoped))

  it.effect("B46: the name of a gate fits a notification, however long it is", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { tasks } = yield* Storage
      const namespace = Namespace.make(`${freshNamespace()}-`.padEnd(63, "n"))
      const name = TaskName.make("t".repeat(127))
      const policy = { ...usualPolicy, blocking: Blocking.fifo }
      yield* tasks.define([new TaskDefinition({ namespace, name, policy })])
      const options = { namespace, blockingKey: "鐘".repeat(512) }
      yield* assertState(yield* submit(sql, name, {}, options), "Blocked")
    }).pipe(Effect.scoped))

  it.effect("refuses what core refuses, and says what, why and what instead", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { namespace } = yield* defined({})
      const refused = (options: object, task: string = greet, payload: unknown = {}) =>
        refusal(submit(sql, task, payload, { namespace, ...options }))
      for (
        const [column, given] of [
          ["task", yield* refused({}, "no name")],
          ["payload", yield* refused({}, greet, "x".repeat(256 * 1024))],
          ["options", yield* refused({ delay: 1 })],
          ["namespace", yield* refused({ namespace: 7 })],
          ["idempotencyKey", yield* refused({ idempotencyKey: "" })],
          ["idempotencyKey", yield* refused({ idempotencyKey: "🔔".repeat(257) })],
          ["blockingKey", yield* refused({ blockingKey: "x".repeat(513) })],
          ["delayMillis", yield* refused({ delayMillis: -1 })],
          ["delayMillis", yield* refused({ delayMillis: 0.5 })],
          ["delayMillis", yield* refused({ delayMillis: "1" })],
          ["level", yield* refused({ level: 5 })],
        ] as const
      ) {
        assert.deepInclude(given, { code: "22023", column })
        assert.match(given.message, /^belfry refused \w+: ./)
        assert.isAbove(given.hint!.length, 3)
      }
      const nul = yield* refusal(sql`SELECT belfry.submit('greet', NULL)`)
      assert.deepInclude(nul, { code: "22023", column: "payload" })
      assert.deepInclude(yield* refused({}, "unknown"), { code: "P0002", column: "task" })
      yield* submitOne(specOf(namespace, { task: TaskName.make("named-only") }))
      assert.deepInclude(yield* refused({}, "named-only"), { code: "P0002" })
      assert.isAbove(yield* submit(sql, greet, "x".repeat(256 * 1024 - 2), { namespace }), 0)
      const key = { namespace, idempotencyKey: "🔔".repeat(256) }
      assert.isAbove(yield* submit(sql, greet, {}, key), 0)
    }).pipe(Effect.scoped))

  it.effect("refuses a policy that it does not know, rather than leave it out", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { namespace } = yield* defined({})
      const admin = yield* client
      const change = (path: string, value: string) =>
        admin.unsafe(
          `UPDATE task SET definition = jsonb_set(definition::jsonb, '{policy,${path}}', '${value}')
           FROM namespace n WHERE n.id = task.namespace AND n.name = '${namespace}'`,
        )
      yield* change("routing", '"sharded"')
      assert.include((yield* refusal(submit(sql, greet, {}, { namespace }))).message, "routing")
      const other = yield* defined({ blocking: Blocking.fifo })
      yield* admin.unsafe(
        `UPDATE task SET definition = replace(definition, 'Fifo', 'Latest') FROM namespace n
         WHERE n.id = task.namespace AND n.name = '${other.namespace}'`,
      )
      const { namespace: its } = other
      assert.include((yield* refusal(submit(sql, greet, {}, { namespace: its }))).message, "Latest")
    }).pipe(Effect.scoped))

  it.effect("needs one right only, and no table of the caller's comes in its way", () =>
    Effect.gen(function* () {
      const admin = yield* client
      const { namespace } = yield* defined({})
      const role = fresh("guest").replaceAll("-", "_")
      yield* admin`CREATE ROLE ${admin(role)}`
      yield* Effect.addFinalizer(() =>
        Effect.ignore(
          admin.unsafe(`DROP OWNED BY ${role}; `).unprepared.pipe(
            Effect.andThen(admin.unsafe(`DROP ROLE ${role}`).unprepared),
          ),
        )
      )
      const sql = yield* caller
      yield* sql`SET ROLE ${sql(role)}`
      yield* sql`CREATE TEMP TABLE task (id int, namespace int, name text, definition text)`
      assert.deepInclude(yield* refusal(submit(sql, greet, {}, { namespace })), { code: "42501" })
      yield* admin.unsafe(`GRANT USAGE ON SCHEMA belfry TO ${role}`).unprepared
      assert.deepInclude(yield* refusal(submit(sql, greet, {}, { namespace })), { code: "42501" })
      yield* admin.unsafe(
        `GRANT EXECUTE ON FUNCTION belfry.submit(text, jsonb, jsonb) TO ${role}`,
      ).unprepared
      yield* assertState(yield* submit(sql, greet, {}, { namespace }), "Ready")
      assert.deepInclude(yield* refusal(sql`SELECT * FROM belfry.run`), { code: "42501" })
    }).pipe(Effect.scoped))

  it.effect("is carried out by whoever serves the task", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submit(sql, greet, { name: "Ada" }, { namespace })
      const grant = yield* hand.one
      assert.deepInclude(grant, { run, task: greet, attempt: 1 })
      assert.deepEqual(JSON.parse(grant.payload), { name: "Ada" })
    }).pipe(Effect.scoped))

  for (const turn of [1, 25, 50, undefined]) {
    const which = turn === undefined ? "all of them" : `all but number ${turn}`
    it.effect(
      `B59: of 50 transactions that submit one key ${which} are rolled back`,
      () =>
        Effect.gen(function* () {
          const { runs } = yield* Storage
          const { namespace } = yield* defined({})
          const sql = yield* TestStorage.use(({ url }) =>
            PgClient.make({ url, maxConnections: 50 }).pipe(Effect.provide(Reactivity.layer))
          )
          let turns = 0
          let stays: RunId | undefined
          const transaction = sql.withTransaction(Effect.gen(function* () {
            const run = yield* submit(sql, greet, {}, { namespace, idempotencyKey: "once" })
            turns++
            const isKept = turns === turn
            // Until it ends nobody knows what becomes of its key, and all others wait.
            yield* Effect.sleep("5 millis")
            if (!isKept) return yield* Effect.fail({ rolledBack: run, after: stays })
            stays = run
            return run
          }))
          const begin = performance.now()
          const results = yield* Effect.all(
            Array.from({ length: 50 }, () => Effect.result(transaction)),
            { concurrency: "unbounded" },
          )
          const tookMillis = performance.now() - begin
          assert.isBelow(tookMillis, 15_000)
          const answers = results.map((result) =>
            Result.isSuccess(result) ? { kept: result.success } : result.failure
          )
          assert.strictEqual(turns, 50, "all of them got an answer")
          assert.deepStrictEqual(
            (yield* runs.list({ namespace, limit: 100 })).map(({ id }) => id),
            stays === undefined ? [] : [stays],
          )
          for (const answer of answers) {
            if ("after" in answer && answer.after !== undefined) {
              assert.strictEqual(answer.rolledBack, stays, "who came later was told of it")
            }
          }
          const again = yield* runs.submit([
            specOf(namespace, { payload: "{}", idempotencyKey: "once" }),
          ])
          assert.deepInclude(again[0]!, {
            _tag: "Submitted",
            isNew: stays === undefined,
            ...(stays !== undefined && { run: stays }),
          })
        }).pipe(Effect.scoped),
      60_000,
    )
  }

  it.effect("B59: who waits for a key that is rolled back makes the run, one of all", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { runs } = yield* Storage
      const { namespace } = yield* defined({})
      const isSubmitted = yield* Deferred.make<void>()
      const mayEnd = yield* Deferred.make<void>()
      const work = yield* Effect.forkChild(
        Effect.result(sql.withTransaction(Effect.gen(function* () {
          yield* submit(sql, greet, {}, { namespace, idempotencyKey: "once" })
          yield* Deferred.succeed(isSubmitted, undefined)
          yield* Deferred.await(mayEnd)
          return yield* Effect.fail("rolled back")
        }))),
      )
      yield* Deferred.await(isSubmitted)
      const waiting = yield* Effect.forkChild(
        Effect.all(
          Array.from(
            { length: 40 },
            () => runs.submit([specOf(namespace, { payload: "{}", idempotencyKey: "once" })]),
          ),
          { concurrency: "unbounded" },
        ),
        { startImmediately: true },
      )
      yield* Effect.sleep("300 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* Deferred.succeed(mayEnd, undefined)
      assert.isTrue(Result.isFailure(yield* Fiber.join(work)))
      const answers = (yield* Fiber.join(waiting).pipe(Effect.timeout("10 seconds"))).flat()
      assert.strictEqual(new Set(answers.map(({ run }) => run)).size, 1)
      assert.lengthOf(answers.filter((each) => each._tag === "Submitted" && each.isNew), 1)
      assert.lengthOf(yield* runs.list({ namespace, limit: 100 }), 1)
    }).pipe(Effect.scoped))

  it.effect("a key in a transaction that is open keeps no other submit waiting", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const { runs } = yield* Storage
      const { namespace } = yield* defined({})
      const keyed = (idempotencyKey: string) =>
        runs.submit([specOf(namespace, { payload: "{}", idempotencyKey })])
      const isSubmitted = yield* Deferred.make<RunId>()
      const mayEnd = yield* Deferred.make<void>()
      const work = sql.withTransaction(Effect.gen(function* () {
        yield* Deferred.succeed(
          isSubmitted,
          yield* submit(sql, greet, {}, { namespace, idempotencyKey: "held" }),
        )
        yield* Deferred.await(mayEnd)
      }))
      yield* Effect.forkChild(work)
      const run = yield* Deferred.await(isSubmitted)
      const held = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 40 }, () => keyed("held")), { concurrency: "unbounded" }),
        { startImmediately: true },
      )
      const begin = performance.now()
      const others = yield* Effect.all(
        Array.from({ length: 200 }, (_, nth) => keyed(`free ${nth}`)),
        { concurrency: "unbounded" },
      )
      assert.isTrue(others.flat().every((each) => each._tag === "Submitted" && each.isNew))
      yield* keyed("later")
      assert.isBelow(performance.now() - begin, 5000)
      assert.isUndefined(held.pollUnsafe())
      yield* Deferred.succeed(mayEnd, undefined)
      for (const [answer] of yield* Fiber.join(held)) {
        assert.deepInclude(answer!, { _tag: "Submitted", run, isNew: false })
      }
    }).pipe(Effect.scoped))
})
