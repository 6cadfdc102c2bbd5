import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { Fence } from "./Lease.ts"
import * as Run from "./Run.ts"

const course = { attempt: 3, crashes: 1, fence: Fence.make(5), isCareful: false }
const fence = course.fence
const unborn = { ...course, attempt: 0, fence: Fence.make(0) }

const running = (differently: Partial<Run.RunState>): Run.RunState =>
  ({
    _tag: "Running",
    ...course,
    isStartMarked: false,
    isCancelling: false,
    isSuspending: false,
    ...differently,
  }) as Run.RunState

/** All states, those with choices in each of them. */
const states: Readonly<Record<string, Run.RunState>> = {
  "Scheduled": { _tag: "Scheduled", ...course, isGated: false },
  "Scheduled new": { _tag: "Scheduled", ...unborn, isGated: false },
  "Scheduled new gated": { _tag: "Scheduled", ...unborn, isGated: true },
  "Scheduled granted before, gated": { _tag: "Scheduled", ...course, isGated: true },
  "Blocked": { _tag: "Blocked", ...course },
  "Blocked new": { _tag: "Blocked", ...unborn },
  "Ready": { _tag: "Ready", ...course },
  "Ready new": { _tag: "Ready", ...unborn },
  "Running": running({}),
  "Running first": running({ attempt: 1 }),
  "Running first started": running({ attempt: 1, isStartMarked: true }),
  "Running first cancelling": running({ attempt: 1, isCancelling: true }),
  "Running started": running({ isStartMarked: true }),
  "Running cancelling": running({ isCancelling: true }),
  "Running started cancelling": running({ isStartMarked: true, isCancelling: true }),
  "Running suspending": running({ isSuspending: true }),
  "Running started suspending": running({ isStartMarked: true, isSuspending: true }),
  "Awaiting": { _tag: "Awaiting", ...course, isParent: false },
  "Awaiting its children": { _tag: "Awaiting", ...course, isParent: true },
  "Suspended": { _tag: "Suspended", ...course, isAdmitted: true },
  "Suspended at its gate": { _tag: "Suspended", ...course, isAdmitted: false },
  "Suspended new": {
    _tag: "Suspended",
    ...unborn,
    isAdmitted: false,
  },
  "Succeeded": { _tag: "Succeeded", ...course },
  "Failed": { _tag: "Failed", ...course },
  "TimedOut": { _tag: "TimedOut", ...course },
  "Cancelled": { _tag: "Cancelled", ...course },
  "Discarded": { _tag: "Discarded", ...course },
  "Quarantined": { _tag: "Quarantined", ...course },
  "Expired": { _tag: "Expired", ...course },
}

const events: Readonly<Record<string, Run.RunEvent>> = {
  "Due": { _tag: "Due" },
  "Admit": { _tag: "Admit" },
  "Discard": { _tag: "Discard" },
  "Discard by its holder": { _tag: "Discard", fence },
  "Claim": { _tag: "Claim" },
  "Start": { _tag: "Start", fence },
  "Succeed": { _tag: "Succeed", fence },
  "Retry": { _tag: "Retry", fence },
  "GiveUp": { _tag: "GiveUp", fence },
  "TimeOut": { _tag: "TimeOut", fence },
  "Release": { _tag: "Release", fence },
  "Postpone": { _tag: "Postpone", fence },
  "Abort": { _tag: "Abort", fence },
  "Lose": { _tag: "Lose", crashesMax: 3, isAtMostOnce: false },
  "Lose at its last crash": { _tag: "Lose", crashesMax: 1, isAtMostOnce: false },
  "Lose at most once": { _tag: "Lose", crashesMax: 3, isAtMostOnce: true },
  "Cancel": { _tag: "Cancel" },
  "Yield": { _tag: "Yield", fence },
  "Await": { _tag: "Await", fence },
  "Suspend": { _tag: "Suspend" },
  "Resume": { _tag: "Resume", isDue: true, places: 0 },
  "Resume in a queue": { _tag: "Resume", isDue: true, places: 1 },
  "Resume at a gate of two": { _tag: "Resume", isDue: true, places: 2 },
  "Resume early": { _tag: "Resume", isDue: false, places: 0 },
  "Resume early at a gate": { _tag: "Resume", isDue: false, places: 1 },
  "Notify of success": { _tag: "Notify", isSuccess: true },
  "Notify of failure": { _tag: "Notify", isSuccess: false },
  "Notify, hooks left": { _tag: "Notify", isSuccess: false, isLeft: true },
  "Expire": { _tag: "Expire" },
  "Expire, hooks left": { _tag: "Expire", isLeft: true },
  "Cancel, hooks left": { _tag: "Cancel", isLeft: true },
  "Gather successes": { _tag: "Gather", verdict: "Succeeded" },
  "Gather a failure": { _tag: "Gather", verdict: "Failed" },
  "Gather a cancellation": { _tag: "Gather", verdict: "Cancelled" },
  "Revive": { _tag: "Revive", isGated: false },
  "Revive at its gate": { _tag: "Revive", isGated: true },
  "RollBack": { _tag: "RollBack", isGated: false },
  "RollBack at its gate": { _tag: "RollBack", isGated: true },
  "Reopen": { _tag: "Reopen" },
  "Change": { _tag: "Change" },
  "Misplace": { _tag: "Misplace" },
  "Spread": { _tag: "Spread" },
}

const unasked = { isCancelling: false, isSuspending: false }

// Written out by hand rather than derived from the code, so that the two can disagree: the state,
// then the numbers that differ. What is not named is refused.
const expected: Readonly<Record<string, Readonly<Record<string, readonly [string, object?]>>>> = {
  "Scheduled": {
    Due: ["Ready"],
    Cancel: ["Cancelled"],
    Suspend: ["Suspended", { isAdmitted: true }],
    Change: ["Scheduled", { isCareful: true, isGated: false }],
  },
  "Scheduled new": {
    Due: ["Ready"],
    Cancel: ["Cancelled"],
    Suspend: ["Suspended", { isAdmitted: false }],
    Expire: ["Expired"],
    Change: ["Scheduled", { isCareful: true, isGated: false }],
  },
  "Scheduled new gated": {
    Due: ["Blocked"],
    Cancel: ["Cancelled"],
    Suspend: ["Suspended", { isAdmitted: false }],
    Expire: ["Expired"],
    Change: ["Scheduled", { isCareful: true, isGated: true }],
  },
  "Scheduled granted before, gated": {
    Due: ["Ready"],
    Cancel: ["Cancelled"],
    Suspend: ["Suspended", { isAdmitted: true }],
    Change: ["Scheduled", { isCareful: true, isGated: true }],
  },
  "Blocked": {
    Admit: ["Ready"],
    Discard: ["Discarded"],
    Cancel: ["Cancelled"],
    Suspend: ["Suspended", { isAdmitted: false }],
    Change: ["Blocked", { isCareful: true }],
  },
  "Blocked new": {
    Admit: ["Ready"],
    Discard: ["Discarded"],
    Cancel: ["Cancelled"],
    Suspend: ["Suspended", { isAdmitted: false }],
    Expire: ["Expired"],
    Change: ["Blocked", { isCareful: true }],
  },
  "Ready": {
    Claim: ["Running", { attempt: 4, fence: 6, ...unasked, isStartMarked: false }],
    Misplace: ["Failed"],
    Spread: ["Awaiting", { isParent: true }],
    Cancel: ["Cancelled"],
    Suspend: ["Suspended", { isAdmitted: true }],
    Change: ["Ready", { isCareful: true }],
  },
  "Ready new": {
    Claim: ["Running", { attempt: 1, fence: 1, ...unasked, isStartMarked: false }],
    Misplace: ["Failed"],
    Spread: ["Awaiting", { isParent: true }],
    Cancel: ["Cancelled"],
    Suspend: ["Suspended", { isAdmitted: true }],
    Expire: ["Expired"],
    Change: ["Ready", { isCareful: true }],
  },
  "Running": {
    "Start": ["Running", { ...unasked, isStartMarked: true }],
    "Succeed": ["Succeeded"],
    "Retry": ["Scheduled", { isGated: false }],
    "GiveUp": ["Failed"],
    "TimeOut": ["TimedOut"],
    "Release": ["Ready", { attempt: 2 }],
    "Postpone": ["Scheduled", { isGated: false, attempt: 2 }],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Discarded", { attempt: 2 }],
    "Lose": ["Ready", { attempt: 2, isCareful: true }],
    "Lose at its last crash": ["Ready", { attempt: 2, isCareful: true }],
    "Lose at most once": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel": ["Running", { isStartMarked: false, isCancelling: true, isSuspending: false }],
    "Yield": ["Suspended", { attempt: 2, isAdmitted: true }],
    "Await": ["Awaiting", { isParent: false }],
    "Suspend": ["Running", { isStartMarked: false, isCancelling: false, isSuspending: true }],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Failed"],
    "Notify, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Change": ["Running", { isCareful: true, ...unasked, isStartMarked: false }],
  },
  "Running first": {
    "Start": ["Running", { ...unasked, isStartMarked: true }],
    "Succeed": ["Succeeded"],
    "Retry": ["Scheduled", { isGated: false }],
    "GiveUp": ["Failed"],
    "TimeOut": ["TimedOut"],
    "Release": ["Ready", { attempt: 0 }],
    "Postpone": ["Scheduled", { isGated: false, attempt: 0 }],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Discarded", { attempt: 0 }],
    "Lose": ["Ready", { attempt: 0, isCareful: true }],
    "Lose at its last crash": ["Ready", { attempt: 0, isCareful: true }],
    "Lose at most once": ["Ready", { attempt: 0, isCareful: true }],
    "Cancel": ["Running", { isStartMarked: false, isCancelling: true, isSuspending: false }],
    "Yield": ["Suspended", { attempt: 0, isAdmitted: true }],
    "Await": ["Awaiting", { isParent: false }],
    "Suspend": ["Running", { isStartMarked: false, isCancelling: false, isSuspending: true }],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Failed"],
    "Notify, hooks left": ["Ready", { attempt: 0, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 0, isCareful: true }],
    "Expire": ["Expired", { attempt: 0 }],
    "Change": ["Running", { isCareful: true, ...unasked, isStartMarked: false }],
  },
  "Running first started": {
    "Start": ["Running", { ...unasked, isStartMarked: true }],
    "Succeed": ["Succeeded"],
    "Retry": ["Scheduled", { isGated: false }],
    "GiveUp": ["Failed"],
    "TimeOut": ["TimedOut"],
    "Release": ["Ready", { attempt: 0 }],
    "Postpone": ["Scheduled", { isGated: false, attempt: 0 }],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Discarded", { attempt: 0 }],
    "Lose": ["Ready", { crashes: 2, isCareful: true }],
    "Lose at its last crash": ["Quarantined", { crashes: 2, isCareful: true }],
    "Lose at most once": ["Failed"],
    "Cancel": ["Running", { isStartMarked: true, isCancelling: true, isSuspending: false }],
    "Yield": ["Suspended", { attempt: 0, isAdmitted: true }],
    "Await": ["Awaiting", { isParent: false }],
    "Suspend": ["Running", { isStartMarked: true, isCancelling: false, isSuspending: true }],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Failed"],
    "Notify, hooks left": ["Ready", { attempt: 0, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 0, isCareful: true }],
    "Change": ["Running", { isCareful: true, ...unasked, isStartMarked: true }],
  },
  "Running first cancelling": {
    "Start": ["Running", { isStartMarked: true, isCancelling: true, isSuspending: false }],
    "Succeed": ["Succeeded"],
    "Retry": ["Cancelled"],
    "GiveUp": ["Cancelled"],
    "TimeOut": ["Cancelled"],
    "Release": ["Cancelled"],
    "Postpone": ["Cancelled"],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Cancelled"],
    "Lose": ["Cancelled"],
    "Lose at its last crash": ["Cancelled"],
    "Lose at most once": ["Cancelled"],
    "Cancel": ["Running", { isStartMarked: false, isCancelling: true, isSuspending: false }],
    "Yield": ["Cancelled"],
    "Await": ["Cancelled"],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Cancelled"],
    "Notify, hooks left": ["Ready", { attempt: 0, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 0, isCareful: true }],
    "Expire": ["Cancelled"],
  },
  "Running started": {
    "Start": ["Running", { ...unasked, isStartMarked: true }],
    "Succeed": ["Succeeded"],
    "Retry": ["Scheduled", { isGated: false }],
    "GiveUp": ["Failed"],
    "TimeOut": ["TimedOut"],
    "Release": ["Ready", { attempt: 2 }],
    "Postpone": ["Scheduled", { isGated: false, attempt: 2 }],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Discarded", { attempt: 2 }],
    "Lose": ["Ready", { crashes: 2, isCareful: true }],
    "Lose at its last crash": ["Quarantined", { crashes: 2, isCareful: true }],
    "Lose at most once": ["Failed"],
    "Cancel": ["Running", { isStartMarked: true, isCancelling: true, isSuspending: false }],
    "Yield": ["Suspended", { attempt: 2, isAdmitted: true }],
    "Await": ["Awaiting", { isParent: false }],
    "Suspend": ["Running", { isStartMarked: true, isCancelling: false, isSuspending: true }],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Failed"],
    "Notify, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Change": ["Running", { isCareful: true, ...unasked, isStartMarked: true }],
  },
  "Running cancelling": {
    "Start": ["Running", { isStartMarked: true, isCancelling: true, isSuspending: false }],
    "Succeed": ["Succeeded"],
    "Retry": ["Cancelled"],
    "GiveUp": ["Cancelled"],
    "TimeOut": ["Cancelled"],
    "Release": ["Cancelled"],
    "Postpone": ["Cancelled"],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Cancelled"],
    "Lose": ["Cancelled"],
    "Lose at its last crash": ["Cancelled"],
    "Lose at most once": ["Cancelled"],
    "Cancel": ["Running", { isStartMarked: false, isCancelling: true, isSuspending: false }],
    "Yield": ["Cancelled"],
    "Await": ["Cancelled"],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Cancelled"],
    "Notify, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 2, isCareful: true }],
  },
  "Running started cancelling": {
    "Start": ["Running", { isStartMarked: true, isCancelling: true, isSuspending: false }],
    "Succeed": ["Succeeded"],
    "Retry": ["Cancelled"],
    "GiveUp": ["Cancelled"],
    "TimeOut": ["Cancelled"],
    "Release": ["Cancelled"],
    "Postpone": ["Cancelled"],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Cancelled"],
    "Lose": ["Cancelled"],
    "Lose at its last crash": ["Cancelled"],
    "Lose at most once": ["Cancelled"],
    "Cancel": ["Running", { isStartMarked: true, isCancelling: true, isSuspending: false }],
    "Yield": ["Cancelled"],
    "Await": ["Cancelled"],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Cancelled"],
    "Notify, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 2, isCareful: true }],
  },
  "Running suspending": {
    "Start": ["Running", { isStartMarked: true, isCancelling: false, isSuspending: true }],
    "Succeed": ["Succeeded"],
    "Retry": ["Suspended", { isAdmitted: true }],
    "GiveUp": ["Failed"],
    "TimeOut": ["TimedOut"],
    "Release": ["Suspended", { attempt: 2, isAdmitted: true }],
    "Postpone": ["Suspended", { attempt: 2, isAdmitted: true }],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Discarded", { attempt: 2 }],
    "Lose": ["Suspended", { attempt: 2, isCareful: true, isAdmitted: true }],
    "Lose at its last crash": ["Suspended", { attempt: 2, isCareful: true, isAdmitted: true }],
    "Lose at most once": ["Suspended", { attempt: 2, isCareful: true, isAdmitted: true }],
    "Cancel": ["Running", { isStartMarked: false, isCancelling: true, isSuspending: false }],
    "Yield": ["Suspended", { attempt: 2, isAdmitted: true }],
    "Await": ["Awaiting", { isParent: false }],
    "Suspend": ["Running", { isStartMarked: false, isCancelling: false, isSuspending: true }],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Failed"],
    "Notify, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Change": ["Running", {
      isCareful: true,
      isCancelling: false,
      isSuspending: true,
      isStartMarked: false,
    }],
  },
  "Running started suspending": {
    "Start": ["Running", { isStartMarked: true, isCancelling: false, isSuspending: true }],
    "Succeed": ["Succeeded"],
    "Retry": ["Suspended", { isAdmitted: true }],
    "GiveUp": ["Failed"],
    "TimeOut": ["TimedOut"],
    "Release": ["Suspended", { attempt: 2, isAdmitted: true }],
    "Postpone": ["Suspended", { attempt: 2, isAdmitted: true }],
    "Abort": ["Cancelled"],
    "Discard by its holder": ["Discarded", { attempt: 2 }],
    "Lose": ["Suspended", { crashes: 2, isCareful: true, isAdmitted: true }],
    "Lose at its last crash": ["Quarantined", { crashes: 2, isCareful: true }],
    "Lose at most once": ["Failed"],
    "Cancel": ["Running", { isStartMarked: true, isCancelling: true, isSuspending: false }],
    "Yield": ["Suspended", { attempt: 2, isAdmitted: true }],
    "Await": ["Awaiting", { isParent: false }],
    "Suspend": ["Running", { isStartMarked: true, isCancelling: false, isSuspending: true }],
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Failed"],
    "Notify, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Change": ["Running", {
      isCareful: true,
      isCancelling: false,
      isSuspending: true,
      isStartMarked: true,
    }],
  },
  "Awaiting": {
    "Notify of success": ["Succeeded"],
    "Notify of failure": ["Failed"],
    "Notify, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Expire, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Cancel, hooks left": ["Ready", { attempt: 2, isCareful: true }],
    "Expire": ["TimedOut"],
    "Cancel": ["Cancelled"],
  },
  "Awaiting its children": {
    "Gather successes": ["Succeeded"],
    "Gather a failure": ["Failed"],
    "Gather a cancellation": ["Cancelled"],
    "Cancel": ["Awaiting", { isParent: true }],
  },
  "Suspended": {
    "Resume": ["Ready"],
    "Resume in a queue": ["Ready"],
    "Resume at a gate of two": ["Blocked"],
    "Resume early": ["Ready"],
    "Resume early at a gate": ["Ready"],
    "Cancel": ["Cancelled"],
    Change: ["Suspended", { isCareful: true, isAdmitted: true }],
  },
  "Suspended at its gate": {
    "Resume": ["Ready"],
    "Resume in a queue": ["Blocked"],
    "Resume at a gate of two": ["Blocked"],
    "Resume early": ["Ready"],
    "Resume early at a gate": ["Blocked"],
    "Cancel": ["Cancelled"],
    Change: ["Suspended", { isCareful: true, isAdmitted: false }],
  },
  "Suspended new": {
    "Resume": ["Ready"],
    "Resume in a queue": ["Blocked"],
    "Resume at a gate of two": ["Blocked"],
    "Resume early": ["Scheduled", { isGated: false }],
    "Resume early at a gate": ["Scheduled", { isGated: true }],
    "Cancel": ["Cancelled"],
    "Expire": ["Expired"],
    Change: ["Suspended", { isCareful: true, isAdmitted: false }],
  },
  "Succeeded": {
    "RollBack": ["Ready", { crashes: 0, isCareful: true }],
    "RollBack at its gate": ["Blocked", { crashes: 0, isCareful: true }],
    "Reopen": ["Awaiting", { isParent: true }],
  },
  "Failed": {
    "Revive": ["Ready", { crashes: 0, isCareful: true }],
    "Revive at its gate": ["Blocked", { crashes: 0, isCareful: true }],
    "RollBack": ["Ready", { crashes: 0, isCareful: true }],
    "RollBack at its gate": ["Blocked", { crashes: 0, isCareful: true }],
    "Reopen": ["Awaiting", { isParent: true }],
  },
  "TimedOut": {
    "Revive": ["Ready", { crashes: 0, isCareful: true }],
    "Revive at its gate": ["Blocked", { crashes: 0, isCareful: true }],
    "RollBack": ["Ready", { crashes: 0, isCareful: true }],
    "RollBack at its gate": ["Blocked", { crashes: 0, isCareful: true }],
  },
  "Cancelled": {
    "RollBack": ["Ready", { crashes: 0, isCareful: true }],
    "RollBack at its gate": ["Blocked", { crashes: 0, isCareful: true }],
  },
  "Discarded": {
    "RollBack": ["Ready", { crashes: 0, isCareful: true }],
    "RollBack at its gate": ["Blocked", { crashes: 0, isCareful: true }],
  },
  "Quarantined": {
    "Revive": ["Ready", { crashes: 0, isCareful: true }],
    "Revive at its gate": ["Blocked", { crashes: 0, isCareful: true }],
    "RollBack": ["Ready", { crashes: 0, isCareful: true }],
    "RollBack at its gate": ["Blocked", { crashes: 0, isCareful: true }],
  },
  "Expired": {},
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

  it("is absorbed by every final state, unless somebody wants it tried again, or undone", () => {
    for (const state of Object.values(states)) {
      const isAbsorbing = Object.values(events)
        .filter(({ _tag }) => !["Revive", "RollBack", "Reopen"].includes(_tag))
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
        if (event._tag !== "Revive" && event._tag !== "RollBack") {
          assert.isAtLeast(crashes, state.crashes)
        }
        if (
          !["Release", "Postpone", "Lose", "Yield", "Expire", "Discard"].includes(event._tag) &&
          !("isLeft" in event)
        ) {
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

describe("Run.submitted, further", () => {
  it("has its start marked when it has a deadline", () => {
    const options = { isDueLater: false, isGated: false, isAtMostOnce: false, hasDeadline: true }
    assert.isTrue(Run.submitted(options).isCareful)
  })

  it("as a parent awaits its children", () => {
    assert.deepInclude(Run.submittedParent, {
      _tag: "Awaiting",
      isParent: true,
      fence: Fence.make(0),
    })
  })
})

describe("Run.holdsPlace", () => {
  for (const [name, state] of Object.entries(states)) {
    const holds = /^(Ready|Running|Awaiting)|^Scheduled$|granted before/.test(name)
    const words = name === "Suspended"
      ? "holds that of a queue"
      : holds
      ? "holds one"
      : "holds none"
    it(`${name}: ${words}`, () => {
      assert.strictEqual(Run.holdsPlace(state, 1), holds || name === "Suspended")
      assert.strictEqual(Run.holdsPlace(state, 2), holds)
    })
  }
})
