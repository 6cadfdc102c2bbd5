import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { Namespace } from "./Namespace.ts"
import * as Trigger from "./Trigger.ts"

const cron = (expression: string, zone = "UTC"): Trigger.Schedule => ({
  _tag: "Cron",
  expression,
  zone,
})
const every = (millis: number, anchor?: number): Trigger.Schedule => ({
  _tag: "Every",
  millis,
  ...(anchor !== undefined && { anchor }),
})
const at = (instant: number): Trigger.Schedule => ({ _tag: "At", at: instant })

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const start = Date.UTC(2026, 10, 21, 4, 30, 17, 250)

const first = (schedule: Trigger.Schedule, after: number, count: number): Array<number> => {
  const found: Array<number> = []
  for (const slot of Trigger.slots(schedule, after)) {
    found.push(slot)
    if (found.length === count) break
  }
  return found
}

/** All slots in [`from`, `to`], one after the other. */
const between = (schedule: Trigger.Schedule, from: number, to: number): Array<number> => {
  const found: Array<number> = []
  for (const slot of Trigger.slots(schedule, from - 1)) {
    if (slot > to) break
    found.push(slot)
  }
  return found
}

const schedules: Readonly<Record<string, Trigger.Schedule>> = {
  "every second": cron("* * * * * *"),
  "every minute": cron("* * * * *"),
  "half past two": cron("30 2 * * *", "Europe/Berlin"),
  "every half hour": cron("*/30 * * * *", "America/New_York"),
  "weekdays": cron("0 9 * * MON-FRI", "Asia/Kolkata"),
  "last of the month": cron("0 0 L * *"),
  "nearest weekday": cron("0 12 15W * *", "Europe/Berlin"),
  "second Tuesday": cron("0 12 * * TUE#2"),
  "last Friday": cron("0 0 * * FRI#L"),
  "leap day": cron("0 0 29 2 *"),
  "@daily": cron("@daily", "Pacific/Apia"),
  "with a year": cron("0 0 12 1 1 * 2030-2033"),
  "every 90 s": every(90_000, start - 12_345),
  "every second, from an anchor to come": every(1000, start + 5000),
  "every day without anchor": every(day),
}

describe("Trigger.slots", () => {
  for (const [name, schedule] of Object.entries(schedules)) {
    it(`${name}: strictly increasing, after the start, and the same from any point on`, () => {
      const found = first(schedule, start, 40)
      assert.isAbove(found.length, 3)
      let last = start
      for (const slot of found) {
        assert.isAbove(slot, last)
        assert.isTrue(Number.isInteger(slot))
        last = slot
      }
      const half = Math.floor(found.length / 2)
      assert.deepStrictEqual(
        first(schedule, found[half - 1]!, found.length - half),
        found.slice(half),
      )
      assert.deepStrictEqual(first(schedule, found[half]! - 1, 1), [found[half]!])
    })
  }

  it("of an instant is that instant, once", () => {
    assert.deepStrictEqual(first(at(start), start - 1, 5), [start])
    assert.deepStrictEqual(first(at(start), start, 5), [])
  })

  it("of an interval keep to its anchor, which is the first", () => {
    const anchor = start + 333
    assert.deepStrictEqual(first(every(1000, anchor), 0, 3), [anchor, anchor + 1000, anchor + 2000])
    assert.deepStrictEqual(first(every(1000, anchor), anchor - 1, 1), [anchor])
    assert.deepStrictEqual(first(every(1000, anchor), anchor, 1), [anchor + 1000])
  })

  it("end with the last year named", () => {
    assert.deepStrictEqual(
      between(cron("0 0 12 1 1 * 2030-2031"), start, Date.UTC(2090, 0, 1)),
      [Date.UTC(2030, 0, 1, 12), Date.UTC(2031, 0, 1, 12)],
    )
  })
})

describe("Trigger.lastSlots", () => {
  for (const [name, schedule] of Object.entries(schedules)) {
    it(`${name}: as by walking through all of them`, () => {
      const all = first(schedule, start, 30)
      const [from, to] = [all[0]!, all[all.length - 1]!]
      for (const count of [1, 2, 7, 100]) {
        assert.deepStrictEqual(Trigger.lastSlots(schedule, from, to, count), all.slice(-count))
        assert.deepStrictEqual(
          Trigger.lastSlots(schedule, from, to - 1, count),
          all.slice(0, -1).slice(-count),
        )
      }
    })
  }

  it("is none when the window has none", () => {
    assert.deepStrictEqual(Trigger.lastSlots(cron("0 0 29 2 *"), start, start + day, 3), [])
    assert.deepStrictEqual(Trigger.lastSlots(at(start), start + 1, start + day, 3), [])
  })

  it("costs little after weeks of being down", () => {
    const began = performance.now()
    const found = Trigger.lastSlots(cron("* * * * * *"), start, start + 60 * day, 1000)
    assert.strictEqual(found.length, 1000)
    assert.strictEqual(found[999], Math.floor((start + 60 * day) / 1000) * 1000)
    assert.isBelow(performance.now() - began, 2000)
  })
})

describe("Trigger.step", () => {
  const misfires: ReadonlyArray<Trigger.Misfire> = [
    { _tag: "Skip" },
    { _tag: "Once" },
    { _tag: "All", max: 1 },
    { _tag: "All", max: 3 },
    { _tag: "All", max: 1000 },
    { _tag: "All", max: 4, maxAgeMillis: 150_000 },
    { _tag: "All", max: 1000, maxAgeMillis: 3_600_000 },
  ]

  /** Every slot with its end, as walking through all of them from `cursor` to `now` has it. */
  const naive = (
    schedule: Trigger.Schedule,
    misfire: Trigger.Misfire,
    cursor: number,
    now: number,
  ): ReadonlyArray<readonly [number, string]> => {
    const due = between(schedule, cursor, now)
    const missed = due.filter((slot) => slot <= now - Trigger.usualGraceMillis)
    const kept = misfire._tag === "Skip" ? 0 : misfire._tag === "Once" ? 1 : misfire.max
    return due.map((slot, n) => {
      const ageMax = misfire._tag === "All" ? misfire.maxAgeMillis ?? Infinity : Infinity
      const isKept = n >= missed.length - kept && (n >= missed.length || slot >= now - ageMax)
      if (isKept) return [slot, "fired"]
      return [slot, misfire._tag === "Once" ? "coalesced" : "skipped"]
    })
  }

  /** The same, step by step, as a planner at `now` goes; `ticks` lets its clock run on. */
  const stepped = (
    schedule: Trigger.Schedule,
    misfire: Trigger.Misfire,
    from: number,
    now: number,
  ): ReadonlyArray<readonly [number, string]> => {
    const records: Array<readonly [number, string]> = []
    let cursor: number | undefined = from
    for (let steps = 0; cursor !== undefined && cursor <= now; steps++) {
      assert.isBelow(steps, 5000, "a trigger gets on")
      const { next, passed, slot }: Trigger.Step = Trigger.step({ schedule, misfire }, cursor, now)
      if (passed !== undefined) {
        assert.strictEqual(passed.from, cursor)
        assert.isAtMost(passed.from, passed.through)
        const stretch = between(schedule, passed.from, passed.through)
        assert.strictEqual(stretch[stretch.length - 1], passed.through, "it ends with a slot")
        for (const each of stretch) records.push([each, passed.outcome])
      }
      if (slot !== undefined) records.push([slot, "fired"])
      assert.isTrue(passed !== undefined || slot !== undefined)
      if (next !== undefined) assert.isAbove(next, cursor)
      cursor = next
    }
    return records
  }

  const downs: ReadonlyArray<readonly [string, Trigger.Schedule, ReadonlyArray<number>]> = [
    ["every 10 s", every(10_000, start), [0, 30_000, minute, minute + 1, 5 * minute, hour]],
    ["every minute", cron("* * * * *"), [0, minute - 1, minute, 2 * minute, hour, 6 * hour]],
    ["half past two", cron("30 2 * * *", "Europe/Berlin"), [0, hour, day, 30 * day, 200 * day]],
    ["an instant", at(start), [0, 30_000, minute, day]],
    ["leap day", cron("0 0 29 2 *"), [0, 2000 * day]],
    ["with a last year", cron("0 0 12 1 1 * 2030-2033"), [0, 400 * day, 3000 * day]],
  ]
  for (const misfire of misfires) {
    const policy = Object.values(misfire).join(" ")
    for (const [name, schedule, lengths] of downs) {
      it(`${policy}: ${name}, as by walking through every slot`, () => {
        const cursor = Trigger.slotAfter(schedule, start - 1)!
        for (const length of lengths) {
          const now = cursor + length
          assert.deepStrictEqual(
            stepped(schedule, misfire, cursor, now),
            naive(schedule, misfire, cursor, now),
            `down for ${length} ms`,
          )
        }
      })
    }
  }

  it("catches up with a thousand slots in about the time of looking at each once", () => {
    const schedule = cron("* * * * *", "America/New_York")
    const now = start + 1100 * minute
    const began = performance.now()
    const records = stepped(
      schedule,
      { _tag: "All", max: 1000 },
      Trigger.slotAfter(schedule, start)!,
      now,
    )
    assert.strictEqual(records.filter(([, outcome]) => outcome === "fired").length, 1000 + 1)
    assert.isBelow(performance.now() - began, 5000)
  })

  it("fires one by one what is late within the grace", () => {
    const schedule = every(10_000, start)
    const step = Trigger.step(
      { schedule, misfire: { _tag: "Skip" } },
      start,
      start + Trigger.usualGraceMillis - 1,
    )
    assert.deepStrictEqual(step, { passed: undefined, slot: start, next: start + 10_000 })
  })

  it("has a grace of its own if it is told", () => {
    const definition = {
      schedule: every(10_000, start),
      misfire: { _tag: "Skip" as const },
      graceMillis: 5000,
    }
    assert.strictEqual(Trigger.step(definition, start, start + 4999).slot, start)
    assert.deepStrictEqual(Trigger.step(definition, start, start + 5000), {
      passed: { from: start, through: start, outcome: "skipped" },
      slot: undefined,
      next: start + 10_000,
    })
  })

  it("ends a trigger whose last slot was missed", () => {
    const skip = Trigger.step(
      { schedule: at(start), misfire: { _tag: "Skip" } },
      start,
      start + hour,
    )
    assert.deepStrictEqual(skip, {
      passed: { from: start, through: start, outcome: "skipped" },
      slot: undefined,
      next: undefined,
    })
    const once = Trigger.step(
      { schedule: at(start), misfire: { _tag: "Once" } },
      start,
      start + hour,
    )
    assert.deepStrictEqual(once, { passed: undefined, slot: start, next: undefined })
  })
})

describe("Trigger.check", () => {
  const refusal = (schedule: Trigger.Schedule) => {
    const checked = Trigger.check(schedule, start)
    return Result.isFailure(checked) ? checked.failure : undefined
  }

  for (const [name, schedule] of Object.entries(schedules)) {
    it(`accepts ${name}`, () => assert.isUndefined(refusal(schedule)))
  }

  it("refuses an instant that is over, which would never fire", () => {
    assert.deepInclude(refusal({ _tag: "At", at: start }), { field: "at", reason: "it is over" })
    assert.isUndefined(refusal({ _tag: "At", at: start + 1 }))
  })

  for (
    const expression of ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 *", "0 0 12 1 1 * 2020"]
  ) {
    it(`B34: refuses "${expression}", which never comes, fast`, () => {
      const began = performance.now()
      assert.deepInclude({ ...refusal(cron(expression)) }, { _tag: "Refused", field: "expression" })
      assert.isBelow(performance.now() - began, 500)
    })
  }

  for (const expression of ["", " ", "* * * *", "60 * * * *", "a b c d e", "* * * * * * * *"]) {
    it(`refuses "${expression}", which is no expression, and says what is one`, () => {
      const refused = refusal(cron(expression))
      assert.strictEqual(refused?.field, "expression")
      assert.isAbove(refused!.remedy.length, 10)
      assert.notMatch(refused!.message, /undefined|object Object/)
    })
  }

  it("refuses a zone that nobody knows", () => {
    for (const zone of ["Mars/Olympus", "", "CET+99"]) {
      assert.strictEqual(refusal(cron("* * * * *", zone))?.field, "zone", zone)
    }
  })

  it("refuses an endless expression unread", () => {
    const began = performance.now()
    assert.strictEqual(refusal(cron(`${"1,".repeat(100_000)}1 * * * *`))?.field, "expression")
    assert.isBelow(performance.now() - began, 50)
  })
})

describe("Trigger.partitionOf", () => {
  it("may never change: triggers are stored under it", () => {
    const of = (namespace: string, name: string) =>
      Trigger.partitionOf(Namespace.make(namespace), Trigger.TriggerName.make(name))
    const known = [["default", "daily"], ["default", "hourly"], [
      "shop",
      "invoices/monthly",
    ]] as const
    assert.deepStrictEqual(known.map(([namespace, name]) => of(namespace, name)), [5, 9, 7])
  })
  it("spreads triggers evenly", () => {
    const counts = Array.from({ length: Trigger.partitions }, () => 0)
    const namespace = Namespace.make("default")
    for (let n = 0; n < 16_000; n++) {
      const partition = Trigger.partitionOf(namespace, Trigger.TriggerName.make(`trigger-${n}`))
      counts[partition]!++
    }
    for (const count of counts) assert.approximately(count, 1000, 200)
  })
})
