/**
 * A storage that can make use of being told of a fire before its instant (T18).
 *
 * It waits for the instant and fires then, whether who has asked for it still lives or not. Who turns a
 * trigger meanwhile does so before.
 */
import { type Clock, Duration, Effect } from "effect"
import type { Storage } from "../services/Storage.ts"
import type { Firing } from "../services/TriggerStorage.ts"

export const toldMillis = 250

export const toldAhead = (
  storage: Storage["Service"],
  clock: Clock.Clock,
): Storage["Service"] => {
  const { triggers } = storage
  /** Until the last instant that is near enough. */
  const waitFor = (items: ReadonlyArray<Firing>) => {
    const now = clock.currentTimeMillisUnsafe()
    const remaining = items.map(({ fire, passed }) => (fire?.slot ?? passed?.through ?? now) - now)
      .filter((millis) => millis <= toldMillis)
    return clock.sleep(Duration.millis(Math.max(0, ...remaining)))
  }
  return {
    ...storage,
    triggers: {
      ...triggers,
      aheadMillis: toldMillis,
      fire: (items) => Effect.andThen(Effect.suspend(() => waitFor(items)), triggers.fire(items)),
    },
  }
}
