/** What becomes of triggers when somebody takes away the rows that remember what they did. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { DatabaseSync } from "node:sqlite"
import { join } from "node:path"
import { until } from "../core/contract/program.ts"
import {
  definitionOf,
  fireOne,
  put,
  recordsOf,
  runsOf,
  viewOf,
} from "../core/contract/triggers/triggers.ts"
import { freshNamespace, specOf, times, together } from "../core/contract/world.ts"
import { Storage } from "../core/services/Storage.ts"
import type { Firing, TriggerView } from "../core/services/TriggerStorage.ts"
import * as TestPostgres from "./postgres/TestStorage.ts"
import * as Sqlite from "./sqlite/mod.ts"
import { freshFolder } from "./sqlite/fresh.fixture.ts"

/** Runs SQL beside the product, and past the constraints that would keep it from harm. */
type Beside = (statement: string) => Effect.Effect<unknown, unknown>

const firing = ({ cursor, definition: { namespace }, id, revision }: TriggerView): Firing => ({
  trigger: id,
  revision,
  passed: undefined,
  fire: { slot: cursor!, spec: specOf(namespace) },
  next: cursor! + 1000,
})

/** A trigger of each second, the first of which is due. */
const due = Effect.gen(function* () {
  const { now } = yield* Storage
  const schedule = { _tag: "Every", millis: 1000 } as const
  const view = yield* put(definitionOf(freshNamespace(), { schedule }))
  yield* until(now, (now) => now >= view.cursor!)
  return view
})

const suite = (
  adapter: string,
  world: Effect.Effect<
    { readonly layer: Layer.Layer<Storage, unknown>; readonly beside: Beside },
    unknown,
    Scope.Scope
  >,
) => {
  const test = (name: string, body: (beside: Beside) => Effect.Effect<unknown, unknown, Storage>) =>
    it.live(`${adapter}: ${name}`, () =>
      Effect.gen(function* () {
        const { beside, layer } = yield* world
        yield* Effect.provide(body(beside), layer)
      }).pipe(Effect.scoped))

  describe("lost bookkeeping", () => {
    test("B24: a slot whose record was deleted does not fire again, by however many", (beside) =>
      Effect.gen(function* () {
        const view = yield* due
        const { namespace } = view.definition
        assert.strictEqual((yield* fireOne(firing(view)))._tag, "Fired")
        yield* beside("DELETE FROM slot")
        const answers = yield* together(times(6).map(() => fireOne(firing(view))))
        assert.deepStrictEqual(answers, times(6).map(() => ({ _tag: "Already" })))
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
        assert.strictEqual((yield* viewOf(view)).cursor, view.cursor! + 1000)
        // The last slot of a trigger that is over, too.
        const last = yield* due
        yield* fireOne({ ...firing(last), next: undefined })
        yield* beside("DELETE FROM slot")
        assert.strictEqual((yield* fireOne(firing(last)))._tag, "Already")
      }))

    test("B24: a trigger whose row was deleted fires nothing until it is put again", (beside) =>
      Effect.gen(function* () {
        const view = yield* due
        const { namespace } = view.definition
        assert.strictEqual((yield* fireOne(firing(view)))._tag, "Fired")
        yield* beside("DELETE FROM slot; DELETE FROM trigger_version; DELETE FROM trigger")
        assert.strictEqual((yield* fireOne(firing(view)))._tag, "Stale")
        assert.strictEqual((yield* runsOf(namespace)).length, 1)
        const anew = yield* put(view.definition)
        assert.isAbove(anew.cursor!, view.cursor!)
        assert.deepStrictEqual(yield* recordsOf(anew), [])
      }))
  })
}

suite(
  "sqlite",
  Effect.map(
    freshFolder,
    (folder) => {
      const file = join(folder, "belfry.db")
      return {
        layer: Sqlite.layer({ file }),
        beside: (statement) =>
          Effect.sync(() => {
            const database = new DatabaseSync(file)
            database.exec(`PRAGMA foreign_keys = off; ${statement}`)
            database.close()
          }),
      }
    },
  ),
)
suite(
  "postgres",
  Effect.map(Layer.build(TestPostgres.layer), (context) => ({
    layer: Layer.succeedContext(context),
    beside: (statement) =>
      Effect.provide(
        TestPostgres.TestStorage.use(({ sql }) =>
          sql.withTransaction(
            Effect.forEach(
              ["SET LOCAL session_replication_role = replica", ...statement.split("; ")],
              (each) => sql.unsafe(each).unprepared,
            ),
          )
        ),
        context,
      ),
  })),
)
