/** A program moves from a SQLite file to PostgreSQL, and whoever is in the way is killed. */
import { Effect, Exit, Redacted, Scope } from "effect"
import * as fs from "node:fs"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as TestDatabase from "../adapters/postgres/TestDatabase.ts"
import { Place, until } from "./fixture.ts"

const patient = { timeout: 120_000 }
const port = "17190"

describe("belfry export and import", patient, () => {
  const place = new Place()
  const scope = Effect.runSync(Scope.make())
  const at = (name: string) => join(place.folder, name)
  let url = ""

  beforeAll(async () => {
    url = Redacted.value(await Effect.runPromise(Scope.provide(TestDatabase.fresh, scope)))
  })
  afterAll(async () => {
    await place.end()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  it("moves all of a folder to PostgreSQL, also after kill -9", async () => {
    const dev = place.start(["dev", "--port", port])
    await dev.says(/ready in/)
    const done = await place.json([
      "run",
      "submit",
      "hello/world",
      '{"name":"you"}',
      "--key",
      "once",
      "--wait",
    ])
    const later = await place.json([
      "run",
      "submit",
      "hello/world",
      '{"name":"you"}',
      "--delay",
      "1h",
      "--key",
      "later",
    ])
    await until(async () =>
      (await place.ask("/runs?task=demo%2Ftick&state=Succeeded")).items.length > 0
    )
    const before = await place.json(["run", "show", done.id])
    const events = await place.json(["run", "events", done.id])
    dev.kill("SIGKILL")
    await dev.done

    const exported = await place.json(["export", "all.jsonl"])
    assert.isAtLeast(exported.counts.Run, 3)
    assert.strictEqual(exported.atWork, 2)
    assert.strictEqual(fs.statSync(at("all.jsonl")).mode & 0o777, 0o600)
    assert.deepEqual(fs.readdirSync(place.folder).filter((name) => /partial/.test(name)), [])

    // Killed while it imports: it waits for the rest of its input.
    const whole = fs.readFileSync(at("all.jsonl"), "utf8")
    const half = place.start(["import", "-", "--database-url", url])
    half.child.stdin!.on("error", () => {})
    half.child.stdin!.write(whole.slice(0, whole.length - 100))
    await new Promise((resolve) => setTimeout(resolve, 4000))
    assert.isFalse(half.hasEnded)
    half.kill("SIGKILL")
    await half.done

    const imported = await place.json(["import", "all.jsonl", "--database-url", url])
    assert.deepEqual(imported.counts, exported.counts)
    assert.strictEqual(imported.from, "sqlite")

    const twice = await place.run(["import", "all.jsonl", "--database-url", url])
    assert.strictEqual(twice.code, 3)
    assert.match(twice.err, /keeps runs already/)

    const again = place.start(["dev", "--port", port, "--database-url", url])
    await again.says(/ready in/)
    assert.deepEqual(await place.json(["run", "show", done.id]), before)
    assert.deepEqual(await place.json(["run", "events", done.id]), events)
    assert.strictEqual((await place.json(["run", "show", later.run])).state, "Scheduled")
    const same = await place.json([
      "run",
      "submit",
      "hello/world",
      '{"name":"you"}',
      "--key",
      "once",
    ])
    assert.deepInclude(same, { run: done.id, isNew: false })
    // The trigger goes on, and an executor carries new runs out.
    const ticks = (await place.json(["run", "list", "--task", "demo/tick", "--limit", "500"])).items
    const latest = Math.max(...ticks.map(({ slot }: { slot: string }) => Date.parse(slot)))
    await until(async () => {
      const page = await place.ask("/runs?task=demo%2Ftick&state=Succeeded")
      return page.items.some(({ slot }: { slot: string }) => Date.parse(slot) > latest)
    })
    again.kill("SIGTERM")
    await again.done

    // And back, by way of the standard streams.
    const out = await place.run(["export", "-", "--database-url", url])
    assert.strictEqual(out.code, 0)
    const back = place.start(["import", "-", "--sqlite", at("back.db")])
    back.child.stdin!.end(out.out)
    assert.strictEqual((await back.done).code, 0)
  })

  it("refuses a file that is not whole, and says so by its exit code", async () => {
    const name = at("some.jsonl")
    const dev = place.start(["dev", "--port", "17191"])
    await dev.says(/ready in/)
    dev.kill("SIGTERM")
    await dev.done
    fs.copyFileSync(at(".belfry/belfry.db"), at("empty.db"))
    const made = await place.run(["export", name, "--sqlite", at("empty.db")])
    assert.strictEqual(made.code, 0, made.err)
    const text = fs.readFileSync(name, "utf8")
    const torn = (file: string, content: string) => {
      fs.writeFileSync(at(file), content)
      return ["import", at(file), "--sqlite", at("other.db")]
    }
    const [header, ...rest] = text.split("\n")
    const newer = JSON.stringify({ ...JSON.parse(header!), version: 99 })
    const cases = [
      [torn("cut.jsonl", text.split("\n").slice(0, -2).join("\n") + "\n"), 1, /cut off/],
      [torn("half.jsonl", text.slice(0, -20)), 1, /cut off/],
      [torn("other.jsonl", text.replace(/"run":\d+/, '"run":7')), 1, /not as it was written/],
      [torn("more.jsonl", `${text}{}\n`), 1, /after the end/],
      [torn("newer.jsonl", [newer, ...rest].join("\n")), 1, /newer Belfry/],
      [torn("foreign.jsonl", "hello\n"), 1, /no export of Belfry/],
      [torn("field.jsonl", text.replace('"run":', '"extra":1,"run":')), 1, /line 2/],
      [["import", at("none.jsonl"), "--sqlite", at("other.db")], 3, /no file/],
      [["export", name, "--sqlite", at("empty.db")], 3, /exists already/],
      [["export", at("new.jsonl"), "--sqlite", at("none.db")], 3, /no SQLite file/],
      [
        ["export", at("new.jsonl"), "--database-url", "postgres://a@127.0.0.1:9/x"],
        5,
        /PostgreSQL/,
      ],
    ] as const
    for (const [words, code, says] of cases) {
      const done = await place.run(words)
      assert.strictEqual(done.code, code, `${words}: ${done.err}`)
      assert.match(done.err, says)
    }
    const { code, err } = await place.run(torn("whole.jsonl", text))
    assert.strictEqual(code, 0, err)
  })
})
