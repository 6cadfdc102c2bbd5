/**
 * Who passes a gate next is one look into an index, however many wait there and whatever their deadlines
 * are. Judged by the pages that are read, never by time.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Lane from "../../core/domain/Lane.ts"
import { TaskName } from "../../core/domain/TaskName.ts"
import { Storage } from "../../core/services/Storage.ts"
import { freshNamespace, gateOf, specOf, submitAll, times } from "../../core/contract/world.ts"
import { taskIn } from "../../core/contract/orders.ts"
import { patience } from "./rows.ts"
import { client, layer } from "./TestStorage.ts"

interface Node {
  readonly "Shared Hit Blocks": number
  readonly "Shared Read Blocks": number
}
type Explained = readonly [{ readonly Plan: Node }]

const pagesOf = ([row]: ReadonlyArray<{ readonly "QUERY PLAN": string | Explained }>): number => {
  const said = row!["QUERY PLAN"]
  const [{ Plan: root }]: Explained = typeof said === "string" ? JSON.parse(said) : said
  return root["Shared Hit Blocks"] + root["Shared Read Blocks"]
}

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "a gate at which many wait",
  (it) => {
    it.effect("R38 order at gates: its head is found by one look among 20,000", () =>
      Effect.gen(function* () {
        const sql = yield* client
        const namespace = freshNamespace()
        const task = yield* taskIn(namespace, "deadline")
        const gate = gateOf(namespace, 1)
        yield* submitAll(
          times(20_000).map((nth) =>
            specOf(namespace, { task, gate, deadlineMillis: 3_600_000 - nth % 1000 * 1000 })
          ),
        )
        const [first] = yield* sql<{ run: number }>`
          SELECT (array_agg(run_id ORDER BY rank, turn))[1]::float8 AS run
          FROM blocked WHERE gate = gate_id(${gate.key})`
        const pages = yield* sql.withTransaction(Effect.gen(function* () {
          const admitting = sql.unsafe<{ "QUERY PLAN": string | Explained }>(
            `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
             SELECT * FROM admit(ARRAY[gate_id('${gate.key}')], 1, '${patience}'::bigint[])`,
          ).unprepared
          const read = Effect.map(admitting, pagesOf)
          yield* admitting
          // The place is taken now. Whoever plans anew reads the catalogue.
          return Math.min(yield* read, yield* read, yield* read)
        }))
        const passed = yield* sql<{ run: number }>`
          SELECT run_id::float8 AS run FROM ready WHERE gate = gate_id(${gate.key})`
        assert.deepStrictEqual(passed, [first!])
        assert.isAtMost(pages, 40)
      }))

    it.effect("R42 backlog: a few are counted without a look at the others, of this lane or another", () =>
      Effect.gen(function* () {
        const sql = yield* client
        const namespace = freshNamespace()
        const lanes = ["greet", "bake"].map((task) => Lane.ofTask(namespace, TaskName.make(task)))
        const counting = (lane: Lane.Lane, atMost: number) =>
          sql.unsafe<{ "QUERY PLAN": string | Explained }>(
            `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT waiting_in(ARRAY['${lane}'], ${atMost})`,
          ).unprepared
        // Planned while nobody waits, and kept.
        yield* submitAll(lanes.map((lane) => specOf(namespace, { lane, delayMillis: 3_600_000 })))
        for (let nth = 0; nth < 6; nth++) yield* counting(lanes[0]!, 3)
        yield* submitAll([
          ...times(20_000).map(() => gateOf(namespace, 1)),
          ...times(3).map(() => undefined),
        ].map((gate) => specOf(namespace, { gate, lane: lanes[gate === undefined ? 1 : 0]! })))
        for (const lane of lanes) {
          yield* counting(lane, 3)
          assert.isAtMost(pagesOf(yield* counting(lane, 3)), 40, lane)
        }
        assert.isAtMost(pagesOf(yield* counting(lanes[1]!, 1000)), 40, "of the others none is read")
        const { runs } = yield* Storage
        assert.strictEqual(yield* runs.backlog([lanes[0]!], 100_000), 20_000)
      }))
  },
)
