/**
 * The fiber that carries out what is queued, and the checkpoint when there is a pause.
 *
 * A checkpoint takes the write-ahead log over into the file, which takes as long as the disk does.
 * SQLite would do it within the commit that has filled the log. It is done while nobody waits
 * instead; the one within a commit stays for those who never pause.
 */
import { Effect, Option } from "effect"
import type { Database } from "./Database.ts"
import { busyMillis, pause } from "./Patience.ts"

/** Nothing was queued for so long: it is a pause. */
const idleMillis = 100

export const run = (db: Database): Effect.Effect<never> =>
  Effect.gen(function* () {
    for (;;) {
      yield* nextWanted(db)
      db.wanted.closeUnsafe()
      let deadline = performance.now() + busyMillis
      while (db.hasPending) {
        if (db.flush()) {
          deadline = performance.now() + busyMillis
          yield* db.stepMillis === 0 ? Effect.yieldNow : logStep(db)
        } else if (performance.now() > deadline) {
          db.giveUp(new Error(`another process has kept the file locked for ${busyMillis} ms`))
        } else yield* pause
      }
    }
  })

const nextWanted = (db: Database): Effect.Effect<void> =>
  db.isCheckpointDue
    ? Effect.flatMap(
      Effect.timeoutOption(db.wanted.await, idleMillis),
      (wanted) => {
        if (Option.isSome(wanted)) return Effect.void
        db.checkpoint()
        return db.wanted.await
      },
    )
    : db.wanted.await

const logStep = (db: Database) =>
  Effect.suspend(() => {
    const millis = db.stepMillis
    db.stepMillis = 0
    return Effect.logWarning("the clock was set, or the machine slept; all leases were renewed", {
      millis,
    })
  })
