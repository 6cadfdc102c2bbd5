import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as Calendar from "./Calendar.ts"
import { china2024, china2025 } from "./holidays.fixture.ts"
import { Namespace } from "./Namespace.ts"

const made = (input: Omit<Calendar.CalendarInput, "namespace" | "name"> = {}): Calendar.Calendar =>
  Result.getOrThrow(
    Calendar.make({ namespace: Namespace.make("default"), name: "office", ...input }),
  )
const refusal = (input: Partial<Calendar.CalendarInput>) => {
  const result = Calendar.make({
    namespace: Namespace.make("default"),
    name: "office",
    ...input,
  })
  return Result.isFailure(result) ? result.failure : undefined
}
const day = (date: string) => Calendar.dayOf(date)!
const isWorkday = (calendar: Calendar.Calendar, date: string) =>
  Calendar.isWorkday(calendar, day(date))

describe("a calendar", () => {
  it("has weekends unless told otherwise", () => {
    assert.isTrue(isWorkday(made(), "2031-10-03"))
    assert.isFalse(isWorkday(made(), "2031-10-04"))
    assert.isFalse(isWorkday(made(), "2031-10-05"))
    assert.isTrue(isWorkday(made({ rest: [] }), "2031-10-05"))
    assert.isFalse(isWorkday(made({ rest: ["FRI"] }), "2031-10-03"))
    assert.isFalse(isWorkday(made(), "1969-12-28"), "before 1970 as well")
  })

  it("is free on holidays, and is not on make-up workdays", () => {
    const calendar = made({ holidays: ["2031-10-01"], workdays: ["2031-10-04"] })
    assert.isFalse(isWorkday(calendar, "2031-10-01"))
    assert.isTrue(isWorkday(calendar, "2031-10-04"))
    assert.isFalse(isWorkday(calendar, "2031-10-05"))
  })

  it("is the same data however its dates were given", () => {
    assert.deepEqual(
      made({ rest: ["SUN", "SAT"], holidays: ["2031-10-02", "2031-10-01", "2031-10-02"] }),
      made({ rest: ["SAT", "SUN", "SAT"], holidays: ["2031-10-01", "2031-10-02"] }),
    )
  })

  it("finds the nearest workdays, and gives up where there are none", () => {
    const calendar = made({ holidays: ["2031-10-01", "2031-10-02", "2031-10-03"] })
    const from = (date: string, count: number) => {
      const found = Calendar.workdayFrom(calendar, day(date), count)
      return found === undefined ? undefined : Calendar.dateOf(found)
    }
    assert.strictEqual(from("2031-10-01", 1), "2031-10-06")
    assert.strictEqual(from("2031-10-01", 2), "2031-10-07")
    assert.strictEqual(from("2031-10-01", -1), "2031-09-30")
    assert.strictEqual(from("2031-10-06", -3), "2031-09-26")
    const idle = made({
      holidays: Array.from({ length: 1000 }, (_, n) => Calendar.dateOf(day("2031-01-01") + n)),
    })
    assert.isUndefined(Calendar.workdayFrom(idle, day("2031-02-01"), 1))
    assert.isDefined(Calendar.workdayFrom(idle, day("2031-02-01"), -1))
  })

  it("knows which years it was made for", () => {
    const calendar = made({ holidays: ["2031-10-01"] })
    assert.isTrue(Calendar.covers(calendar, day("2031-01-01")))
    assert.isFalse(Calendar.covers(calendar, day("2032-01-01")))
    assert.isTrue(Calendar.covers(made(), day("2032-01-01")), "without dates it is for all")
  })

  it("is refused with the field, the reason and a remedy", () => {
    const cases: ReadonlyArray<readonly [string, Partial<Calendar.CalendarInput>]> = [
      ["name", { name: "" }],
      ["name", { name: "../x" }],
      ["rest", { rest: ["SATURDAY"] }],
      ["rest", { rest: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] }],
      ["holidays", { holidays: ["2031-02-29"] }],
      ["holidays", { holidays: ["1.10.2031"] }],
      ["workdays", { workdays: ["2031-13-01"] }],
      ["workdays", { holidays: ["2031-10-01"], workdays: ["2031-10-01"] }],
      ["holidays", { holidays: Array.from({ length: 1001 }, () => "2031-10-01") }],
    ]
    for (const [field, input] of cases) {
      const refused = refusal(input)
      assert.strictEqual(refused?.field, field, JSON.stringify(input).slice(0, 100))
      assert.isAbove(refused!.remedy.length, 10)
    }
  })
})

describe("the working years of China, as published", () => {
  const count = (calendar: Calendar.Calendar, year: number) => {
    let days = 0
    for (let each = day(`${year}-01-01`); each <= day(`${year}-12-31`); each++) {
      if (Calendar.isWorkday(calendar, each)) days++
    }
    return days
  }

  it("have 251 workdays in 2024, and 248 in 2025", () => {
    assert.strictEqual(count(made(china2024), 2024), 251)
    assert.strictEqual(count(made(china2025), 2025), 248)
  })

  it("make up for every workday that is off, on rest days only", () => {
    for (const { holidays, workdays } of [china2024, china2025]) {
      const weekend = (date: string) => [0, 6].includes(new Date(`${date}T00:00:00Z`).getUTCDay())
      assert.isTrue(workdays.every(weekend))
      assert.isTrue(holidays.some((date) => !weekend(date)))
    }
  })
})
