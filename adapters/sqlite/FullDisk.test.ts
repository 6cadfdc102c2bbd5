import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Lane from "../../core/domain/Lane.ts"
import { standard } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { TaskName } from "../../core/domain/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"

const task = TaskName.make("greet")

/** A disk of a few megabytes, where the system lets this user have one. */
const smallDisk = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "belfry-disk-"))
    const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder])
    return { folder, isMounted: status === 0 }
  }),
  ({ folder, isMounted }) =>
    Effect.sync(() => {
      if (isMounted) spawnSync("umount", [folder])
      rmSync(folder, { recursive: true })
    }),
)

const submitOne = Storage.use(({ runs }) =>
  runs.submit([{
    namespace: standard,
    task,
    payload: JSON.stringify("x".repeat(20_000)),
    lane: Lane.ofTask(standard, task),
    level: Lane.usual,
    delayMillis: 0,
    gate: undefined,
    idempotencyKey: undefined,
    isAtMostOnce: false,
    crashesMax: 3,
  }])
)

it.live(
  "a disk that fills up costs nothing that was kept, and with room it goes on",
  () =>
    Effect.gen(function* () {
      const { folder, isMounted } = yield* smallDisk
      // A full database stands for a full disk where there can be none: see `Database.test.ts`.
      if (!isMounted) return
      const ballast = join(folder, "ballast")
      writeFileSync(ballast, new Uint8Array(4 * 1024 * 1024))
      const file = join(folder, "belfry.db")
      const kept: Array<RunId> = []

      const untilFull = Effect.gen(function* () {
        for (let at = 0; at < 1000; at++) {
          const answer = yield* Effect.result(submitOne)
          if (Result.isFailure(answer)) return answer.failure
          kept.push(answer.success[0]!.run)
        }
        return assert.fail("the disk never filled up")
      })
      const areKept = Storage.use(({ runs }) =>
        Effect.map(runs.findMany(kept), (found) => assert.strictEqual(found.length, kept.length))
      )

      yield* Effect.gen(function* () {
        for (let round = 0; round < 2; round++) {
          const failure = yield* untilFull
          assert.strictEqual(failure._tag, "StorageUnavailable")
          assert.match(
            failure.message,
            /did not carry out submit: there is no room left on its disk/,
          )
          yield* areKept
          if (round === 0) rmSync(ballast)
        }
      }).pipe(Effect.provide(Sqlite.layer({ file })))
      assert.isAbove(kept.length, 20)
      yield* Effect.provide(areKept, Sqlite.layer({ file }))
    }),
  30_000,
)
