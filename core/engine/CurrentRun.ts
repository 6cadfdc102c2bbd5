/** What a handler may know of the run it carries out. */
import { Context, type Duration, type Effect } from "effect"
import type { Shard } from "../domain/FanIn.ts"
import type { Fence } from "../domain/Lease.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Refused } from "../domain/Refused.ts"
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
  /** Which of its parent's children it is. */
  readonly shard: Shard | undefined
  /** What `keep` was given last before the run was suspended. */
  readonly checkpoint: string | undefined
  /** Should the run be suspended from now on, it is resumed with this JSON text. */
  readonly keep: (checkpoint: string) => Effect.Effect<void, Refused>
  /** What the task keeps for a key, as JSON text; `remember` says how it gets there. */
  readonly recall: (key: string) => Effect.Effect<string | undefined>
  /**
   * Should the run succeed, its task keeps this for the key from then on, in the step that ends the
   * run; nothing any more, if it is `undefined`. The last call counts.
   */
  readonly remember: (key: string, state: string | undefined) => Effect.Effect<void, Refused>
  /**
   * Ends the attempt here, and leaves the run to something outside: whoever notifies first ends it.
   * Past the timeout it has timed out.
   */
  readonly handOver: (timeout?: Duration.Input) => Effect.Effect<never>
}>()("belfry/core/engine/CurrentRun") {}
