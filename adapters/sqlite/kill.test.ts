import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { DatabaseSync } from "node:sqlite"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { standard } from "../../core/domain/Namespace.ts"
import { RunId } from "../../core/domain/RunId.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"
import { freshFolder } from "./fresh.fixture.ts"

const worker = fileURLToPath(new URL("./worker.fixture.ts", import.meta.url))
const isDeno = "Deno" in globalThis

/** What a process was told that is killed after `millis` of work. */
const told = (file: string, millis: number): Promise<ReadonlyArray<string>> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...(isDeno ? ["run", "-A"] : []), worker, file], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    let printed = ""
    child.stdout.on("data", (some) => {
      if (printed === "") setTimeout(() => child.kill("SIGKILL"), millis)
      printed += some
    })
    child.on("error", reject)
    // The last line may have been cut off.
    child.on("close", () => resolve(printed.split("\n").slice(0, -1)))
  })

const runsOf = (lines: ReadonlyArray<string>, word: string) =>
  lines.filter((line) => line.startsWith(word)).map((line) =>
    RunId.make(Number(line.split(" ")[1]))
  )

it.live(
  "S1 durable: what was acknowledged outlives kill -9, again and again",
  () =>
    Effect.gen(function* () {
      const folder = yield* freshFolder
      const file = join(folder, "belfry.db")
      const lines: Array<string> = []
      for (const millis of [30, 110, 70, 200, 50, 150]) {
        // Two processes share the file, so each also goes on over what the other left half done.
        const some = yield* Effect.promise(() =>
          Promise.all([told(file, millis), told(file, millis + 40)])
        )
        lines.push(...some.flat())
      }
      const submitted = runsOf(lines, "submitted")
      const succeeded = runsOf(lines, "succeeded")
      assert.isAbove(submitted.length, 100)
      assert.isAbove(succeeded.length, 10)
      assert.strictEqual(new Set(submitted).size, submitted.length, "no number was given twice")
      assert.strictEqual(new Set(succeeded).size, succeeded.length, "no run succeeded twice")

      const counts = yield* Storage.use(({ runs }) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* runs.findMany(submitted)).length, submitted.length)
          const ended = yield* runs.findMany(succeeded)
          assert.strictEqual(ended.length, succeeded.length)
          assert.isTrue(ended.every(({ state }) => state === "Succeeded"))
          return yield* runs.counts(standard)
        })
      ).pipe(Effect.provide(Sqlite.layer({ file })))

      const sqlite = new DatabaseSync(file)
      assert.deepEqual({ ...sqlite.prepare("PRAGMA integrity_check").get() }, {
        integrity_check: "ok",
      })
      const rows = {
        ...sqlite.prepare(
          `SELECT (SELECT count(*) FROM run) AS run, (SELECT count(*) FROM ready) AS ready,
           (SELECT count(*) FROM lease) AS lease, (SELECT count(*) FROM outcome) AS outcome`,
        ).get(),
      } as Record<"run" | "ready" | "lease" | "outcome", number>
      sqlite.close()
      assert.strictEqual(rows.run, rows.ready + rows.lease + rows.outcome, "each is in one state")
      assert.deepEqual(
        [counts.Ready ?? 0, counts.Running ?? 0, counts.Succeeded ?? 0],
        [rows.ready, rows.lease, rows.outcome],
      )
    }),
  60_000,
)
