import { assert, layer as withLayer } from "@effect/vitest"
import { DateTime, Effect, Exit, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { found, fresh } from "../../core/contract/world.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import { standard } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { TaskDefinition } from "../../core/domain/Task.ts"
import * as Task from "../../core/engine/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Postgres from "./mod.ts"
import { client, layer } from "./TestStorage.ts"

const shipping = () =>
  Task.make(fresh("orders/ship"), {
    payload: { order: Schema.Int },
    policy: { blocking: Blocking.fifo, blockingKey: ({ order }) => `${order % 10}` },
  })

const known = ({ name, policy }: ReturnType<typeof shipping>) =>
  Storage.use(({ tasks }) =>
    tasks.define([new TaskDefinition({ namespace: standard, name, policy })])
  )

withLayer(layer, { excludeTestServices: true })("submit in a transaction of Effect's", (it) => {
  it.effect("the run is there with the commit, and with its key; not after a rollback", () =>
    Effect.gen(function* () {
      const sql = yield* client
      const ship = shipping()
      yield* known(ship)
      const made: Array<RunId> = []
      const submit = (order: number) =>
        Effect.gen(function* () {
          const run = yield* Postgres.submit(yield* ship.submission({ order }))
          made.push(run)
          return run
        })
      const inside = Effect.gen(function* () {
        const run = yield* submit(17)
        const { runs } = yield* Storage
        assert.isTrue(Option.isNone(yield* runs.find(run)), "nobody sees it before the commit")
        return run
      })
      const run = yield* sql.withTransaction(inside).pipe(
        Effect.provideService(SqlClient.SqlClient, sql),
      )
      const view = yield* found(run)
      assert.deepEqual([view.state, view.gate, JSON.parse(view.payload)], [
        "Blocked",
        `default:${ship.name}:7`,
        { order: 17 },
      ])
      const exit = yield* sql.withTransaction(Effect.andThen(submit(18), Effect.fail("no stock")))
        .pipe(Effect.provideService(SqlClient.SqlClient, sql), Effect.exit)
      assert.isTrue(Exit.isFailure(exit))
      const { runs } = yield* Storage
      assert.isTrue(Option.isNone(yield* runs.find(made[1]!)))
    }).pipe(Effect.scoped))

  it.effect("takes what can be said with any other submit", () =>
    Effect.gen(function* () {
      const sql = yield* client
      const ship = shipping()
      yield* known(ship)
      const run = yield* Postgres.submit(yield* ship.submission({ order: 3 }), {
        delayMillis: 60_000,
        deadlineMillis: 90_000,
        level: 0,
        by: "Ada",
      }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
      const { asked, createdAt, deadlineAt, dueAt, level } = yield* found(run)
      const after = (at: DateTime.Utc) =>
        DateTime.toEpochMillis(at) - DateTime.toEpochMillis(createdAt)
      assert.deepEqual([asked, level, after(dueAt), after(deadlineAt!)], [
        { by: "Ada" },
        0,
        60_000,
        90_000,
      ])
    }).pipe(Effect.scoped))

  it.effect("what is refused names the field, the reason and the remedy", () =>
    Effect.gen(function* () {
      const sql = yield* client
      const ship = shipping()
      const submit = (options: Postgres.TransactionalSubmit, order = 1) =>
        Effect.flatMap(
          ship.submission({ order }),
          (submission) => Postgres.submit(submission, options),
        ).pipe(
          Effect.provideService(SqlClient.SqlClient, sql),
        )
      const refused = Effect.fnUntraced(
        function* (options: Postgres.TransactionalSubmit, order = 1) {
          const error = yield* Effect.flip(submit(options, order))
          assert.strictEqual(error._tag, "Refused")
          return error._tag === "Refused" ? error : assert.fail()
        },
      )
      assert.strictEqual((yield* refused({})).field, "task")
      yield* known(ship)
      const key = fresh("key")
      yield* submit({ idempotencyKey: key })
      assert.strictEqual((yield* refused({ idempotencyKey: key }, 2)).field, "idempotencyKey")
      const early = yield* refused({ delayMillis: -1 })
      assert.deepEqual([early.field, early.reason], ["delayMillis", "-1 is not allowed"])
      assert.match(early.remedy, /whole milliseconds/)
      assert.strictEqual((yield* refused({ deadlineMillis: 0 })).field, "deadlineMillis")
      const unfit = yield* Effect.flip(submit({ schema: "no schema" }))
      assert.strictEqual(unfit._tag, "DatabaseUnfit")
    }).pipe(Effect.scoped))
})
