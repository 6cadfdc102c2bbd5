import { assert, describe, it } from "@effect/vitest"
import { DateTime, Result } from "effect"
import type { CalendarName } from "../../core/domain/Calendar.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import * as changes from "./changes.ts"
import type { ChangeSchedule, Schedule } from "./Views.ts"

const instant = (text: string) => DateTime.makeUnsafe(text)
const office = "office" as CalendarName
const order = "order" as TaskName

const of = (change: ChangeSchedule, kept?: Schedule) =>
  Result.getOrThrow(changes.schedule(kept, change))

const refusal = (change: ChangeSchedule, kept?: Schedule) => {
  const { field, reason, remedy } = Result.getOrThrow(Result.flip(changes.schedule(kept, change)))
  assert.match(remedy, /^(Leave it out|Name)/)
  return `${field}: ${reason}`
}

const berlin: Schedule = {
  cron: "0 3 * * *",
  zone: "Europe/Berlin",
  calendar: office,
  freeDay: "next",
  gap: "skip",
  start: instant("2031-01-01T00:00:00Z"),
  end: instant("2032-01-01T00:00:00Z"),
  jitterMillis: 60_000,
}

describe("a change of a schedule", () => {
  it("changes what is named, and leaves the rest", () => {
    assert.deepEqual(of({ zone: "Asia/Shanghai" }, berlin), { ...berlin, zone: "Asia/Shanghai" })
    assert.deepEqual(of({ cron: "0 4 * * *" }, berlin), { ...berlin, cron: "0 4 * * *" })
    const { calendar: _, freeDay: __, ...bare } = berlin
    assert.deepEqual(of({ calendar: null, freeDay: null }, berlin), bare)
    assert.deepEqual(of({}, berlin), berlin)
  })

  it("begins anew with another kind of schedule", () => {
    assert.deepEqual(of({ everyMillis: 90_000 }, berlin), { everyMillis: 90_000 })
    assert.deepEqual(of({ cron: "@daily", zone: "UTC" }, { everyMillis: 90_000 }), {
      cron: "@daily",
      zone: "UTC",
    })
    assert.deepEqual(of({ after: order }, berlin), { after: order, on: "success" })
  })

  it("counts an interval anew when it is another, and else from where it was", () => {
    const anchor = instant("2031-01-01T00:00:00Z")
    const start = instant("2031-02-01T00:00:00Z")
    const every: Schedule = { everyMillis: 90_000, anchor, jitterMillis: 1000 }
    assert.deepEqual(of({ jitterMillis: 2000 }, every), { ...every, jitterMillis: 2000 })
    assert.deepEqual(of({ everyMillis: 60_000 }, every), {
      everyMillis: 60_000,
      jitterMillis: 1000,
    })
    assert.deepEqual(of({ start }, every), { everyMillis: 90_000, jitterMillis: 1000, start })
  })

  it("keeps what is not named of one without instants", () => {
    const kept: Schedule = {
      after: order,
      on: "failure",
      when: [{ at: "/total", is: "present" }],
      passing: "result",
    }
    assert.deepEqual(of({}, kept), kept)
    assert.deepEqual(of({ on: "any" }, kept), { ...kept, on: "any" })
    assert.deepEqual(of({ passing: null, when: null }, kept), { after: order, on: "failure" })
    const tail: Schedule = { tail: "orders of the shop", from: "end", unreadable: "skip" }
    assert.deepEqual(of({ unreadable: "stop" }, tail), { ...tail, unreadable: "stop" })
    const table: Schedule = { tail: { table: "orders", id: "nr" }, from: "end" }
    assert.deepEqual(of({ tail: { transaction: "tx" } }, table), {
      tail: { table: "orders", id: "nr", transaction: "tx" },
      from: "end",
    })
    assert.deepEqual(of({ after: order }, table), { after: order, on: "success" })
    assert.deepEqual(
      of({ permanent: { growth: 3 } }, { permanent: { delayMillis: 5, growth: 2 } }),
      { permanent: { delayMillis: 5, growth: 3 } },
    )
  })

  it("is refused by the field that says nothing of the schedule", () => {
    const every: Schedule = { everyMillis: 1000 }
    assert.match(
      refusal({ zone: "UTC" }, every),
      /^schedule\.zone: it says nothing of a schedule by/,
    )
    assert.match(refusal({ calendar: null }, every), /^schedule\.calendar: /)
    assert.match(refusal({ everyMillis: 1000, calendar: office }), /^schedule\.calendar: /)
    assert.match(
      refusal({ permanent: {}, jitterMillis: 1 }),
      /^schedule\.jitterMillis: .*permanent/,
    )
    const at = instant("2031-01-01T00:00:00Z")
    assert.match(refusal({ at, start: at }), /^schedule\.start: .*one instant/)
    assert.match(refusal({ on: "any" }, berlin), /^schedule\.on: /)
    assert.match(refusal({ when: null }, berlin), /^schedule\.when: /)
    assert.match(refusal({ tail: { table: "orders" }, on: "any" }), /^schedule\.on: /)
    assert.match(refusal({ after: order, from: "end" }), /^schedule\.from: /)
    assert.match(refusal({ tail: { id: "nr" } }, berlin), /^schedule\.tail\.id: it says nothing of/)
    assert.match(refusal({ tail: { id: "nr" } }, { tail: "x" }), /^schedule\.tail\.id: .*a program/)
    assert.match(refusal({ cron: "@daily", after: order }), /^schedule: it names both/)
    assert.match(refusal({ zone: "UTC" }), /^schedule: it does not say when/)
  })
})

describe("a change of a misfire policy", () => {
  it("changes what is named, and is refused what is of another", () => {
    const all = { _tag: "All", max: 3, maxAgeMillis: 5000 } as const
    const of = (...args: Parameters<typeof changes.misfire>) =>
      Result.getOrThrow(changes.misfire(...args))
    assert.deepEqual(of(undefined, { _tag: "All" }), { _tag: "All", max: 10 })
    assert.deepEqual(of(all, { max: 5 }), { ...all, max: 5 })
    assert.deepEqual(of(all, { maxAgeMillis: null }), { _tag: "All", max: 3 })
    assert.deepEqual(of(all, { _tag: "Once" }), { _tag: "Once" })
    const refused = Result.flip(changes.misfire({ _tag: "Once" }, { max: 5 }))
    assert.strictEqual(Result.getOrThrow(refused).field, "misfire.max")
  })
})
