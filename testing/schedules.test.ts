/**
 * What has gone wrong with schedules elsewhere, by its number in the project's list of such bugs.
 * B20, B25, B26 and B29 are with the engine, where processes die; B31 to B34 are with cron.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { standard } from "../core/domain/Namespace.ts"
import * as Task from "../core/engine/Task.ts"
import * as Trigger from "../core/engine/Trigger.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import { Testing, type TestingOptions } from "./Testing.ts"

const Job = Task.make("job", { payload: { n: Schema.Int } })
const quick = Job.toLayer(() => Effect.void)

const inTest = <A, E, R, E2, R2>(
  body: Effect.Effect<A, E, R>,
  program: Layer.Layer<never, E2, R2>,
  options: TestingOptions = {},
) => Effect.provide(body, Layer.provideMerge(program, Testing.layerWith(options)))

const minute = 60_000

describe("schedules", () => {
  it.live("B18: with nobody to carry them out, runs are as many as slots", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* testing.advance("10 minutes")
        const slots = yield* testing.slots("secondly")
        const runs = yield* testing.runs()
        assert.strictEqual(slots.length, 600)
        assert.strictEqual(runs.length, 600)
        assert.isTrue(runs.every(({ attempt, state }) => state === "Ready" && attempt === 0))
      }),
      Job.schedule("secondly", Trigger.cron("* * * * * *"), { n: 1 }),
    ))

  for (const whileRunning of ["allow", "skip", "fail"] as const) {
    it.live(`B19: runs of twice the period, ${whileRunning}: each slot once, none left out`, () =>
      inTest(
        Effect.gen(function* () {
          const testing = yield* Testing
          yield* testing.advance("1 hour")
          const slots = yield* testing.slots("often")
          assert.deepStrictEqual(
            slots.map(({ slot, through }) => [slot, through]),
            slots.map((_, nth) => [slots[0]!.slot + nth * minute, slots[0]!.slot + nth * minute]),
          )
          assert.strictEqual(slots.length, 60)
          const fired = slots.filter(({ outcome }) => outcome === "fired")
          const runs = yield* testing.runs()
          assert.strictEqual(fired.length, whileRunning === "skip" ? 30 : 60)
          assert.strictEqual(runs.length, fired.length)
          assert.strictEqual(
            runs.filter(({ failure }) => failure?.tag === "StillRunning").length,
            whileRunning === "fail" ? 30 : 0,
          )
        }),
        Layer.mergeAll(
          Job.toLayer(() => Effect.sleep("119 seconds")),
          Job.schedule("often", Trigger.cron("* * * * *"), { n: 1 }, { whileRunning }),
        ),
        { concurrency: 10 },
      ))
  }

  it.live("B21: 5,000 triggers of one second fire 5,000 runs", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        const triggers = yield* Triggers
        const at = new Date("2030-01-01T00:10:00Z")
        for (let nth = 0; nth < 5000; nth++) {
          yield* triggers.put({
            namespace: standard,
            name: `nr-${nth}`,
            task: "job",
            schedule: Trigger.at(at),
            payload: `{"n":${nth}}`,
          })
        }
        yield* testing.advance("10 minutes")
        const runs = yield* testing.runs()
        assert.strictEqual(new Set(runs.map(({ trigger }) => trigger)).size, 5000)
        assert.strictEqual(runs.length, 5000)
        for (const name of ["nr-0", "nr-4999"]) {
          const [slot] = yield* testing.slots(name)
          assert.deepInclude(slot, { outcome: "fired", slot: at.getTime() })
          assert.isAtMost(slot!.latenessMillis, 1000)
        }
      }),
      quick,
    ), 60_000)

  it.live("B22: after a minute without planners a daily slot fires, late, and says how late", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* testing.advance("10770 seconds")
        yield* testing.outage("60 seconds")
        yield* testing.advance("10 seconds")
        const [slot, ...others] = yield* testing.slots("daily")
        assert.deepStrictEqual(others, [])
        assert.strictEqual(slot!.outcome, "fired")
        assert.isAtLeast(slot!.latenessMillis, 29_000)
        assert.isAtMost(slot!.latenessMillis, 40_000)
      }),
      Layer.merge(quick, Job.schedule("daily", Trigger.cron("0 3 * * *"), { n: 1 })),
    ))

  it.live("B66: what is due in 40 days does not fire before", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* testing.advance("959 hours")
        assert.deepStrictEqual(yield* testing.slots("far"), [])
        yield* testing.advance("1 hour")
        assert.strictEqual((yield* testing.slots("far")).length, 1)
      }),
      Layer.merge(
        quick,
        Job.schedule("far", Trigger.at(new Date("2030-02-10T00:00:00Z")), { n: 1 }),
      ),
    ))

  it.live("B8: a run of ten times its executor's lease is carried out once", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* testing.advance("13 hours")
        const [run] = yield* testing.runs()
        const { attempt, fence, state } = run!
        assert.strictEqual(`${state} ${attempt} ${fence}`, "Succeeded 1 1")
      }),
      Layer.merge(
        Job.toLayer(() => Effect.sleep("10 hours")),
        Job.schedule("long", Trigger.at(new Date("2030-01-01T02:00:00Z")), { n: 1 }),
      ),
    ))

  it.live("B13: what is delayed by twenty leases is one run, which nobody holds until then", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        yield* Job.submit({ n: 1 }, { delay: "20 hours" })
        yield* testing.advance("19 hours")
        const waiting = yield* testing.runs()
        assert.deepStrictEqual(
          waiting.map(({ fence, state }) => `${state} ${fence}`),
          ["Scheduled 0"],
        )
        yield* testing.advance("2 hours")
        const ended = yield* testing.runs()
        assert.deepStrictEqual(
          ended.map(({ fence, state }) => `${state} ${fence}`),
          ["Succeeded 1"],
        )
      }),
      quick,
    ))

  it.live("a month of pauses and edits leaves each slot with its record", () =>
    inTest(
      Effect.gen(function* () {
        const testing = yield* Testing
        const triggers = yield* Triggers
        yield* testing.advance("10 days")
        yield* triggers.pause(standard, "daily")
        yield* testing.advance("10 days")
        yield* triggers.resume(standard, "daily")
        yield* testing.advance("10 days")
        const slots = yield* testing.slots("daily")
        assert.deepStrictEqual(
          slots.map(({ outcome, reason }) => reason ?? outcome),
          [...Array(10).fill("fired"), "paused", ...Array(10).fill("fired")],
        )
        assert.strictEqual((slots[10]!.through - slots[10]!.slot) / 86_400_000, 9)
        const audit = yield* triggers.audit(standard, 10)
        assert.deepStrictEqual(audit.findings, [])
        assert.isAbove(audit.judgedUpTo, audit.now - 3 * 3_600_000, "the audit keeps up")
      }),
      Layer.merge(quick, Job.schedule("daily", Trigger.cron("0 3 * * *"), { n: 1 })),
    ))
})
