/**
 * Submits and carries out for as long as it lives, and prints what it was told: `submitted ID` and
 * `succeeded ID`, each once it was acknowledged. For `kill.test.ts`.
 */
import { Effect } from "effect"
import { writeSync } from "node:fs"
import { ExecutorName } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { standard } from "../../core/domain/Namespace.ts"
import { TaskName } from "../../core/domain/Task.ts"
import type { Report } from "../../core/services/RunStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Sqlite from "./mod.ts"

const task = TaskName.make("greet")
const lane = Lane.ofTask(standard, task)

const submitOn = Effect.gen(function* () {
  const { runs } = yield* Storage
  for (;;) {
    const [answer] = yield* runs.submit([{
      namespace: standard,
      task,
      payload: JSON.stringify("x".repeat(200)),
      lane,
      level: Lane.usual,
      delayMillis: 0,
      gate: undefined,
      idempotencyKey: undefined,
      isAtMostOnce: false,
      crashesMax: 3,
    }])
    writeSync(1, `submitted ${answer!.run}\n`)
  }
})

const carryOutOn = Effect.gen(function* () {
  const { executors, runs } = yield* Storage
  const incarnation = yield* executors.join({
    namespace: standard,
    name: ExecutorName.make("ada"),
    capacity: 10,
    labels: {},
    ttlMillis: 60_000,
  })
  let reports: ReadonlyArray<Report> = []
  for (let round = 1;; round++) {
    const claimed = yield* runs.claim({
      incarnation,
      loop: 0,
      round,
      isAgain: false,
      lanes: [lane],
      limit: 3,
      reports,
    })
    if (claimed === "Lost") return
    for (const [at, { run }] of reports.entries()) {
      if (claimed.settled[at] === "applied") writeSync(1, `succeeded ${run}\n`)
    }
    reports = claimed.grants.map(({ fence, run }) => ({ _tag: "Succeed", run, fence }))
  }
})

await Effect.runPromise(
  Effect.all([...Array.from({ length: 8 }, () => submitOn), carryOutOn], {
    concurrency: "unbounded",
  }).pipe(Effect.provide(Sqlite.layer({ file: process.argv[2]! }))),
)
