/**
 * Virtual time for programs of promises.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { task, Trigger } from "belfry/promise"
 * import { startTesting } from "belfry/testing"
 *
 * const report = task("report")
 * const reporting = report.handler(async (_, { sleep }) => await sleep("3 minutes"))
 *
 * await using belfry = await startTesting({ handlers: [reporting] })
 * await belfry.schedule(report, "nightly", Trigger.cron("0 3 * * *"), {})
 * await belfry.advance("30 days")
 * assert.equal((await belfry.slots("nightly", 100)).length, 30)
 * ```
 */
import { DateTime, type Duration, Effect, Layer, ManagedRuntime } from "effect"
import { standard } from "../core/domain/Namespace.ts"
import { Breakers } from "../core/engine/Breakers.ts"
import { Groups } from "../core/engine/Groups.ts"
import { type Belfry, over } from "../promise/Belfry.ts"
import { type Run, runOf } from "../promise/Runs.ts"
import { type CommonOptions, namespaceOf, program } from "../promise/start.ts"
import { Testing, type TestingOptions } from "./Testing.ts"

export interface StartTestingOptions extends TestingOptions, Omit<CommonOptions, "executor"> {}

export interface TestBelfry extends Belfry {
  readonly now: () => Promise<Date>
  /** Moves time on; what is due meanwhile is done, at its instant. */
  readonly advance: (duration: Duration.Input) => Promise<void>
  /** Time passes and nobody does anything, as when all machines are down. */
  readonly outage: (duration: Duration.Input) => Promise<void>
  /** All runs, or those of a task, the earliest first. */
  readonly runs: (task?: { readonly name: string }) => Promise<ReadonlyArray<Run>>
  /** What became of triggers and runs so far, as text. */
  readonly report: () => Promise<string>
}

export const startTesting = async (options: StartTestingOptions = {}): Promise<TestBelfry> => {
  const { handlers = [], namespace = standard, ...more } = options
  const runtime = ManagedRuntime.make(
    Layer.mergeAll(program(handlers), Breakers.layer, Groups.layer).pipe(
      Layer.provideMerge(Testing.layerWith(more)),
      Layer.provideMerge(namespaceOf(namespace)),
    ),
  )
  await runtime.context()
  const testing = <A, E>(use: (testing: Testing["Service"]) => Effect.Effect<A, E>) =>
    runtime.runPromise(Testing.use(use))
  return {
    ...over(runtime),
    now: () => testing(({ now }) => Effect.map(now, DateTime.toDateUtc)),
    advance: (duration) => testing(({ advance }) => advance(duration)),
    outage: (duration) => testing(({ outage }) => outage(duration)),
    runs: (task) =>
      testing(({ runs }) => Effect.map(runs(task), (views) => views.map((view) => runOf(view)))),
    report: () => testing(({ report }) => report),
  }
}
