import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { CliOutput, Command } from "effect/cli"
import { readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { Place } from "./fixture.ts"

const place = new Place()
afterAll(() => place.end())

describe("belfry, without a server", { timeout: 120_000 }, () => {
  it("previews a trigger", async () => {
    const words = ["trigger", "preview", "0 9 LW * *", "--zone", "Asia/Shanghai"]
    const from = ["--from", "2026-11-01T00:00:00Z", "--count", "2"]
    const preview = await place.json([...words, ...from])
    assert.deepStrictEqual(preview.fires.map(({ at }: { at: string }) => at), [
      "2026-11-30T01:00:00.000Z",
      "2026-12-31T01:00:00.000Z",
    ])
    const { out } = await place.run([...words, ...from, "--jsonl"])
    assert.strictEqual(out.trim().split("\n").length, 2)
    const every = await place.json(["trigger", "preview", "every 90s", ...from])
    assert.strictEqual(every.fires[1].at, "2026-11-01T00:03:00.000Z")
  })

  it("previews by a calendar from a file, and says what it moved and left out", async () => {
    const file = join(place.folder, "office.json")
    writeFileSync(
      file,
      JSON.stringify({ rest: ["SAT", "SUN"], holidays: ["2031-10-01"], workdays: ["2031-10-04"] }),
    )
    const words = ["trigger", "preview", "0 9 * * *", "--calendar-file", file]
    const from = ["--from", "2031-09-30T12:00:00Z", "-n", "4"]
    const skipped = await place.run([...words, ...from])
    assert.strictEqual(skipped.code, 0, skipped.err)
    assert.match(skipped.out, /2031-10-01 +left out: free day\n2031-10-02T09:00/)
    assert.match(skipped.out, /2031-10-04T09:00/, "a make-up workday")
    const { fires } = await place.json([...words, ...from, "--free-day", "-1"])
    assert.deepStrictEqual(fires.map(({ at }: { at: string }) => at.slice(0, 10)), [
      "2031-10-02",
      "2031-10-03",
      "2031-10-04",
      "2031-10-06",
    ])
    assert.deepStrictEqual(fires[2].because, [{ _tag: "Moved", from: ["2031-10-05"] }])
    const gap = await place.run([
      ...["trigger", "preview", "30 2 * * *", "--zone", "Europe/Berlin"],
      ...["--from", "2031-03-29T12:00:00Z", "-n", "1"],
    ])
    assert.match(gap.out, /03:30.*02:30:00 does not exist on that day/)
    writeFileSync(file, JSON.stringify({ holidays: ["2031-02-29"] }))
    const wrong = await place.run([...words, ...from])
    assert.strictEqual(wrong.code, 2)
    assert.match(wrong.err, /"2031-02-29" is not a date that exists/)
    const none = await place.run(["trigger", "preview", "@daily", "--free-day", "next"])
    assert.strictEqual(none.code, 2)
    assert.match(none.err, /calendar/)
  })

  it("B34: refuses what is no schedule with 2", async () => {
    const refused = await place.run(["trigger", "preview", "61 * * * *"])
    assert.strictEqual(refused.code, 2)
    assert.match(refused.err, /not a cron expression/)
    const zone = await place.run(["trigger", "preview", "@daily", "--zone", "Mars/Olympus"])
    assert.strictEqual(zone.code, 2)
    assert.match(zone.err, /not an IANA time zone/)
    const never = await place.run(["trigger", "preview", "0 0 30 2 *"])
    assert.strictEqual(never.code, 2)
    assert.match(never.err, /has no slot to come/)
    assert.match(never.err, /Fix +\S/)
  })

  it("says on one line which flag is wrong, why, and what to write", async () => {
    const submit = ["run", "submit", "hello/world", "{}"]
    const cases = [
      [[...submit, "--delay", "-5s"], '--delay: "-5s" is not a duration: write it as 500ms, 90s'],
      [[...submit, "--delay"], "--delay: it has no value; write it as in --delay 90s"],
      [["run", "list", "--task"], "--task: it has no value; write it after --task"],
      [["run", "list", "--limit"], "--limit: it has no value; write it "],
      [[...submit, "--delay", "9999d"], '--delay: "9999d" is too long: write 366d or less'],
      [[...submit, "--level", "9"], '--level: "9" is not one of its words; write one of 0, 1, 2'],
      [[...submit, "--shards", "-4"], '--shards: "-4" is out of bounds; write a number from 1 to'],
      [["run", "list", "--state", "faild"], '--state: "faild" is no state; did you mean Failed?'],
      [["run", "list", "--state", "Quux"], '--state: "Quux" is no state; write one of Scheduled'],
      [["run", "list", "--limit", "501"], '--limit: "501" is out of bounds; write a number from 1'],
      [["run", "list", "--limit", "x"], '--limit: "x" is not a number; write it as in --limit 20'],
      [["run", "list", "--lmit", "3"], "--lmit: there is no such flag; did you mean --limit?"],
      [["trigger", "preview", "@daily", "--start", "x"], '--start: "x" is not a date; write it as'],
      [["server", "--sqlite", "x.db", "--port", "99999"], '--port: "99999" is out of bounds'],
    ] as const
    await Promise.all(cases.map(async ([words, says]) => {
      const { code, err } = await place.run(words)
      assert.strictEqual(code, 2, `${words.join(" ")}: ${err}`)
      const [first, second, ...others] = err.trimEnd().split("\n")
      assert.include(first, `✗ ${says}`)
      assert.match(second!, /^ {2}Try /)
      assert.deepStrictEqual(others, [])
    }))
  })

  it("refuses what is no number of a run with 2, and says where there are some", async () => {
    for (const id of ["abc", "1.5", "0", "9007199254740992"]) {
      const { code, err } = await place.run(["run", "why", id])
      assert.strictEqual(code, 2)
      assert.include(err, `"${id}"`)
      assert.include(err, "the number of a run, as `belfry run list` tells it")
    }
  })

  it("says that no server is known, with 5", async () => {
    const { code, err } = await place.run(["run", "list"])
    assert.strictEqual(code, 5)
    assert.match(err, /Try +npx belfry dev/)
  })

  it("says what a server and an executor lack, with 2", async () => {
    const cases = [
      [["server"], /--sqlite FILE/],
      [["server", "--sqlite", "x.db"], /token/],
      [
        ["server", "--database-url", "mysql://a:secret@b/c"],
        /--database-url: "mysql:" is no PostgreSQL\n {2}Fix {2}write it as in postgres:/,
      ],
      [["migrate", "--database-url", "secret"], /--database-url: it is no URL\n {2}Fix/],
      [["dev", "--database-url", "secret"], /--database-url: it is no URL\n {2}Fix/],
      [["cluster", "up", "--database-url", "secret"], /--database-url: it is no URL\n {2}Fix/],
      [["run", "list", "--url", "ftp://a"], /--url: "ftp:\/\/a" is not the address of a server/],
      [["server", "--sqlite", "x.db", "--token", "short"], /16 characters/],
      [["executor"], /--samples/],
      [["executor", "none.ts"], /there is no file none\.ts/],
      [["cluster", "up", "--schedulers", "0"], /at least one/],
    ] as const
    await Promise.all(cases.map(async ([words, says]) => {
      const { code, err } = await place.run(words)
      assert.strictEqual(code, 2, `${words.join(" ")}: ${err}`)
      assert.match(err, says)
      assert.notInclude(err, "secret")
    }))
  })

  it("says in which line a file of tasks is no program, and nothing of the inside", async () => {
    const write = (name: string, text: string) => writeFileSync(join(place.folder, name), text)
    write("broken.ts", "const a = 1\nconst b: number = ;\n")
    write("imports.ts", 'import "./broken.ts"\n')
    write("enums.ts", "enum A { x }\n")
    write("throws.ts", 'throw new Error("boo")\n')
    const cases = [
      ["broken.ts", "✗ broken.ts does not load: broken.ts:2: Expression expected"],
      ["imports.ts", "✗ imports.ts does not load: broken.ts:2: Expression expected"],
      // Deno compiles those.
      ...("Deno" in globalThis
        ? []
        : [["enums.ts", "✗ enums.ts does not load: enums.ts:1: TypeScript enum is not supported"]]),
      ["throws.ts", "✗ throws.ts does not load: Error: boo"],
    ]
    await Promise.all(cases.map(async ([file = "", says = ""]) => {
      const { code, err } = await place.run(["executor", file])
      assert.strictEqual(code, 1, err)
      assert.include(err.split("\n")[0], says)
      assert.notMatch(err, /node:internal|node_modules|cli\//)
      if (file === "throws.ts") assert.match(err, /throws\.ts:1/)
      else assert.strictEqual(err.trim().split("\n").length, 1, err)
    }))
  })

  it("refuses a Redis that is none, cannot be reached or is of no use, and shows no password", async () => {
    const tried = async (...words: ReadonlyArray<string>) => {
      const { code, err } = await place.run(["server", "--token", "x".repeat(20), ...words])
      assert.notInclude(err, "secret")
      return [code, err] as const
    }
    const wakeups = ["--wakeups", "redis://belfry:secret@127.0.0.1:9"]
    const [sqlite, why] = await tried("--sqlite", "x.db", ...wakeups)
    assert.strictEqual(sqlite, 2)
    assert.include(why, "PostgreSQL")
    const database = ["--database-url", "postgres://belfry:secret@127.0.0.1:9/belfry"]
    const [strange, reason] = await tried(...database, "--wakeups", "http://127.0.0.1")
    assert.strictEqual(strange, 2)
    assert.include(reason, "redis://")
    const [away, unreachable] = await tried(...database, ...wakeups)
    assert.strictEqual(away, 5)
    assert.include(unreachable, "Redis at 127.0.0.1:9")
  })

  it("says that a database cannot be reached, with 5, and shows no password", async () => {
    const url = "postgres://belfry:secret@127.0.0.1:9/belfry"
    const { code, err } = await place.run(["server", "--database-url", url], {
      BELFRY_TOKEN: "0123456789abcdef",
    })
    assert.strictEqual(code, 5, err)
    assert.include(err, "127.0.0.1:9")
    assert.notInclude(err, "secret")
  })

  it("keeps, lists, shows and removes calendars of a server, and previews by them", async () => {
    const token = "a-token-of-some-length"
    const server = place.start(["server", "--sqlite", "cal.db", "--port", "0", "--token", token])
    const [, url = ""] = await server.says(/belfry server +(http:\S+)/)
    const env = { BELFRY_URL: url, BELFRY_TOKEN: token }
    const days = { rest: ["SUN"], holidays: ["2031-10-01"], workdays: [] }
    writeFileSync(join(place.folder, "days.json"), JSON.stringify(days))
    const put = await place.run(["calendar", "put", "office", "days.json"], env)
    assert.strictEqual(put.code, 0, put.err)
    assert.match(put.out, /revision 1: 1 holidays, 0 make-up workdays/)
    const [list, show, preview] = await Promise.all([
      place.run(["calendar", "list", "--jsonl"], env),
      place.run(["calendar", "show", "office", "--json"], env),
      place.run([
        ...["trigger", "preview", "0 9 1 10 *", "--calendar", "office", "--free-day", "next"],
        ...["--from", "2031-09-30T12:00:00Z", "-n", "1", "--json"],
      ], env),
    ])
    assert.deepStrictEqual(JSON.parse(list.out), { name: "office", revision: 1 })
    assert.deepInclude(JSON.parse(show.out), days)
    assert.strictEqual(JSON.parse(preview.out).fires[0].at, "2031-10-02T09:00:00.000Z")
    assert.strictEqual((await place.run(["calendar", "remove", "office"], env)).code, 0)
    const gone = await place.run(["calendar", "show", "office"], env)
    assert.strictEqual(gone.code, 3, gone.err)
  })

  it("sets breakers, opens them by hand and takes the order back", async () => {
    const token = "a-token-of-some-length"
    const server = place.start(["server", "--sqlite", "sms.db", "--port", "0", "--token", token])
    const [, url = ""] = await server.says(/belfry server +(http:\S+)/)
    const env = { BELFRY_URL: url, BELFRY_TOKEN: token }
    const breaker = async (...words: ReadonlyArray<string>) => {
      const { code, err, out } = await place.run(["breaker", ...words, "--json"], env)
      return { code, err, answer: code === 0 ? JSON.parse(out) : undefined }
    }
    const set = await breaker("set", "sms", "--bad-in-a-row", "5", "--open-for", "1m")
    assert.strictEqual(set.code, 0, set.err)
    assert.deepInclude(set.answer.settings, { badInARow: 5, openMillis: 60_000, callsMin: 10 })
    const open = await breaker("open", "sms", "--note", "moving it", "--by", "Ada")
    assert.deepInclude(open.answer.order, { to: "open", note: "moving it", by: "Ada" })
    assert.strictEqual((await breaker("list")).answer.items[0].order.to, "open")
    assert.isUndefined((await breaker("auto", "sms")).answer.order)
    assert.strictEqual((await breaker("show", "sms")).answer.state, "Closed")
    const key = ["sms", "--of", "tenant-7"] as const
    assert.strictEqual((await breaker("open", ...key)).answer.order.to, "open")
    assert.deepEqual(
      (await breaker("keys", "sms")).answer.items.map(({ key }: { key: string }) => key),
      ["tenant-7"],
    )
    assert.strictEqual((await breaker("show", ...key)).answer.order.to, "open")
    assert.isUndefined((await breaker("show", "sms")).answer.order)
    assert.isUndefined((await breaker("auto", ...key)).answer.order)
    const unknown = await breaker("show", "sns")
    assert.strictEqual(unknown.code, 3, unknown.err)
    assert.include(unknown.err, "sms")
    const wrong = await breaker("set", "sms", "--failure-percent", "101")
    assert.strictEqual(wrong.code, 2, wrong.err)
    assert.include(wrong.err, "failurePercent")
  })

  it("Q4: gives an order again by its key", async () => {
    const token = "a-token-of-some-length"
    const server = place.start(["server", "--sqlite", "keys.db", "--port", "0", "--token", token])
    const [, url = ""] = await server.says(/belfry server +(http:\S+)/)
    const env = { BELFRY_URL: url, BELFRY_TOKEN: token }
    const give = (...words: ReadonlyArray<string>) => place.run(words, env)
    await give("trigger", "set", "nightly", "0 3 * * *", "--task", "report")
    const { run } = JSON.parse((await give("trigger", "fire", "nightly", "--json")).out)
    const orders = [
      ["run", "suspend", run],
      ["run", "resume", run],
      ["run", "set", run, "--level", "urgent"],
      ["run", "revive", run],
      ["run", "rollback", run],
      ["run", "notify", run],
      ["run", "cancel", run],
      ["trigger", "set", "nightly", "--zone", "Asia/Shanghai", "--without", "jitter"],
      ["trigger", "set", "daily", "every 90s", "--task", "report"],
      ["trigger", "backfill", "nightly", "--from", "2026-03-01T00:00:00Z", "--max", "1000"],
      ["calendar", "put", "days", "days.json"],
      ["breaker", "set", "sms", "--bad-in-a-row", "5"],
      ["breaker", "open", "sms", "--of", "tenant-7"],
      ["breaker", "auto", "sms", "--of", "tenant-7"],
      ["breaker", "close", "sms"],
      ["group", "cancel", "billing"],
      ["trigger", "pause", "nightly"],
      ["trigger", "resume", "nightly"],
      ["trigger", "remove", "nightly"],
      ["group", "pause", "billing"],
      ["group", "resume", "billing"],
      ["lock", "release", "search"],
      ["calendar", "remove", "office"],
    ]
    writeFileSync(join(place.folder, "days.json"), JSON.stringify({ rest: ["SUN"] }))
    const given = (order: ReadonlyArray<string>) => give(...order, "--key", `a ${order.join(" ")}`)
    const first: Array<Awaited<ReturnType<typeof give>>> = []
    for (const order of orders) first.push(await given(order))
    assert.deepStrictEqual(first.map(({ code }) => code), [
      0,
      0,
      0,
      0,
      3,
      3,
      0,
      ...Array.from({ length: 8 }, () => 0),
      3,
      0,
      0,
      0,
      3,
      3,
      3,
      3,
    ])
    const events = await give("run", "events", run, "--json")
    // Somebody else has changed what they were about meanwhile.
    await give("trigger", "set", "daily", "--payload", '{"book":"gl"}')
    await give("breaker", "set", "sms", "--probes", "7")
    // In another order now: without their keys they would be refused, or change something.
    for (const [nth, order] of [...orders.entries()].reverse()) {
      const { code, err, out } = await given(order)
      const { code: was, err: said, out: told } = first[nth]!
      assert.deepStrictEqual([code, out, err], [was, told, said], order.join(" "))
    }
    assert.strictEqual((await give("run", "events", run, "--json")).out, events.out)
    assert.include((await give("trigger", "show", "daily")).out, '{"book":"gl"}')
    assert.match((await give("breaker", "show", "sms")).out, /probes +7/)
    const taken = await give("run", "cancel", run, "--key", `a run suspend ${run}`)
    assert.strictEqual(taken.code, 3, taken.err)
    assert.match(taken.err, /was used with another order[^]*a key of its own/)
  })

  it("sets, edits, fires, fills in, pauses and removes triggers of a server", async () => {
    const token = "a-token-of-some-length"
    const server = place.start(["server", "--sqlite", "trig.db", "--port", "0", "--token", token])
    const [, url = ""] = await server.says(/belfry server +(http:\S+)/)
    const env = { BELFRY_URL: url, BELFRY_TOKEN: token }
    const trigger = async (...words: ReadonlyArray<string>) => {
      const { code, err, out } = await place.run(["trigger", ...words, "--json"], env)
      return { code, err, answer: code === 0 ? JSON.parse(out) : undefined }
    }
    const short = await trigger("set", "nightly", "0 3 * * *")
    assert.strictEqual(short.code, 2, short.err)
    const set = await trigger(
      ...["set", "nightly", "0 3 * * *", "--zone", "Europe/Berlin", "--task", "report"],
      ...["--payload", '{"book":"gl"}', "--misfire", "all", "--misfire-max", "3"],
    )
    assert.strictEqual(set.code, 0, set.err)
    assert.match(set.answer.taskUnknown.remedy, /executor/)
    const edited = await trigger("set", "nightly", "--while-running", "skip")
    assert.deepInclude(edited.answer, {
      revision: 2,
      task: "report",
      payload: { book: "gl" },
      whileRunning: "skip",
      schedule: { cron: "0 3 * * *", zone: "Europe/Berlin" },
      misfire: { _tag: "All", max: 3 },
    })
    const ruled = await trigger(
      ...["set", "nightly", "--calendar", "office", "--free-day", "next", "--jitter", "1m"],
      ...["--end", "2099-01-01T00:00:00Z"],
    )
    assert.strictEqual(ruled.code, 2, ruled.err)
    assert.include(ruled.err, "--calendar: ")
    writeFileSync(join(place.folder, "o.json"), JSON.stringify({ rest: ["SUN"] }))
    await place.run(["calendar", "put", "office", "o.json"], env)
    const rules = {
      cron: "0 3 * * *",
      zone: "Europe/Berlin",
      calendar: "office",
      freeDay: "next",
      jitterMillis: 60_000,
      end: "2099-01-01T00:00:00.000Z",
    }
    const all = await trigger(
      ...["set", "nightly", "--calendar", "office", "--free-day", "next", "--jitter", "1m"],
      ...["--end", "2099-01-01T00:00:00Z"],
    )
    assert.deepStrictEqual(all.answer.schedule, rules, all.err)
    const moved = await trigger("set", "nightly", "--zone", "Asia/Shanghai")
    assert.deepStrictEqual(moved.answer.schedule, { ...rules, zone: "Asia/Shanghai" })
    const later = await trigger("set", "nightly", "0 4 * * *", "--misfire-max", "4")
    assert.deepStrictEqual(later.answer.schedule, {
      ...rules,
      zone: "Asia/Shanghai",
      cron: "0 4 * * *",
    })
    assert.deepStrictEqual(later.answer.misfire, { _tag: "All", max: 4 })
    const without = ["calendar", "free-day", "jitter", "end"].flatMap((each) => ["--without", each])
    const bare = await trigger("set", "nightly", ...without, "--zone", "Europe/Berlin")
    assert.deepStrictEqual(bare.answer.schedule, { cron: "0 4 * * *", zone: "Europe/Berlin" })
    assert.strictEqual(bare.answer.revision, 6)
    for (
      const [words, says] of [
        [["every 90s", "--zone", "UTC"], /--zone: it says nothing of a schedule by interval/],
        [["at 2099-01-01T00:00:00Z", "--calendar", "office"], /--calendar: it says nothing/],
        [["permanent", "--jitter", "1m"], /--jitter: it says nothing of a permanent trigger/],
        [["--on", "any"], /--on: it says nothing of a schedule by cron/],
        [["--misfire", "once", "--misfire-max", "3"], /--misfire-max: it is said of `all` alone/],
        [["--jitter", "1m", "--without", "jitter"], /--jitter is named, and taken away/],
      ] as const
    ) {
      const refused = await trigger("set", "nightly", ...words)
      assert.strictEqual(refused.code, 2, words.join(" "))
      assert.match(JSON.parse(refused.err).error.what, says)
      assert.isString(JSON.parse(refused.err).error.fix)
    }
    assert.strictEqual((await trigger("set", "nigthly", "--zone", "UTC")).code, 3)
    assert.strictEqual((await trigger("show", "nightly")).answer.revision, 6)
    await trigger("set", "nightly", "0 3 * * *")
    const stale = await trigger("set", "nightly", "--while-running", "fail", "--revision", "1")
    assert.strictEqual(stale.code, 3, stale.err)
    assert.include(stale.err, "revision 7")
    assert.isTrue((await trigger("pause", "nightly")).answer.isPaused)
    assert.isFalse((await trigger("resume", "nightly")).answer.isPaused)
    const fired = await trigger("fire", "nightly", "--key", "now", "--by", "Ada")
    assert.isTrue(fired.answer.isNew)
    assert.isFalse((await trigger("fire", "nightly", "--key", "now")).answer.isNew)
    const range = ["--from", "2026-03-01T00:00:00Z", "--to", "2026-03-03T00:00:00Z"]
    const dry = await trigger("backfill", "nightly", ...range, "--dry-run")
    assert.deepStrictEqual(
      dry.answer.slots.map(({ answer }: { answer: string }) => answer),
      ["would fire", "would fire"],
    )
    const filled = await trigger("backfill", "nightly", ...range, "--request", "gap")
    assert.strictEqual(filled.code, 0, filled.err)
    const cancelled = await trigger("backfill", "nightly", "--cancel", "gap")
    assert.deepStrictEqual(cancelled.answer, { confirmed: 2, requested: 0, ended: 0 })
    const slots = await trigger("slots", "nightly")
    assert.deepStrictEqual(
      slots.answer.items.map(({ asked }: { asked: { kind: string } }) => asked.kind),
      ["manual", "backfill", "backfill"],
    )
    const [shown, versions, audit] = await Promise.all([
      place.run(["trigger", "show", "nightly"], env),
      trigger("versions", "nightly"),
      place.run(["audit"], env),
    ])
    assert.match(shown.out, /while running +skip/)
    assert.match(shown.out, /manual now, by Ada/)
    assert.deepStrictEqual(
      versions.answer.items.map(({ revision }: { revision: number }) => revision),
      [7, 6, 5, 4, 3, 2, 1],
    )
    assert.strictEqual(audit.code, 0, audit.err)
    assert.match(audit.out, /every slot before .* has its record/)
    const ship = await trigger(
      ...["set", "ship", "--after", "order", "--on", "any", "--task", "ship"],
      ...["--when", "/total at least 100", "--passing", "result"],
    )
    assert.deepEqual(ship.answer.schedule, {
      after: "order",
      on: ["Succeeded", "Failed", "TimedOut", "Cancelled", "Discarded", "Quarantined", "Expired"],
      when: [{ at: "/total", is: "at least", to: 100 }],
      passing: "result",
    })
    const failing = await trigger("set", "ship", "--on", "failure")
    assert.deepInclude(failing.answer.schedule, { after: "order", passing: "result" })
    const said = await place.run(["trigger", "set", "ship", "--on", "any"], env)
    assert.include(said.err, 'no task "ship"')
    assert.include(said.err, "the usual policy")
    assert.strictEqual((await trigger("set", "ship", "@daily", "--after", "order")).code, 2)
    const table = await trigger("set", "bill", "--table", "public.orders", "--task", "bill")
    assert.match(table.err, /tails no tables of its own/)
    assert.deepStrictEqual((await trigger("remove", "nightly")).answer, { name: "nightly" })
    assert.strictEqual((await trigger("show", "nightly")).code, 3)
  })

  it("has help with examples for every command", async () => {
    const folder = new URL("./commands/", import.meta.url)
    const modules = await Promise.all(
      readdirSync(folder).map((file): Promise<object> => import(new URL(file, folder).href)),
    )
    const commands = modules.flatMap((module) => Object.values(module)).filter(Command.isCommand)
    assert.isAtLeast(commands.length, modules.length)
    for (const command of commands) {
      const help: Array<CliOutput.Presenter.Help> = []
      await Effect.runPromise(
        Command.runWith(command, { version: "0" })(["--help"]).pipe(
          Effect.provideService(CliOutput.Presenter, {
            present: (event) => Effect.sync(() => void (event._tag === "Help" && help.push(event))),
          }),
          Effect.provide(NodeServices.layer),
        ) as Effect.Effect<void, unknown>,
      )
      const { examples = [], flags } = help[0]!.helpDoc
      assert.isNotEmpty(examples, command.name)
      const known = flags.flatMap(({ aliases, name }) => [name, ...aliases])
        .map((name) => name.replace(/^-*/, ""))
      for (const { command } of examples) {
        const bare = command.replaceAll(/'[^']*'|"[^"]*"|^.*\| | [|>].*$/g, "")
        for (const [, flag = ""] of bare.matchAll(/ --?([a-z][a-z-]*)/g)) {
          assert.include(known, flag.replace(/^no-/, ""), command)
        }
      }
    }
    const { out: executor } = await place.run(["executor", "--help"])
    assert.match(executor, /--concurrency integer +So many runs at once; 10 unless named/)
    const { code, out } = await place.run(["run", "submit", "--help"])
    assert.strictEqual(code, 0)
    assert.match(out, /EXAMPLES[\s\S]*belfry run submit hello\/world/)
  })

  it("ends an executor whose token holds no more with 4", async () => {
    const serve = async (port: string, token: string) => {
      const server = place.start(["server", "--sqlite", "y.db", "--port", port, "--token", token])
      const [, url = ""] = await server.says(/belfry server +(http:\S+)/)
      return { server, url }
    }
    const token = "a-token-of-some-length"
    const { server, url } = await serve("0", token)
    const executor = place.start(["executor", "--samples"], {
      BELFRY_URL: url,
      BELFRY_TOKEN: token,
    })
    await executor.says(/belfry executor/)
    server.kill("SIGTERM")
    await server.done
    await serve(new URL(url).port, "another-token-of-some-length")
    const { code, err } = await executor.done
    assert.strictEqual(code, 4, err)
    assert.include(err, "refused the token")
  })

  it("starts on a token file and an SQLite file, and lets an executor join over RPC", async () => {
    const token = "a-token-of-some-length"
    const server = place.start(["server", "--sqlite", "x.db", "--port", "0", "--token", token])
    const [, url = ""] = await server.says(/belfry server +(http:\S+)/)
    const env = { BELFRY_URL: url, BELFRY_TOKEN: token }
    const wrong = await place.run(["executor", "--samples"], { ...env, BELFRY_TOKEN: "another" })
    assert.strictEqual(wrong.code, 4, wrong.err)
    // The file goes before the environment, and its last line may end.
    writeFileSync(join(place.folder, "token"), `${token}\n`)
    const fromFile = (...words: ReadonlyArray<string>) =>
      place.run(["run", "list", ...words], { ...env, BELFRY_TOKEN: "another" })
    assert.strictEqual((await fromFile("--token-file", "token")).code, 0)
    assert.strictEqual((await fromFile("--token-file", "none")).code, 2)
    assert.strictEqual((await fromFile("--token-file", "token", "--token", token)).code, 2)
    const nobody = await place.run(["executor", "resize", "999", "--core", "2"], env)
    assert.strictEqual(nobody.code, 3, nobody.err)
    const bad = await place.run(["executor", "--samples", "--resource", "gpu=many"], env)
    assert.strictEqual(bad.code, 2, bad.err)
    assert.match(bad.err, /executor\.resources\.gpu: NaN is not/)
    const executor = place.start(
      [
        ...["executor", "--samples", "--name", "one", "--concurrency", "3"],
        ...["--label", "zone=eu", "--label", "disk=ssd"],
        ...["--resource", "gpu=2", "--resource", "memory=0.5"],
      ],
      env,
    )
    await executor.says(/belfry executor one/)
    const { code, out } = await place.run(
      ["run", "submit", "hello/world", '{"name":"Ada"}', "--wait"],
      env,
    )
    assert.strictEqual(code, 0)
    assert.strictEqual(JSON.parse(out), "Hello, Ada!")
    const parent = await place.run(
      ["run", "submit", "hello/world", '{"name":"Ada"}', "--shards", "2", "--wait", "--json"],
      env,
    )
    assert.strictEqual(parent.code, 0, parent.err)
    const { id } = JSON.parse(parent.out)
    const children = await place.run(["run", "list", "--parent", id, "--json"], env)
    assert.deepStrictEqual(
      JSON.parse(children.out).items.map(({ shard }: { shard: object }) => shard),
      [{ parent: id, index: 1, count: 2 }, { parent: id, index: 0, count: 2 }],
    )
    for (const order of ["suspend", "resume", "revive", "notify", "rollback"]) {
      const refused = await place.run(["run", order, id], env)
      assert.strictEqual(refused.code, 3, `${order}: ${refused.err}`)
      assert.include(refused.err, "Succeeded")
    }
    const later = await place.run([
      "run",
      "submit",
      "hello/world",
      '{"name":"Ada"}',
      "--delay",
      "1h",
      "--level",
      "bulk",
    ], env)
    const set = await place.run(
      ["run", "set", later.out.trim(), "--level", "urgent", "--by", "ada"],
      env,
    )
    assert.strictEqual(
      set.out.trim(),
      `run ${later.out.trim()} takes its turn by level 0 (urgent)`,
    )
    const within = (deadline: string, revision: string) =>
      place.run(
        ["run", "set", later.out.trim(), "--deadline", deadline, "--revision", revision],
        env,
      )
    const moved = await within("2h", "2")
    assert.include(moved.out, "expires unless it has begun within 2 h 0 min", moved.err)
    const stale = await within("none", "2")
    assert.strictEqual(stale.code, 3)
    assert.include(stale.err, "revision 3")
    assert.strictEqual((await within("soon", "3")).code, 2)
    const suspended = await place.run(["run", "suspend", later.out.trim(), "--json"], env)
    assert.deepStrictEqual(JSON.parse(suspended.out), {
      run: later.out.trim(),
      answer: "confirmed",
    })
    const why = await place.run(["run", "why", later.out.trim()], env)
    assert.include(why.out, "waits to be resumed")
    const shown = await place.run(["run", "show", later.out.trim()], env)
    assert.include(shown.out, "level 0 (urgent), submitted with 3 (bulk)")
    executor.kill("SIGTERM")
    assert.strictEqual((await executor.done).code, 0)
    const list = await place.run(["executor", "list", "--json"], env)
    const [one] = JSON.parse(list.out).items
    assert.strictEqual(one.standing, "left")
    assert.strictEqual(one.capacity, 3)
    assert.deepStrictEqual(one.labels, { zone: "eu", disk: "ssd" })
    assert.deepStrictEqual(one.resources, { gpu: 2, memory: 0.5 })
    const status = JSON.parse((await place.run(["status", "--json"], env)).out)
    assert.deepStrictEqual(
      status.schedulers.map(({ isSelf }: { readonly isSelf: boolean }) => isSelf),
      [true],
    )
    assert.include(status.schedulers[0].name, new URL(url).port)
    // It stands by the lock of its file.
    const locks = await place.run(["lock", "list", "--prefix", "ownership/", "--json"], env)
    const { fences, items: [held] } = JSON.parse(locks.out)
    assert.strictEqual(fences, "durable")
    assert.strictEqual(held.key, "ownership/belfry")
    const release = (...words: ReadonlyArray<string>) =>
      place.run(["lock", "release", held.key, ...words], env)
    assert.strictEqual((await release("--fence", `${held.fence + 1000}`)).code, 3)
    assert.strictEqual((await release("--fence", `${held.fence}`)).code, 0)
  })
})
