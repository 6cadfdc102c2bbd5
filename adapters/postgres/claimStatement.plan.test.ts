/**
 * The plan of a claim that was prepared while the queue was empty, and its statistics said so, must
 * serve as well when there is a backlog. Judged by the plan and the pages it reads, never by time.
 */
import { PgClient } from "@effect/sql-pg"
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Reactivity } from "effect/reactivity"
import * as Lane from "../../core/domain/Lane.ts"
import { pinned } from "./Pg.ts"
import { claimStatement } from "./claimStatement.ts"
import { client, layer, TestStorage } from "./TestStorage.ts"

interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Rows Removed by Filter"?: number
  readonly "Shared Hit Blocks": number
  readonly "Shared Read Blocks": number
  readonly Plans?: ReadonlyArray<Node>
}

type Explained = readonly [{ readonly Plan: Node }]

const nodes = (node: Node): ReadonlyArray<Node> => [node, ...(node.Plans ?? []).flatMap(nodes)]

const tables = ["ready", "lease", "run", "outcome", "executor", "subscription", "outbox"]
const cases = [1, 4, 16].flatMap((lanes) =>
  [false, true].flatMap((isWatched) =>
    [false, true].map((isDeep) => ({ isDeep, isWatched, lanes }))
  )
)
const batch = 200
const holders = 50
const leases = 20_000
/** Runs that the first of the holders holds. */
const held = (from: number) =>
  Array.from({ length: batch }, (_, nth) => from + nth * holders).join(",")

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "a claim prepared on an empty queue",
  (it) => {
    for (const { isDeep, isWatched, lanes } of cases) {
      const levels = isDeep ? Lane.levels.length : Lane.deepFrom
      const told = isWatched ? ", and half of what ends is told of" : ""
      it.effect(`reads only by index when 200,000 runs wait in ${lanes} lanes of ${levels} levels${told}`, () =>
        Effect.gen(function* () {
          const { url } = yield* TestStorage
          const admin = yield* client
          const run = (text: string) => admin.unsafe(text).unprepared
          yield* run(`TRUNCATE ${tables.join(", ")} RESTART IDENTITY CASCADE`)
          yield* run("INSERT INTO namespace (name) VALUES ('plan') ON CONFLICT DO NOTHING")
          yield* run(
            `INSERT INTO executor (namespace, beat_at, joined_at, ttl, capacity, name, labels,
              is_watched)
            SELECT id, clock(), clock(), 3600000, 1, 'ada', '{}', ${isWatched}
            FROM namespace WHERE name = 'plan'`,
          )
          for (const table of tables) yield* run(`VACUUM ANALYZE ${table}`)

          const claims = yield* PgClient.makeClient({
            url,
            startupParameters: { search_path: "belfry" },
            startupOptions: pinned,
          }).pipe(Effect.provide(Reactivity.layer))
          const say = (text: string) =>
            claims.unsafe<{ "QUERY PLAN": string | Explained }>(text).unprepared
          const laneTypes = Array.from({ length: lanes }, () => "int").join(", ")
          yield* say(`PREPARE claim (int, int, int, int, bigint[], int[], text[], ${laneTypes}) AS
            ${claimStatement(lanes, false, isWatched, isDeep)}`)
          const claim = (settled: string) =>
            `EXECUTE claim (1, 0, 1, ${batch}, '{${settled}}', '{${settled.replace(/\d+/g, "1")}}',
              '{}', ${Array.from({ length: lanes }, (_, nth) => nth + 1).join(", ")})`
          for (let nth = 0; nth < 6; nth++) yield* say(claim(""))

          yield* run(`INSERT INTO run (id, created_at, due_at, task, lane, level, crashes_max,
              is_at_most_once, payload)
            SELECT id, 0, 0, 1, 1 + id % ${lanes}, id % ${levels}, 1, false, '{}'
            FROM generate_series(1, 200000) id`)
          yield* run(
            `INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
            SELECT lane, level, CASE WHEN id % 100 < 50 THEN id ELSE clock() + 60000 + id END, id,
              0, 0, 0, false FROM run`,
          )
          yield* run(`INSERT INTO lease (run_id, claimed_at, lane, incarnation, round, fence, loop,
              level, attempt, crashes, is_careful, is_start_marked, is_cancelling)
            SELECT id, 0, 1, 1 + id % ${holders}, 0, 1, 0, 1, 1, 0, false, false, false
            FROM generate_series(1000001, 1000000 + ${leases}) id`)

          yield* run(`INSERT INTO run (id, created_at, due_at, task, lane, level, crashes_max,
              is_at_most_once, payload)
            SELECT run_id, 0, 0, 1 + run_id / ${holders} % 2, 1, 1, 1, false, '{}' FROM lease`)
          // Of many subscriptions one, of one of the two tasks.
          yield* run(`INSERT INTO subscription (namespace, consumer, name, partition, task, states)
            SELECT id, 'plans', n::text, 0, n, 127 FROM namespace, generate_series(2, 5000) n
            WHERE namespace.name = 'plan' AND ${isWatched}`)

          const [plan] = yield* say(
            `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${claim(held(1_000_050))}`,
          )
          const said = plan!["QUERY PLAN"]
          const explained: Explained = typeof said === "string" ? JSON.parse(said) : said
          const root = explained[0].Plan
          const all = nodes(root)
          const types = new Set(all.map((node) => node["Node Type"]))
          for (const type of ["Seq Scan", "Bitmap Heap Scan", "Sort", "Incremental Sort"]) {
            assert.isFalse(types.has(type), `${type} in ${JSON.stringify([...types])}`)
          }
          const removed = all.filter((node) => node["Relation Name"] !== undefined)
            .map((node) => node["Rows Removed by Filter"] ?? 0)
          // Up to PostgreSQL 16 all leases of one holder are looked at, which are few.
          assert.isAtMost(Math.max(...removed), leases / holders - batch, "rows were read in vain")
          assert.isAtMost(root["Shared Hit Blocks"] + root["Shared Read Blocks"], 30 * batch)
          const [left] = yield* admin<
            { ready: number; lease: number; ended: number; told: number }
          >`
            SELECT (SELECT count(*)::int FROM ready) AS ready,
              (SELECT count(*)::int FROM lease) AS lease,
              (SELECT count(*)::int FROM outcome) AS ended,
              (SELECT count(*)::int FROM outbox) AS told`
          assert.deepStrictEqual(left, {
            ready: 200_000 - batch,
            lease: leases,
            ended: batch,
            told: isWatched ? batch / 2 : 0,
          })
        }).pipe(Effect.scoped))
    }
  },
)
