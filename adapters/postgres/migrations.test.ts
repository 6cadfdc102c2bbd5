/** Who builds the schema, and who only uses it. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import {
  freshNamespace,
  joined,
  nothingHeld,
  recoverAll,
  specOf,
  submitOne,
  succeed,
  timeOut,
  times,
} from "../../core/contract/world.ts"
import { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import { Fence } from "../../core/domain/Lease.ts"
import * as RunId from "../../core/domain/RunId.ts"
import { Storage } from "../../core/services/Storage.ts"
import { digestOf, migrations } from "./migrations/mod.ts"
import * as Postgres from "./mod.ts"
import * as Pg from "./Pg.ts"
import { missing } from "./PgMigrations.ts"
import { unfit } from "./PgServer.ts"
import * as PgVacuum from "./PgVacuum.ts"
import * as TestDatabase from "./TestDatabase.ts"

const connect = (url: Redacted.Redacted<string>) =>
  PgClient.makeClient({ url }).pipe(Effect.provide(Reactivity.layer))

const build = <A, E>(layer: Layer.Layer<A, E>) => Layer.build(Layer.fresh(layer))
const refused = <A, E>(layer: Layer.Layer<A, E>) => Effect.flip(Effect.scoped(build(layer)))

/** A role that may log in, and nothing else; dropped with all it was granted. */
const role = Effect.fnUntraced(function* (url: Redacted.Redacted<string>) {
  const admin = yield* connect(url)
  const name = `role_${new URL(Redacted.value(url)).pathname.slice(-10)}`
  yield* admin.unsafe(`CREATE ROLE ${name} LOGIN PASSWORD 'secret'`).unprepared
  yield* Effect.addFinalizer(() =>
    Effect.ignore(Effect.andThen(
      admin.unsafe(`DROP OWNED BY ${name}`).unprepared,
      admin.unsafe(`DROP ROLE ${name}`).unprepared,
    ))
  )
  const its = new URL(Redacted.value(url))
  its.username = name
  its.password = "secret"
  return { admin, name, url: Redacted.make(its.href) }
})

const said = (log: Array<string>) =>
  Logger.layer([Logger.make(({ message }) => void log.push(String(message)))])

/** What a scheduler and an executor do all day. */
const aDay = Effect.gen(function* () {
  const { runs } = yield* Storage
  const namespace = freshNamespace()
  const hand = yield* joined(namespace)
  yield* submitOne(specOf(namespace, { idempotencyKey: "once" }))
  yield* hand.settle(succeed(yield* hand.one))
  yield* recoverAll
  assert.strictEqual((yield* runs.list({ namespace, limit: 9 }))[0]!.state, "Succeeded")
})

describe("migrations", () => {
  it.live("run once, whoever comes at the same time, and are written down", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.fresh
      yield* Effect.all(
        Array.from({ length: 4 }, () => build(Postgres.layerMigrations({ url }))),
        { concurrency: "unbounded" },
      )
      const sql = yield* connect(url)
      const rows = yield* sql`SELECT name, digest FROM belfry.migration ORDER BY migration_id`
      assert.deepEqual(
        rows,
        migrations.map((each) => ({ name: each.name, digest: digestOf(each) })),
      )
    }).pipe(Effect.scoped))

  it.live("that are missing are named, and so is one that was changed after it ran", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.fresh
      const { message } = yield* refused(Postgres.layer({ url }))
      assert.include(message, `lacks ${migrations.length} migrations, first of all "scheduler"`)
      yield* build(Postgres.layerMigrations({ url }))
      const sql = yield* connect(url)
      yield* sql`DELETE FROM belfry.migration WHERE name = 'submit'`
      assert.include((yield* refused(Postgres.layer({ url }))).message, '"submit"')
      yield* sql`UPDATE belfry.migration SET digest = 'other' WHERE name = 'scheduler'`
      for (const layer of [Postgres.layer, Postgres.layerMigrations]) {
        const error = yield* refused(layer({ url }) as Layer.Layer<never, Error>)
        assert.include(error.message, 'has another "scheduler"')
      }
    }).pipe(Effect.scoped))

  it.effect("of a later version stand in nobody's way", () =>
    Effect.gen(function* () {
      const ran = migrations.map((each) => ({ name: each.name, digest: digestOf(each) }))
      const later = [...ran, { name: "of tomorrow", digest: "0" }]
      assert.deepEqual(yield* missing("belfry", later), [])
    }))

  it.live("leave a schema of any name, and refuse what is none", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.fresh
      const context = yield* build(Postgres.layerMigrated({ url, schema: "clock_tower" }))
      yield* Effect.provide(aDay, context)
      const sql = yield* connect(url)
      const names = yield* sql<{ schema: string }>`SELECT DISTINCT n.nspname AS schema
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'S') AND n.nspname !~ '^(pg_|information_schema)'`
      assert.deepEqual(names.map(({ schema }) => schema), ["clock_tower"])
      assert.match(
        (yield* refused(Postgres.layer({ url, schema: 'x"; --' }))).message,
        /not the name/,
      )
    }).pipe(Effect.scoped))

  it.live("are for a deploy step; afterwards a role without any right to DDL does it all", () =>
    Effect.gen(function* () {
      const owner = yield* TestDatabase.fresh
      const { admin, name, url } = yield* role(owner)
      assert.isTrue(Option.isSome(yield* Effect.option(refused(Postgres.layerMigrations({ url })))))
      yield* build(Postgres.layerMigrations({ url: owner, grantTo: [name] }))
      yield* admin.unsafe(`REVOKE ALL ON DATABASE ${databaseOf(owner)} FROM PUBLIC`).unprepared
      yield* admin.unsafe(`GRANT CONNECT ON DATABASE ${databaseOf(owner)} TO ${name}`).unprepared
      const log: Array<string> = []
      const context = yield* build(Postgres.layerMigrated({ url })).pipe(Effect.provide(said(log)))
      yield* Effect.provide(aDay, context)
      const sql = yield* connect(url)
      assert.isTrue(Option.isNone(yield* Effect.option(sql`CREATE TABLE belfry.more (a int)`)))
    }).pipe(Effect.scoped))

  it.live("tell at the start who may not vacuum the hot tables, and what would let them", () =>
    Effect.gen(function* () {
      const owner = yield* TestDatabase.fresh
      const { admin, name, url } = yield* role(owner)
      yield* build(Postgres.layerMigrations({ url: owner, grantTo: [name] }))
      const [server] = yield* admin<{ version: number }>`
        SELECT current_setting('server_version_num')::int / 10000 AS version`
      const warned = Effect.gen(function* () {
        const log: Array<string> = []
        const pg = yield* Pg.make({ url })
        const may = yield* Effect.provide(PgVacuum.warn(pg), said(log))
        assert.strictEqual(may, log.length === 0)
        return log.join()
      }).pipe(Effect.scoped)
      if (server!.version >= 17) {
        assert.strictEqual(yield* warned, "")
        yield* admin.unsafe(`REVOKE MAINTAIN ON belfry.lease FROM ${name}`).unprepared
        assert.include(yield* warned, `GRANT MAINTAIN ON lease TO ${name}`)
      } else assert.include(yield* warned, `OWNER TO ${name}`)
      for (const table of ["ready", "lease", "scheduled"]) {
        yield* admin.unsafe(`ALTER TABLE belfry.${table} OWNER TO ${name}`).unprepared
      }
      assert.strictEqual(yield* warned, "")
    }).pipe(Effect.scoped))
})

/** A schema with what `rows` put there before the step, and what came after. */
const stepped = Effect.fnUntraced(function* (step: string, ...rows: ReadonlyArray<string>) {
  const url = yield* TestDatabase.fresh
  const sql = yield* connect(url)
  const before = migrations.slice(0, migrations.findIndex(({ name }) => name === step))
  yield* sql.unsafe("CREATE SCHEMA belfry").unprepared
  yield* sql.withTransaction(Effect.gen(function* () {
    yield* sql.unsafe("SET LOCAL search_path = belfry, pg_temp").unprepared
    yield* sql`CREATE TABLE migration (migration_id int PRIMARY KEY,
      created_at timestamptz NOT NULL DEFAULT now(), name text NOT NULL, digest text)`
    for (const [at, migration] of before.entries()) {
      for (const statement of migration.statements) yield* sql.unsafe(statement).unprepared
      yield* sql`INSERT INTO migration (migration_id, name, digest)
        VALUES (${at}, ${migration.name}, ${digestOf(migration)})`
    }
    for (const statement of rows) yield* sql.unsafe(statement).unprepared
  }))
  const context = yield* build(Postgres.layerMigrated({ url }))
  return { sql, context }
})

const waitingAt = (minutes: number) => RunId.floor(Date.UTC(2026, 0, 1) + minutes * 60_000)

/** Those who wait at the gate `g`: since when, at which level, of the task with this policy. */
const waiting = (rows: ReadonlyArray<readonly [run: number, level: number]>, policy: object) => `
  WITH waiting (id, level) AS (VALUES ${rows.map((row) => `(${row.join(", ")})`).join(", ")}),
  n AS (INSERT INTO namespace (name) VALUES ('default') RETURNING id),
  t AS (
    INSERT INTO task (namespace, name, definition, revision)
    SELECT id, 'greet', '${JSON.stringify({ policy })}', 1 FROM n RETURNING id),
  l AS (INSERT INTO lane (name) VALUES ('default:greet') RETURNING id),
  r AS (
    INSERT INTO run (id, created_at, due_at, task, lane, gate_places, level, crashes_max,
      is_at_most_once, is_gate_discarding, payload, gate)
    SELECT w.id, 0, 0, t.id, l.id, 1, w.level, 3, false, false, '1', 'g' FROM waiting w, t, l)
  INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
  SELECT gate_id('g'), w.id, w.id, l.id, 1, w.level, false, false FROM waiting w, l`

describe("the step to ranks at gates", () => {
  it.live("has those pass who waited before it by when their patience ends", () =>
    Effect.gen(function* () {
      const [low, sooner, tooLate] = [waitingAt(0), waitingAt(9), waitingAt(11)]
      const rows = waiting([[low, 2], [sooner, 0], [tooLate, 0]], {})
      const { context } = yield* stepped("ranks at gates", rows)
      const order: Array<number> = []
      yield* Effect.gen(function* () {
        const { runs } = yield* Storage
        for (const _ of times(3)) {
          const [admission] = yield* runs.admit([GateKey.make("g")])
          order.push(admission!.run)
          yield* runs.cancel(admission!.run)
        }
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(order, [sooner, low, tooLate])
    }).pipe(Effect.scoped))
})

describe("the step to submits by every policy", () => {
  it.live("makes the lanes of tasks that are routed already", () =>
    Effect.gen(function* () {
      const policies = [
        { routing: { _tag: "Last" } },
        { resources: { gpu: 1 } },
        { routing: { _tag: "Any" } },
        {},
      ]
      const { sql } = yield* stepped(
        "submits by every policy",
        `INSERT INTO namespace (name) VALUES ('ns')`,
        ...policies.map((policy, nth) =>
          `INSERT INTO task (namespace, name, definition, revision)
           SELECT id, 'task-${nth}', '${JSON.stringify({ policy })}', 1 FROM namespace`
        ),
        `INSERT INTO task (namespace, name) SELECT id, 'named-only' FROM namespace`,
      )
      const lanes = yield* sql<{ name: string }>`SELECT name FROM belfry.lane ORDER BY name`
      assert.deepStrictEqual(lanes.map(({ name }) => name), ["ns:task-0@", "ns:task-1@"])
    }).pipe(Effect.scoped))
})

describe("the step to orders at gates", () => {
  for (
    const [order, places] of [["deadline", 1], ["age", 2], [undefined, 1], [undefined, 2]] as const
  ) {
    it.live(`has those pass who waited before it by their deadlines, ${order}, ${places}`, () =>
      Effect.gen(function* () {
        const [none, far, near, begun] = [0, 1, 2, 3].map((nth) => waitingAt(0) + nth)
        const since = RunId.millisOf(waitingAt(0) as RunId.RunId)
        const deadlines = [[far, 70_000], [near, 50_000], [begun, 40_000]]
        const { sql } = yield* stepped(
          "orders at gates",
          waiting([none, far, near, begun].map((run) => [run!, 1]), { order }),
          `UPDATE run SET gate_places = ${places}`,
          `UPDATE blocked SET places = ${places}, is_careful = true,
            attempt = (run_id = ${begun})::int`,
          `INSERT INTO deadline (run_id, expires_at) VALUES ${
            deadlines.map(([run, within]) => `(${run}, ${since + within!})`).join(", ")
          }`,
        )
        const passing = yield* sql<{ run: number }>`
          SELECT run_id::float8 AS run FROM belfry.blocked ORDER BY gate, rank, turn`
        const byAge = [none, far, near, begun]
        const byPatience = [near, none, far, begun]
        const alone = [near, none, begun, far]
        const wanted = order === "deadline"
          ? alone
          : order === "age" || places === 1
          ? byAge
          : byPatience
        assert.deepStrictEqual(passing.map(({ run }) => run), wanted)
      }).pipe(Effect.scoped))
  }
})

describe("the step to endings", () => {
  it.live("has who joined before it leave what is to be said of the runs that it holds", () =>
    Effect.gen(function* () {
      const run = RunId.RunId.make(waitingAt(0))
      const { context, sql } = yield* stepped(
        "endings",
        `INSERT INTO namespace (name) VALUES ('default')`,
        `INSERT INTO task (namespace, name) SELECT id, 'greet' FROM namespace`,
        `INSERT INTO lane (name) VALUES ('default:greet')`,
        `INSERT INTO executor (namespace, name, capacity, labels, ttl, joined_at, beat_at)
         SELECT id, 'old', 1, '{}', 3600000, clock(), clock() FROM namespace`,
        `INSERT INTO run (id, created_at, due_at, task, lane, level, crashes_max, is_at_most_once,
           payload)
         SELECT ${run}, 0, 0, t.id, l.id, 1, 3, false, '1' FROM task t, lane l`,
        `INSERT INTO lease (incarnation, loop, round, lane, level, run_id, attempt, crashes, fence,
           is_careful, is_start_marked, is_cancelling, claimed_at)
         SELECT incarnation, 0, 1, l.id, 1, ${run}, 1, 0, 1, false, false, false, 0
         FROM executor, lane l`,
      )
      const [old] = yield* sql<
        { incarnation: Incarnation }
      >`SELECT incarnation FROM belfry.executor`
      yield* Effect.gen(function* () {
        const { executors, runs } = yield* Storage
        const held = { run, fence: Fence.make(1) }
        const all = [{ inMillis: 0, report: timeOut(held) }]
        const { incarnation } = old!
        yield* executors.beat(incarnation, nothingHeld, undefined, { number: 1, all })
        const { reports } = yield* runs.endOverdue(10)
        assert.deepStrictEqual(reports, [timeOut(held)])
      }).pipe(Effect.provide(context))
    }).pipe(Effect.scoped))
})

const databaseOf = (url: Redacted.Redacted<string>) =>
  new URL(Redacted.value(url)).pathname.slice(1)

describe("a server that will not do", () => {
  const good = {
    version: 150_018,
    name: "15.18",
    is_replica: false,
    path: "belfry",
    process: 7,
  }
  const other = { ...good, process: 8 }

  it("is none that is new enough, may be written to, and keeps sessions apart", () => {
    assert.isUndefined(unfit("belfry", good, other))
    assert.isUndefined(unfit("belfry", { ...good, version: 180_004 }, other))
  })

  for (
    const [what, server, reason] of [
      ["too old", { ...good, version: 140_099, name: "14.99" }, /14\.99 is too old.*15/],
      ["a replica", { ...good, is_replica: true }, /replica, or read-only.*primary/],
      ["shared by a pooler", { ...good, process: 8 }, /pooler.*address of the server itself/],
      ["behind a pooler that drops settings", { ...good, path: "public" }, /pooler/],
    ] as const
  ) {
    it(`is one that is ${what}, and is told so`, () =>
      assert.match(unfit("belfry", server, other)!.message, reason))
  }
})
