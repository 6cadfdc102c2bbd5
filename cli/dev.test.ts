import { once } from "node:events"
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Place, type Running, until } from "./fixture.ts"

const hello = ["run", "submit", "hello/world", '{"name":"you"}']

/** They wait for facts; only a machine with other work makes them take long. */
const patient = { timeout: 120_000 }

describe("belfry dev", patient, () => {
  const place = new Place()
  let dev: Running

  beforeAll(async () => {
    dev = place.start(["dev", "--port", "0"])
    await dev.says(/ready in/)
  })
  afterAll(() => place.end())

  it("shows a first screen with a command that works", async () => {
    assert.match(dev.out, /API +http:\/\/127\.0\.0\.1:\d+\/api\/v1/)
    assert.match(dev.out, /RPC +ws:\/\/127\.0\.0\.1:\d+\/rpc/)
    assert.match(dev.out, /Storage +SQLite \.belfry\/belfry\.db/)
    assert.match(dev.out, /Tasks +hello\/world, demo\/flaky, demo\/tick/)
    assert.match(dev.out, /Try +npx belfry run submit hello\/world '\{"name":"you"\}' --wait/)
    const { code, out } = await place.run([...hello, "--wait"])
    assert.strictEqual(code, 0)
    assert.strictEqual(JSON.parse(out), "Hello, you!")
  })

  it("keeps its state out of git and its token from others", () => {
    const at = (name: string) => join(place.folder, ".belfry", name)
    assert.strictEqual(readFileSync(at(".gitignore"), "utf8"), "*\n")
    assert.strictEqual(statSync(at("server.json")).mode & 0o777, 0o600)
    assert.strictEqual(statSync(at("token")).mode & 0o777, 0o600)
  })

  it("retries the flaky sample until it succeeds", async () => {
    const run = await place.json(["run", "submit", "demo/flaky", "--wait"])
    assert.strictEqual(run.state, "Succeeded")
    assert.strictEqual(run.attempt, 3)
    const { items } = await place.json(["run", "events", run.id])
    const kinds = items.map(({ kind }: { kind: string }) => kind)
    const follow = ["run", "events", run.id, "--follow"]
    const { out } = await place.run([...follow, "--jsonl"])
    assert.deepStrictEqual(out.trim().split("\n").map((line: string) => JSON.parse(line)), items)
    assert.match((await place.run(follow)).out, /Z {2}Retried {2}2 {2}2 {2}/)
    assert.deepStrictEqual(kinds.filter((kind: string) => kind === "Retried").length, 2)
    const words = ["run", "executions", run.id]
    const [executions, table] = await Promise.all([place.json(words), place.run(words)])
    assert.deepStrictEqual(
      executions.items.map(({ attempt, end }: { attempt: number; end: string }) => [attempt, end]),
      [[1, "Retried"], [2, "Retried"], [3, "Succeeded"]],
    )
    const [heads, ...rows] = table.out.trim().split("\n")
    assert.match(heads!, /EXECUTION +ATTEMPT +STARTED/i)
    assert.deepStrictEqual(
      rows.map((row) => row.split(" ")[0]),
      executions.items.map(({ id }: { id: string }) => id),
    )
  })

  it("fires the sample trigger", async () => {
    const { items } = await place.json(["trigger", "list"])
    assert.strictEqual(items[0].name, "demo/every-ten-seconds")
    await until(async () => {
      const page = await place.ask("/runs?task=demo%2Ftick&state=Succeeded")
      return page.items.length > 0
    })
  })

  it("answers in JSON whose shape is the API's", async () => {
    const submitted = await place.json(hello)
    assert.deepStrictEqual(Object.keys(submitted).sort(), ["isNew", "run", "state"])
    assert.isString(submitted.run)
    await until(async () =>
      (await place.json(["run", "show", submitted.run])).state === "Succeeded"
    )
    const run = await place.json(["run", "show", submitted.run])
    assert.deepStrictEqual(run.payload, { name: "you" })
    assert.strictEqual(run.result, "Hello, you!")
    assert.strictEqual((await place.json(["run", "why", submitted.run]))._tag, "Ended")
    const status = await place.json(["status"])
    assert.strictEqual(status.storage, "sqlite")
    assert.strictEqual(status.executors.live, 1)
    assert.strictEqual((await place.json(["executor", "list"])).items[0].name, "samples")
    const { code, out } = await place.run([
      "task",
      "list",
      "--jsonl",
      "--state",
      "served",
      "--sort",
      "name",
    ])
    assert.strictEqual(code, 0)
    assert.deepStrictEqual(out.trim().split("\n").map((line) => JSON.parse(line).name), [
      "demo/flaky",
      "demo/tick",
      "hello/world",
    ])
    const shown = await place.json(["task", "show", "hello/world"])
    assert.deepStrictEqual(shown.payloads[0].properties, { name: { type: "string" } })
    const { out: text } = await place.run(["task", "show", "hello/world"])
    assert.match(text, /Greets whom it is given[^]*"required": \[\s*"name"/)
  })

  it("tells states in other words when asked to", async () => {
    await place.json([...hello, "--wait"])
    const words = ["--vocabulary", "dotted"]
    const { items } = await place.json(["run", "list", ...words, "--state", "RunToCompletion"])
    const states = new Set(items.map(({ state }: { readonly state: string }) => state))
    assert.deepStrictEqual([...states], ["RunToCompletion"])
    const { id } = items[0]
    assert.strictEqual(
      (await place.json(["run", "show", id, ...words])).state,
      "RunToCompletion",
    )
    const events = await place.json(["run", "events", id, ...words])
    assert.strictEqual(events.items.at(-1).kind, "RunToCompletion")
    assert.isAtLeast((await place.json(["status", ...words])).runs.RunToCompletion, 1)
    const refused = await place.run(["run", "list", "--vocabulary", "latin"])
    assert.strictEqual(refused.code, 2)
    assert.match(refused.err, /stages.*dotted/s)
  })

  it("answers a key with its first run, and a conflict with 3", async () => {
    const first = await place.json([...hello, "--key", "once"])
    const second = await place.json([...hello, "--key", "once"])
    assert.strictEqual(second.run, first.run)
    assert.isFalse(second.isNew)
    const other = ["run", "submit", "hello/world", '{"name":"other"}', "--key", "once"]
    assert.strictEqual((await place.run(other)).code, 3)
    const late = [...hello, "--delay", "1h", "--key", "票 42"]
    const written = await place.json(late)
    assert.strictEqual((await place.json(late)).run, written.run)
    const cancel = ["run", "cancel", written.run, "--key"]
    const cancelled = await place.json([...cancel, "票 43"])
    assert.deepStrictEqual(await place.json([...cancel, "票 43"]), cancelled)
    for (const bad of ["", " 43", "4\n3", "x".repeat(513)]) {
      for (const words of [cancel, [...hello, "--key"]]) {
        const refused = await place.run([...words, bad])
        assert.strictEqual(refused.code, 2, refused.err)
        assert.match(refused.err, /--key.*1 to 512 characters.*; it (has|begins)/s)
      }
    }
  })

  it("does a run again: once for a key, by whom it was asked, or with another payload", async () => {
    const first = await place.json([...hello, "--wait"])
    const words = ["run", "again", first.id, "--by", "Ada", "--key", "again"]
    const again = await place.run([...words, "--wait"])
    assert.strictEqual(again.code, 0, again.err)
    assert.strictEqual(JSON.parse(again.out), "Hello, you!")
    const same = await place.json(words)
    assert.isFalse(same.isNew)
    assert.notStrictEqual(same.run, first.id)
    const shown = await place.json(["run", "show", same.run])
    assert.deepStrictEqual(shown.asked, { by: "Ada", again: first.id })
    const [other, wrong, none] = await Promise.all([
      place.run(["run", "again", first.id, '{"name":"Ada"}', "--wait"]),
      place.run(["run", "again", first.id, "{name}"]),
      place.run(["run", "again", "12"]),
    ])
    assert.strictEqual(JSON.parse(other.out), "Hello, Ada!")
    assert.strictEqual(wrong.code, 2)
    assert.match(wrong.err, /not JSON/)
    assert.strictEqual(none.code, 3)
  })

  it("delays a run, says why it waits, and cancels it", async () => {
    const { run } = await place.json([...hello, "--delay", "10 minutes"])
    assert.strictEqual((await place.json(["run", "why", run]))._tag, "DueLater")
    assert.match((await place.run(["run", "why", run])).out, /due in (9|10) min/)
    for (const order of ["suspend", "resume", "cancel"]) {
      const ordered = await place.json(["run", order, run, "--by", `Ada ${order}`])
      assert.strictEqual(ordered.answer, "confirmed")
    }
    const { items } = await place.json(["run", "events", run]) as {
      items: ReadonlyArray<{ by?: string; kind: string }>
    }
    assert.deepStrictEqual(
      items.flatMap(({ by, kind }) => by === undefined ? [] : [`${kind}: ${by}`]),
      ["Suspended: Ada suspend", "Resumed: Ada resume", "CancelAsked: Ada cancel"],
    )
    assert.match((await place.run(["run", "events", run])).out, /CancelAsked .*Ada cancel/)
    assert.strictEqual((await place.run(["run", "cancel", run])).code, 0, "it is so already")
    assert.strictEqual((await place.run(["run", "resume", run])).code, 3)
  })

  it("has an exit code and a next step for each kind of error", async () => {
    const cases = [
      [["rn", "list"], 2, /Did you mean this\?\s+run/],
      [["run", "list", "--lmit", "3"], 2, /--limit/],
      [["run", "list", "--state", "Done"], 2, /Succeeded/],
      [["run", "list", "--task", "a b"], 2, /--task: a task name has/],
      [["run", "list", "--namespace", "Ä"], 2, /--namespace: a namespace has/],
      [["run", "show", "abc"], 2, /belfry run show --help/],
      [["run", "submit"], 2, /task/],
      [["run", "submit", "hello/world", "{name}"], 2, /not JSON/],
      [["run", "submit", "hello/world", "{}", "--delay", "soon"], 2, /duration/],
      [["run", "submit", "hello/wrold"], 3, /Did you mean "hello\/world"/],
      [["run", "show", "12"], 3, /belfry run list/],
      [["status", "--token", "wrong"], 4, /token/],
      [["status", "--url", "http://127.0.0.1:9"], 5, /belfry dev/],
      [["run", "submit", "hello/world", '{"nam":"you"}'], 2, /payload\.name[^]*belfry task show/],
      [[...hello, "--delay", "1s", "--deadline", "10ms"], 2, /deadline: .*due in 1000 ms/],
    ] as const
    await Promise.all(cases.map(async ([words, code, says]) => {
      const done = await place.run(words)
      assert.strictEqual(done.code, code, `${words.join(" ")}: ${done.err}`)
      assert.match(done.err, says)
      assert.strictEqual(done.out, "", words.join(" "))
      assert.isBelow(done.err.split("\n").length, 12, "an error is short")
    }))
    const waiting = place.start([...hello, "--delay", "1h", "--by", "who waits", "--wait"])
    await until(async () => {
      const { items } = await place.ask("/runs?state=Scheduled")
      const mine = items.find((each: { asked?: { by?: string } }) => each.asked?.by === "who waits")
      return mine !== undefined && await place.ask(`/runs/${mine.id}/cancel`, {}) !== undefined
    })
    const { code, err: ended } = await waiting.done
    assert.strictEqual(code, 7)
    assert.match(ended, /is Cancelled after[^]*belfry run events/)
    const { err } = await place.run(["run", "show", "12", "--json"])
    assert.strictEqual(JSON.parse(err).error.exitCode, 3)
  })

  it("says of a list that is empty what is not there, and how there would be one", async () => {
    const cases = [
      [["trigger", "list"], /no triggers: npx belfry trigger set/],
      [["calendar", "list"], /no calendars: npx belfry calendar put/],
      [["breaker", "list"], /no breakers: npx belfry breaker set/],
      [["executor", "list"], /no executors: npx belfry executor/],
      [["group", "list"], /no groups: /],
      [["task", "list"], /no tasks: /],
      [["run", "list"], /no runs$/m],
      [["run", "list", "--task", "hello/wrold"], /no runs: There is no task "hello\/wrold"/],
    ] as const
    await Promise.all(cases.map(async ([words, says]) => {
      const { code, err } = await place.run([...words, "--namespace", "empty"])
      assert.strictEqual(code, 0, err)
      assert.match(err, says)
      assert.strictEqual(err.trim().split("\n").length, 1, err)
    }))
  })

  it("takes a state in any case, and shows no line without words", async () => {
    const { id } = await place.json([...hello, "--wait"])
    const { items } = await place.json(["run", "list", "--state", "sUCCEEDED", "--limit", "1"])
    assert.strictEqual(items[0].state, "Succeeded")
    const shown = await Promise.all([
      place.run(["breaker", "set", "own"]),
      place.run(["task", "show", "hello/world"]),
    ])
    for (const { out } of shown) assert.match(out, /^(state|task) +\w/)
    assert.match((await place.run(["run", "logs", id])).err, /the run has said nothing/)
  })

  it("shows of a trigger and a task what is known of them, with the policy in words", async () => {
    const rules = ["--misfire", "all", "--misfire-age", "2h", "--grace", "5m", "--jitter", "30s"]
    await place.run(["trigger", "set", "told", "0 3 * * *", "--task", "demo/flaky", ...rules])
    const [trigger, task] = await Promise.all([
      place.run(["trigger", "show", "told"]),
      place.run(["task", "show", "demo/flaky"]),
      place.run(["trigger", "set", "alone", "0 3 * * *", "--task", "unbrought"]),
    ])
    for (const { out } of [trigger, task]) {
      assert.match(out, /^retries +5 attempts, 500 ms apart, 1\.5 times as long each time/m)
    }
    assert.match(trigger.out, /^misfire +all: the latest 10 .* not older than 2 h 0 min$/m)
    assert.match(trigger.out, /^grace +misfired when later than 5 min 0 s$/m)
    assert.match(trigger.out, /^jitter +due up to 30\.0 s later$/m)
    assert.match(task.out, /^state +served$/m)
    assert.match(task.out, /^hooks +none$/m)
    const { out } = await place.run(["trigger", "show", "alone"])
    assert.match(out, /policy of the task: the usual one, as nobody has brought it/)
    await Promise.all(["told", "alone"].map((name) => place.run(["trigger", "remove", name])))
  })

  it("says so when a trigger follows a task that nobody has brought", async () => {
    const after = (task: string) =>
      place.run(["trigger", "set", "follows", "--after", task, "--task", "demo/tick"])
    assert.match((await after("nope")).err, /follows a task that nobody.*no task "nope"/)
    assert.strictEqual((await after("hello/world")).err, "")
    await place.run(["trigger", "remove", "follows"])
  })

  it("says where the first one runs when it is started again in the folder", async () => {
    const { code, out } = await place.run(["dev"])
    assert.strictEqual(code, 0)
    assert.include(out, `127.0.0.1:`)
    assert.include(out, `process ${dev.pid}`)
  })
})

describe("belfry dev, again", patient, () => {
  const place = new Place()
  afterAll(() => place.end())

  it("takes the next free port, and says so", async () => {
    const taken = createServer().listen(0, "127.0.0.1")
    await once(taken, "listening")
    const { port } = taken.address() as AddressInfo
    const dev = place.start(["dev", "--memory", "--port", String(port)])
    await dev.says(/ready in/)
    // The one after it may be somebody else's.
    const [, next] = await dev.says(new RegExp(`port ${port} is taken, so this is on (\\d+)`))
    assert.isAbove(Number(next), port)
    dev.kill("SIGINT")
    assert.strictEqual((await dev.done).code, 130)
    taken.close()
  })

  it("keeps what was submitted when it is killed, and starts again quickly", async () => {
    const first = place.start(["dev", "--port", "0"])
    await first.says(/ready in/)
    const ids: Array<string> = []
    const later = { task: "hello/world", payload: { name: "you" }, delayMillis: 2000 }
    for (let at = 0; at < 5; at++) ids.push((await place.ask("/runs", later)).run)
    first.kill("SIGKILL")
    await first.done

    const second = place.start(["dev", "--port", "0"])
    const [, seconds] = await second.says(/ready in (\d+\.\d) s/)
    assert.isBelow(Number(seconds), 10, "generous: the machine may be busy")
    for (const id of ids) {
      await until(async () => (await place.ask(`/runs/${id}`))?.state === "Succeeded")
    }
    second.kill("SIGTERM")
    assert.strictEqual((await second.done).code, 0)
    assert.strictEqual((await place.run(["status"])).code, 5)
  })

  it("carries the tasks of files out, reloads them, and keeps the old when the new do not load", async () => {
    const file = join(place.folder, "tasks.ts")
    const write = (greeting: string) => writeFileSync(file, program(greeting))
    write("Hi")
    const dev = place.start(["dev", "tasks.ts", "--port", "0"])
    await dev.says(/Tasks +my\/greet +from tasks\.ts \(watching\)/)
    assert.deepStrictEqual(
      (await place.json(["trigger", "list"])).items.map(({ name }: { name: string }) => name),
      ["my/yearly"],
      "the trigger of the samples that ran here before is gone",
    )
    const greet = () => place.json(["run", "submit", "my/greet", '{"name":"Ada"}', "--wait"])
    assert.strictEqual((await greet()).result, "Hi, Ada!")

    writeFileSync(file, "this is no program")
    await dev.says(/does not load[\s\S]*the tasks of before go on/)
    assert.strictEqual((await greet()).result, "Hi, Ada!")

    write("Howdy")
    await dev.says(/serving my\/greet/)
    await until(async () => (await greet()).result === "Howdy, Ada!")

    await until(async () => {
      const { items } = await place.ask("/executors")
      const standings = items.map(({ standing }: { standing: string }) => standing)
      return standings.filter((each: string) => each === "live").length === 1 &&
        standings.includes("left")
    })
  })

  it("ends its executor before its server, which takes what it gives back", async () => {
    const own = new Place()
    writeFileSync(join(own.folder, "slow.ts"), slow)
    const dev = own.start(["dev", "slow.ts", "--port", "0"])
    await dev.says(/ready in/)
    const { run } = await own.ask("/runs", { task: "my/slow" })
    await until(async () => (await own.ask(`/runs/${run}`)).state === "Running")
    dev.kill("SIGINT")
    const { code, err } = await dev.done
    assert.strictEqual(code, 130)
    assert.strictEqual(err.trim(), "draining; Ctrl-C once more kills")

    await own.start(["dev", "--port", "0"]).says(/ready in/)
    const { items } = await own.ask(`/runs/${run}/events`)
    assert.strictEqual(items.at(-1).kind, "Released", JSON.stringify(items))
    assert.match(items.at(-1).detail, /its executor was stopping/)
    await own.end()
  })

  it("has the executor of its samples leave before it ends", async () => {
    const own = new Place()
    const standings = async () =>
      (await own.ask("/executors")).items.map(({ standing }: { standing: string }) => standing)
    const dev = own.start(["dev", "--port", "0"])
    await dev.says(/ready in/)
    dev.kill("SIGINT")
    const { err } = await dev.done
    assert.strictEqual(err.trim(), "draining; Ctrl-C once more kills")

    await own.start(["dev", "--port", "0"]).says(/ready in/)
    assert.deepStrictEqual((await standings()).sort(), ["left", "live"])
    await own.end()
  })
})

const core = fileURLToPath(new URL("../core/mod.ts", import.meta.url))
const effect = createRequire(import.meta.url).resolve("effect")

const slow = `
import { Effect } from ${JSON.stringify(effect)}
import { Task } from ${JSON.stringify(core)}

export default Task.make("my/slow", {}).toLayer(() => Effect.sleep("10 minutes"))
`

const program = (greeting: string) => `
import { Effect, Layer, Schema } from ${JSON.stringify(effect)}
import { Task, Trigger } from ${JSON.stringify(core)}

const Greet = Task.make("my/greet", {
  payload: { name: Schema.String },
  success: Schema.String,
})

export default Layer.merge(
  Greet.toLayer(({ name }) => Effect.succeed(\`${greeting}, \${name}!\`)),
  Greet.schedule("my/yearly", Trigger.cron("@yearly"), { name: "bell" }),
)
`
