import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { RunId } from "../../../core/domain/RunId.ts"
import { Storage } from "../../../core/services/Storage.ts"
import * as Sqlite from "../mod.ts"
import { states } from "./0002_states.ts"
import { fileBefore } from "./before.fixture.ts"

describe("0002_states", () => {
  it.effect("keeps what a file of the version before holds", () =>
    Effect.gen(function* () {
      const file = yield* fileBefore(
        states,
        `INSERT INTO kind VALUES (1, 'default', 'greet');
        INSERT INTO lane VALUES (1, 'default:greet');
        INSERT INTO run (id, kind, lane, level, created_at, delay_millis, is_at_most_once,
          crashes_max, gate, gate_places, gate_when_full, payload)
        VALUES (7, 1, 1, 1, 1000, 0, 0, 3, NULL, NULL, NULL, '1'),
          (8, 1, 1, 1, 1000, 0, 0, 3, 'g', 1, 'wait', '2');
        INSERT INTO outcome VALUES (7, 1, 1, 2, 1, 3, 3, 1, NULL, 1100, NULL, 1200, NULL,
          '{"tag":"Boom","message":"it went wrong"}');
        INSERT INTO blocked VALUES ('g', 1, 8, 8, 1);
        INSERT INTO tally VALUES (1, 'Failed', 1), (1, 'Blocked', 1);`,
      )
      const [failed, blocked] = yield* Storage.use(({ runs }) =>
        runs.findMany([RunId.make(7), RunId.make(8)])
      ).pipe(Effect.provide(Sqlite.layer({ file })))
      assert.deepInclude(failed, { state: "Failed", attempt: 2, crashes: 1, fence: 3 as never })
      assert.strictEqual(failed!.failure?.tag, "Boom")
      assert.deepInclude(blocked, { state: "Blocked", attempt: 0, gate: "g" as never })
    }).pipe(Effect.scoped))
})
