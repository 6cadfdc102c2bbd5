import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Report from "./Report.ts"
import type { System } from "./System.ts"
import type { Trial } from "./Trial.ts"

const system = (name: string, settings: string): System => ({
  name,
  settings,
  version: "1.0.0",
  store: "postgres",
  refuses: () => undefined,
  prepare: () => Effect.die("not measured here"),
})

const load = { jobs: 100, lanes: 1, levels: 1 }
const peer = { system: system("graphile-worker", "best"), load }
const own = { system: system("belfry", "best"), load }

const trial = (subject: typeof peer, jobsPerSecond: number): Trial => ({
  subject,
  jobsPerSecond,
  seconds: 1,
  startMillis: 1,
  clientMicrosPerJob: 1,
  walBytesPerJob: 1,
  verdict: { ran: 100, missing: 0, repeated: 0, overlaps: 0, disorders: 0 },
  cutShort: false,
})

// The machine was half as fast during the second repetition.
const trials = [
  ...[trial(own, 200), trial(peer, 100)],
  ...[trial(own, 100), trial(peer, 50)],
  ...[trial(own, 300), trial(peer, 120)],
]

const report = Report.make(
  "claims",
  [own, peer],
  trials,
  { repetitions: 3, patience: 10 },
  { version: "18.4", settings: {} },
  [],
)

it("reports the median and the range of the repetitions", () => {
  assert.deepInclude(report.results[0], {
    system: "belfry",
    variant: "best, 1 lane",
    median: 200,
    min: 100,
    max: 300,
    spread: 1,
    unit: "jobs/s",
  })
})

it("takes ratios within a repetition, so that a slow minute does not count", () => {
  assert.deepEqual(report.ratios, [{
    of: "belfry best, 1 lane",
    to: "graphile-worker best, 1 lane",
    median: 2,
    min: 2,
    max: 2.5,
  }])
})

it("prints a line for each subject", () => {
  const lines = Report.table(report).split("\n")
  assert.isTrue(
    lines.some((line) => /belfry 1\.0\.0 .* 200 .* 100–300 .* 100 % .* 2\.00/.test(line)),
  )
})
