/** What all calls of a program of promises go through. */
import { DateTime, type Effect } from "effect"
import type { Breakers } from "../core/engine/Breakers.ts"
import type { Groups } from "../core/engine/Groups.ts"
import type { Locks } from "../core/engine/Locks.ts"
import type { Scheduler } from "../core/engine/Scheduler.ts"
import type { Triggers } from "../core/engine/Triggers.ts"
import type { Task } from "./Task.ts"
import type { StandardSchema } from "./StandardSchema.ts"

/** What an engine has to offer. */
export type Engine = Scheduler | Triggers | Breakers | Groups | Locks

export interface Waiting {
  /** Aborted, nobody waits any more; the run goes on. `cancel` stops it. */
  readonly signal?: AbortSignal
}

/** Asks the engine; what it fails with is what the promise rejects with. */
export type Call = <A, E>(effect: Effect.Effect<A, E, Engine>, waiting?: Waiting) => Promise<A>

/** @internal What is done with a task depends on no more of it than this. */
export type Internal<
  S extends StandardSchema = StandardSchema,
  E extends StandardSchema = StandardSchema,
> = Pick<Task<StandardSchema, S, E>, "name" | "core" | "keep" | "keepSuccess" | "outcome">

/** An instant as programs have it. */
export const dateOf = (instant: DateTime.Utc | undefined): Date | undefined =>
  instant === undefined ? undefined : DateTime.toDateUtc(instant)

export const instantOf = (millis: number | undefined): Date | undefined =>
  millis === undefined ? undefined : new Date(millis)
