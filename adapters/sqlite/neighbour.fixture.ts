/**
 * Waits for what others commit to a file: prints `looks` and how often it has looked for it in the
 * second before, once a second, and `seen` right after each change that it has found.
 */
import { Clock, Effect } from "effect"
import { writeSync } from "node:fs"
import * as Database from "./Database.ts"
import { counting } from "./looks.fixture.ts"
import * as Neighbours from "./Neighbours.ts"

const wait = Effect.gen(function* () {
  const db = yield* Database.open(process.argv[2]!, yield* Clock.Clock)
  const looks = counting(db)
  const neighbours = yield* Neighbours.make(db)
  neighbours.listeners.add(() => writeSync(1, "seen\n"))
  yield* Effect.forkScoped(neighbours.whileWaiting(Effect.never))
  for (;;) {
    looks.since()
    yield* Effect.sleep("1 second")
    writeSync(1, `looks ${looks.since()}\n`)
  }
})

await Effect.runPromise(Effect.scoped(wait))
