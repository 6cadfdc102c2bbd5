/** What a program and its isolated places say to each other: plain data, fit for any channel. */
import type { Labels } from "../../core/domain/Labels.ts"
import type { Shard } from "../../core/domain/FanIn.ts"
import type { LogLevel } from "../../core/domain/LogLine.ts"
import type { Said } from "../../core/domain/Progress.ts"
import type { Failure } from "../../core/domain/RunView.ts"
import type { Ended, Unsuccessful } from "../../core/engine/Handler.ts"

/** What a place is opened with. */
export interface Opening {
  /** Modules whose default exports are layers of tasks. */
  readonly entries: ReadonlyArray<string>
  readonly task: string
  readonly namespace: string
}

/** What a handler may know of its run, but for what it can do. */
export interface RunData {
  readonly id: number
  readonly namespace: string
  readonly task: string
  readonly attempt: number
  readonly fence: number
  readonly payload: string
  readonly slot: number | undefined
  readonly idempotencyKey: string | undefined
  readonly shard: Shard | undefined
  readonly labels: Labels
  readonly timeoutMillis: number | undefined
  readonly deadline: number | undefined
  readonly checkpoint: string | undefined
  readonly result: string | undefined
}

export type Step =
  | { readonly _tag: "CarryOut" | "Prepare" }
  | { readonly _tag: "Rollback"; readonly failure: Failure }
  | { readonly _tag: "Clean" | "Summary"; readonly ended: Ended }

/** To the place. It does one thing at a time, and each has a number. */
export type Order =
  | {
    readonly _tag: "Do"
    readonly turn: number
    readonly step: Step
    readonly payload: string
    readonly run: RunData
  }
  | { readonly _tag: "Stop" }
  /** What became of a call. */
  | { readonly _tag: "Answer"; readonly call: number; readonly answer: Answer }

export type Answer =
  | { readonly _tag: "Done"; readonly value?: unknown }
  | { readonly _tag: "Failed"; readonly error: Readonly<Record<string, unknown>> }

/** What a place says of the thing that it does, or has done. */
export type Saying =
  | { readonly _tag: "Progress"; readonly said: Said }
  | { readonly _tag: "Line"; readonly level: LogLevel; readonly text: string }
  | { readonly _tag: "Keep"; readonly checkpoint: string }
  /** What the task keeps for a key is asked for, as a call is. */
  | { readonly _tag: "Recall"; readonly call: number; readonly key: string }
  | { readonly _tag: "Remember"; readonly key: string; readonly state?: string }
  /** It is to be handed over as soon as it has ended, which it says next. */
  | { readonly _tag: "HandOver"; readonly timeoutMillis?: number }
  | { readonly _tag: "Succeeded"; readonly value?: string }
  | { readonly _tag: "Unsuccessful"; readonly unsuccessful: Unsuccessful }
  | { readonly _tag: "Stopped" }

/** From the place. What is said of another turn than the present one is nobody's business any more. */
export type Word =
  | { readonly _tag: "Ready" }
  /** It cannot be of use: why. */
  | { readonly _tag: "Unfit"; readonly failure: Failure }
  /** Something of the program's scheduler. */
  | {
    readonly _tag: "Call"
    readonly call: number
    readonly method: string
    readonly args: ReadonlyArray<unknown>
  }
  /** Nobody waits for what becomes of that call any more. */
  | { readonly _tag: "Forget"; readonly call: number }
  | Saying & { readonly turn: number }
