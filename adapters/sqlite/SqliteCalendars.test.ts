import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DatabaseSync } from "node:sqlite"
import { Calendar, CalendarName } from "../../core/domain/Calendar.ts"
import * as Namespace from "../../core/domain/Namespace.ts"
import { TriggerDefinition, TriggerId } from "../../core/domain/Trigger.ts"
import { Storage } from "../../core/services/Storage.ts"
import { ground } from "./migrations/0001_ground.ts"
import * as Sqlite from "./mod.ts"
import { freshFile } from "./fresh.fixture.ts"

it.effect("triggers of a file from before there were calendars stay as they are, and may get one", () =>
  Effect.gen(function* () {
    const file = yield* freshFile
    const before = new DatabaseSync(file)
    before.exec(ground)
    before.exec("PRAGMA user_version = 1")
    before.exec(`PRAGMA application_id = ${0x426c6679}`)
    const schedule = { _tag: "Cron", expression: "0 9 * * *", zone: "Asia/Shanghai" }
    before.prepare("INSERT INTO trigger VALUES (7, 'default', 'old', 3, ?, 4, 0, 0, 5000)").run(
      JSON.stringify({
        namespace: "default",
        name: "old",
        task: "greet",
        schedule,
        payload: "1",
        misfire: { _tag: "All", max: 3 },
      }),
    )
    before.close()
    yield* Effect.gen(function* () {
      const { calendars, triggers } = yield* Storage
      const [kept] = yield* triggers.list(Namespace.standard)
      assert.deepInclude(kept, { id: TriggerId.make(7), revision: 4, cursor: 5000 })
      const { definition } = kept!
      assert.deepEqual(yield* triggers.put(definition), kept, "equal to what is wanted now")
      const calendar = CalendarName.make("office")
      yield* calendars.put(
        new Calendar({
          namespace: Namespace.standard,
          name: calendar,
          rest: ["SUN"],
          holidays: [],
          workdays: [],
        }),
      )
      const changed = new TriggerDefinition({
        ...definition,
        schedule: { _tag: "Cron", expression: "0 9 * * *", zone: "Asia/Shanghai", calendar },
      })
      assert.strictEqual((yield* triggers.put(changed)).revision, 5)
    }).pipe(Effect.provide(Layer.fresh(Sqlite.layer({ file }))))
  }))
