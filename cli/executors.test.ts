/** What an executor's runs say, and how its pool changes: real processes, by the command line. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { fileURLToPath } from "node:url"
import { Place, type Running, until } from "./fixture.ts"

const tasks = fileURLToPath(new URL("./talkative.fixture.ts", import.meta.url))
const blocking = fileURLToPath(new URL("./blocking.fixture.ts", import.meta.url))
const token = "a-token-of-some-length"

describe("an executor", () => {
  const place = new Place()
  let executor: Running
  let env: Record<string, string>
  const belfry = async (...words: ReadonlyArray<string>) => {
    const { code, err, out } = await place.run(words, env)
    assert.strictEqual(code, 0, `${words.join(" ")}: ${err}`)
    return out
  }

  beforeAll(async () => {
    const server = place.start(["server", "--sqlite", "x.db", "--port", "0", "--token", token])
    const [, url = ""] = await server.says(/belfry server +(http:\S+)/)
    env = { BELFRY_URL: url, BELFRY_TOKEN: token }
    executor = place.start(["executor", tasks, "--name", "ada"], env)
    await executor.says(/belfry executor ada/)
  }, 120_000)

  afterAll(() => place.end(), 60_000)

  it("carries a task out in a thread of its own, as its file says", async () => {
    const out = await belfry("run", "submit", "elsewhere", "--wait", "--json")
    const lines = await belfry("run", "logs", JSON.parse(out).id, "--jsonl")
    assert.deepInclude(JSON.parse(lines), { number: 1, level: "Info", text: "in thread true" })
  }, 120_000)

  it("changes its pool with its next beat", async () => {
    const list = async () => JSON.parse(await belfry("executor", "list", "--json")).items
    const [{ incarnation }] = await list()
    const said = await belfry("executor", "resize", `${incarnation}`, "--core", "2", "--queue", "3")
    assert.include(said, "2 to 10 at once")
    await until(async () => (await list())[0].vitals?.sizes?.core === 2)
    assert.deepInclude((await list())[0].vitals.sizes, { core: 2, maximum: 10, queueLength: 3 })
    const wrong = await place.run(
      ["executor", "resize", `${incarnation}`, "--core", "20", "--maximum", "3"],
      env,
    )
    assert.notStrictEqual(wrong.code, 0)
    assert.strictEqual((await place.run(["executor", "resize", "99"], env)).code, 3)
  }, 120_000)

  it("joins the namespace that is named, and none that its module does not mean", async () => {
    const acme = fileURLToPath(new URL("./acme.fixture.ts", import.meta.url))
    const elsewhere = await place.run(["executor", acme], env)
    assert.strictEqual(elsewhere.code, 2, elsewhere.err)
    assert.match(elsewhere.err, /"whose" provides the namespace "acme"[^]*--namespace acme/)
    const wrong = await place.run(["executor", tasks, "--namespace", "No Name"], env)
    assert.strictEqual(wrong.code, 2, wrong.err)
    const inAcme = ["--namespace", "acme"]
    for (const [at, file] of [acme, tasks].entries()) {
      const other = place.start(["executor", file, "--name", `acme-${at}`, ...inAcme], env)
      await other.says(/belfry executor acme-/)
    }
    assert.strictEqual(
      JSON.parse(await belfry("run", "submit", "whose", "--wait", ...inAcme)),
      "acme",
    )
    const { items } = JSON.parse(await belfry("executor", "list", "--json", ...inAcme))
    assert.sameMembers(items.map(({ name }: { name: string }) => name), ["acme-0", "acme-1"])
    const listed = JSON.parse(await belfry("trigger", "list", "--json", ...inAcme)).items
    assert.deepStrictEqual(listed.map(({ name }: { name: string }) => name), ["yearly"])
    const here = JSON.parse(await belfry("executor", "list", "--json")).items
    assert.notMatch(here.map(({ name }: { name: string }) => name).join(" "), /acme/)
  }, 120_000)

  it("G4: lists, shows, pauses, resumes and cancels a group of tasks", async () => {
    const group = async (...words: ReadonlyArray<string>) =>
      JSON.parse(await belfry("group", ...words, "--json"))
    const { items: [listed] } = await group("list")
    assert.deepInclude(listed, { name: "billing", limit: 1, isPaused: false })
    const paused = await group("pause", "billing", "--by", "Ada", "--note", "closing the books")
    assert.deepInclude(paused, { isPaused: true, by: "Ada", note: "closing the books" })
    assert.match(
      await belfry("group", "list"),
      /billing +1 +1 +paused +\S+Z +Ada +closing the books/,
    )
    const run = (await belfry("run", "submit", "grouped")).trim()
    await belfry("run", "submit", "grouped")
    assert.match(
      await belfry("run", "why", run),
      /"billing" was paused at \S+ by Ada: closing the books\. .*belfry group resume billing/,
    )
    assert.match(await belfry("group", "show", "billing"), /Blocked +1\nReady +1/)
    assert.match(await belfry("group", "resume", "billing", "--by", "Bob"), /open since \S+ by Bob/)
    await until(async () => (await group("show", "billing")).runs.Running === 1)
    assert.deepEqual(await group("cancel", "billing"), { confirmed: 1, requested: 1 })
    const unknown = await place.run(["group", "pause", "biling"], env)
    assert.strictEqual(unknown.code, 3, unknown.err)
    assert.include(unknown.err, "billing")
    const long = ["group", "pause", "billing", "--by", "x".repeat(257)]
    assert.strictEqual((await place.run(long, env)).code, 2)
  }, 120_000)

  it("B6: keeps its lease while a handler blocks it for five times as long", async () => {
    const clara = place.start(
      [...["executor", blocking], ...["--name", "clara", "--ttl", "2s"]],
      env,
    )
    await clara.says(/belfry executor clara/)
    const its = async () =>
      JSON.parse(await belfry("executor", "list", "--json")).items
        .filter(({ name }: { name: string }) => name === "clara")
    const run = (await belfry("run", "submit", "blocks", `{"millis":10000}`)).trim()
    await until(async () => (await its())[0].health === "stalled")
    const show = async () => JSON.parse(await belfry("run", "show", run, "--json"))
    await until(async () => (await show()).state !== "Running")
    const shown = await show()
    assert.deepInclude(shown, { state: "Succeeded", attempt: 1, crashes: 0 })
    const executions = JSON.parse(await belfry("run", "executions", run, "--json")).items
    assert.deepStrictEqual(executions.map(({ id }: { id: string }) => id), [`${run}.1`])
    const [{ standing }, ...others] = await its()
    assert.strictEqual(standing, "live")
    assert.deepStrictEqual(others, [], "it did not join anew")
    assert.notInclude(clara.err, "lost")
  }, 120_000)

  it("shows lines within two seconds, and they stay when it is killed (A38)", async () => {
    const run = (await belfry("run", "submit", "talkative")).trim()
    const following = place.start(["run", "logs", run, "--follow"], env)
    await following.says(/INFO +word 3\n/, 30_000)
    const shown = await belfry("run", "show", run)
    assert.match(shown, /progress +\d+ %, \d+ of 1000: talking/)
    process.kill(executor.pid, "SIGKILL")
    await executor.done
    const kept = JSON.parse(await belfry("run", "logs", run, "--json"))
    assert.isAtLeast(kept.items.length, 3)
    assert.deepStrictEqual(
      kept.items.map(({ number }: { number: number }) => number),
      kept.items.map((_: unknown, at: number) => at + 1),
    )
    assert.isFalse(kept.isCut)
    following.kill("SIGINT")
    assert.strictEqual((await place.run(["run", "logs", "123"], env)).code, 3)
  }, 120_000)
})
