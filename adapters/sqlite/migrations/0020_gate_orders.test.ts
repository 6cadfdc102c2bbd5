import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { DatabaseSync } from "node:sqlite"
import * as RunId from "../../../core/domain/RunId.ts"
import { Storage } from "../../../core/services/Storage.ts"
import * as Sqlite from "../mod.ts"
import { gateOrders } from "./0020_gate_orders.ts"
import { fileBefore } from "./before.fixture.ts"

const since = Date.UTC(2026, 0, 1)
const none = RunId.floor(since)
const [far, near, begun] = [none + 1, none + 2, none + 3]
const deadlines = [[far, 70_000], [near, 50_000], [begun, 40_000]] as const

/** Four of one level that wait at the gate `g`, one of them begun before. */
const before = (order: string | undefined, places: number) => `
  INSERT INTO kind VALUES (1, 'default', 'greet');
  INSERT INTO lane VALUES (1, 'default:greet');
  INSERT INTO tally VALUES (1, 'Blocked', 4);
  INSERT INTO task (namespace, name, definition, revision)
  VALUES ('default', 'greet', '${JSON.stringify({ policy: { order } })}', 1);
  ${
  [none, far, near, begun].map((run) => `
    INSERT INTO run (id, kind, lane, level, created_at, delay_millis, is_at_most_once,
      crashes_max, gate, gate_places, gate_when_full, payload)
    VALUES (${run}, 1, 1, 1, ${since}, 0, 0, 3, 'g', ${places}, 'wait', '1');
    INSERT INTO blocked (gate, level, turn, run, kind, attempt, is_careful)
    VALUES ('g', 1, ${run}, ${run}, 1, ${Number(run === begun)}, 1);`).join("")
}
  ${
  deadlines.map(([run, within]) => `INSERT INTO deadline VALUES (${run}, ${since + within});`)
    .join("")
}`

describe("0020_gate_orders", () => {
  for (
    const [order, places, wanted] of [
      ["deadline", 1, [near, none, begun, far]],
      ["age", 2, [none, far, near, begun]],
      [undefined, 1, [none, far, near, begun]],
      [undefined, 2, [near, none, far, begun]],
    ] as ReadonlyArray<readonly [string | undefined, number, Array<number>]>
  ) {
    it.effect(`has those pass who waited before it by their deadlines, ${order}, ${places}`, () =>
      Effect.gen(function* () {
        const file = yield* fileBefore(gateOrders, before(order, places))
        yield* Effect.provide(Storage.use(({ now }) => now), Sqlite.layer({ file }))
        const now = new DatabaseSync(file)
        const waiting = now.prepare("SELECT run FROM blocked ORDER BY gate, rank, turn").all()
        now.close()
        assert.deepStrictEqual(waiting.map(({ run }) => run), wanted)
      }).pipe(Effect.scoped))
  }
})
