import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { times } from "../../../core/contract/world.ts"
import * as Outbox from "../../../core/domain/Outbox.ts"
import { partitions } from "../../../core/domain/Trigger.ts"
import { Storage } from "../../../core/services/Storage.ts"
import * as Sqlite from "../mod.ts"
import { rounds } from "./0025_rounds.ts"
import { fileBefore } from "./before.fixture.ts"

describe("0025_rounds", () => {
  it.live("leaves what was taken before it to whoever took it, and hands out the rest by rounds", () =>
    Effect.gen(function* () {
      const far = Date.now() + 600_000
      const file = yield* fileBefore(
        rounds,
        `INSERT INTO kind VALUES (1, 'default', 'greet');
        INSERT INTO lane VALUES (1, 'default:greet');
        INSERT INTO run (id, kind, lane, level, created_at, delay_millis, is_at_most_once,
          crashes_max, payload)
        VALUES (7, 1, 1, 1, 1000, 0, 0, 3, '1'), (8, 1, 1, 1, 1000, 0, 0, 3, '1');
        INSERT INTO subscription (id, namespace, consumer, name, partition, kind, ends)
        VALUES (1, 'default', 'triggers', 'all', 3, 1, 1);
        INSERT INTO outbox (subscription, consumer, partition, run, state, fence, attempt, at,
          held_until, hand)
        VALUES (1, 'triggers', 3, 7, 0, 1, 1, 1000, ${far}, 1), (1, 'triggers', 3, 8, 0, 1, 1, 1000, 0, 0);`,
      )
      yield* Effect.gen(function* () {
        const { outbox } = yield* Storage
        const take = (round: number) =>
          outbox.take({
            consumer: Outbox.triggers,
            partitions: times(partitions),
            limit: 9,
            forMillis: 1000,
            taker: 1,
            round,
          })
        const first = yield* take(1)
        assert.deepStrictEqual(first.map(({ hand, run }) => [Number(run), hand]), [[8, 1]])
        assert.deepStrictEqual(yield* take(1), first)
        const [held] = yield* outbox.done([{ ...first[0]!, event: 1 as never }])
        assert.strictEqual(Number(held), 1, "by the number that it was handed out with")
      }).pipe(Effect.provide(Sqlite.layer({ file })))
    }).pipe(Effect.scoped))
})
