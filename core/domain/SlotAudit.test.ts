import { assert, describe, it } from "vitest"
import { Calendar, type CalendarName } from "./Calendar.ts"
import { standard } from "./Namespace.ts"
import * as SlotAudit from "./SlotAudit.ts"
import type { Schedule } from "./Trigger.ts"

const everyTen: Schedule = { _tag: "Every", millis: 10, anchor: 0 } as Schedule
const everySeven: Schedule = { _tag: "Every", millis: 7, anchor: 0 } as Schedule

const version = (
  since: number,
  schedule: Schedule | undefined = everyTen,
  calendar?: Calendar,
) => ({
  since,
  schedule,
  calendar,
})

const record = (slot: number, through = slot): SlotAudit.Record => ({
  slot,
  through,
  isGathered: false,
})

const records = (from: number, through: number, step = 10) =>
  Array.from({ length: (through - from) / step + 1 }, (_, nth) => record(from + nth * step))

const judge = (
  differently: Partial<SlotAudit.Account>,
  from = 0,
  until = 100,
) =>
  SlotAudit.judge(
    { versions: [version(0)], records: [], cursor: 110, isPaused: false, ...differently },
    from,
    until,
  )

const found = (...found: ReadonlyArray<readonly [SlotAudit.FindingKind, number, number]>) =>
  found.map(([kind, slot, through]) => ({ kind, slot, through }))

describe("the audit of slots", () => {
  it("finds nothing where each slot has one record", () => {
    const whole = { findings: [], open: undefined, records: 11 }
    assert.deepStrictEqual(judge({ records: records(0, 100) }), whole)
    const stretch = [record(0), record(10, 80), record(90), record(100)]
    assert.deepStrictEqual(judge({ records: stretch }), { ...whole, records: 4 })
  })

  it("finds a dropped slot, and gaps as stretches", () => {
    const dropped = records(0, 100).filter(({ slot }) => slot !== 40)
    assert.deepStrictEqual(judge({ records: dropped }).findings, found(["missing", 40, 40]))
    const gaps = records(0, 100).filter(({ slot }) => slot > 20 && (slot < 50 || slot > 80))
    assert.deepStrictEqual(
      judge({ records: gaps }).findings,
      found(["missing", 0, 20], ["missing", 50, 80]),
    )
    assert.deepStrictEqual(judge({}).findings, found(["missing", 0, 100]))
  })

  it("finds a slot with two records", () => {
    const doubled = [...records(0, 100), record(70)].sort((a, b) => a.slot - b.slot)
    assert.deepStrictEqual(judge({ records: doubled }).findings, found(["double", 70, 70]))
    const covered = [record(0, 50), record(30), record(60, 100)]
    assert.deepStrictEqual(judge({ records: covered }).findings, found(["double", 30, 30]))
  })

  it("finds what no version has", () => {
    const odd = [...records(0, 100), record(75)].sort((a, b) => a.slot - b.slot)
    assert.deepStrictEqual(judge({ records: odd }).findings, found(["unexpected", 75, 75]))
    const stretch = [record(0), record(10, 83), record(90), record(100)]
    assert.deepStrictEqual(judge({ records: stretch }).findings, found(["unexpected", 10, 83]))
  })

  it("leaves what has no record yet for the next time, and says when nobody fires it", () => {
    const behind = { records: records(0, 40), cursor: 50 }
    assert.deepStrictEqual(judge(behind), { findings: [], open: 50, records: 5 })
    const until = 50 + SlotAudit.patienceMillis
    assert.deepStrictEqual(judge(behind, 0, until).findings, found(["overdue", 50, 50]))
    assert.deepStrictEqual(judge({ ...behind, isPaused: true }, 0, until).findings, [])
    // From there it goes on, whatever the window.
    assert.deepStrictEqual(judge({ records: records(0, 100) }, 50, 100).findings, [])
  })

  it("judges each slot by the version that is in force for it", () => {
    const versions = [version(0), version(35, everySeven), version(64)]
    const kept = [...records(0, 30), ...records(35, 63, 7), ...records(70, 100)]
    assert.deepStrictEqual(judge({ versions, records: kept }).findings, [])
    const late = [...records(0, 30), ...records(42, 63, 7), ...records(70, 100)]
    assert.deepStrictEqual(judge({ versions, records: late }).findings, found(["missing", 35, 35]))
  })

  it("expects nothing of a trigger that was removed, nor before it was put", () => {
    const versions = [version(30), version(51, undefined), version(80)]
    const gone = versions.map((each, at) => at === 1 ? { ...each, schedule: undefined } : each)
    const kept = [...records(30, 50), ...records(80, 100)]
    assert.deepStrictEqual(judge({ versions: gone, records: kept }).findings, [])
  })

  it("accepts a later version whose slots begin early, as after a clock that was set back", () => {
    const versions = [version(0), version(45, everySeven)]
    const kept = [...records(0, 70), record(77), record(84), record(91), record(98)]
    const { findings } = judge({ versions, records: kept })
    assert.isFalse(findings.some(({ kind }) => kind === "unexpected"))
  })

  it("takes what has left by its age for recorded", () => {
    const kept = [{ slot: 3, through: 57, isGathered: true }, ...records(60, 100)]
    assert.deepStrictEqual(judge({ records: kept }, 10).findings, [])
  })

  it("follows the calendar of each version", () => {
    const day = 86_400_000
    const calendar = (holidays: ReadonlyArray<string>) =>
      new Calendar({
        namespace: standard,
        name: "office" as CalendarName,
        rest: [],
        holidays: holidays as never,
        workdays: [],
      })
    const schedule: Schedule = {
      _tag: "Cron",
      expression: "0 0 * * *",
      zone: "UTC",
      calendar: "office" as CalendarName,
    }
    const first = Date.UTC(2031, 0, 1)
    const versions = [
      version(first, schedule, calendar(["2031-01-03"])),
      version(first + 3.5 * day, schedule, calendar(["2031-01-06"])),
    ]
    const days = [0, 1, 3, 4, 6].map((nth) => record(first + nth * day))
    const account = { versions, records: days, cursor: first + 7 * day }
    assert.deepStrictEqual(judge(account, first, first + 6 * day).findings, [])
    const old = { ...account, versions: versions.slice(0, 1) }
    assert.deepStrictEqual(
      judge(old, first, first + 6 * day).findings,
      found(["missing", first + 5 * day, first + 5 * day]),
    )
  })

  it("expects no slots of what is permanent, and accepts those it has", () => {
    const permanent: Schedule = {
      _tag: "Permanent",
      delayMillis: 1000,
      growth: 2,
      delayMaxMillis: 1000,
      steadyMillis: 1000,
    }
    const kept = [record(3), record(55)]
    assert.deepStrictEqual(
      judge({ versions: [version(0, permanent)], records: kept, cursor: undefined }).findings,
      [],
    )
  })

  it("judges a stretch of a million slots as fast as one, and tells of no more than it may", () => {
    const second: Schedule = { _tag: "Every", millis: 1000, anchor: 0 }
    const versions = [version(0, second)]
    const end = 1e9
    const began = performance.now()
    const one = judge({ versions, records: [record(0, end)], cursor: end + 1000 }, 0, end)
    assert.deepStrictEqual(one.findings, [])
    assert.isBelow(performance.now() - began, 1000)
    const holes = Array.from({ length: 500 }, (_, nth) => record(nth * 2000))
    const { findings } = judge({ versions, records: holes, cursor: end + 1000 }, 0, end)
    assert.strictEqual(findings.length, SlotAudit.findingsMax)
  })
})
