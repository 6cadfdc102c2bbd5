import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { startTesting } from "../testing/startTesting.ts"
import { CalendarUnknown, KeyConflict, Refused, task, Trigger, TriggerUnknown } from "./mod.ts"
import { rejected } from "./promise.fixture.ts"

const standard = Schema.toStandardSchemaV1
const report = task("report", {
  payload: standard(Schema.Struct({ book: Schema.String })),
  success: standard(Schema.String),
})
const handler = report.handler(({ book }) => book)
const utc = (hour: number) => new Date(Date.UTC(2030, 0, 1, hour))

describe("a trigger", () => {
  it("is fired by hand, once for each request", async () => {
    await using belfry = await startTesting({ handlers: [handler] })
    await belfry.schedule(report, "nightly", Trigger.cron("0 3 * * *"), { book: "gl" })
    await belfry.pause("nightly")
    const run = await belfry.fire(report, "nightly", { by: "Ada", request: "march" })
    assert.strictEqual(await belfry.fire(report, "nightly", { request: "march" }), run)
    assert.notStrictEqual(await belfry.fire(report, "nightly"), run)
    assert.strictEqual(await belfry.result(report, run), "gl")
    assert.deepInclude(await belfry.show(run), { trigger: "nightly", asked: { by: "Ada" } })
    const other = await belfry.fire(report, "nightly", { payload: { book: "ap" } })
    assert.strictEqual(await belfry.result(report, other), "ap")
    const again = { payload: { book: "ar" }, request: "march" }
    assert.instanceOf(await rejected(belfry.fire(report, "nightly", again)), KeyConflict)
    assert.instanceOf(
      await rejected(belfry.fire(report, "nightly", { payload: { book: 7 as never } })),
      Refused,
    )
    assert.instanceOf(await rejected(belfry.fire(report, "yearly")), TriggerUnknown)
  })

  it("has slots filled in that it missed, and those cancelled as one", async () => {
    await using belfry = await startTesting({ handlers: [handler] })
    await belfry.schedule(report, "hourly", Trigger.cron("0 * * * *"), { book: "gl" })
    await belfry.pause("hourly")
    await belfry.advance("270 minutes")
    await belfry.resume("hourly")
    const range = { request: "lost", from: utc(1), to: utc(4), pace: "1 hour" } as const
    const dry = await belfry.backfill("hourly", { ...range, isDry: true })
    assert.deepStrictEqual(dry.map(({ answer, at, run }) => [at, answer, run]), [
      [utc(1), "would fire", undefined],
      [utc(2), "would fire", undefined],
      [utc(3), "would fire", undefined],
    ])
    const filled = await belfry.backfill("hourly", { ...range, by: "Ada" })
    assert.deepStrictEqual(filled.map(({ answer }) => answer), ["fired", "fired", "fired"])
    assert.strictEqual(await belfry.result(report, filled[0]!.run!), "gl")
    assert.deepInclude(await belfry.show(filled[0]!.run!), { slot: utc(1) })
    assert.deepStrictEqual(
      (await belfry.backfill("hourly", range)).map(({ answer, run }) => [answer, run]),
      filled.map(({ run }) => ["known", run]),
    )
    assert.deepStrictEqual(await belfry.cancelBackfill("hourly", "lost", { by: "Ada" }), {
      confirmed: 2,
      requested: 0,
      ended: 1,
    })
    assert.instanceOf(await rejected(belfry.cancelBackfill("hourly", "found")), Refused)
  })
})

describe("a calendar", () => {
  it("is kept for the triggers that name it", async () => {
    await using belfry = await startTesting({ handlers: [handler] })
    await belfry.calendars.keep({ name: "office", holidays: ["2030-01-02"] })
    assert.deepStrictEqual(await belfry.calendars.list(), ["office"])
    assert.deepStrictEqual(await belfry.calendars.show("office"), {
      name: "office",
      rest: ["SUN", "SAT"],
      holidays: ["2030-01-02"],
      workdays: [],
    })
    const mornings = Trigger.cron("0 7 * * *", { calendar: "office", freeDay: "skip" })
    await belfry.schedule(report, "mornings", mornings, { book: "gl" })
    await belfry.advance("3 days")
    assert.deepStrictEqual((await belfry.runs(report)).map(({ slot }) => slot?.getUTCDate()), [
      1,
      3,
    ])
    assert.instanceOf(await rejected(belfry.calendars.remove("office")), Refused)
    await belfry.unschedule("mornings")
    await belfry.calendars.remove("office")
    assert.instanceOf(await rejected(belfry.calendars.show("office")), CalendarUnknown)
    assert.instanceOf(
      await rejected(belfry.calendars.keep({ name: "odd", rest: ["NODAY"] })),
      Refused,
    )
  })
})
