import { assert, it } from "@effect/vitest"
import { Worker } from "node:worker_threads"
import { Incarnation } from "../../core/domain/Executor.ts"
import { Kept } from "./Kept.ts"

const [mine, others] = [7, 8].map((number) => Incarnation.make(number))

it("says how long ago another thread kept a lease, to one that has not looked after itself", () => {
  const kept = new Kept()
  assert.isUndefined(kept.millisAgo(mine!))
  const worker = new Worker(new URL("./kept.fixture.ts", import.meta.url), {
    workerData: { incarnation: mine, shared: kept.shared() },
  })
  const began = performance.now()
  while (kept.millisAgo(mine!) === undefined && performance.now() - began < 20_000);
  const since = performance.now() - began
  assert.isAtLeast(kept.millisAgo(mine!)!, 0)
  // It may seem older by as long as the thread took to begin, and never younger.
  assert.isAtMost(kept.millisAgo(mine!)!, since + 1000)
  assert.isUndefined(kept.millisAgo(others!), "it is of that lease alone")
  return worker.terminate()
})
