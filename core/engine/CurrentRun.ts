/** What a handler may know of the run it carries out. */
import { Context } from "effect"
import type { Fence } from "../domain/Lease.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import type { TaskName } from "../domain/Task.ts"

export class CurrentRun extends Context.Service<CurrentRun, {
  readonly id: RunId
  readonly namespace: Namespace
  readonly task: TaskName
  /** `1` at the first start. */
  readonly attempt: number
  /** Give it to whatever must not be written by two attempts at once. */
  readonly fence: Fence
  /** The slot that fired it, in milliseconds since 1970. */
  readonly slot: number | undefined
  readonly idempotencyKey: string | undefined
}>()("belfry/core/engine/CurrentRun") {}
