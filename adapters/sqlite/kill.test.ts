import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { standard } from "../../core/domain/Namespace.ts"
import { RunId } from "../../core/domain/RunId.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"

const submitter = fileURLToPath(new URL("./submitter.ts", import.meta.url))
const isDeno = "Deno" in globalThis

/** The runs that were acknowledged to a process that is killed after `millis` of submitting. */
const acknowledged = (file: string, millis: number): Promise<ReadonlyArray<number>> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...(isDeno ? ["run", "-A"] : []), submitter, file], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    let printed = ""
    child.stdout.on("data", (some) => {
      if (printed === "") setTimeout(() => child.kill("SIGKILL"), millis)
      printed += some
    })
    child.on("error", reject)
    // The last line may have been cut off.
    child.on("close", () => resolve(printed.split("\n").slice(0, -1).map(Number)))
  })

it.live(
  "S1 durable: what was acknowledged outlives kill -9, again and again",
  () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true })),
      )
      const file = join(folder, "belfry.db")
      const all: Array<number> = []
      for (const millis of [30, 110, 70, 200]) {
        // Two processes share the file, so each also goes on over what the other left half done.
        const some = yield* Effect.promise(() =>
          Promise.all([acknowledged(file, millis), acknowledged(file, millis + 40)])
        )
        all.push(...some.flat())
      }
      assert.isAbove(all.length, 100)
      assert.strictEqual(new Set(all).size, all.length, "no number was given twice")
      const counts = yield* Storage.use(({ runs }) =>
        Effect.gen(function* () {
          const found = yield* runs.findMany(all.map((run) => RunId.make(run)))
          assert.strictEqual(found.length, all.length)
          assert.isTrue(found.every(({ state }) => state === "Ready"))
          return yield* runs.counts(standard)
        })
      ).pipe(Effect.provide(Sqlite.layer({ file })))
      const sqlite = new DatabaseSync(file)
      assert.deepEqual({ ...sqlite.prepare("PRAGMA integrity_check").get() }, {
        integrity_check: "ok",
      })
      const { runs, ready } = sqlite.prepare(
        "SELECT (SELECT count(*) FROM run) AS runs, (SELECT count(*) FROM ready) AS ready",
      ).get() as { runs: number; ready: number }
      sqlite.close()
      assert.isAtLeast(runs, all.length)
      assert.strictEqual(ready, runs)
      assert.strictEqual(counts.Ready, runs)
    }),
  60_000,
)
