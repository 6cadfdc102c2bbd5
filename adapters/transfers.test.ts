/** Moves from each technology to the next, once around, and each to itself. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as TransferStorageContract from "../core/contract/TransferStorageContract.ts"
import { furnished } from "../core/contract/transfer/furnished.ts"
import { comparable, exported, imported } from "../core/contract/transfer/Passage.ts"
import { movableClock } from "../core/contract/world.ts"
import * as Memory from "./memory/mod.ts"
import * as TestStorage from "./postgres/TestStorage.ts"
import * as Sqlite from "./sqlite/mod.ts"
import { freshFile } from "./sqlite/fresh.fixture.ts"

const inFile = Layer.unwrap(Effect.map(freshFile, (file) => Sqlite.layer({ file })))

/** They wait for real I/O, so all of them live in real time, which can be put forward. */
const moving = <A, E>(layer: Layer.Layer<A, E>) => {
  const clock = movableClock()
  return { layer: Layer.provide(layer, clock.layer), elapse: clock.elapse }
}
const memory = moving(Memory.layer)
const sqlite = moving(inFile)
const inMemory = moving(Sqlite.layer({ file: ":memory:" }))
const postgres = { layer: TestStorage.layer, elapse: TestStorage.elapse }

TransferStorageContract.suite("memory", memory, memory)
TransferStorageContract.suite("sqlite in memory", inMemory, inMemory)
TransferStorageContract.suite("sqlite", sqlite, sqlite)
TransferStorageContract.suite("postgres", postgres, postgres)
TransferStorageContract.suite("from sqlite to postgres", sqlite, postgres)
TransferStorageContract.suite("from postgres to sqlite", postgres, sqlite)

it.live("once around all technologies nothing is lost", () =>
  Effect.gen(function* () {
    const first = yield* Layer.build(Layer.fresh(memory.layer))
    let records = yield* Effect.provideContext(
      Effect.andThen(furnished(memory.elapse), exported),
      first,
    )
    const before = comparable(records)
    for (const { layer } of [sqlite, postgres, memory, postgres, sqlite, memory]) {
      const next = yield* Layer.build(Layer.fresh(layer as typeof memory.layer))
      records = yield* Effect.provideContext(
        Effect.andThen(imported(records), exported),
        next,
      )
      assert.deepEqual(comparable(records), before)
    }
  }).pipe(Effect.scoped), 120_000)
