/**
 * A handler carries the runs of one task out. It takes and gives JSON text, so that an executor
 * knows nothing of payloads; `Task.toLayer` makes one from typed code.
 */
import type { Context, Effect } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import type { PayloadSchemas } from "../domain/PayloadSchema.ts"
import { HookName, type Policy, TaskDefinition, type TaskName } from "../domain/Task.ts"
import type { Failure } from "../domain/RunView.ts"
import type { CurrentRun } from "./CurrentRun.ts"

/** How an attempt ended that did not succeed. */
export interface Unsuccessful {
  readonly failure: Failure
  /** A declared error is an answer, and no attempt will change it. */
  readonly isAnswer: boolean
  readonly isTimeOut?: boolean
  /** It was not begun, and is for somebody else: nothing is counted, and the run goes back. */
  readonly isGivenBack?: boolean
}

/** What code says of a task. */
export interface Told {
  readonly task: TaskName
  readonly policy: Policy
  readonly owner: string | undefined
  readonly purpose: string | undefined
  /** How its payloads look, for who has not its code. */
  readonly payloads?: PayloadSchemas | undefined
}

/** The same of the same, whether an executor serves the task or a trigger of it is stored. */
export const definitionOf = (
  namespace: Namespace,
  { owner, payloads, policy, purpose, task }: Told,
): TaskDefinition =>
  new TaskDefinition({
    namespace,
    name: task,
    policy,
    ...(owner !== undefined && { owner }),
    ...(purpose !== undefined && { purpose }),
    ...(payloads?.some((each) => each !== null) && { payloads }),
  })

/** The same by who has the code that carries it out. */
export const servedBy = (namespace: Namespace, handler: Handler): TaskDefinition => {
  const { hooks = {} } = handler
  return new TaskDefinition({
    ...definitionOf(namespace, handler),
    hooks: HookName.literals.filter((name) => hooks[name] !== undefined),
  })
}

export interface Handler extends Told {
  /** What its code needs. A run's fiber starts with it: to merge it in would cost a copy per run. */
  readonly context: Context.Context<never>
  /** From the payload's JSON text to the result's. */
  readonly carryOut: (
    payload: string,
    run: CurrentRun["Service"],
  ) => Effect.Effect<string | undefined, Unsuccessful>
  /** Whether the payload is one that it gives back as it came. Nothing of it is begun then, nor marked. */
  readonly isForOthers?: (payload: string) => boolean
  readonly hooks?: Hooks | undefined
  /** An attempt with what it waits for before it begins, and its time with it. */
  readonly opening?: <A>(
    run: CurrentRun["Service"],
    attempt: Effect.Effect<A, Unsuccessful>,
  ) => Effect.Effect<A, Unsuccessful>
}

/** How an attempt ended, for the hooks that come after it. */
export interface Ended {
  /** `Retried`: another attempt will follow. */
  readonly state: "Succeeded" | "Failed" | "TimedOut" | "Retried" | "Stopped"
  readonly failure?: Failure
  /** How long each step took, of those that this executor carried out. */
  readonly tookMillis: {
    readonly prepare?: number
    readonly run?: number
    readonly rollback?: number
    readonly clean?: number
  }
}

type Hook<A extends ReadonlyArray<unknown>, B = void> = (
  payload: string,
  run: CurrentRun["Service"],
  ...more: A
) => Effect.Effect<B, Unsuccessful>

/** What is done around `carryOut`; `hooks.ts` says when. */
export interface Hooks {
  readonly prepare?: Hook<[]>
  readonly rollback?: Hook<[failure: Failure]>
  readonly clean?: Hook<[ended: Ended]>
  readonly summary?: Hook<[ended: Ended], string | undefined>
}
