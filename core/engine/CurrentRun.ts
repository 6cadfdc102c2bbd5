/** What a handler may know of the run it carries out, and say of it. */
import { Context, type Duration, type Effect } from "effect"
import type { Shard } from "../domain/FanIn.ts"
import type { Labels } from "../domain/Labels.ts"
import type { Fence } from "../domain/Lease.ts"
import type { LogLevel } from "../domain/LogLine.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Said } from "../domain/Progress.ts"
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
  /** As it was submitted, as JSON text. */
  readonly payload: string
  /** The slot that fired it, in milliseconds since 1970. */
  readonly slot: number | undefined
  readonly idempotencyKey: string | undefined
  /** Which of its parent's children it is. */
  readonly shard: Shard | undefined
  /** Of the executor that carries it out. */
  readonly labels: Labels
  /** How long an attempt may take. */
  readonly timeoutMillis: number | undefined
  /** When this attempt is interrupted, in milliseconds since 1970 by the clock of this process. */
  readonly deadline: number | undefined
  /** What `keep` was given last before the run was suspended, or given back at a shutdown. */
  readonly checkpoint: string | undefined
  /** What the run had succeeded with, as JSON text, where it is rolled back on demand. */
  readonly result: string | undefined
  /** Should the run be put down from now on, it goes on with this JSON text. */
  readonly keep: (checkpoint: string) => Effect.Effect<void, Refused>
  /** How far the run has come: `{ percent: 30 }`, `{ done: 3, total: 10, text: "resizing" }`. */
  readonly progress: (said: Said) => Effect.Effect<void>
  /**
   * What the task keeps for a key, as JSON text; `remember` says how it gets there. If that takes so long
   * that somebody else may have the run by then, the attempt ends here, and counts as none.
   */
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
  /** A line of its log; what is logged by Effect's own functions becomes one by itself. */
  readonly say: (level: LogLevel, text: string) => void
}>()("belfry/core/engine/CurrentRun") {}
