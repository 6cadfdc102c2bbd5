/**
 * The laws of a source, kept by a table in PostgreSQL, with writers that commit late.
 *
 * Tried, and caught: rows of transactions that are under way are not left out (E2); the order of the
 * ids alone (by ids that do not rise); `>=` for `>` (E1).
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import * as SourceContract from "../../core/contract/SourceContract.ts"
import { fresh, freshNamespace, greet } from "../../core/contract/world.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import * as Trigger from "../../core/engine/Trigger.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { Storage } from "../../core/services/Storage.ts"
import { table } from "./PgTable.ts"
import { client, layer, TestStorage } from "./TestStorage.ts"

/** A table of its own, and one session that writes to it. */
const made = (id = "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY") =>
  Effect.gen(function* () {
    const { url } = yield* TestStorage
    const sql = yield* client
    const name = `public.${fresh("orders").replaceAll("-", "_")}`
    yield* sql.unsafe(
      `CREATE TABLE ${name} (${id}, n int, xid xid8 NOT NULL DEFAULT pg_current_xact_id())`,
    )
    yield* sql.unsafe(`CREATE INDEX ON ${name} (xid, id)`)
    const source = table({ url, table: name })
    const insert = (session: typeof sql, n: number) =>
      session.unsafe(`INSERT INTO ${name} (n) VALUES ($1)`, [n])
    // What is written is read when no transaction is under way that began before it, in whatever
    // database of the server: other tests have some.
    const isSafe = sql.unsafe<{ is_safe: boolean }>(
      `SELECT coalesce(bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())), true) AS is_safe
       FROM ${name}`,
    )
    const safe = Effect.gen(function* () {
      while (!(yield* isSafe)[0]!.is_safe) yield* Effect.sleep("5 millis")
    })
    return { insert, name, safe, source, sql }
  })

SourceContract.suite(
  "table in postgres",
  layer,
  Effect.map(made(), ({ insert, safe, source, sql }) => ({
    source,
    append: (...numbers: ReadonlyArray<number>) =>
      Effect.andThen(Effect.forEach(numbers, (n) => insert(sql, n)), safe),
  })),
  { runner: "live" },
)

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "a table in PostgreSQL",
  (it) => {
    it.effect("E2 nothing late: what commits late comes late, and nothing passes it by", () =>
      Effect.gen(function* () {
        const { insert, safe, source, sql } = yield* made()
        const late = yield* client
        const reader = yield* source.open
        yield* insert(sql, 1)
        yield* safe
        yield* late.unsafe("BEGIN")
        yield* insert(late, 2)
        yield* insert(sql, 3)
        const first = yield* SourceContract.readAll(reader, "")
        assert.deepEqual(SourceContract.numbersOf(first.entries), [1], "3 is not safe yet")
        const end = yield* reader.end
        yield* late.unsafe("COMMIT")
        yield* safe
        const second = yield* SourceContract.readAll(reader, first.to)
        assert.deepEqual(SourceContract.numbersOf(second.entries), [2, 3])
        const after = yield* SourceContract.readAll(reader, end)
        assert.deepEqual(SourceContract.numbersOf(after.entries), [2, 3])
      }).pipe(Effect.scoped))

    it.effect("E5 no silent gap: numbers keep their digits, as text where they are no number here", () =>
      Effect.gen(function* () {
        const { name, safe, source, sql } = yield* made()
        yield* sql.unsafe(`ALTER TABLE ${name} ADD COLUMN account bigint, ADD COLUMN cents numeric`)
        yield* sql.unsafe(
          `INSERT INTO ${name} (account, cents) VALUES
             (9007199254740991, 0.10), (9007199254740993, 12345678901234567.89)`,
        )
        yield* safe
        const { entries } = yield* SourceContract.readAll(yield* source.open, "")
        assert.deepStrictEqual(
          entries.map((entry) => {
            const { account, cents } = (entry as { value: Record<string, unknown> }).value
            return [account, cents]
          }),
          [[9007199254740991, 0.1], ["9007199254740993", "12345678901234567.89"]],
        )
      }).pipe(Effect.scoped))

    it.effect("E2 nothing late: a hundred writers that commit in any order, and a reader", () =>
      Effect.gen(function* () {
        const { name, safe, source, sql } = yield* made()
        const reader = yield* source.open
        const seen: Array<number> = []
        let at = ""
        const look = Effect.gen(function* () {
          const { entries, to } = yield* SourceContract.readAll(reader, at)
          seen.push(...SourceContract.numbersOf(entries))
          at = to
        })
        const writers = yield* Effect.all([client, client, client, client])
        const writing = Effect.forEach(
          writers,
          (session, nth) =>
            Effect.forEach(Array.from({ length: 25 }, (_, at) => at), (at) =>
              session.unsafe(
                `WITH i AS (INSERT INTO ${name} (n) VALUES ($1) RETURNING n)
               SELECT n, pg_sleep(random() * 0.02)::text FROM i`,
                [nth * 25 + at],
              )),
          { concurrency: "unbounded" },
        )
        yield* Effect.raceFirst(writing, Effect.forever(look))
        yield* safe
        yield* look
        const [count] = yield* sql.unsafe<{ count: number }>(
          `SELECT count(*)::int AS count FROM ${name}`,
        )
        assert.strictEqual(count!.count, 100)
        assert.strictEqual(seen.length, 100)
        assert.strictEqual(new Set(seen).size, 100)
      }).pipe(Effect.scoped))

    it.effect("is read by ids of other types, and its columns come as JSON has them", () =>
      Effect.gen(function* () {
        const { insert, safe, source, sql } = yield* made(
          "id uuid PRIMARY KEY DEFAULT gen_random_uuid()",
        )
        for (const n of [1, 2, 3]) yield* insert(sql, n)
        yield* safe
        const reader = yield* source.open
        const { entries } = yield* SourceContract.readAll(reader, "", 1)
        assert.deepEqual(SourceContract.numbersOf(entries), [1, 2, 3])
        assert.deepEqual(
          Object.keys((entries[0] as { readonly value: object }).value).sort(),
          ["id", "n"],
        )
      }).pipe(Effect.scoped))

    it.effect("E5 no silent gap: one that was brought from another server is refused", () =>
      Effect.gen(function* () {
        const { name, source, sql } = yield* made()
        yield* sql.unsafe(`INSERT INTO ${name} (n, xid) VALUES (1, '999999999999')`)
        const failed = yield* Effect.flip(source.open)
        assert.match(failed.message, /written on another one/)
      }).pipe(Effect.scoped))

    it.effect("that cannot say what is safe is refused, with what to do", () =>
      Effect.gen(function* () {
        const { tables } = yield* Storage
        const { name, sql } = yield* made()
        const refused = (table: string, id?: string) =>
          Effect.map(
            Effect.flip(Effect.scoped(tables!({ table, ...(id !== undefined && { id }) }).open)),
            ({ message }) => message,
          )
        assert.match(yield* refused("public.nothing"), /there is no such table/)
        assert.match(yield* refused(name, "nr"), /no column "nr"/)
        yield* sql.unsafe(`DROP INDEX ${name}_xid_id_idx`)
        assert.match(yield* refused(name), /CREATE INDEX/)
        yield* sql.unsafe(`ALTER TABLE ${name} ALTER COLUMN xid DROP DEFAULT`)
        assert.match(yield* refused(name), /ADD COLUMN xid xid8/)
        // Nobody reads the tables of the scheduler by naming them.
        assert.match(yield* refused("belfry.run"), /ADD COLUMN xid xid8/)
        assert.match(yield* refused(`${name}; DROP TABLE ${name}`), /no such table|syntax|invalid/)
      }).pipe(Effect.scoped))

    it.effect("T16 each entry once: of late commits and a trigger that is kept as data", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const { insert, name, sql } = yield* made()
        const late = yield* client
        const namespace = freshNamespace()
        const planner = Layer.provide(Triggers.layer, LocalOwnership.layer)
        // Two schedulers, each of which holds all triggers.
        const [triggers] = yield* Effect.forEach(
          [0, 1],
          () => Effect.map(Layer.build(Layer.fresh(planner)), Context.get(Triggers)),
        )
        const put = (table: string) =>
          triggers!.put({
            namespace,
            name: "orders",
            task: greet,
            schedule: Trigger.tailTable(table),
            payload: "null",
          })
        yield* late.unsafe("BEGIN")
        yield* insert(late, 1)
        yield* insert(sql, 2)
        yield* put(name)
        const payloads = Effect.map(
          runs.list({ namespace, limit: 100 }),
          (views) => views.map(({ payload }) => (JSON.parse(payload) as { n: number }).n).sort(),
        )
        yield* Effect.sleep("2500 millis")
        assert.deepEqual(yield* payloads, [], "2 waits for 1")
        yield* late.unsafe("COMMIT")
        yield* insert(sql, 3)
        for (let seen: ReadonlyArray<number> = []; seen.length < 3; seen = yield* payloads) {
          yield* Effect.sleep("50 millis")
        }
        yield* Effect.sleep("1500 millis")
        assert.deepEqual(yield* payloads, [1, 2, 3])
        const [{ tail } = assert.fail("no tail")] = yield* triggers!.tails(namespace)
        assert.deepInclude(tail, { fired: 3, passed: 0, skipped: 0 })
        const refused = yield* Effect.flip(put("belfry.run"))
        assert.match(refused.message, /schedule.tail.*ADD COLUMN xid/)
      }).pipe(Effect.scoped))
  },
)
