import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "vitest"
import { Place, until } from "./fixture.ts"
import { partitions } from "../core/domain/Trigger.ts"
import { type Line, ticking } from "./ledger.fixture.ts"

const place = new Place()
afterAll(() => place.end())

const tasks = fileURLToPath(new URL("./ledger.fixture.ts", import.meta.url))
const submits = 200

/** The starts of slots, by the trigger. */
const byTriggerOf = (lines: ReadonlyArray<Line>) =>
  Map.groupBy(
    lines.filter(({ kind, slot }) => kind === "start" && slot !== null),
    ({ nth }) => nth!,
  )

/** Slots from the first one of a trigger that ticks every second until `now` that did not start. */
const missedOf = (ticks: ReadonlyArray<Line>, now: number) => {
  const begun = new Set(ticks.map(({ slot }) => slot!))
  const missed = []
  for (let slot = Math.min(...begun); slot <= now; slot += 1000) {
    if (!begun.has(slot)) missed.push(slot)
  }
  return missed
}

describe("belfry cluster up", () => {
  it("loses nothing, doubles nothing and misses no slot while processes are killed", {
    timeout: 240_000,
  }, async () => {
    const database = process.env["BELFRY_TEST_DATABASE_URL"]
    const file = join(place.folder, "ledger.jsonl")
    const cluster = place.start([
      ...["cluster", "up", tasks, "--schedulers", "2", "--executors", "3"],
      ...["--port", "0", "--json"],
      ...(database === undefined ? [] : ["--database-url", database]),
    ], { LEDGER: file })
    await cluster.says(/"event":"ready"/, 120_000)
    const events = () =>
      cluster.out.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line))
    const pidOf = (name: string) =>
      events().findLast((each) => each.event === "up" && each.name === name)?.pid as number
    const ledger = () =>
      readFileSync(file, "utf8").trim().split("\n").map((line): Line => JSON.parse(line))

    const killed = new Set<number>()
    const kill = (name: string) => {
      killed.add(pidOf(name))
      process.kill(pidOf(name), "SIGKILL")
    }
    assert.strictEqual((await place.json(["status"])).executors.live, 3)
    // Each looks after some of the triggers, as everybody can see, and each trigger has one who does.
    const share = async () => {
      const { schedulers } = await place.json(["status"])
      return (schedulers as ReadonlyArray<{ duties: ReadonlyArray<string> }>)
        .map(({ duties }) => duties.filter((duty) => duty.startsWith("triggers/")).length)
    }
    const isShared = async () => {
      const shares = await share()
      return shares.length === 2 && Math.min(...shares) > 0 &&
        shares[0]! + shares[1]! === partitions
    }
    await until(isShared)
    assert.isString((await place.json(["trigger", "show", "chaos/every-second-0"])).scheduler)
    const acknowledged: Array<string> = []
    for (let at = 0; at < submits; at++) {
      if (at === Math.floor(submits / 3)) kill("executor-1")
      if (at === Math.floor(submits * 2 / 3)) kill("scheduler-1")
      // Without an answer nothing was promised.
      const submitted = await place.ask("/runs", {
        task: "chaos/work",
        payload: { millis: at % 10 === 0 ? 1500 : 20 },
      })
      if (submitted !== undefined) acknowledged.push(submitted["run"]!)
    }
    assert.isAbove(acknowledged.length, submits / 2, "most were acknowledged")
    for (const id of acknowledged) {
      await until(async () => (await place.ask(`/runs/${id}`))?.["state"] === "Succeeded")
    }
    for (const name of ["executor-1", "scheduler-1"]) {
      assert.isTrue(events().some((each) => each.event === "died" && each.name === name), name)
      await until(async () =>
        await events().filter((each) => each.event === "up" && each.name === name).length === 2
      )
    }

    // One that stands still loses what it looks after, and has some again when it goes on.
    await until(isShared)
    process.kill(pidOf("scheduler-2"), "SIGSTOP")
    await new Promise((resolve) => setTimeout(resolve, 10_000))
    process.kill(pidOf("scheduler-2"), "SIGCONT")
    await until(isShared)
    // What executors had that were with it may begin anew, and later than what they did not have.
    const now = Date.now()
    const isComplete = () =>
      [...byTriggerOf(ledger()).values()].every((ticks) => missedOf(ticks, now).length === 0)
    await until(async () => await isComplete(), 15_000).catch(() => {})

    const starts = ledger().filter(({ kind }) => kind === "start")
    const ended = new Set(ledger().filter(({ kind }) => kind === "end").map(({ run }) => `${run}`))
    for (const id of acknowledged) assert.isTrue(ended.has(id), `run ${id} ended in the ledger too`)
    for (const [run, all] of Map.groupBy(starts, ({ run }) => run)) {
      const [, ...others] = all.toSorted((a, b) => a.fence - b.fence)
      const isExplained = all.slice(0, others.length).every(({ pid }) => killed.has(pid))
      assert.isTrue(isExplained, `run ${run} was started again, and its executor was not killed`)
    }

    const byTrigger = byTriggerOf(starts)
    assert.strictEqual(byTrigger.size, ticking)
    for (const [nth, ticks] of byTrigger) {
      assert.isAbove(new Set(ticks.map(({ slot }) => slot)).size, 13)
      assert.deepStrictEqual(missedOf(ticks, now), [], `slots that trigger ${nth} has missed`)
      for (const [slot, all] of Map.groupBy(ticks, ({ slot }) => slot!)) {
        const runs = new Set(all.map(({ run }) => run))
        assert.strictEqual(runs.size, 1, `slot ${slot} of trigger ${nth} has one run`)
      }
    }
    const ticks = [...byTrigger.values()].flat()
    const latest = Math.max(...ticks.map(({ at, slot }) => at - slot!))
    console.log(`latest start after its slot: ${latest} ms, ${ticks.length} starts`)

    cluster.kill("SIGTERM")
    assert.strictEqual((await cluster.done).code, 0)
    for (const { pid } of events().filter(({ event }) => event === "up" || event === "started")) {
      assert.throws(() => process.kill(pid, 0), "ESRCH")
    }
  })
})
