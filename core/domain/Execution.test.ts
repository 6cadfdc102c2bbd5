import { assert, it } from "@effect/vitest"
import { DateTime } from "effect"
import * as Execution from "./Execution.ts"
import { Fence } from "./Lease.ts"
import { RunId } from "./RunId.ts"
import type { RunHappening } from "./RunView.ts"

const happened = (seconds: number, kind: string, attempt: number, fence: number): RunHappening => ({
  at: DateTime.makeUnsafe(seconds * 1000),
  kind,
  attempt,
  fence: Fence.make(fence),
  ...(kind === "Lost" && { detail: "ada is lost" }),
})

it("N10: each grant is one, with an id, its times and how it ended", () => {
  const view = { id: RunId.make(17), fence: Fence.make(3) }
  const executions = Execution.of(view, [
    happened(0, "Submitted", 0, 0),
    happened(1, "Claimed", 1, 1),
    happened(2, "Retried", 1, 1),
    happened(3, "Claimed", 2, 2),
    happened(4, "CancelAsked", 2, 2),
    happened(5, "Lost", 2, 2),
    happened(6, "Claimed", 2, 3),
    // A storage may tell of one grant twice.
    happened(6, "Claimed", 2, 3),
  ])
  assert.deepStrictEqual(
    executions.map(({ attempt, end, endedAt, id, startedAt }) => [
      id,
      attempt,
      DateTime.toEpochMillis(startedAt),
      endedAt && DateTime.toEpochMillis(endedAt),
      end,
    ]),
    [
      ["17.1", 1, 1000, 2000, "Retried"],
      ["17.2", 2, 3000, 5000, "Lost"],
      ["17.3", 2, 6000, undefined, undefined],
    ],
  )
  assert.strictEqual(executions[1]!.detail, "ada is lost")
})
