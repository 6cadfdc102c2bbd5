/** What only this adapter can get wrong, besides what the suites test for all of them. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer } from "effect"
import {
  freshNamespace,
  greet,
  joined,
  specOf,
  submitAll,
  submitOne,
  succeed,
} from "../../core/contract/world.ts"
import * as Lane from "../../core/domain/Lane.ts"
import * as Share from "../../core/domain/Share.ts"
import { Storage } from "../../core/services/Storage.ts"
import { ofLane, Wakeups } from "../../core/services/Wakeups.ts"
import * as Postgres from "./mod.ts"
import { patience } from "./rows.ts"
import { another, client, layer, TestStorage } from "./TestStorage.ts"

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "runs, postgres",
  (it) => {
    it.effect("R5 fenced reports: a success with a fence of before changes nothing in a claim", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const { incarnation } = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace))
        let round = 0
        const claim = (...fences: ReadonlyArray<number>) =>
          runs.claim({
            incarnation,
            loop: 0,
            round: ++round,
            isAgain: false,
            lanes: [Lane.ofTask(namespace, greet)],
            limit: 10,
            reports: fences.map((fence) => ({
              _tag: "Succeed" as const,
              run,
              fence: fence as never,
            })),
          })
        yield* claim()
        yield* runs.settle(incarnation, [{ _tag: "Release", run, fence: 1 as never }])
        yield* claim()
        const late = yield* claim(1)
        assert.deepInclude(late, { settled: ["duplicate"], grants: [] })
        assert.deepInclude(yield* claim(7), { settled: ["fenced"] })
        assert.deepInclude(yield* runs.find(run), { _tag: "Some" })
        assert.deepInclude(yield* claim(2), { settled: ["applied"] })
        assert.deepInclude(yield* claim(2), { settled: ["duplicate"] })
      }))

    for (const lanes of [1, 3, 70]) {
      it.effect(`R6 order: ${lanes} lanes are claimed as Lane.order says`, () =>
        Effect.gen(function* () {
          const { now, runs } = yield* Storage
          const namespace = freshNamespace()
          const { incarnation } = yield* joined(namespace)
          const names = Array.from(
            { length: lanes },
            (_, nth) => `${namespace}:l${nth}` as Lane.Lane,
          )
          const specs = Array.from({ length: 210 }, (_, nth) =>
            specOf(namespace, {
              lane: names[nth % lanes]!,
              level: Lane.levels[Math.floor(nth / lanes) % Lane.levels.length]!,
            }))
          const ids = yield* submitAll(specs)
          const sql = yield* client
          const at = yield* now
          // Some overdue, some not, in all levels, and none about to be.
          yield* sql.unsafe(
            `UPDATE ready SET rank = $1::bigint + CASE WHEN run_id % 7 < 3 THEN -1 ELSE 1 END
               * (100000 + run_id * 7919 % 10007) WHERE run_id = ANY ($2::bigint[])`,
            [`${at}`, `{${ids.join(",")}}`],
          )
          // The rank of a plain run follows from when it is due.
          yield* sql.unsafe(
            `UPDATE run SET due_at = rank - ('${patience}'::bigint[])[run.level + 1]
             FROM ready WHERE run_id = id AND run_id = ANY ($1::bigint[])`,
            [`{${ids.join(",")}}`],
          )
          const placed = yield* sql.unsafe<Lane.Place>(
            `SELECT level, rank::float8 AS rank, run_id::float8 AS run FROM ready
             WHERE run_id = ANY ($1::bigint[])`,
            [`{${ids.join(",")}}`],
          )
          const wanted = placed.toSorted(Lane.order(at)).map(({ run }) => run)
          const claimed: Array<number> = []
          for (let round = 1; claimed.length < ids.length; round++) {
            const answer = yield* runs.claim({
              incarnation,
              loop: 0,
              round,
              isAgain: false,
              lanes: names,
              limit: 33,
              reports: [],
            })
            assert(answer !== "Lost" && answer.grants.length > 0)
            claimed.push(...answer.grants.map(({ run }) => run))
          }
          assert.deepStrictEqual(claimed, wanted)
        }).pipe(Effect.scoped))
    }

    it.effect("R6 order: who has seen none of the lowest levels goes by them all the same", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const { incarnation } = yield* joined(namespace)
        const ids = yield* submitAll(
          ([4, 3, 1] as const).map((level) => specOf(namespace, { level })),
        )
        const { runs } = Context.get(yield* Layer.build(another()), Storage)
        const answer = yield* runs.claim({
          incarnation,
          loop: 0,
          round: 1,
          isAgain: false,
          lanes: [Lane.ofTask(namespace, greet)],
          limit: 10,
          reports: [],
        })
        assert(answer !== "Lost")
        assert.deepStrictEqual(answer.grants.map(({ run }) => run), ids.toReversed())
      }).pipe(Effect.scoped))

    it.effect("R23 shares: nothing is kept of keys whose runs have ended", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const gates = ["a", "b", "c"].map((key) =>
          Share.gate(namespace, greet, { _tag: "Fair", limit: 2, weights: { b: 7 } }, key)
        )
        yield* submitAll([...gates, ...gates].map((gate) => specOf(namespace, { gate })))
        const sql = yield* client
        const kept = Effect.map(sql<{ gates: number }>`SELECT count(*)::int AS gates FROM share`, (
          [row],
        ) => row!.gates)
        let freed = gates.map(({ key }) => key)
        for (let ended = 0; ended < 6; ended += 2) {
          yield* runs.admit(freed)
          if (ended < 4) assert.isAbove(yield* kept, 0)
          const { grants } = yield* hand.claim(2)
          freed = [...(yield* hand.settle(...grants.map((grant) => succeed(grant)))).freed]
        }
        yield* runs.admit(freed)
        assert.strictEqual(yield* kept, 0)
      }).pipe(Effect.scoped))

    it.effect("keeps a payload as it was written", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const payloads = ['{"b":1, "a":"\\u0000", "b":2}', '"\u{1F514}\\ud800"', "1e400"]
        const ids = yield* submitAll(payloads.map((payload) => specOf(namespace, { payload })))
        const views = yield* runs.findMany(ids)
        assert.sameMembers(views.map(({ payload }) => payload), payloads)
      }))

    it.effect("B59: of many submits of one key at once one is new, and all name its run", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const spec = specOf(freshNamespace(), { idempotencyKey: "once" })
        const other = yield* TestStorage.use(({ url }) =>
          Layer.build(Layer.fresh(Postgres.layer({ url })))
        )
        const second = yield* Effect.provide(Storage, other)
        const answers = yield* Effect.all(
          Array.from(
            { length: 50 },
            (_, nth) => (nth % 2 === 0 ? runs : second.runs).submit([spec]),
          ),
          { concurrency: "unbounded" },
        )
        const flat = answers.flat()
        assert.strictEqual(flat.filter((each) => each._tag === "Submitted" && each.isNew).length, 1)
        assert.strictEqual(new Set(flat.map(({ run }) => run)).size, 1)
      }).pipe(Effect.scoped))

    it.effect("B47: nobody fails for another's input, in whatever flush it was", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const submits = Array.from({ length: 30 }, (_, nth) =>
          Effect.exit(
            runs.submit([specOf(namespace, nth === 13 ? { payload: "no json, and \0" } : {})]),
          ))
        const exits = yield* Effect.all(submits, { concurrency: "unbounded" })
        assert.deepStrictEqual(
          exits.flatMap((exit, nth) => Exit.isSuccess(exit) ? [] : [nth]),
          [13],
        )
        assert.strictEqual((yield* runs.list({ namespace, limit: 100 })).length, 29)
      }))

    it.effect("works on, and hints on, when all its connections were cut", () =>
      Effect.gen(function* () {
        const wakeups = yield* Wakeups
        const namespace = freshNamespace()
        const sql = yield* client
        const other = yield* TestStorage.use(({ url }) =>
          Layer.build(Layer.fresh(Postgres.layer({ url })))
        )
        const second = yield* Effect.provide(Storage, other)
        const waiting = yield* wakeups.subscribe([ofLane(Lane.ofTask(namespace, greet))])
        yield* waiting.arm
        yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name LIKE 'belfry %' AND datname = current_database()`
        // What was missed meanwhile wakes as well, so wait for quiet before the hint that counts.
        yield* Effect.sleep("2 seconds")
        yield* waiting.arm
        yield* Effect.sleep("100 millis")
        yield* second.runs.submit([specOf(namespace)])
        assert.isTrue(yield* waiting.wait(Duration.seconds(3)))
      }).pipe(Effect.scoped))

    it.effect("refuses a schema that was not migrated, and a server that only reads", () =>
      Effect.gen(function* () {
        const { url } = yield* TestStorage
        const built = (config: Postgres.Config) =>
          Effect.flip(Effect.scoped(Layer.build(Layer.fresh(Postgres.layer(config)))))
        const empty = yield* built({ url, schema: "nowhere" })
        assert.match(empty.message, /lacks \d+ migrations/)
        const sql = yield* client
        const [here] = yield* sql<{ name: string }>`SELECT current_database() AS name`
        yield* sql`ALTER DATABASE ${sql(here!.name)} SET default_transaction_read_only = on`
        const readOnly = yield* built({ url })
        yield* sql`ALTER DATABASE ${sql(here!.name)} RESET default_transaction_read_only`
        assert.match(readOnly.message, /read-only/)
      }).pipe(Effect.scoped))
  },
)
