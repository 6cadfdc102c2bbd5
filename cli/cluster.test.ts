import { afterAll, assert, describe, it } from "vitest"
import { Place, until } from "./fixture.ts"

const place = new Place()
afterAll(() => place.end())

const runsMax = 300

describe("belfry cluster up", () => {
  it("ends all that was submitted though an executor and a scheduler are killed", {
    timeout: 240_000,
  }, async () => {
    const env = process.env["BELFRY_TEST_DATABASE_URL"]
    const cluster = place.start([
      ...["cluster", "up", "--schedulers", "2", "--executors", "3", "--port", "17170", "--json"],
      ...(env === undefined ? [] : ["--database-url", env]),
    ])
    await cluster.says(/"event":"ready"/, 120_000)
    const events = () =>
      cluster.out.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line))
    const pidOf = (name: string) =>
      events().findLast((each) => each.event === "up" && each.name === name)?.pid as number

    assert.strictEqual((await place.json(["status"])).executors.live, 3)
    const ids: Array<string> = []
    for (let at = 0; at < runsMax; at++) {
      if (at === runsMax / 3) process.kill(pidOf("executor-1"), "SIGKILL")
      if (at === runsMax * 2 / 3) process.kill(pidOf("scheduler-1"), "SIGKILL")
      // Without an answer nothing was promised.
      const submitted = await place.ask(
        "/runs",
        at % 4 === 0 ? { task: "demo/flaky" } : { task: "hello/world", payload: { name: "you" } },
      )
      if (submitted !== undefined) ids.push(submitted["run"]!)
    }
    assert.isAbove(ids.length, runsMax / 2, "most were acknowledged")
    for (const id of ids) {
      await until(async () => (await place.ask(`/runs/${id}`))?.["state"] === "Succeeded")
    }
    for (const name of ["executor-1", "scheduler-1"]) {
      assert.isTrue(events().some((each) => each.event === "died" && each.name === name), name)
      await until(async () =>
        await events().filter((each) => each.event === "up" && each.name === name).length === 2
      )
    }
    cluster.kill("SIGTERM")
    assert.strictEqual((await cluster.done).code, 0)
    for (const { pid } of events().filter(({ event }) => event === "up" || event === "started")) {
      assert.throws(() => process.kill(pid, 0), "ESRCH")
    }
  })
})
