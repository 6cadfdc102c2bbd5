import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { Fence } from "./Lease.ts"
import * as Run from "./Run.ts"

const course = { attempt: 3, crashes: 1, fence: Fence.make(5), isCareful: false }
const fence = course.fence

/** All states, those with choices in each of them. */
const states: Readonly<Record<string, Run.RunState>> = {
  "Scheduled": { _tag: "Scheduled", ...course, isGated: false },
  "Scheduled new": { _tag: "Scheduled", ...course, fence: Fence.make(0), isGated: false },
  "Scheduled new gated": { _tag: "Scheduled", ...course, fence: Fence.make(0), isGated: true },
  "Scheduled granted before, gated": { _tag: "Scheduled", ...course, isGated: true },
  "Blocked": { _tag: "Blocked", ...course },
  "Ready": { _tag: "Ready", ...course },
  "Running": { _tag: "Running", ...course, isStartMarked: false, isCancelling: false },
  "Running started": { _tag: "Running", ...course, isStartMarked: true, isCancelling: false },
  "Running cancelling": { _tag: "Running", ...course, isStartMarked: false, isCancelling: true },
  "Running started cancelling": {
    _tag: "Running",
    ...course,
    isStartMarked: true,
    isCancelling: true,
  },
  "Succeeded": { _tag: "Succeeded", ...course },
  "Failed": { _tag: "Failed", ...course },
  "TimedOut": { _tag: "TimedOut", ...course },
  "Cancelled": { _tag: "Cancelled", ...course },
  "Discarded": { _tag: "Discarded", ...course },
  "Quarantined": { _tag: "Quarantined", ...course },
}

const events: Readonly<Record<string, Run.RunEvent>> = {
  "Due": { _tag: "Due" },
  "Admit": { _tag: "Admit" },
  "Discard": { _tag: "Discard" },
  "Claim": { _tag: "Claim" },
  "Start": { _tag: "Start", fence },
  "Succeed": { _tag: "Succeed", fence },
  "Retry": { _tag: "Retry", fence },
  "GiveUp": { _tag: "GiveUp", fence },
  "TimeOut": { _tag: "TimeOut", fence },
  "Release": { _tag: "Release", fence },
  "Abort": { _tag: "Abort", fence },
  "Lose": { _tag: "Lose", crashesMax: 3, isAtMostOnce: false },
  "Lose at its last crash": { _tag: "Lose", crashesMax: 1, isAtMostOnce: false },
  "Lose at most once": { _tag: "Lose", crashesMax: 3, isAtMostOnce: true },
  "Cancel": { _tag: "Cancel" },
}

// Written out by hand rather than derived from the code, so that the two can disagree: the state,
// then the numbers that differ. What is not named is refused.
const expected: Readonly<Record<string, Readonly<Record<string, readonly [string, object?]>>>> = {
  "Scheduled": { Due: ["Ready"], Cancel: ["Cancelled"] },
  "Scheduled new": { Due: ["Ready"], Cancel: ["Cancelled"] },
  "Scheduled new gated": { Due: ["Blocked"], Cancel: ["Cancelled"] },
  "Scheduled granted before, gated": { Due: ["Ready"], Cancel: ["Cancelled"] },
  "Blocked": { Admit: ["Ready"], Discard: ["Discarded"], Cancel: ["Cancelled"] },
  "Ready": {
    Claim: ["Running", { attempt: 4, fence: 6, isStartMarked: false, isCancelling: false }],
    Cancel: ["Cancelled"],
  },
  "Running": {
    "Start": ["Running", { isStartMarked: true, isCancelling: false }],
    "Succeed": ["Succeeded"],
    "Retry": ["Scheduled", { isGated: false }],
    "GiveUp": ["Failed"],
    "TimeOut": ["TimedOut"],
    "Release": ["Ready", { attempt: 2 }],
    "Abort": ["Cancelled"],
    "Lose": ["Ready", { attempt: 2, isCareful: true }],
    "Lose at its last crash": ["Ready", { attempt: 2, isCareful: true }],
    "Lose at most once": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel": ["Running", { isStartMarked: false, isCancelling: true }],
  },
  "Running started": {
    "Start": ["Running", { isStartMarked: true, isCancelling: false }],
    "Succeed": ["Succeeded"],
    "Retry": ["Scheduled", { isGated: false }],
    "GiveUp": ["Failed"],
    "TimeOut": ["TimedOut"],
    "Release": ["Ready", { attempt: 2 }],
    "Abort": ["Cancelled"],
    "Lose": ["Ready", { crashes: 2, isCareful: true }],
    "Lose at its last crash": ["Quarantined", { crashes: 2, isCareful: true }],
    "Lose at most once": ["Failed"],
    "Cancel": ["Running", { isStartMarked: true, isCancelling: true }],
  },
  "Running cancelling": {
    "Start": ["Running", { isStartMarked: true, isCancelling: true }],
    "Succeed": ["Succeeded"],
    "Retry": ["Cancelled"],
    "GiveUp": ["Cancelled"],
    "TimeOut": ["Cancelled"],
    "Release": ["Cancelled"],
    "Abort": ["Cancelled"],
    "Lose": ["Cancelled"],
    "Lose at its last crash": ["Cancelled"],
    "Lose at most once": ["Cancelled"],
    "Cancel": ["Running", { isStartMarked: false, isCancelling: true }],
  },
  "Running started cancelling": {
    "Start": ["Running", { isStartMarked: true, isCancelling: true }],
    "Succeed": ["Succeeded"],
    "Retry": ["Cancelled"],
    "GiveUp": ["Cancelled"],
    "TimeOut": ["Cancelled"],
    "Release": ["Cancelled"],
    "Abort": ["Cancelled"],
    "Lose": ["Cancelled"],
    "Lose at its last crash": ["Cancelled"],
    "Lose at most once": ["Cancelled"],
    "Cancel": ["Running", { isStartMarked: true, isCancelling: true }],
  },
  "Succeeded": {},
  "Failed": {},
  "TimedOut": {},
  "Cancelled": {},
  "Discarded": {},
  "Quarantined": {},
}

describe("Run.advance", () => {
  it("is tried in every state, with every event", () => {
    const tags = new Set(Object.values(states).map(({ _tag }) => _tag))
    assert.deepStrictEqual([...tags].sort(), [...Run.StateName.literals].sort())
    const kinds = new Set<string>(Object.values(events).map(({ _tag }) => _tag))
    assert.deepStrictEqual([...kinds].sort(), Object.keys(Run.RunEvent.cases).sort())
  })

  for (const [stateName, state] of Object.entries(states)) {
    for (const [eventName, event] of Object.entries(events)) {
      const next = expected[stateName]?.[eventName]
      it(`${stateName} + ${eventName} → ${next?.[0] ?? "refused"}`, () => {
        const result = Run.advance(state, event)
        if (next === undefined) {
          if (!Result.isFailure(result)) return assert.fail(`→ ${result.success._tag}`)
          assert.deepStrictEqual(result.failure.state, state)
          assert.deepStrictEqual(result.failure.event, event)
          return
        }
        const { attempt, crashes, fence, isCareful } = state
        assert.deepStrictEqual(Result.getOrThrow(result), {
          _tag: next[0],
          attempt,
          crashes,
          fence,
          isCareful,
          ...next[1],
        } as never)
      })
    }
  }

  for (const [stateName, state] of Object.entries(states)) {
    it(`${stateName} refuses what an executor with another fence says`, () => {
      for (const other of [0, 4, 6]) {
        for (const event of Object.values(events)) {
          if (!("fence" in event) || other === state.fence) continue
          const result = Run.advance(state, { ...event, fence: Fence.make(other) })
          assert.isTrue(Result.isFailure(result), event._tag)
        }
      }
    })
  }

  it("is absorbed by every final state", () => {
    for (const state of Object.values(states)) {
      const isAbsorbing = Object.values(events)
        .every((event) => Result.isFailure(Run.advance(state, event)))
      assert.strictEqual(isAbsorbing, Run.isFinal(state._tag))
    }
  })

  it("gives an attempt back when it was not begun, and never a fence", () => {
    for (const state of Object.values(states)) {
      for (const event of Object.values(events)) {
        const result = Run.advance(state, event)
        if (Result.isFailure(result)) continue
        const { attempt, crashes, fence } = result.success
        assert.isAtLeast(fence, state.fence)
        assert.isAtLeast(crashes, state.crashes)
        if (event._tag !== "Release" && event._tag !== "Lose") {
          assert.isAtLeast(attempt, state.attempt)
        }
      }
    }
  })
})

describe("Run.submitted", () => {
  const cases = [
    [false, false, "Ready"],
    [false, true, "Blocked"],
    [true, false, "Scheduled"],
    [true, true, "Scheduled"],
  ] as const
  for (const [isDueLater, isGated, tag] of cases) {
    it(`${isDueLater ? "later" : "now"}, ${isGated ? "gated" : "free"} → ${tag}`, () => {
      for (const isAtMostOnce of [false, true]) {
        const state = Run.submitted({ isDueLater, isGated, isAtMostOnce })
        assert.deepInclude(state, {
          _tag: tag,
          attempt: 0,
          crashes: 0,
          fence: Fence.make(0),
          isCareful: isAtMostOnce,
        })
      }
    })
  }

  it("of a gated run that is due later waits at the gate when it is due", () => {
    const state = Run.submitted({ isDueLater: true, isGated: true, isAtMostOnce: false })
    assert.strictEqual(Result.getOrThrow(Run.advance(state, { _tag: "Due" }))._tag, "Blocked")
  })
})

describe("Run.holdsPlace", () => {
  for (const [name, state] of Object.entries(states)) {
    const holds = /^(Ready|Running)|^Scheduled$|granted before/.test(name)
    it(`${name}: ${holds ? "holds its place" : "holds none"}`, () => {
      assert.strictEqual(Run.holdsPlace(state), holds)
    })
  }
})
