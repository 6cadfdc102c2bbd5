/**
 * A nightly report, on workdays of a business calendar: it goes out at six in the evening in Shanghai,
 * not on holidays, and on the Saturdays that are worked to make up for them.
 *
 * Two weeks around the autumn holidays of 2025 pass here in virtual time.
 */
import assert from "node:assert/strict"
import { Effect, Layer, Schema } from "effect"
import { Calendar, CurrentRun, Task, Trigger } from "belfry"
import { Testing } from "belfry/testing"

const Report = Task.make("report/nightly", { payload: { book: Schema.String } })

const office = Calendar.keep({
  name: "office",
  holidays: [1, 2, 3, 4, 5, 6, 7, 8].map((day) => `2025-10-0${day}`),
  workdays: ["2025-09-28", "2025-10-11"],
})

const nightly = Report.schedule(
  "nightly",
  Trigger.cron("0 18 * * *", { zone: "Asia/Shanghai", calendar: "office", freeDay: "skip" }),
  { book: "general ledger" },
)

const sent: Array<string> = []

const ReportLive = Report.toLayer(({ book }) =>
  CurrentRun.use(({ slot }) =>
    Effect.sync(() => {
      const local = new Date(slot!).toLocaleString("sv-SE", { timeZone: "Asia/Shanghai" })
      sent.push(local)
      console.log(`${local}  ${book}`)
    })
  )
)

const Live = Layer.merge(ReportLive, Layer.provideMerge(nightly, office)).pipe(
  Layer.provideMerge(Testing.layerWith({ start: "2025-09-26T00:00:00+08:00" })),
)

const program = Testing.use((testing) => testing.advance("17 days"))
await Effect.runPromise(Effect.provide(program, Live))

// Friday, the Sunday that is worked, two workdays; after the holidays two more and the Saturday.
assert.deepEqual(sent.map((local) => local.slice(0, 10)), [
  "2025-09-26",
  "2025-09-28",
  "2025-09-29",
  "2025-09-30",
  "2025-10-09",
  "2025-10-10",
  "2025-10-11",
])
