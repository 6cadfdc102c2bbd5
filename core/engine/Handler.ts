/**
 * A handler carries the runs of one task out. It takes and gives JSON text, so that an executor
 * knows nothing of payloads; `Task.toLayer` makes one from typed code.
 */
import type { Effect } from "effect"
import type { Policy, TaskName } from "../domain/Task.ts"
import type { Failure } from "../domain/RunView.ts"
import type { CurrentRun } from "./CurrentRun.ts"

/** How an attempt ended that did not succeed. */
export interface Unsuccessful {
  readonly failure: Failure
  /** A declared error is an answer, and no attempt will change it. */
  readonly isAnswer: boolean
  readonly isTimeOut?: boolean
}

export interface Handler {
  readonly task: TaskName
  readonly policy: Policy
  readonly owner: string | undefined
  readonly purpose: string | undefined
  /** From the payload's JSON text to the result's. */
  readonly carryOut: (
    payload: string,
    run: CurrentRun["Service"],
  ) => Effect.Effect<string | undefined, Unsuccessful>
}
