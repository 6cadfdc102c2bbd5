/** Keeps work going, as O4 asks: what fails or ends is started again after a pause. */
import { Cause, Effect } from "effect"
import { Spell } from "./Spell.ts"

export const upkeep = <R>(
  duty: string,
  work: Effect.Effect<void, never, R>,
): Effect.Effect<never, never, R> =>
  Effect.suspend(() => {
    const spell = new Spell(`do the work of "${duty}"`)
    return work.pipe(
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : spell.failed(cause)
      ),
      Effect.exit,
      Effect.andThen(Effect.sleep("1 second")),
      Effect.forever,
    )
  })
