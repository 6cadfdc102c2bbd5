/** The code in docs/postgres.md that submits by other drivers, run as it stands there. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as fs from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { found } from "../../core/contract/world.ts"
import { standard } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { TaskDefinition, TaskName, usualPolicy } from "../../core/domain/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import { layer, TestStorage } from "./TestStorage.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const guide = fs.readFileSync(join(root, "docs/postgres.md"), "utf8")
const snippets = [...guide.matchAll(/^```js\n([^]*?)^```$/gm)].map(([, code]) => code!)

withLayer(layer, { excludeTestServices: true })("docs/postgres.md", (it) => {
  for (const driver of ["pg", "postgres", "drizzle-orm/node-postgres", "kysely"]) {
    it.effect(`submits by ${driver}`, () =>
      Effect.gen(function* () {
        const { tasks } = yield* Storage
        yield* tasks.define([
          new TaskDefinition({
            namespace: standard,
            name: TaskName.make("orders/ship"),
            policy: usualPolicy,
          }),
        ])
        const code = snippets.filter((snippet) =>
          snippet.split("\n")[0]!.includes(`from "${driver}"`)
        )
        assert.lengthOf(code, 1)
        // Within the project, so that the driver is found.
        fs.mkdirSync(join(root, "dist"), { recursive: true })
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => fs.mkdtempSync(join(root, "dist", "snippet-"))),
          (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true })),
        )
        const file = join(folder, "snippet.mjs")
        fs.writeFileSync(file, code[0]!)
        const { url } = yield* TestStorage
        process.env["DATABASE_URL"] = Redacted.value(url)
        const { run } = yield* Effect.promise(() => import(pathToFileURL(file).href))
        assert.typeOf(run, "string")
        const view = yield* found(Number(run) as RunId)
        assert.strictEqual(view.task, TaskName.make("orders/ship"))
        assert.deepEqual(JSON.parse(view.payload), { order: 17 })
      }).pipe(Effect.scoped))
  }
})
