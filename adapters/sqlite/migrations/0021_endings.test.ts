import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { nothingHeld, timeOut } from "../../../core/contract/world.ts"
import { Incarnation } from "../../../core/domain/Executor.ts"
import { Fence } from "../../../core/domain/Lease.ts"
import { RunId } from "../../../core/domain/RunId.ts"
import { Storage } from "../../../core/services/Storage.ts"
import * as Sqlite from "../mod.ts"
import { endings } from "./0021_endings.ts"
import { fileBefore } from "./before.fixture.ts"

describe("0021_endings", () => {
  it.live("has who joined before it leave what is to be said of the runs that it holds", () =>
    Effect.gen(function* () {
      const far = Date.now() + 3_600_000
      const file = yield* fileBefore(
        endings,
        `INSERT INTO kind VALUES (1, 'default', 'greet');
        INSERT INTO lane VALUES (1, 'default:greet');
        INSERT INTO tally VALUES (1, 'Running', 1);
        INSERT INTO executor (incarnation, namespace, name, standing, capacity, labels, tasks,
          ttl_millis, joined_at, beat_at, ends_at, may_hold)
        VALUES (3, 'default', 'old', 'live', 1, '{}', '[]', 3600000, 0, 0, ${far}, 1);
        INSERT INTO run (id, kind, lane, level, created_at, delay_millis, is_at_most_once,
          crashes_max, payload)
        VALUES (7, 1, 1, 1, 1000, 0, 0, 3, '1');
        INSERT INTO lease (run, incarnation, loop, round, kind, attempt, crashes, fence, settled,
          is_careful, is_started, is_cancelling, claimed_at, due_at)
        VALUES (7, 3, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1000, 1000);`,
      )
      yield* Effect.gen(function* () {
        const { executors, runs } = yield* Storage
        const held = { run: RunId.make(7), fence: Fence.make(1) }
        const all = [{ inMillis: 0, report: timeOut(held) }]
        yield* executors.beat(Incarnation.make(3), nothingHeld, undefined, { number: 1, all })
        assert.deepStrictEqual((yield* runs.endOverdue(10)).reports, [timeOut(held)])
      }).pipe(Effect.provide(Sqlite.layer({ file })))
    }).pipe(Effect.scoped))
})
