/**
 * `Conformity` for programs of promises.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { task } from "belfry/promise"
 * import { Conformity, testConformity } from "belfry/testing"
 *
 * const report = task("report")
 * const reporting = report.handler(async (_, { sleep }) => await sleep("3 minutes"))
 *
 * const conformity = await testConformity(report, { handlers: [reporting], payloads: [{}] })
 * assert.deepEqual(Conformity.broken(conformity), [], Conformity.format(conformity))
 * ```
 */
import { Effect } from "effect"
import { Refused } from "../core/domain/Refused.ts"
import type { Input, StandardSchema } from "../promise/StandardSchema.ts"
import { program } from "../promise/start.ts"
import type { Handler, Task } from "../promise/Task.ts"
import { type CommonOptions, type Conformity, ofSubjects } from "./Conformity.ts"

export interface TestConformityOptions<P> extends CommonOptions<P> {
  /** That of the task, and those of others that it needs. What they are over lasts through all trials. */
  readonly handlers: ReadonlyArray<Handler>
  /** What the task changes, as it is at present: plain data, compared before and after. */
  readonly outside?: () => unknown
}

/** Rejects if there is no handler of this task, or if a payload does not fit. */
export const testConformity = <
  P extends StandardSchema,
  S extends StandardSchema,
  E extends StandardSchema,
>(task: Task<P, S, E>, options: TestConformityOptions<Input<P>>): Promise<Conformity> => {
  const { handlers, isIdempotent, outside, payloads, ...more } = options
  const { core } = task
  if (handlers.every((handler) => handler.task !== task.name)) {
    return Promise.reject(
      new Refused({
        field: "handlers",
        reason: `none of them is of the task "${task.name}"`,
        remedy: "Give the one that its handler() makes",
      }),
    )
  }
  return Effect.runPromise(ofSubjects(
    core.name,
    core.policy,
    isIdempotent ?? false,
    payloads.map((payload) => ({
      task: core.name,
      layer: program(handlers),
      outside: outside && Effect.promise(async () => await outside()),
      submission: Effect.flatMap(task.keep(payload), core.submission),
      read: task.outcome,
      notified: undefined,
      // Its `keep` answers at once, so nothing can wait in it.
      mayWait: false,
      options: more,
    })),
  ))
}
