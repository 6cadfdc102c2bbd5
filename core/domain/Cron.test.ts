import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Calendar from "./Calendar.ts"
import { china2024, china2025 } from "./holidays.fixture.ts"
import { Namespace } from "./Namespace.ts"
import * as Trigger from "./Trigger.ts"
import * as Zone from "./Zone.ts"

const namespace = Namespace.make("default")
const name = Trigger.TriggerName.make("sample")
const minute = 60_000
const day = 86_400_000

const office = (input: Partial<Calendar.CalendarInput> = {}): Calendar.Calendar =>
  Result.getOrThrow(Calendar.make({ namespace, name: "office", ...input }))

const cron = (
  expression: string,
  rules: Partial<Extract<Trigger.Schedule, { _tag: "Cron" }>> = {},
): Trigger.Schedule => ({ _tag: "Cron", expression, zone: "UTC", ...rules })

const firesOf = (
  schedule: Trigger.Schedule,
  from: string,
  until: string,
  calendar?: Calendar.Calendar,
): ReadonlyArray<Trigger.Fire> => {
  const found: Array<Trigger.Fire> = []
  for (const fire of Trigger.fires({ namespace, name, schedule }, calendar, Date.parse(from) - 1)) {
    if (fire.slot >= Date.parse(until)) break
    found.push(fire)
  }
  return found
}

const iso = (instant: number) => new Date(instant).toISOString().replace(":00.000Z", "Z")
const slotsOf = (...args: Parameters<typeof firesOf>) =>
  firesOf(...args).map(({ slot }) => iso(slot))

describe("a local time that is missing", () => {
  const berlin = (rules: Parameters<typeof cron>[1] = {}, expression = "30 2 * * *") =>
    firesOf(
      cron(expression, { zone: "Europe/Berlin", ...rules }),
      "2031-03-29T12:00Z",
      "2031-03-30T12:00Z",
    )

  it("comes later by as much as is missing, at once, or not at all", () => {
    assert.deepStrictEqual(berlin().map(({ slot }) => iso(slot)), ["2031-03-30T01:30Z"])
    assert.deepStrictEqual(berlin({ gap: "next" }).map(({ slot }) => iso(slot)), [
      "2031-03-30T01:00Z",
    ])
    assert.deepStrictEqual(berlin({ gap: "skip" }), [])
  })

  it("says so", () => {
    const gap = { _tag: "Gap" as const, wanted: "2031-03-30T02:30:00" }
    assert.deepEqual(berlin()[0]!.because, [{ ...gap, rule: "shift" }])
    assert.deepEqual(berlin({ gap: "next" })[0]!.because, [{ ...gap, rule: "next" }])
    const [next] = firesOf(
      cron("30 2 * * *", { zone: "Europe/Berlin", gap: "skip" }),
      "2031-03-29T12:00Z",
      "2031-04-01T00:00Z",
    )
    assert.deepStrictEqual(next!.leftOut, [{ date: "2031-03-30", because: "gap" }])
  })

  it("meets what is due there anyway in one slot", () => {
    assert.deepStrictEqual(berlin({}, "0 2,3 * * *").map(({ slot }) => iso(slot)), [
      "2031-03-30T01:00Z",
    ])
  })

  it("is half an hour on Lord Howe, midnight in Santiago, and a whole day in Apia", () => {
    const lordHowe = cron("15 2 * * *", { zone: "Australia/Lord_Howe" })
    assert.deepStrictEqual(slotsOf(lordHowe, "2031-10-04T12:00Z", "2031-10-05T12:00Z"), [
      "2031-10-04T15:45Z",
    ])
    const santiago = cron("@daily", { zone: "America/Santiago" })
    assert.deepStrictEqual(slotsOf(santiago, "2031-09-06T12:00Z", "2031-09-08T00:00Z"), [
      "2031-09-07T04:00Z",
    ])
    const apia = cron("0 9 * * *", { zone: "Pacific/Apia" })
    assert.deepStrictEqual(slotsOf(apia, "2011-12-29T12:00Z", "2012-01-01T00:00Z"), [
      "2011-12-29T19:00Z",
      "2011-12-30T19:00Z",
      "2011-12-31T19:00Z",
    ])
  })
})

describe("a local time that comes twice", () => {
  const berlin = (rules: Parameters<typeof cron>[1] = {}, expression = "30 2 * * *") =>
    firesOf(
      cron(expression, { zone: "Europe/Berlin", ...rules }),
      "2031-10-25T22:00Z",
      "2031-10-26T02:00Z",
    )

  it("is taken the first time, the second, or both", () => {
    const slots = (rules?: Parameters<typeof cron>[1]) => berlin(rules).map(({ slot }) => iso(slot))
    assert.deepStrictEqual(slots(), ["2031-10-26T00:30Z"])
    assert.deepStrictEqual(slots({ overlap: "second" }), ["2031-10-26T01:30Z"])
    assert.deepStrictEqual(slots({ overlap: "both" }), ["2031-10-26T00:30Z", "2031-10-26T01:30Z"])
  })

  it("says which of both it is", () => {
    assert.deepEqual(berlin({ overlap: "both" }).map(({ because }) => because), [
      [{ _tag: "Overlap", which: "first" }],
      [{ _tag: "Overlap", which: "second" }],
    ])
  })

  it("goes on where there is a wildcard, unless told otherwise", () => {
    assert.strictEqual(berlin({}, "*/10 * * * *").length, 24)
    assert.strictEqual(berlin({ overlap: "first" }, "*/10 * * * *").length, 18)
  })
})

describe("a free day", () => {
  const holidays = ["2031-10-01", "2031-10-02", "2031-10-03"]
  const workdays = ["2031-09-28"]
  const calendar = office({ holidays, workdays })
  const daily = (freeDay?: Calendar.FreeDay, expression = "30 7 * * *") =>
    cron(expression, {
      zone: "Asia/Shanghai",
      calendar: calendar.name,
      ...(freeDay !== undefined && { freeDay }),
    })
  const fires = (freeDay: Calendar.FreeDay | undefined, expression?: string) =>
    firesOf(daily(freeDay, expression), "2031-09-25T16:00Z", "2031-10-08T16:00Z", calendar)
  const local = ({ slot }: Trigger.Fire) =>
    iso(Zone.localAt("Asia/Shanghai", slot)).replace("Z", "").slice(5)

  it("is left out, which the next fire tells", () => {
    const found = fires(undefined)
    assert.deepStrictEqual(found.map(local), [
      "09-26T07:30",
      "09-28T07:30",
      "09-29T07:30",
      "09-30T07:30",
      "10-06T07:30",
      "10-07T07:30",
      "10-08T07:30",
    ])
    assert.deepStrictEqual(
      found[4]!.leftOut,
      [...holidays, "2031-10-04", "2031-10-05"].map((date) => ({ date, because: "free day" })),
    )
    assert.deepStrictEqual(found[5]!.leftOut, [])
  })

  it("moves to the next or the previous workday, and keeps its time of day", () => {
    const [first] = fires("next", "30 7 1 10 *")
    assert.strictEqual(local(first!), "10-06T07:30")
    assert.deepEqual(first!.because, [{ _tag: "Moved", from: ["2031-10-01"] }])
    assert.strictEqual(local(fires("previous", "30 7 1 10 *")[0]!), "09-30T07:30")
    assert.strictEqual(local(fires({ move: 2 }, "30 7 1 10 *")[0]!), "10-07T07:30")
    assert.strictEqual(local(fires({ move: -2 }, "30 7 1 10 *")[0]!), "09-29T07:30")
    assert.strictEqual(local(fires({ move: 2 }, "30 7 30 9 *")[0]!), "09-30T07:30", "is none")
    assert.strictEqual(local(fires({ shift: 1 }, "30 7 30 9 *")[0]!), "10-06T07:30")
    assert.strictEqual(local(fires({ shift: -2 }, "30 7 30 9 *")[0]!), "09-28T07:30")
  })

  it("meets others on the day it moves to in one slot", () => {
    const found = fires("next")
    assert.strictEqual(new Set(found.map(local)).size, found.length)
    const met = found.find((fire) => local(fire) === "10-06T07:30")!
    assert.deepEqual(met.because, [{
      _tag: "Moved",
      from: [...holidays, "2031-10-04", "2031-10-05"],
    }])
  })

  it("is told when the calendar was made before its year was known", () => {
    const [fire] = firesOf(daily(), "2032-01-05T00:00Z", "2032-01-08T00:00Z", calendar)
    assert.deepEqual(fire!.because, [{ _tag: "Uncovered", year: 2032 }])
  })

  /** Day by day, as a person would with a list. */
  const byHand = (
    days: { holidays: ReadonlyArray<string>; workdays: ReadonlyArray<string> },
    rule: Calendar.FreeDay,
    fits: (date: Date) => boolean,
  ) => {
    const date = (at: number) => new Date(at).toISOString().slice(0, 10)
    const isOff = (at: number) =>
      !days.workdays.includes(date(at)) &&
      (days.holidays.includes(date(at)) || [0, 6].includes(new Date(at).getUTCDay()))
    const found = new Set<string>()
    for (let at = Date.UTC(2023, 6, 1); at < Date.UTC(2026, 6, 1); at += day) {
      if (!fits(new Date(at))) continue
      const always = typeof rule === "object" && "shift" in rule
      if (rule === "skip" && isOff(at)) continue
      let left = !always && !isOff(at)
        ? 0
        : rule === "skip"
        ? 0
        : rule === "next"
        ? 1
        : rule === "previous"
        ? -1
        : "shift" in rule
        ? rule.shift
        : rule.move
      let to = at
      while (left !== 0) {
        to += Math.sign(left) * day
        if (!isOff(to)) left -= Math.sign(left)
      }
      found.add(date(to))
    }
    return [...found].filter((each) => each >= "2024-01-01" && each < "2026-01-01").sort()
  }

  const china = {
    holidays: [...china2024.holidays, ...china2025.holidays],
    workdays: [...china2024.workdays, ...china2025.workdays],
  }
  const rules: ReadonlyArray<Calendar.FreeDay> = [
    "skip",
    "next",
    "previous",
    { move: 2 },
    { move: -3 },
    { shift: 1 },
    { shift: -2 },
    { shift: 5 },
  ]
  const patterns: ReadonlyArray<readonly [string, (date: Date) => boolean]> = [
    ["0 9 * * *", () => true],
    ["0 9 1,15 * *", (date) => [1, 15].includes(date.getUTCDate())],
    ["0 9 L * *", (date) => new Date(+date + day).getUTCDate() === 1],
    ["0 9 * * SAT", (date) => date.getUTCDay() === 6],
    [
      "0 9 * 2,10 MON-FRI",
      (date) => [1, 9].includes(date.getUTCMonth()) && ![0, 6].includes(date.getUTCDay()),
    ],
  ]
  for (const rule of rules) {
    for (const [expression, fits] of patterns) {
      it(`${JSON.stringify(rule)}: "${expression}" through two working years of China`, () => {
        const calendar = office(china)
        const schedule = cron(expression, {
          zone: "Asia/Shanghai",
          calendar: calendar.name,
          freeDay: rule,
        })
        const found = firesOf(schedule, "2023-12-31T16:00Z", "2025-12-31T16:00Z", calendar)
        assert.deepStrictEqual(
          found.map(({ slot }) => new Date(slot + 8 * 60 * minute).toISOString()),
          byHand(china, rule, fits).map((date) => `${date}T09:00:00.000Z`),
        )
      })
    }
  }

  it("comes to an end where all days it could come to are free", () => {
    const schedule = cron("0 0 1 1 *", { calendar: calendar.name })
    const never = office({
      rest: ["SAT"],
      holidays: Array.from({ length: 60 }, (_, n) => `${2030 + n}-01-01`),
    })
    const began = performance.now()
    const slot = Trigger.slotAfter(schedule, Date.UTC(2030, 0, 1), never)
    assert.isUndefined(slot)
    assert.isBelow(performance.now() - began, 1000)
  })

  it("needs its calendar at hand", () => {
    assert.throws(() => Trigger.slotAfter(daily(), 0), /office/)
  })
})

describe("start, end and jitter", () => {
  const start = Date.UTC(2031, 0, 1, 12)
  const end = start + 10 * minute

  it("let slots be within, start included and end not", () => {
    const schedule = cron("* * * * *", { start, end })
    const found = slotsOf(schedule, "2031-01-01T00:00Z", "2032-01-01T00:00Z")
    assert.strictEqual(found.length, 10)
    assert.strictEqual(found[0], "2031-01-01T12:00Z")
    const every: Trigger.Schedule = {
      _tag: "Every",
      millis: minute,
      anchor: start + 500,
      start,
      end,
    }
    const ticks = firesOf(every, "2031-01-01T00:00Z", "2032-01-01T00:00Z")
    assert.deepStrictEqual([ticks[0]!.slot, ticks.length], [start + 500, 10])
  })

  it("anchor an interval at its start", () => {
    const definition = new Trigger.TriggerDefinition({
      namespace,
      name,
      task: "greet" as never,
      schedule: { _tag: "Every", millis: minute, start },
      payload: "1",
      misfire: { _tag: "Once" },
    })
    const { schedule } = Trigger.anchored(definition, undefined, 1234)
    assert.deepInclude({ ...schedule }, { anchor: start })
  })

  it("delay by the same amount whoever asks, spread, and never to the next slot", () => {
    const schedule = cron("* * * * *", { jitterMillis: 10 * minute })
    const found = firesOf(schedule, "2031-01-01T00:00Z", "2031-01-02T00:00Z")
    const again = firesOf(schedule, "2031-01-01T06:00Z", "2031-01-02T00:00Z")
    assert.deepEqual(found.slice(360), again)
    for (const [at, { due, slot }] of found.entries()) {
      assert.isAtLeast(due, slot)
      assert.isBelow(due, found[at + 1]?.slot ?? Infinity)
    }
    const delays = found.map(({ due, slot }) => (due - slot) / minute)
    assert.isAbove(delays.filter((delay) => delay < 0.5).length, 500)
    assert.isAbove(delays.filter((delay) => delay > 0.5).length, 500)
    const other = Trigger.TriggerName.make("other")
    const [first] = Trigger.fires({ namespace, name: other, schedule }, undefined, start)
    assert.notStrictEqual(first!.due, found.find(({ slot }) => slot === first!.slot)!.due)
  })

  it("keep to what was asked where slots are far apart", () => {
    for (
      const { due, slot } of firesOf(
        cron("@daily", { jitterMillis: 1000 }),
        "2031-01-01T00:00Z",
        "2031-03-01T00:00Z",
      )
    ) assert.isAtMost(due - slot, 1000)
  })
})

describe("whoever asks in any order", () => {
  for (
    const expression of ["0 0 29 2 *", "*/7 8-10 1,15 3 *", "30 2 * * SUN#L", "0 0 9 1 1 * 2034"]
  ) {
    it(`is told of the first slot after, by ${expression}`, () => {
      const [from, until] = [Date.parse("2031-01-01T00:00Z"), Date.parse("2043-01-01T00:00Z")]
      const asked = cron(expression)
      const all: Array<number> = []
      for (const slot of Trigger.slots(asked, from)) {
        if (slot >= until) break
        assert.isAbove(slot, all.at(-1) ?? from)
        all.push(slot)
      }
      assert.isNotEmpty(all)
      let state = 1
      const random = () => (state = state * 48_271 % 2_147_483_647) / 2_147_483_647
      for (let time = 0; time < 500; time++) {
        const near = all[Math.floor(random() * all.length)]! + Math.floor(random() * 3) - 1
        const anywhere = from + Math.floor(random() * (until - from))
        const after = random() < 0.5 ? near : anywhere
        const expected = all.find((slot) => slot > after)
        const answer = Trigger.slotAfter(asked, after)
        if (expected === undefined && answer !== undefined) assert.isAtLeast(answer, until)
        else assert.strictEqual(answer, expected, `after ${new Date(after).toISOString()}`)
      }
    })
  }
})

describe("what cannot be", () => {
  const now = Date.UTC(2031, 0, 1)
  const fieldOf = (schedule: Trigger.Schedule, calendar?: Calendar.Calendar) => {
    const checked = Trigger.check(schedule, now, calendar)
    return Result.isFailure(checked) ? checked.failure.field : undefined
  }

  it("is refused by the field that is wrong", () => {
    assert.strictEqual(fieldOf(cron("@daily", { freeDay: "next" })), "freeDay")
    assert.strictEqual(fieldOf(cron("@daily", { calendar: office().name })), "calendar")
    assert.strictEqual(fieldOf(cron("@daily", { end: now })), "end")
    assert.strictEqual(fieldOf(cron("@daily", { start: now + day, end: now + day })), "end")
    assert.strictEqual(fieldOf({ _tag: "Every", millis: 1000, end: now - 1 }), "end")
    assert.strictEqual(fieldOf(cron("@yearly", { end: now + day })), "expression")
    assert.strictEqual(
      fieldOf(cron("0 0 * * SAT", { calendar: office().name }), office()),
      "expression",
      "on free days alone",
    )
    assert.isUndefined(fieldOf(cron("@daily", { calendar: office().name }), office()))
  })

  it("is refused in no time, also where the clocks skip it every year", () => {
    const impossible = [
      cron("0 0 31 4 *"),
      cron("0 0 30 2 *"),
      cron("30 2 * 3 SUN#L", { zone: "Europe/Berlin", gap: "skip" }),
    ]
    for (const schedule of impossible) {
      const began = performance.now()
      assert.strictEqual(fieldOf(schedule), "expression")
      assert.isBelow(performance.now() - began, 500)
    }
  })
})

describe("the zone of the machine", () => {
  const program = fileURLToPath(new URL("./slots.fixture.ts", import.meta.url))
  const inZone = async (zone: string) => {
    const { stdout } = await promisify(execFile)(process.execPath, [program], {
      env: { ...process.env, TZ: zone },
    })
    return stdout
  }

  it("B33: changes nothing", async () => {
    const [here, ...elsewhere] = await Promise.all(
      ["UTC", "Australia/Sydney", "America/St_Johns"].map(inZone),
    )
    assert.isAbove(here!.length, 1000)
    for (const output of elsewhere) assert.strictEqual(output, here)
  })
})
