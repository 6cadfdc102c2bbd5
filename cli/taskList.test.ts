/** What `belfry task list` says of an inventory, beside the rows of the file. */
import { Effect, Layer } from "effect"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Sqlite from "../adapters/sqlite/mod.ts"
import { Namespace } from "../core/domain/Namespace.ts"
import { TaskDefinition, TaskName, usualPolicy } from "../core/domain/Task.ts"
import { Storage } from "../core/services/Storage.ts"
import { Place } from "./fixture.ts"

const owners = ["billing", "ops", "Zoë & co.", undefined]

/** More than any page has, spread over owners. */
const defined = [
  ...Array.from({ length: 1203 }, (_, n) => ["default", n] as const),
  ...Array.from({ length: 7 }, (_, n) => ["acme", n] as const),
].map(([namespace, n]) => {
  const owner = owners[n % owners.length]
  return new TaskDefinition({
    namespace: Namespace.make(namespace),
    name: TaskName.make(`task/${n}`),
    policy: usualPolicy,
    purpose: `the ${n}th,\nof its kind`,
    ...(owner !== undefined && { owner }),
  })
})

describe("belfry task list", { timeout: 120_000 }, () => {
  const place = new Place()
  const token = "a-token-of-some-length"
  const file = join(place.folder, "x.db")
  let env: Record<string, string> = {}
  let rows: ReadonlyArray<{ readonly namespace: string; readonly definition: string }> = []

  beforeAll(async () => {
    await Effect.runPromise(
      Storage.use(({ tasks }) => tasks.define(defined)).pipe(
        Effect.provide(Layer.fresh(Sqlite.layer({ file }))),
      ),
    )
    const server = place.start(["server", "--sqlite", file, "--port", "0", "--token", token])
    const [, url = ""] = await server.says(/belfry server +(http:\S+)/)
    env = { BELFRY_URL: url, BELFRY_TOKEN: token }
    const executor = place.start(["executor", "--samples", "--name", "one"], env)
    await executor.says(/belfry executor one/)
    const sqlite = new DatabaseSync(file, { readOnly: true })
    rows = sqlite.prepare("SELECT namespace, definition FROM task").all() as unknown as typeof rows
    sqlite.close()
  })
  afterAll(() => place.end())

  const exported = async (...words: ReadonlyArray<string>) => {
    const list = ["task", "list", ...words]
    const [lines, whole] = await Promise.all([
      place.run([...list, "--jsonl"], env),
      place.run([...list, "--json"], env),
    ])
    assert.strictEqual(lines.code, 0, lines.err)
    const items = lines.out.split("\n").filter((line) => line !== "").map((line) =>
      JSON.parse(line)
    )
    const { items: same, total } = JSON.parse(whole.out)
    assert.deepStrictEqual(items, same)
    assert.strictEqual(total, items.length, "it counts what it lists")
    return items as ReadonlyArray<
      {
        readonly name: string
        readonly owner?: string
        readonly purpose?: string
        readonly state: string
      }
    >
  }
  const stored = (namespace: string, owner?: string) =>
    rows.filter((row) => row.namespace === namespace)
      .map(({ definition }) => JSON.parse(definition) as (typeof defined)[number])
      .filter((task) => owner === undefined || task.owner === owner)
  const namesOf = (tasks: ReadonlyArray<{ readonly name: string }>) =>
    tasks.map(({ name }) => name).toSorted()

  it("J3: exports by namespace, owner and state as many as the store has rows, and says whose they are", async () => {
    const all = await exported()
    const samples = ["demo/flaky", "demo/tick", "hello/world"]
    assert.strictEqual(all.length, 1203 + samples.length)
    assert.deepStrictEqual(namesOf(all), namesOf(stored("default")))
    assert.deepStrictEqual(namesOf(await exported("--namespace", "acme")), namesOf(stored("acme")))
    assert.deepStrictEqual(await exported("--namespace", "elsewhere"), [])
    for (const owner of ["billing", "Zoë & co."]) {
      const of = await exported("--owner", owner)
      assert.isAbove(of.length, 300)
      assert.deepStrictEqual(namesOf(of), namesOf(stored("default", owner)))
      assert.isTrue(of.every((task) => task.owner === owner))
    }
    assert.deepStrictEqual(namesOf(await exported("--state", "served")), samples)
    const unserved = await exported("--state", "unserved", "--owner", "ops")
    assert.deepStrictEqual(namesOf(unserved), namesOf(stored("default", "ops")))
    assert.deepInclude(unserved.find(({ name }) => name === "task/1"), {
      owner: "ops",
      purpose: "the 1th,\nof its kind",
      state: "unserved",
    })
  })
})
