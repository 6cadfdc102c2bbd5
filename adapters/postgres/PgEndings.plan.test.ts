/**
 * What is over its time is found by one look into an index, however many runs are held and however much
 * is left to be said later. Judged by the pages that are read, never by time.
 */
import { PgClient } from "@effect/sql-pg"
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Reactivity } from "effect/reactivity"
import { pinned } from "./Pg.ts"
import { selectLate } from "./PgEndings.ts"
import { layer, TestStorage } from "./TestStorage.ts"

interface Node {
  readonly "Shared Hit Blocks": number
  readonly "Shared Read Blocks": number
}
type Explained = readonly [{ readonly Plan: Node }]

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "what is left to be said",
  (it) => {
    it.effect("R41 overdue: five are found by a few looks among 50,000 that are left, and held", () =>
      Effect.gen(function* () {
        const { url } = yield* TestStorage
        const sql = yield* PgClient.makeClient({
          url,
          startupParameters: { search_path: "belfry" },
          startupOptions: pinned,
        }).pipe(Effect.provide(Reactivity.layer))
        yield* sql.withTransaction(Effect.gen(function* () {
          const run = (text: string) => sql.unsafe(text).unprepared
          // Planned while there is next to nothing, as it is most of the time.
          yield* run(`PREPARE late (int, bigint, bigint) AS ${selectLate}`)
          const late = "EXECUTE late (100, steady_clock(), 1000)"
          for (const _ of [1, 2, 3, 4, 5, 6, 7, 8]) yield* run(late)
          yield* run(
            `INSERT INTO lease (incarnation, loop, round, lane, level, run_id, attempt, crashes,
              fence, is_careful, is_start_marked,
              is_cancelling, claimed_at)
            SELECT 1 + n % 50, 0, 1, 1, 1, n, 1, 0, 1, false, false, false, 0 FROM generate_series(1, 50000) n`,
          )
          yield* run(`INSERT INTO ending (incarnation, run_id, fence, at, report)
            SELECT 1 + n % 50, n, 1, steady_clock() + CASE WHEN n <= 5 THEN -1000 ELSE 600000 END, '{}'
            FROM generate_series(1, 50000) n`)
          const found = yield* sql.unsafe<{ is_held: boolean }>(late).unprepared
          assert.deepStrictEqual(found.map(({ is_held }) => is_held), times(5))
          const [plan] = yield* sql.unsafe<{ "QUERY PLAN": string | Explained }>(
            `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${late}`,
          ).unprepared
          const said = plan!["QUERY PLAN"]
          const [{ Plan: root }]: Explained = typeof said === "string" ? JSON.parse(said) : said
          assert.isAtMost(root["Shared Hit Blocks"] + root["Shared Read Blocks"], 60)
          return yield* Effect.fail("undone")
        })).pipe(Effect.catchIf((error) => error === "undone", () => Effect.void))
      }))
  },
)

const times = (count: number) => Array.from({ length: count }, () => true)
