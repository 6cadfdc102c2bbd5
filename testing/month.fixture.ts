/**
 * What a month of schedules costs in virtual time: `node testing/month.fixture.ts`. Each is gone through ten
 * times, of which the first two warm up; told is the processor time of the others.
 */
import assert from "node:assert/strict"
import { Effect, Layer } from "effect"
import { Task, Trigger } from "../core/mod.ts"
import { Testing } from "./mod.ts"

const repetitions = 10
const warmUps = 2
const Report = Task.make("report")

const month = (expression: string, slots: number) =>
  Effect.gen(function* () {
    const testing = yield* Testing
    const before = process.cpuUsage()
    yield* testing.advance("30 days")
    const { system, user } = process.cpuUsage(before)
    assert.equal((yield* testing.slots("report")).length, slots)
    return Math.round((system + user) / 1000)
  }).pipe(
    Effect.provide(
      Layer.merge(
        Report.toLayer(() => Effect.sleep("3 minutes")),
        Report.schedule("report", Trigger.cron(expression), {}),
      ).pipe(Layer.provideMerge(Testing.layer)),
    ),
  )

for (const [expression, slots] of [["0 3 * * *", 30], ["0 * * * *", 720]] as const) {
  const all: Array<number> = []
  for (let nth = 0; nth < repetitions; nth++) {
    all.push(await Effect.runPromise(month(expression, slots)))
  }
  const told = all.slice(warmUps).toSorted((a, b) => a - b)
  const median = told[Math.floor(told.length / 2)]
  console.log(`${expression}: ${median} ms, from ${told[0]} to ${told.at(-1)} (first: ${all[0]})`)
}
