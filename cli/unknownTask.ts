/** Whether a server knows a task that somebody named. */
import { Effect, Result } from "effect"
import type { Problem } from "./Problem.ts"

/** That it does not, and what looks alike; `undefined` when it does, or does not say. */
export const unknownTask = <A>(
  looked: Effect.Effect<A, Problem>,
): Effect.Effect<string | undefined> =>
  Effect.map(
    Effect.result(looked),
    (found) =>
      Result.isFailure(found) && found.failure.kind === "notFound" ? found.failure.what : undefined,
  )
