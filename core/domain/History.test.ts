import { assert, it } from "@effect/vitest"
import * as History from "./History.ts"
import { Fence, never } from "./Lease.ts"

const entry = (at: number, kind: string, fence: number): History.Entry => ({
  at,
  kind,
  attempt: fence,
  fence: Fence.make(fence),
})
const submitted = { createdAt: 1, attempt: 0, fence: never, claimedAt: undefined, end: undefined }
const kindsOf = (told: History.Told, journal: ReadonlyArray<History.Entry>) =>
  History.of(told, journal).map(({ fence, kind }) => `${kind} ${fence}`)

it("begins with the submit, and ends with the end", () => {
  const told = { ...submitted, attempt: 1, fence: Fence.make(1), claimedAt: 2 }
  assert.deepStrictEqual(kindsOf(submitted, []), ["Submitted 0"])
  assert.deepStrictEqual(
    kindsOf({ ...told, end: { at: 3, kind: "Failed", detail: "no" } }, [entry(1, "Admitted", 0)]),
    ["Submitted 0", "Admitted 0", "Claimed 1", "Failed 1"],
  )
})

it("puts a grant before all that has its fence, though it was written down after it", () => {
  const told = { ...submitted, attempt: 2, fence: Fence.make(2), claimedAt: 5 }
  const journal = [
    entry(5, "Started", 1),
    entry(5, "Claimed", 1),
    entry(5, "Retried", 1),
    entry(5, "Started", 2),
  ]
  assert.deepStrictEqual(
    kindsOf(told, journal),
    ["Submitted 0", "Claimed 1", "Started 1", "Retried 1", "Claimed 2", "Started 2"],
  )
})

it("goes by what was written first, not by a clock that was set back", () => {
  const journal = [entry(90, "Admitted", 0), entry(20, "Suspended", 0), entry(10, "Resumed", 0)]
  assert.deepStrictEqual(
    kindsOf({ ...submitted, createdAt: 100 }, journal),
    ["Submitted 0", "Admitted 0", "Suspended 0", "Resumed 0"],
  )
})

it("tells of a late report when it came, whatever its fence", () => {
  const told = {
    ...submitted,
    attempt: 2,
    fence: Fence.make(2),
    claimedAt: 5,
    end: { at: 7, kind: "Succeeded" },
  }
  const journal = [
    entry(3, "Claimed", 1),
    entry(4, "Lost", 1),
    entry(6, "LateReport", 1),
    entry(8, "LateReport", 1),
  ]
  assert.deepStrictEqual(
    kindsOf(told, journal),
    [
      "Submitted 0",
      "Claimed 1",
      "Lost 1",
      "LateReport 1",
      "Claimed 2",
      "Succeeded 2",
      "LateReport 1",
    ],
  )
})

it("tells of a grant once, also when the journal has it", () => {
  const told = { ...submitted, attempt: 1, fence: Fence.make(1), claimedAt: 2 }
  const journal = [entry(2, "Claimed", 1), entry(3, "Failed", 1), entry(4, "Revived", 1)]
  assert.deepStrictEqual(
    kindsOf(told, journal),
    ["Submitted 0", "Claimed 1", "Failed 1", "Revived 1"],
  )
})
