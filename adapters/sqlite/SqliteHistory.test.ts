import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { DatabaseSync } from "node:sqlite"
import * as HistoryStorageContract from "../../core/contract/HistoryStorageContract.ts"
import { admitAll, freshNamespace, giveUp, greet, times } from "../../core/contract/world.ts"
import { TriggerDefinition, TriggerName } from "../../core/domain/Trigger.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"
import { freshFile } from "./fresh.fixture.ts"

it.effect("a run that has left has no row in any table", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    const runs = yield* Effect.provide(
      HistoryStorageContract.left(TestClock.adjust),
      Sqlite.layer({ file }),
    )
    const sqlite = new DatabaseSync(file)
    const columns = sqlite.prepare(`
      SELECT m.name AS "table", c.name AS "column"
      FROM sqlite_schema m JOIN pragma_table_info(m.name) c
      WHERE m.type = 'table' AND (c.name IN ('run', 'parent') OR m.name = 'run' AND c.name = 'id')
    `).all() as unknown as ReadonlyArray<{ readonly table: string; readonly column: string }>
    const left = columns.filter(({ column, table }) =>
      sqlite.prepare(`SELECT 1 FROM "${table}" WHERE "${column}" IN (${runs.join(", ")})`)
        .get() !== undefined
    )
    sqlite.close()
    assert.isAbove(columns.length, 10)
    assert.deepEqual(left, [])
  }).pipe(Effect.scoped))

it.effect("who found nothing does not go through all triggers again", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    yield* Effect.gen(function* () {
      const { history, triggers } = yield* Storage
      const namespace = freshNamespace()
      const views = yield* Effect.forEach(times(250), (n) =>
        triggers.put(
          new TriggerDefinition({
            namespace,
            name: TriggerName.make(`asleep-${n}`),
            task: greet,
            schedule: { _tag: "Every", millis: 86_400_000 },
            payload: "1",
            misfire: { _tag: "Once" },
          }),
        ))
      assert.deepInclude(yield* history.retire(100), { slots: 0, hasMore: false })
      // It was moved here with its age, so nobody expects it.
      const other = new DatabaseSync(file)
      other.exec(
        `INSERT INTO slot (trigger, slot, through, outcome, reason, lateness_millis)
         VALUES (${views.at(-1)!.id}, -3000000000, -3000000000, 'skipped', 'misfire', 0)`,
      )
      other.close()
      yield* TestClock.adjust("10 minutes")
      assert.deepInclude(yield* history.retire(100), { slots: 0, hasMore: false })
      yield* TestClock.adjust("5 minutes")
      assert.deepInclude(yield* history.retire(100), { slots: 1, hasMore: false })
    }).pipe(Effect.provide(Sqlite.layer({ file })))
  }).pipe(Effect.scoped))

it.effect("a family whose child was revived after it was found does not leave", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    yield* Effect.gen(function* () {
      const { history } = yield* Storage
      const namespace = freshNamespace()
      const { children, gate, hand, known } = yield* HistoryStorageContract.family(
        namespace,
        HistoryStorageContract.usual(namespace),
      )
      const { grants } = yield* hand.claim(3)
      yield* hand.settle(...grants.map((grant) => giveUp(grant)))
      yield* admitAll(gate)
      yield* TestClock.adjust("31 days")
      // Another process writes, so what is found by now has to wait.
      const other = new DatabaseSync(file)
      other.exec("BEGIN IMMEDIATE")
      const retiring = yield* Effect.forkChild(history.retire(100), { startImmediately: true })
      for (const _ of times(100)) yield* Effect.yieldNow
      // It was revived, and has failed again.
      other.exec(
        `UPDATE outcome SET finished_at = finished_at + 31 * 86400000 WHERE run = ${children[2]}`,
      )
      other.exec("COMMIT")
      other.close()
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(retiring), { runs: 0 })
      assert.strictEqual(yield* known, 4)
    }).pipe(Effect.provide(Sqlite.layer({ file })))
  }).pipe(Effect.scoped))
