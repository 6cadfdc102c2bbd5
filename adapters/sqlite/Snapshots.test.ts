import { assert, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { join } from "node:path"
import type { Connection } from "./Connection.ts"
import * as Database from "./Database.ts"
import { freshFolder } from "./fresh.fixture.ts"

const opened = Effect.gen(function* () {
  const folder = yield* freshFolder
  return yield* Database.open(join(folder, "belfry.db"), yield* Clock.Clock)
})

const numbers = ["a", "b", "c", "d", "e"]
const insert = (key: string) => ({ db }: Database.Transaction) =>
  db.run("INSERT INTO meta VALUES (?, 1)", key)

/** Each step is longer than a turn. */
function* counts(at: Connection) {
  const seen: Array<number> = []
  for (const _ of numbers) {
    const { found } = at.get<{ found: number }>("SELECT count(*) AS found FROM meta")!
    seen.push(found)
    const end = performance.now() + 6
    while (performance.now() < end);
    yield
  }
  return seen
}

it.live("a long read gives way to others, who may write, and sees none of it", () =>
  Effect.gen(function* () {
    const db = yield* opened
    const [before] = yield* db.readInTurns("count", counts)
    const reading = yield* Effect.forkChild(db.readInTurns("count", counts))
    let isDone = false
    reading.addObserver(() => {
      isDone = true
    })
    let writes = 0
    for (const number of numbers) {
      yield* db.write("insert", insert(number))
      if (!isDone) writes++
    }
    const seen = yield* Fiber.join(reading)
    assert.isAbove(writes, 1)
    assert.strictEqual(seen.length, numbers.length)
    assert.strictEqual(new Set(seen).size, 1, `one snapshot: ${seen}`)
    assert.isBelow(seen[0]!, before! + numbers.length)
    const [after] = yield* db.readInTurns("count", counts)
    assert.strictEqual(after, before! + numbers.length, "the next one sees what was written")
  }))

it.live("a long read that is given up leaves nothing behind", () =>
  Effect.gen(function* () {
    const db = yield* opened
    const reading = yield* Effect.forkChild(db.readInTurns("count", counts))
    yield* Effect.sleep(8)
    yield* Fiber.interrupt(reading)
    yield* db.write("insert", insert("a"))
    const [first] = yield* db.readInTurns("count", counts)
    const { found } = db.get<{ found: number }>("SELECT count(*) AS found FROM meta")!
    assert.strictEqual(first, found)
  }))

it.live("our defect in a long read is a defect, and the next one goes well", () =>
  Effect.gen(function* () {
    const db = yield* opened
    const exit = yield* Effect.exit(
      // deno-lint-ignore require-yield -- it does not come to that
      db.readInTurns("fail", function* () {
        throw new Error("our bug")
      }),
    )
    assert.include(String(exit), "our bug")
    assert.strictEqual((yield* db.readInTurns("count", counts)).length, numbers.length)
  }))

it.live("writing is refused where only reading is meant", () =>
  Effect.gen(function* () {
    const db = yield* opened
    const failure = yield* Effect.flip(db.readInTurns("write", function* (at) {
      yield
      return at.run("INSERT INTO meta VALUES ('x', 1)")
    }))
    assert.include(failure.message, "readonly")
  }))
