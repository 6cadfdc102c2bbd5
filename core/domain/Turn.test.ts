import { assert, describe, it } from "@effect/vitest"
import { Calendar, CalendarName } from "./Calendar.ts"
import { standard } from "./Namespace.ts"
import type { Schedule } from "./Trigger.ts"
import * as Turn from "./Turn.ts"

const hour = 3_600_000
const now = 1000 * hour
const every = (millis: number): Schedule => ({ _tag: "Every", millis, start: 0 })
const standing = (differently: Partial<Turn.InForce> = {}): Turn.InForce => ({
  schedule: every(1000),
  calendar: undefined,
  cursor: now + 1000,
  isPaused: false,
  since: now,
  ...differently,
})

/** Its slots up to here have records, and the clock was set back since. */
const recorded = now + hour
const ahead = { cursor: recorded + 1000 }

describe("a rule that changes while the clock is set back", () => {
  it("is in force for slots that have no record", () => {
    const wanted = { schedule: every(5000), calendar: undefined }
    const { cursor, since } = Turn.edited(standing(ahead), wanted, now, recorded)
    assert.strictEqual(since, recorded + 1)
    assert.strictEqual(cursor, recorded + 5000)
  })

  it("is in force from where it was when its schedule stays", () => {
    const { calendar, schedule } = standing()
    const { cursor, since } = Turn.edited(standing(ahead), { calendar, schedule }, now, recorded)
    assert.deepStrictEqual({ cursor, since }, { ...ahead, since: ahead.cursor })
  })

  it("goes by another calendar for slots that have no record", () => {
    const calendar = new Calendar({
      namespace: standard,
      name: CalendarName.make("office"),
      rest: [],
      holidays: [],
      workdays: [],
    })
    const turn = Turn.recalled(standing(ahead), now, calendar, recorded)
    assert.deepStrictEqual(turn, { since: recorded + 1, cursor: ahead.cursor })
  })

  it("is resumed where it was, though nothing was recorded yet", () => {
    const before = standing({ ...ahead, isPaused: true })
    assert.deepStrictEqual(Turn.resumed(before, now, undefined), { closed: undefined, ...ahead })
  })
})

describe("a rule", () => {
  it("that has no slot left has none when it is resumed, and the clock was set back to before one", () => {
    const schedule: Schedule = { _tag: "At", at: now }
    const before = standing({ schedule, cursor: undefined, isPaused: true })
    for (const then of [now - hour, now + hour]) {
      assert.deepStrictEqual(Turn.resumed(before, then, undefined), {
        closed: undefined,
        cursor: undefined,
      })
    }
  })

  it("that has no slot left stays so when it is defined anew, and the clock was set back to before one", () => {
    const schedule: Schedule = { _tag: "At", at: now }
    const before = standing({ schedule, cursor: undefined, since: now + hour })
    const wanted = { schedule, calendar: undefined }
    for (
      const [then, recorded, since] of [
        [now - hour, undefined, now + hour],
        [now - hour, now + 2 * hour, now + 2 * hour + 1],
        [now + 3 * hour, undefined, now + 3 * hour + 1],
      ] as const
    ) {
      assert.deepStrictEqual(
        Turn.edited(before, wanted, then, recorded),
        { closed: undefined, since, cursor: undefined },
      )
    }
  })

  it("is resumed at the first slot to come, and what was due is skipped", () => {
    const before = standing({ cursor: now - 2000, isPaused: true })
    assert.deepStrictEqual(Turn.resumed(before, now + 500, now - 3000), {
      closed: { from: now - 2000, through: now, reason: "paused" },
      cursor: now + 1000,
    })
  })
})
