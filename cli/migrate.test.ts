/** What `belfry migrate` builds is enough for a server whose role may build nothing. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import * as TestDatabase from "../adapters/postgres/TestDatabase.ts"
import * as ClusterOwnership from "../cluster/ClusterOwnership.ts"
import { freshNamespace, specOf, submitOne } from "../core/contract/world.ts"
import { Ownership } from "../core/services/Ownership.ts"
import { Storage } from "../core/services/Storage.ts"
import { migrations, storage } from "./layers.ts"
import { migrate } from "./roles/migrate.ts"

describe("belfry migrate", () => {
  it.live("lets a role without DDL serve, duties of the cluster included", () =>
    Effect.gen(function* () {
      const owner = yield* TestDatabase.fresh
      const admin = yield* PgClient.makeClient({ url: owner })
      const database = new URL(Redacted.value(owner)).pathname.slice(1)
      const role = `web_${database.slice(-10)}`
      yield* admin.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`).unprepared
      yield* Effect.addFinalizer(() =>
        Effect.ignore(Effect.andThen(
          admin.unsafe(`DROP OWNED BY ${role}`).unprepared,
          admin.unsafe(`DROP ROLE ${role}`).unprepared,
        ))
      )
      const its = new URL(Redacted.value(owner))
      its.username = role
      its.password = "secret"
      const url = Redacted.make(its.href)

      const refused = yield* Effect.flip(Layer.build(migrations(url, [])))
      assert.include(refused.what, "permission denied")
      yield* migrate({ databaseUrl: Option.some(owner), grantTo: [role] })
      const context = yield* Layer.build(
        Layer.merge(storage({ _tag: "Postgres", url }), ClusterOwnership.layerMigrated({ url })),
      )
      yield* Effect.provide(submitOne(specOf(freshNamespace())), context)
      yield* Context.get(context, Ownership).whileHeld("sweep", Effect.never).pipe(
        Effect.raceFirst(
          Effect.andThen(Context.get(context, Storage).runs.recover(1), Effect.void),
        ),
      )
    }).pipe(Effect.provide(Reactivity.layer), Effect.scoped))
})
