/**
 * T16 over kill -9: whoever tails a table is killed in between its records, again and again, while
 * another has begun to tail it and more are written.
 *
 * Found by it: a position that SQLite did not keep, so that nothing was tailed there at all.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, type Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "../core/contract/program.ts"
import { times } from "../core/contract/world.ts"
import { standard } from "../core/domain/Namespace.ts"
import * as Trigger from "../core/engine/Trigger.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import { Storage } from "../core/services/Storage.ts"
import { storageAt } from "./executor.fixture.ts"
import * as TestPostgres from "./postgres/TestStorage.ts"
import { processOf } from "./process.fixture.ts"
import { table, Take, taking } from "./tailer.fixture.ts"

const fixture = new URL("./tailer.fixture.ts", import.meta.url)

const kills = 2
/** As many as a page of the storage has. */
const recordsMax = 1000

interface Place {
  readonly storage: string
  /** Where a program finds the table; the planner of the storage knows by itself. */
  readonly records: string
  readonly append: (n: number) => Effect.Effect<void>
}

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-tailers-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true })),
)

const files = Effect.gen(function* () {
  const at = yield* folder
  const records = join(at, "records.db")
  const db = yield* Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(records)),
    (db) => Effect.sync(() => db.close()),
  )
  db.exec(`PRAGMA journal_mode = wal;
    CREATE TABLE ${table} (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL)`)
  const insert = db.prepare(`INSERT INTO ${table} (n) VALUES (?)`)
  const place: Place = {
    storage: join(at, "belfry.db"),
    records,
    append: (n) => Effect.sync(() => void insert.run(n)),
  }
  return place
})

const database = Effect.gen(function* () {
  const context = yield* Layer.build(TestPostgres.layer)
  const { sql, url } = yield* Effect.provide(TestPostgres.TestStorage, context)
  yield* sql.unsafe(`CREATE TABLE public.${table} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id())`)
  yield* sql.unsafe(`CREATE INDEX ON public.${table} (xid, id)`)
  const address = Redacted.value(url)
  const place: Place = {
    storage: address,
    records: address,
    append: (n) =>
      Effect.orDie(Effect.asVoid(sql.unsafe(`INSERT INTO public.${table} (n) VALUES ($1)`, [n]))),
  }
  return place
})

/** Kills whoever tails while records come, and asks for one run of each in the end. */
const eachOnce = ({ append, records, storage }: Place, by: "program" | "planner") =>
  Effect.gen(function* () {
    const { runs, triggers } = yield* Storage
    if (by === "planner") {
      yield* Triggers.use(({ put }) =>
        put({
          namespace: standard,
          name: taking,
          task: Take.name,
          schedule: Trigger.tailTable(`public.${table}`),
          payload: "null",
        })
      ).pipe(Effect.provide(Triggers.layerClient))
    }
    const tailing = processOf(fixture, storage, by === "program" ? records : "")
    const fired = Effect.map(
      triggers.tails({ namespace: standard }),
      ([found]) => found?.tail.fired ?? 0,
    )
    let written = 0
    let isOver = false
    const writing = yield* Effect.gen(function* () {
      while (!isOver && written < recordsMax) {
        yield* append(written)
        written++
        yield* Effect.sleep("20 millis")
      }
    }).pipe(Effect.forkScoped)

    let inBetween = 0
    let tailer = yield* tailing
    for (const life of times(kills)) {
      const before = yield* fired
      yield* until(fired, (count) => count > before)
      const next = yield* tailing
      yield* Effect.sleep(7 * life)
      yield* tailer.signal("SIGKILL")
      yield* tailer.ended
      if ((yield* fired) < written) inBetween++
      tailer = next
    }
    isOver = true
    yield* Fiber.join(writing)
    yield* until(fired, (count) => count >= written)
    const kept = yield* runs.list({ namespace: standard, task: Take.name, limit: 2 * recordsMax })
    const taken = kept.map(({ payload }) => (JSON.parse(payload) as { readonly n: number }).n)
    assert.deepStrictEqual(taken.toSorted((a, b) => a - b), times(written))
    assert.isAbove(inBetween, 0, "some were still to come when it was killed")
  }).pipe(Effect.scoped, Effect.provide(storageAt(storage)))

describe("who tails a table and is killed in between", { concurrent: true }, () => {
  const test = (
    name: string,
    place: Effect.Effect<Place, unknown, Scope.Scope>,
    by: "program" | "planner",
  ) =>
    it.live(
      name,
      () => Effect.scoped(Effect.flatMap(place, (place) => eachOnce(place, by))),
      120_000,
    )

  test(
    "T16 each entry once: of a table in SQLite, whose program is killed again and again",
    files,
    "program",
  )
  test(
    "T16 each entry once: of a table in PostgreSQL, whose program is killed again and again",
    database,
    "program",
  )
  test(
    "T16 each entry once: of a table beside the storage, whose planner is killed again and again",
    database,
    "planner",
  )
})
