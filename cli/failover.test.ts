/** Several servers over one storage, one of which is killed. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { fileURLToPath } from "node:url"
import { Place, type Running, until } from "./fixture.ts"

const token = "a-token-of-some-length"
const tasks = fileURLToPath(new URL("./submitting.fixture.ts", import.meta.url))

describe("an executor with two servers", () => {
  const place = new Place()
  let first: Running
  let env: Record<string, string>

  const json = async (...words: ReadonlyArray<string>) => {
    const { code, err, out } = await place.run([...words, "--json"], env)
    assert.strictEqual(code, 0, err)
    return JSON.parse(out)
  }

  beforeAll(async () => {
    const words = ["server", "--sqlite", "x.db", "--port", "0", "--token", token]
    const urlOf = async (server: Running) => (await server.says(/belfry server +(http:\S+)/))[1]
    first = place.start(words)
    const urls = [await urlOf(first), await urlOf(place.start(words))]
    env = { BELFRY_URL: urls.join(","), BELFRY_TOKEN: token }
    await place.start(["executor", tasks, "--name", "ada"], env).says(/belfry executor ada/)
  }, 120_000)

  afterAll(() => place.end(), 60_000)

  it(
    "goes on at the second when the first is killed, and so do the handlers that submit",
    async () => {
      const run = (await place.run(["run", "submit", "whole", `{"parts":100}`], env)).out.trim()
      const parts = async () =>
        (await json("run", "list", "--task", "part", "--limit", "500")).items
      await until(async () => (await parts()).length >= 5)
      first.kill("SIGKILL")
      await first.done
      await until(async () => (await json("run", "show", run)).state !== "Running")
      const shown = await json("run", "show", run)
      assert.deepInclude(shown, { state: "Succeeded", result: 5050, attempt: 1 })
      const all = await parts()
      assert.strictEqual(all.length, 100, "each part is submitted once")
      assert.isTrue(all.every(({ state }: { state: string }) => state === "Succeeded"))
    },
    120_000,
  )
})
