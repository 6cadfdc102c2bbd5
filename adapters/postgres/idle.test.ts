/**
 * What a process with nothing to do asks of PostgreSQL, statement by statement, and what it finds.
 *
 * Tried, and caught: claims instead of looks; looks that are not in step; the clock asked for, and the
 * listener told, alone; rows of waiters renewed one by one; a look that finds no lane, one that takes
 * the dead for living; a look although somebody was told; lanes that are read from the beginning of the
 * table; nobody let into a look; everybody let in; all triggers looked at for what may leave, each time.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, DateTime, Duration, Effect, Fiber, Latch, Layer, Option } from "effect"
import * as Direct from "../direct/mod.ts"
import {
  freshNamespace,
  greet,
  joined,
  specOf,
  submitOne,
  times,
} from "../../core/contract/world.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { TriggerDefinition, TriggerName } from "../../core/domain/Trigger.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import { Executor } from "../../core/engine/Executor.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as Task from "../../core/engine/Task.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { Storage } from "../../core/services/Storage.ts"
import { Transport } from "../../core/services/Transport.ts"
import { Wakeups } from "../../core/services/Wakeups.ts"
import * as Pg from "./Pg.ts"
import * as PgClock from "./PgClock.ts"
import { PgHints } from "./PgHints.ts"
import * as PgIdle from "./PgIdle.ts"
import * as PgLooks from "./PgLooks.ts"
import { PgNames } from "./PgNames.ts"
import * as PgStorage from "./PgStorage.ts"
import * as PgWakeups from "./PgWakeups.ts"
import { client, elapse, layer, TestStorage } from "./TestStorage.ts"

interface Statement {
  readonly operation: string
}

/** The adapter, and every statement of it but those of the listener's own connection. */
const counted = Effect.gen(function* () {
  const { url } = yield* TestStorage
  const statements: Array<Statement> = []
  const open = yield* Pg.make({ url })
  const pg: Pg.Pg = {
    ...open,
    query: <R extends Pg.Row>(
      pool: Pg.Pool,
      operation: string,
      text: string,
      params?: ReadonlyArray<unknown>,
      isRepeatable?: boolean,
    ) =>
      Effect.andThen(
        Effect.sync(() => void statements.push({ operation })),
        open.query<R>(pool, operation, text, params, isRepeatable),
      ),
    queryOnEach: (pool, operation, connections, text, params) =>
      Effect.andThen(
        Effect.sync(() => void statements.push(...times(connections).map(() => ({ operation })))),
        open.queryOnEach(pool, operation, connections, text, params),
      ),
  }
  const names = new PgNames(pg)
  const looks = yield* PgLooks.make(pg)
  const clock = yield* PgClock.make(pg, looks)
  const hints = yield* PgHints.make(pg, looks)
  const storage = yield* PgStorage.make(pg, names, hints, clock, looks)
  const stored = Layer.mergeAll(
    Layer.succeed(Storage, storage),
    Layer.succeed(Wakeups, PgWakeups.make(hints, names)),
  )
  return { statements, storage, looks, names, hints, stored }
})

/** A process whose hints reach nobody. */
const silent = Effect.gen(function* () {
  const { url } = yield* TestStorage
  const pg = yield* Pg.make({ url })
  const names = new PgNames(pg)
  const looks = yield* PgLooks.make(pg)
  const hints = yield* PgHints.make(pg, looks, undefined, () => Effect.void)
  const clock = yield* PgClock.make(pg, looks)
  return yield* PgStorage.make(pg, names, hints, clock, looks)
})

const Greet = Task.make(greet)

const engineIn = (namespace: Namespace, stored: Layer.Layer<Storage | Wakeups>) =>
  Layer.build(
    Greet.toLayer(() => Effect.void).pipe(
      Layer.provideMerge(Executor.layer),
      Layer.provideMerge(Layer.mergeAll(Scheduler.layer, Triggers.layer, Direct.layer)),
      Layer.provide(LocalOwnership.layer),
      Layer.provide(stored),
      Layer.provide(Layer.succeed(CurrentNamespace, namespace)),
    ),
  )

/** An executor that waits for work, without a pool or beats. */
const waiting = Effect.fnUntraced(function* () {
  const process = yield* counted
  const namespace = freshNamespace()
  const hand = yield* joined(namespace)
  const transport = Context.get(
    yield* Layer.build(Layer.provide(Direct.layer, process.stored)),
    Transport,
  )
  const round = yield* Effect.forkChild(
    transport.round({
      incarnation: hand.incarnation,
      loop: 0,
      round: 1,
      isAgain: false,
      lanes: [Lane.ofTask(namespace, greet)],
      limit: 1,
      reports: [],
      waitMillis: 20_000,
    }),
  )
  const { statements } = process
  const asked = (name: string) =>
    statements.filter(({ operation }) => operation.split(", ").includes(name)).length
  /** Until it has looked once more. */
  const look = Effect.gen(function* () {
    const before = asked("idle")
    while (asked("idle") === before) yield* Effect.sleep(2)
    yield* Effect.sleep("20 millis")
  })
  return { ...process, namespace, hand, round, asked, look }
})

const now = performance.now.bind(performance)

/** Lets time go by for what measures it by this clock, until the scope ends. */
const laterBy = (millis: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      performance.now = () => now() + millis
    }),
    () =>
      Effect.sync(() => {
        performance.now = now
      }),
  )

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })("idle", (it) => {
  it.effect("a process asks two statements a second, and claims nothing", () =>
    Effect.gen(function* () {
      const { statements, stored } = yield* counted
      yield* engineIn(freshNamespace(), stored)
      yield* Effect.sleep("2 seconds")
      statements.length = 0
      const begin = performance.now()
      yield* Effect.sleep("10 seconds")
      const seconds = (performance.now() - begin) / 1000
      const of = (name: string) => statements.filter(({ operation }) => operation === name).length
      const looked = statements.filter(({ operation }) => operation.includes("promote,")).length
      const told = JSON.stringify(statements.map(({ operation }) => operation))
      assert.isAtLeast(looked, 6, told)
      assert.isAtMost(of("claim"), 2, told)
      assert.isAtLeast(of("warm"), 2, told)
      const names = statements.map(({ operation }) => operation.split(", "))
      for (const patient of ["clock", "beat of listener"]) {
        assert.isTrue(names.some((of) => of.includes(patient)), told)
      }
      assert.deepStrictEqual(
        names.filter((of) => of.every((name) => name === "clock" || name === "beat of listener")),
        [],
        "they never go alone",
      )
      assert.isAtMost(statements.length, 2.6 * seconds, told)
    }).pipe(Effect.scoped))

  it.effect("what nobody tells of is begun within two seconds", () =>
    Effect.gen(function* () {
      const { stored } = yield* counted
      const namespace = freshNamespace()
      yield* engineIn(namespace, stored)
      const elsewhere = yield* silent
      for (const nth of times(3)) {
        yield* Effect.sleep(1000 + 270 * nth)
        const run = yield* submitOne(specOf(namespace)).pipe(
          Effect.provideService(Storage, elsewhere),
        )
        const claimed = Effect.map(
          elsewhere.runs.find(run),
          (view) => Option.getOrThrow(view),
        )
        yield* Effect.sleep("2100 millis")
        const { claimedAt, createdAt } = yield* claimed
        assert.isDefined(claimedAt)
        const took = DateTime.toEpochMillis(claimedAt) - DateTime.toEpochMillis(createdAt)
        assert.isAtMost(took, 2000)
      }
    }).pipe(Effect.scoped))

  it.effect("whoever is told of a run claims, and does not look", () =>
    Effect.gen(function* () {
      const { asked, look, namespace, round, statements, storage } = yield* waiting()
      yield* look
      yield* look
      const before = [asked("claim"), asked("idle")] as const
      yield* submitOne(specOf(namespace)).pipe(Effect.provideService(Storage, storage))
      assert.strictEqual((yield* Fiber.join(round)).grants.length, 1)
      const told = JSON.stringify(statements.map(({ operation }) => operation))
      assert.deepStrictEqual([asked("claim"), asked("idle")], [before[0] + 1, before[1]], told)
    }).pipe(Effect.scoped))

  for (const how of ["its lease ends", "it was found lost"] as const) {
    it.effect(`an executor learns within two seconds that ${how}`, () =>
      Effect.gen(function* () {
        const { asked, hand, look, round } = yield* waiting()
        yield* look
        yield* look
        assert.isAtMost(asked("claim"), 2)
        const sql = yield* client
        const begin = performance.now()
        yield* how === "its lease ends"
          ? sql`UPDATE executor SET beat_at = 0 WHERE incarnation = ${hand.incarnation}`
          : sql`UPDATE executor SET standing = 3 WHERE incarnation = ${hand.incarnation}`
        assert.strictEqual((yield* Effect.flip(Fiber.join(round)))._tag, "SessionLost")
        assert.isBelow(performance.now() - begin, 2000)
      }).pipe(Effect.scoped))
  }

  it.effect("all executors of a process ask with one look, and each has its own answer", () =>
    Effect.gen(function* () {
      const { looks, names, statements } = yield* counted
      const isIdle = PgIdle.make(looks)
      const namespaces = times(60).map(() => freshNamespace())
      const hands = yield* Effect.forEach(namespaces, (namespace) => joined(namespace))
      const lanes = yield* names.laneNumbers(namespaces.map((of) => Lane.ofTask(of, greet)))
      yield* submitOne(specOf(namespaces[7]!))
      yield* hands[9]!.leave
      statements.length = 0
      const answers = yield* Effect.all(
        hands.map(({ incarnation }, nth) => isIdle(incarnation, [lanes[nth]!])),
        { concurrency: "unbounded" },
      )
      assert.deepStrictEqual(
        answers.flatMap((isIdle, nth) => isIdle ? [] : [nth]),
        [7, 9],
      )
      assert.strictEqual(statements.length, 1)

      statements.length = 0
      const many = times(32).map((nth) => 1_000_000 + nth)
      const others = yield* Effect.all(
        hands.slice(10).map(({ incarnation }, nth) =>
          isIdle(incarnation, many.map((lane) => lane + 100 * nth))
        ),
        { concurrency: "unbounded" },
      )
      assert.isTrue(others.every((isIdle) => isIdle))
      assert.strictEqual(statements.length, Math.ceil(50 / 8), "so many lanes have no place in one")
    }).pipe(Effect.scoped))

  it.effect("rows of waiters are renewed at once, while the ones that are there count", () =>
    Effect.gen(function* () {
      const { hints, statements } = yield* counted
      const topics = ["t", "o", "d"] as const
      for (const topic of topics) hints.add(topic, Latch.makeUnsafe())
      const arm = Effect.gen(function* () {
        statements.length = 0
        yield* Effect.all(topics.map((topic) => hints.arm([topic])), { concurrency: "unbounded" })
        return statements.filter(({ operation }) => operation === "arm").length
      })
      const sql = yield* client
      const end = Effect.map(
        sql<{ first: number }>`SELECT min(expires_at)::float8 AS first FROM waiter
          WHERE listener = ${hints.listener} AND topic IN ('t', 'o', 'd')`,
        ([row]) => row!.first,
      )
      assert.strictEqual(yield* arm, 3)
      assert.strictEqual(yield* arm, 0)
      const before = yield* end
      yield* Effect.sleep("20 millis")
      yield* laterBy(31_000)
      assert.strictEqual(yield* arm, 1)
      const renewed = yield* end
      assert.isAbove(renewed, before)
      assert.strictEqual(yield* arm, 0)
      // What was relied on too long is written before anybody waits.
      yield* laterBy(31_000 + 46_000)
      assert.strictEqual(yield* arm, 3)
      assert.isAbove(yield* end, renewed)
    }).pipe(Effect.scoped))

  it.effect("to let go of what is old takes as little however many triggers sleep", () =>
    Effect.gen(function* () {
      const { statements, storage } = yield* counted
      const namespace = freshNamespace()
      const view = yield* storage.triggers.put(
        new TriggerDefinition({
          namespace,
          name: TriggerName.make("asleep"),
          task: greet,
          schedule: { _tag: "Every", millis: 86_400_000 },
          payload: "1",
          misfire: { _tag: "Once" },
        }),
      )
      const sql = yield* client
      yield* sql`INSERT INTO trigger (namespace, name, cursor, revision, partition, definition)
        SELECT namespace, name || n, cursor, revision, partition, definition
        FROM trigger, generate_series(1, 5000) n WHERE id = ${view.id}`
      const retire = Effect.gen(function* () {
        statements.length = 0
        const { hasMore, slots } = yield* storage.history.retire(1000)
        assert.isFalse(hasMore)
        return { slots, asked: statements.filter(({ operation }) => operation === "retire").length }
      })
      const { asked: first } = yield* retire
      assert.isAtLeast(first, 10, "each has been looked at")
      assert.isAtMost((yield* retire).asked, 6)
      // It was moved here with its age, so nobody expects it.
      yield* sql`INSERT INTO slot (trigger, slot, through, outcome, reason, lateness)
        VALUES (${view.id} + 4000, 1000, 1000, 1, 'misfire', 0)`
      yield* elapse(Duration.minutes(14))
      assert.isAtMost((yield* retire).asked, 6)
      yield* elapse(Duration.minutes(1))
      assert.strictEqual((yield* retire).slots, 1)
    }).pipe(Effect.scoped))

  it.effect("lanes are looked at by index, also when that was planned while nothing was ready", () =>
    Effect.gen(function* () {
      const sql = yield* client
      const run = (text: string) => sql.unsafe(text).unprepared
      yield* run("TRUNCATE ready")
      yield* run("VACUUM ANALYZE ready")
      yield* run("PREPARE look (int[]) AS SELECT lanes_with_runs($1)")
      const look = `EXECUTE look ('{${times(1000).map((nth) => 10 + nth).join(",")}}')`
      for (const _ of times(8)) yield* run(look)
      yield* run(`INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
        SELECT 1 + n % 9, 1, n, n, 0, 0, 0, false FROM generate_series(1, 50000) n`)
      yield* run(`INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
        VALUES (500, 4, 1, 100000, 0, 0, 0, false)`)
      const [found] = yield* sql.unsafe<{ lanes_with_runs: ReadonlyArray<number> }>(look).unprepared
      assert.deepStrictEqual(found!.lanes_with_runs, [500])
      const [plan] = yield* sql.unsafe<{ "QUERY PLAN": string | ReadonlyArray<unknown> }>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${look}`,
      ).unprepared
      const said = plan!["QUERY PLAN"]
      const [{ Plan }] = typeof said === "string" ? JSON.parse(said) : said
      // A walk through all of it would read 300 pages for each of the thousand lanes.
      assert.isAtMost(Plan["Shared Hit Blocks"] + Plan["Shared Read Blocks"], 5 * 1000)
      yield* run("TRUNCATE ready")
    }).pipe(Effect.scoped))
})
