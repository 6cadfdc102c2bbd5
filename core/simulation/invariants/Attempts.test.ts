/** Histories that are too rare among the seeds to wait for. */
import { assert, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { Fence } from "../../domain/Lease.ts"
import { RunId } from "../../domain/RunId.ts"
import type { RunView } from "../../domain/RunView.ts"
import { Ledger } from "../Ledger.ts"
import type { Outcome } from "../Outcome.ts"
import { SetClock } from "../SetClock.ts"
import { tasks } from "../tasks.ts"
import { I7, I8 } from "./Attempts.ts"

const run = RunId.make(1)

interface Ended {
  readonly report: string
  readonly delayMillis?: number
  /** It was granted for its hooks. */
  readonly isLeft?: true
}

/** What I8 says of a run whose grants ended so, one after the other. */
const wrongs = Effect.fnUntraced(function* (reports: ReadonlyArray<Ended>) {
  const clock = yield* Clock.Clock
  const ofStorage = new SetClock(clock)
  const ledger = new Ledger(() => clock.currentTimeMillisUnsafe())
  for (const [nth, { isLeft, ...report }] of reports.entries()) {
    const fence = Fence.make(nth + 1)
    const concluded = { state: "Failed", phase: "finishing" } as const
    ledger.write({ kind: "granted", run, fence, incarnation: 1, ...(isLeft && { concluded }) })
    ledger.write({ kind: "settled", run, fence, answer: "applied", ...report })
    yield* TestClock.adjust("1 minute")
  }
  const said: Array<string> = []
  const runs = new Map([[run, { task: tasks.handed.name } as RunView]])
  I8(
    { ledger, clock: ofStorage, kept: { runs } } as unknown as Outcome,
    (holds, wrong) => {
      if (!holds) said.push(wrong())
    },
  )
  return said
})

it.effect("I8 counts an attempt that was handed over in vain, of a run that was revived", () =>
  Effect.gen(function* () {
    const handed = { report: "Await" }
    assert.deepStrictEqual(yield* wrongs([handed, { report: "Retry", delayMillis: 650 }]), [])
    assert.strictEqual((yield* wrongs([handed, { report: "Retry", delayMillis: 300 }])).length, 1)
    assert.strictEqual((yield* wrongs([{ report: "Retry", delayMillis: 650 }])).length, 1)
  }))

it.effect("I8 does not count the hooks of what was handed over besides", () =>
  Effect.gen(function* () {
    const [handed, given] = [{ report: "Await" }, { report: "GiveUp" }]
    const again = { report: "Retry", delayMillis: 650 }
    assert.deepStrictEqual(yield* wrongs([handed, { ...given, isLeft: true }, again]), [])
    assert.strictEqual((yield* wrongs([handed, given, again])).length, 1)
  }))

it.effect("I8 does not count what was given back", () =>
  Effect.gen(function* () {
    const [givenBack, putDown] = [{ report: "Release" }, { report: "Yield" }]
    const failed = { report: "Retry", delayMillis: 310 }
    assert.deepStrictEqual(yield* wrongs([givenBack, putDown, failed]), [])
  }))

it("I7 counts a revival each time that its order comes, be it twice, and none that does not", () => {
  const wrongsOf = (revivals: number) => {
    const ledger = new Ledger(() => 0)
    for (const fence of [1, 2, 3].map((fence) => Fence.make(fence))) {
      if (fence > 1 && fence - 1 <= revivals) ledger.write({ kind: "revived", run })
      ledger.write({
        kind: "started",
        process: "a",
        task: "plain",
        gate: undefined,
        run,
        fence,
        attempt: fence,
        slot: undefined,
      })
      ledger.write({ kind: "settled", run, fence, report: "GiveUp", answer: "applied" })
    }
    const view = { id: run, task: tasks.plain.name, crashes: 0, state: "Failed" } as RunView
    const said: Array<string> = []
    I7(
      { ledger, kept: { runs: new Map([[run, view]]) } } as unknown as Outcome,
      (holds, wrong) => {
        if (!holds) said.push(wrong())
      },
    )
    return said
  }
  assert.deepStrictEqual(wrongsOf(2), [])
  assert.deepStrictEqual(wrongsOf(1), ["run 1 was started 3 times, 2 explained"])
})
