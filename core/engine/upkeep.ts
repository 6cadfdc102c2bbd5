/** Keeps work going, as O4 asks: what fails or ends is started again after a pause. */
import { Cause, Effect } from "effect"

export const upkeep = <R>(
  duty: string,
  work: Effect.Effect<void, never, R>,
): Effect.Effect<never, never, R> =>
  work.pipe(
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.logError(`the work of "${duty}" failed`, cause)
    ),
    Effect.exit,
    Effect.andThen(Effect.sleep("1 second")),
    Effect.forever,
  )
