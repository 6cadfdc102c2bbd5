/** `submit` in SQL: what it writes is what `Scheduler.submit` writes, in the caller's transaction. */
import { PgClient } from "@effect/sql-pg"
import { assert, layer as withLayer } from "@effect/vitest"
import {
  DateTime,
  Deferred,
  Duration,
  Effect,
  Fiber,
  Layer,
  Option,
  Ref,
  Result,
  Schema,
} from "effect"
import { Reactivity } from "effect/reactivity"
import { engine, inFreshNamespace, serving, until } from "../../core/contract/program.ts"
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
import { ExecutorName } from "../../core/domain/Executor.ts"
import * as Group from "../../core/domain/Group.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { Namespace } from "../../core/domain/Namespace.ts"
import * as Routing from "../../core/domain/Routing.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { Selector } from "../../core/domain/Selector.ts"
import { type Policy, TaskDefinition, TaskName, usualPolicy } from "../../core/domain/Task.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import type { Executor } from "../../core/engine/Executor.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import type { SubmitOptions } from "../../core/engine/Submitting.ts"
import * as Task from "../../core/engine/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import { ofLane, Wakeups } from "../../core/services/Wakeups.ts"
import * as Direct from "../direct/mod.ts"
import { client, layer, TestStorage } from "./TestStorage.ts"

interface Options extends Omit<SubmitOptions, "delay" | "deadline"> {
  readonly delayMillis?: number
  readonly deadlineMillis?: number
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
const rowsOf = (sql: Sql, run: RunId) =>
  Effect.gen(function* () {
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
        for (const name of ["created_at", "due_at", "rank", "by_deadline"]) {
          if (typeof row[name] === "number") row[name] = row[name] - created
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
    const asked = yield* sql<{ row: Record<string, unknown> }>`
      SELECT to_jsonb(j) - 'id' - 'run_id' || jsonb_build_object('at', j.at - ${created}::bigint) AS row
      FROM journal j WHERE j.run_id = ${run} AND j.kind = 'Asked'`
    return [
      ...rows,
      ...deadlines.map(({ expires_at: at }) => Number(at) - created),
      ...asked.map(({ row }) => row),
    ]
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
    ["one whose crashes are forgotten", { crashesWithinMillis: 60_000 }],
    ["one by one in each executor", { blocking: Blocking.fifo, blockingScope: "executor" }],
    ["one by one in each executor, of a group", {
      blocking: Blocking.fifo,
      blockingScope: "executor",
      group: Group.make("the books", { limit: 3 }),
    }],
    ["one by one whatever the key", { blocking: Blocking.fifo, blockingScope: "task" }],
    ["one by one of a key, as is said", { blocking: Blocking.fifo, blockingScope: "key" }],
    ["one that is placed", { routing: Routing.roundRobin }],
    ["one for any executor, as is said", {
      routing: Routing.any,
      selector: Selector.make("gpu=a100"),
    }],
    ["one that is placed with some executors", {
      routing: Routing.consistentHash,
      selector: Selector.make("gpu=a100"),
    }],
    ["one that needs something", { resources: { gpu: 1 } }],
    ["one that needs something and is placed in turn", {
      resources: { gpu: 1 },
      routing: Routing.roundRobin,
    }],
    ["one for everybody", { routing: Routing.broadcast }],
    ["one in slices", { routing: Routing.sharded(3) }],
    ["one that is placed, one by one", {
      routing: Routing.failover("a", "b"),
      blocking: Blocking.fifo,
    }],
    ["one that is placed, one by one in each executor", {
      routing: Routing.leastLoaded,
      blocking: Blocking.discard,
      blockingScope: "executor",
    }],
    ["one that is placed, of a group", {
      routing: Routing.fixed("a"),
      group: Group.make("the books", { limit: 3 }),
    }],
    ["the latest in place of others", { blocking: Blocking.replace }],
    ["the latest of those that wait", { blocking: Blocking.latest }],
    ["what is read", { touches: { "db/größe": "shared", Disk: "shared" } }],
    // Sorted by halves of surrogate pairs, which is not the order of their characters.
    ["what is written", {
      touches: { "ﬀ": "shared", "𐐀": "exclusive", a: "shared", "a-b": "shared", Ä: "shared" },
    }],
    ["what is written, by deadline", {
      touches: { printer: "exclusive" },
      order: "deadline",
    }],
    ["nothing that is touched", { touches: {} }],
    ["shares of one place", { blocking: Blocking.fair(1) }],
    ["shares of three places, by weight", {
      blocking: Blocking.fair(3, { "größe 🔔": 7, "": 2, "1": 40 }),
    }],
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
    { deadlineMillis: 30_000, by: "Ada 🔔 (by hand)", blockingKey: "1" },
    { deadlineMillis: 90_000, delayMillis: 60_000, by: "Ada", idempotencyKey: "order 18" },
  ]

  for (const [what, policy] of policies) {
    it.effect(`writes what a scheduler writes: ${what}`, () =>
      Effect.gen(function* () {
        const sql = yield* caller
        const inside = yield* client
        const scheduler = yield* Effect.provide(Scheduler, Scheduler.layerClient)
        for (const given of options) {
          // A namespace each, so that one idempotency key names a run in both.
          const [here, there] = [yield* defined(policy), yield* defined(policy)]
          const payload = { name: "Ада", list: [1, null, { b: true }] }
          const { blockingKey, deadlineMillis, delayMillis = 0, ...rest } = given
          const bySdk = scheduler.submit({
            task: greet,
            payload: JSON.stringify(payload),
            policy: here.policy,
            blockingKey,
          }, {
            ...rest,
            ...(deadlineMillis !== undefined && { deadline: deadlineMillis }),
            delay: delayMillis,
            namespace: here.namespace,
          })
          const bySql = submit(sql, greet, payload, { ...given, namespace: there.namespace })
          const written = Effect.fnUntraced(function* (run: RunId, namespace: Namespace) {
            const { gate, payload } = yield* found(run)
            // One gate is decided about by who submitted, the other by the sweep.
            if (gate !== undefined) yield* Storage.use(({ runs }) => runs.admit([gate]))
            const { state } = yield* found(run)
            const rows = JSON.stringify(yield* rowsOf(inside, run)).replaceAll(namespace, "ns")
            return {
              payload: JSON.parse(payload),
              state,
              rows: JSON.parse(rows),
              gate: gate?.replaceAll(namespace, "ns"),
            }
          })
          // The second may have to wait for the first.
          for (const _ of given.idempotencyKey === undefined ? [1, 2] : [1]) {
            const { run: expected } = yield* bySdk
            const run = yield* bySql
            assert.deepEqual(
              yield* written(run, there.namespace),
              yield* written(expected, here.namespace),
            )
          }
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
          ["deadlineMillis", yield* refused({ deadlineMillis: 0 })],
          ["deadlineMillis", yield* refused({ deadlineMillis: 366 * 86_400_000 + 1 })],
          ["deadlineMillis", yield* refused({ deadlineMillis: "soon" })],
          ["deadlineMillis", yield* refused({ deadlineMillis: 60_000, delayMillis: 60_000 })],
          ["by", yield* refused({ by: "" })],
          ["by", yield* refused({ by: "x".repeat(257) })],
          ["by", yield* refused({ by: 7 })],
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
      const admin = yield* client
      const refused = Effect.fnUntraced(function* (path: string, value: unknown) {
        const { namespace } = yield* defined({
          blocking: Blocking.fifo,
          blockingScope: "key",
          routing: Routing.roundRobin,
        })
        yield* admin.unsafe(
          `UPDATE task SET definition = jsonb_set(definition::jsonb, '{policy,${path}}', $1::jsonb)
           FROM namespace n WHERE n.id = task.namespace AND n.name = $2`,
          [JSON.stringify(value), namespace],
        )
        return yield* refusal(submit(sql, greet, {}, { namespace }))
      })
      for (
        const [path, value, named] of [
          ["weather", "fair", '"weather"'],
          ["blocking,_tag", "Bounce", '"Bounce"'],
          ["blockingScope", "planet", '"planet"'],
          ["routing,_tag", "Astrology", '"Astrology"'],
          ["routing", "sharded", '"sharded"'],
          ["touches", { printer: "shared", scanner: "wistful" }, '"wistful"'],
        ] as const
      ) {
        const said = yield* refused(path, value)
        assert.deepInclude(said, { code: "22023", column: "task" })
        assert.include(said.message, `${named} is not known here`)
      }
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

  it.effect("a routed task in a transaction that is open keeps no other submit waiting", () =>
    Effect.gen(function* () {
      const sql = yield* caller
      const scheduler = yield* Effect.provide(Scheduler, Scheduler.layerClient)
      const { namespace, policy } = yield* defined({ routing: Routing.roundRobin })
      yield* sql.withTransaction(Effect.gen(function* () {
        yield* submit(sql, greet, {}, { namespace })
        const submission = { task: greet, payload: "{}", policy }
        const other = scheduler.submit(submission, { namespace })
        assert.isTrue((yield* Effect.timeout(other, "5 seconds")).isNew)
      }))
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

/** What only schedulers and executors do, after the commit. */
const whole = Layer.provideMerge(engine, Layer.provideMerge(Direct.layer, layer))

withLayer(whole, { excludeTestServices: true })("submitted by SQL and carried out", (it) => {
  const test = (
    name: string,
    body: (sql: Sql) => Effect.Effect<
      unknown,
      unknown,
      Layer.Success<typeof whole> | Effect.Services<typeof caller>
    >,
  ) => it.effect(name, () => inFreshNamespace(Effect.scoped(Effect.flatMap(caller, body))))

  /** An executor that others see serve the task. */
  const as = Effect.fnUntraced(function* (
    called: string,
    handlers: Layer.Layer<never, never, Executor>,
  ) {
    const name = ExecutorName.make(called)
    const namespace = yield* CurrentNamespace
    const { executors } = yield* Storage
    yield* serving(handlers, { name })
    yield* until(
      executors.list(namespace),
      (views) => views.some((each) => each.name === name && each.tasks.length > 0),
    )
  })

  const bySql = Effect.fnUntraced(function* (sql: Sql, task: string, payload: unknown) {
    return yield* submit(sql, task, payload, { namespace: yield* CurrentNamespace })
  })

  const ended = (run: RunId) => Effect.exit(Scheduler.use((scheduler) => scheduler.ended(run)))

  test("a routed run is placed once it is committed, and carried out there", (sql) =>
    Effect.gen(function* () {
      const task = Task.make("told", { success: Schema.String, policy: { routing: Routing.last } })
      for (const name of ["a", "b", "c"]) yield* as(name, task.toLayer(() => Effect.succeed(name)))
      const run = yield* sql.withTransaction(Effect.gen(function* () {
        const run = yield* bySql(sql, "told", {})
        yield* Effect.sleep("500 millis")
        assert.isTrue(Option.isNone(yield* Storage.use(({ runs }) => runs.find(run))))
        return run
      }))
      assert.strictEqual(yield* task.result(run), "c")
      assert.deepInclude((yield* found(run)).placed, {
        name: ExecutorName.make("c"),
        strategy: "Last",
      })
    }))

  test("one for everybody is spread once it is committed", (sql) =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const seen = yield* Ref.make<ReadonlyArray<string>>([])
      const task = Task.make("everywhere", { policy: { routing: Routing.broadcast } })
      const note = (name: string) => task.toLayer(() => Ref.update(seen, (all) => [...all, name]))
      for (const name of ["a", "b"]) yield* as(name, note(name))
      const run = yield* sql.withTransaction(bySql(sql, "everywhere", {}))
      assert.strictEqual((yield* scheduler.ended(run)).state, "Succeeded")
      assert.deepEqual((yield* Ref.get(seen)).toSorted(), ["a", "b"])
      const parts = yield* scheduler.list({ namespace, parent: run, limit: 9 })
      assert.deepEqual(parts.map(({ placed }) => placed!.name).toSorted(), ["a", "b"])
    }))

  test("one in slices is cut once it is committed", (sql) =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const namespace = yield* CurrentNamespace
      const task = Task.make("sliced", { policy: { routing: Routing.sharded(6) } })
      for (const name of ["a", "b"]) yield* as(name, task.toLayer(() => Effect.void))
      const run = yield* bySql(sql, "sliced", {})
      assert.strictEqual((yield* scheduler.ended(run)).state, "Succeeded")
      assert.lengthOf(yield* scheduler.list({ namespace, parent: run, limit: 9 }), 6)
    }))

  const policies: ReadonlyArray<readonly [string, Partial<Policy>, ReadonlyArray<string>]> = [
    ["replace", { blocking: Blocking.replace }, ["Cancelled", "Succeeded"]],
    ["latest", { blocking: Blocking.latest }, ["Succeeded", "Discarded", "Succeeded"]],
    ["fair", { blocking: Blocking.fair(1) }, ["Succeeded", "Succeeded", "Succeeded"]],
    ["touches", { touches: { printer: "exclusive" } }, ["Succeeded", "Succeeded", "Succeeded"]],
    [
      "executor",
      { blocking: Blocking.discard, blockingScope: "executor", routing: Routing.first },
      ["Succeeded", "Discarded", "Discarded"],
    ],
  ]
  for (const [name, policy, expected] of policies) {
    test(`a run meets the one that is under way: ${name}`, (sql) =>
      Effect.gen(function* () {
        const free = yield* Deferred.make<void>()
        let under = 0
        const task = Task.make("printing", { policy })
        yield* as(
          "a",
          task.toLayer(() =>
            Effect.suspend(() => {
              assert.strictEqual(++under, 1)
              return Deferred.await(free)
            }).pipe(Effect.ensuring(Effect.sync(() => under--)))
          ),
        )
        const first = yield* bySql(sql, "printing", {})
        yield* until(found(first), ({ state }) => state === "Running")
        const runs = [first]
        for (const _ of expected.slice(1)) runs.push(yield* bySql(sql, "printing", {}))
        // Until they are decided about, as far as they can be while the first is under way.
        yield* until(
          Effect.forEach(runs, found),
          (views) =>
            views.every(({ state }, index) =>
              expected[index] === "Succeeded" || state === expected[index]
            ),
        )
        yield* Deferred.succeed(free, undefined)
        yield* Effect.forEach(runs, ended)
        const views = yield* Effect.forEach(runs, found)
        assert.deepEqual(views.map(({ state }) => state), expected)
      }))
  }
})
