import { assert, describe, it } from "@effect/vitest"
import * as Blocking from "../domain/Blocking.ts"
import { Refused } from "../domain/Refused.ts"
import * as Retry from "../domain/Retry.ts"
import * as Task from "./Task.ts"

const refusal = (policy: Task.PolicyOptions<unknown>): Refused => {
  try {
    Task.make("refused", { policy })
  } catch (error) {
    if (error instanceof Refused) return error
    throw error
  }
  return assert.fail("it was not refused")
}

describe("Task.make", () => {
  it("keeps what is said of a policy, and the usual for the rest", () => {
    const { policy } = Task.make("kept", {
      policy: {
        timeout: "90 seconds",
        blocking: Blocking.concurrent(3),
        selector: "region == eu, !spot , gpu",
        retry: Retry.exponential({ attempts: 2 }),
        retention: "7 days",
      },
    })
    assert.deepStrictEqual(policy as unknown, {
      ...Task.make("usual").policy,
      timeoutMillis: 90_000,
      blocking: { _tag: "Concurrent", limit: 3 },
      selector: "gpu,region=eu,!spot",
      retry: Retry.exponential({ attempts: 2 }),
      retention: "7 days",
    })
  })

  it("refuses a breaker by key of a task that derives none", () => {
    const breaker = { name: "gateway", by: "key" } as const
    const { field, remedy } = refusal({ breaker, blocking: Blocking.fifo })
    assert.strictEqual(field, "policy.breaker")
    assert.include(remedy, "blockingKey")
    const blockingKey = () => "a"
    const { policy } = Task.make("kept", {
      policy: { breaker, blocking: Blocking.fifo, blockingKey },
    })
    assert.deepEqual(policy.breaker, breaker)
  })

  it("refuses a policy by the path of its field, before anything is stored", () => {
    const retry = refusal({ retry: Retry.exponential({ attempts: 2, delayMillis: -1 }) })
    assert.strictEqual(
      retry.message,
      "policy.retry.delayMillis: -1 is not a value between 0 and 86400000. " +
        "Give a value between 0 and 86400000",
    )
    const selector = refusal({ selector: "region in (eu" })
    assert.strictEqual(selector.field, "policy.selector")
    assert.include(selector.reason, "at character 14")
    assert.strictEqual(refusal({ timeout: "40 days" }).field, "policy.timeoutMillis")
  })

  it("refuses what is not yet carried out", () => {
    const { field, reason } = refusal({ alerts: [{ on: "failed", channel: "mail" }] })
    assert.deepStrictEqual([field, reason], ["policy.alerts", "this is not yet carried out"])
  })
})
