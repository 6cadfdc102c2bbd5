/** The code in docs/postgres.md that submits by other drivers, run as it stands there. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Option, Redacted } from "effect"
import * as fs from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { found } from "../../core/contract/world.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { standard } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { TaskDefinition, TaskName, usualPolicy } from "../../core/domain/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import { ofLane, Wakeups } from "../../core/services/Wakeups.ts"
import { layer, TestStorage } from "./TestStorage.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
/**
 * What Prisma's snippet imports is generated from `schema.prisma`, and kept as it came. The command
 * for it is too heavy to be a dependency:
 *
 *     PRISMA_SCHEMA_ENGINE_BINARY=$(which true) npx prisma@7.2.0 generate \
 *       --schema adapters/postgres/schema.prisma
 *
 * The program named is never run: without one the command fetches one from beyond npm. 7.2.0 is the
 * last whose client is light; from 7.3.0 on it comes with two compilers for each database.
 */
const generated = fileURLToPath(new URL("generated", import.meta.url))
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

/**
 * The same code, whose transaction rolls back what it did; it goes on as if nothing had happened.
 * Where the driver commits by itself, that is the end of a function given to it.
 */
const rolledBack = (code: string): string => {
  const changed = code.includes('"COMMIT"')
    ? code.replace('"COMMIT"', '"ROLLBACK"')
    : code.replace(/^\)$/m, ".then((done) => Promise.reject(done))).catch((done) => done)")
  assert.notStrictEqual(changed, code)
  return changed
}

/** The id that the code exports. */
const runOf = (code: string) =>
  Effect.gen(function* () {
    // Within the project, so that the driver is found.
    fs.mkdirSync(join(root, "dist"), { recursive: true })
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(join(root, "dist", "snippet-"))),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true })),
    )
    const file = join(folder, "snippet.mjs")
    fs.writeFileSync(file, code)
    fs.cpSync(generated, join(folder, "generated"), { recursive: true })
    const { url } = yield* TestStorage
    process.env["DATABASE_URL"] = Redacted.value(url)
    const { run } = yield* Effect.promise(() => import(pathToFileURL(file).href))
    assert.typeOf(run, "string")
    return Number(run) as RunId
  }).pipe(Effect.scoped)

withLayer(layer, { excludeTestServices: true })("docs/postgres.md", (it) => {
  const drivers = ["pg", "postgres", "drizzle-orm/node-postgres", "kysely", "@prisma/adapter-pg"]
  for (const driver of drivers) {
    it.effect(`submits by ${driver}, in its transaction`, () =>
      Effect.gen(function* () {
        const { runs, tasks } = yield* Storage
        yield* tasks.define([shipping])
        const code = snippetOf(driver)
        assert.isTrue(Option.isNone(yield* runs.find(yield* runOf(rolledBack(code)))))

        const waiting = yield* Wakeups.use((wakeups) =>
          wakeups.subscribe([ofLane(Lane.ofTask(shipping.namespace, shipping.name))])
        )
        yield* waiting.arm
        const view = yield* found(yield* runOf(code))
        assert.strictEqual(view.task, shipping.name)
        assert.deepEqual(JSON.parse(view.payload), { order: 17 })
        const isDelayed = code.includes("delayMillis")
        assert.strictEqual(view.state, isDelayed ? "Scheduled" : "Ready")
        if (!isDelayed) {
          assert.isTrue(yield* waiting.wait(Duration.seconds(5)), "whoever waits is woken")
        }
      }).pipe(Effect.scoped))
  }
})
