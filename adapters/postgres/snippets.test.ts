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

/** The first line of a snippet says by what it submits. */
const snippetOf = (module: string): string => {
  const found = snippets.filter((snippet) => snippet.split("\n")[0]!.includes(`from "${module}"`))
  assert.lengthOf(found, 1)
  return found[0]!
}

const shipping = new TaskDefinition({
  namespace: standard,
  name: TaskName.make("orders/ship"),
  policy: usualPolicy,
})

const assertSubmitted = (run: unknown) =>
  Effect.gen(function* () {
    assert.typeOf(run, "string")
    const view = yield* found(Number(run) as RunId)
    assert.strictEqual(view.task, shipping.name)
    assert.deepEqual(JSON.parse(view.payload), { order: 17 })
  })

withLayer(layer, { excludeTestServices: true })("docs/postgres.md", (it) => {
  for (const driver of ["pg", "postgres", "drizzle-orm/node-postgres", "kysely"]) {
    it.effect(`submits by ${driver}`, () =>
      Effect.gen(function* () {
        const { tasks } = yield* Storage
        yield* tasks.define([shipping])
        const code = snippetOf(driver)
        // Within the project, so that the driver is found.
        fs.mkdirSync(join(root, "dist"), { recursive: true })
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => fs.mkdtempSync(join(root, "dist", "snippet-"))),
          (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true })),
        )
        const file = join(folder, "snippet.mjs")
        fs.writeFileSync(file, code)
        const { url } = yield* TestStorage
        process.env["DATABASE_URL"] = Redacted.value(url)
        const { run } = yield* Effect.promise(() => import(pathToFileURL(file).href))
        yield* assertSubmitted(run)
      }).pipe(Effect.scoped))
  }

  // Prisma cannot be had through npm alone: see there.
  it.effect("submits by the SQL that is given to Prisma, its value a parameter", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const { sql } = yield* TestStorage
      yield* tasks.define([shipping])
      const [, text = ""] = /\$queryRaw`([^`]*)`/.exec(snippetOf("@prisma/adapter-pg")) ?? []
      const value = "${JSON.stringify({ order: 17 })}"
      assert.include(text, value)
      const [row] = yield* sql.withTransaction(
        sql.unsafe<{ run: unknown }>(text.replace(value, "$1"), [JSON.stringify({ order: 17 })]),
      )
      yield* assertSubmitted(row?.run)
    }))
})
