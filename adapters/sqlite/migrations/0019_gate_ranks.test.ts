import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { GateKey } from "../../../core/domain/Blocking.ts"
import * as RunId from "../../../core/domain/RunId.ts"
import { Storage } from "../../../core/services/Storage.ts"
import * as Sqlite from "../mod.ts"
import { gateRanks } from "./0019_gate_ranks.ts"
import { fileBefore } from "./before.fixture.ts"

/** An id of so many minutes later. */
const since = (minutes: number) => RunId.floor(Date.UTC(2026, 0, 1) + minutes * 60_000)

describe("0019_gate_ranks", () => {
  it.effect("has those pass who waited before it by when their patience ends", () =>
    Effect.gen(function* () {
      const low = since(0)
      const [sooner, tooLate] = [since(9), since(11)]
      const waiting = [[low, 2], [sooner, 0], [tooLate, 0]].map(([run, level]) => `
        INSERT INTO run (id, kind, lane, level, created_at, delay_millis, is_at_most_once,
          crashes_max, gate, gate_places, gate_when_full, payload)
        VALUES (${run}, 1, 1, ${level}, 1000, 0, 0, 3, 'g', 1, 'wait', '1');
        INSERT INTO blocked (gate, level, turn, run, kind, is_careful)
        VALUES ('g', ${level}, ${run}, ${run}, 1, 0);`)
      const file = yield* fileBefore(
        gateRanks,
        `INSERT INTO kind VALUES (1, 'default', 'greet');
        INSERT INTO lane VALUES (1, 'default:greet');
        INSERT INTO tally VALUES (1, 'Blocked', 3);
        ${waiting.join("")}`,
      )
      const order: Array<number> = []
      yield* Effect.gen(function* () {
        const { runs } = yield* Storage
        for (let nth = 0; nth < 3; nth++) {
          const [admission] = yield* runs.admit([GateKey.make("g")])
          order.push(admission!.run)
          yield* runs.cancel(admission!.run)
        }
      }).pipe(Effect.provide(Sqlite.layer({ file })))
      assert.deepStrictEqual(order, [sooner, low, tooLate])
    }).pipe(Effect.scoped))
})
