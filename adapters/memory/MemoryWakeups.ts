/** Wake-ups within one process, straight from the memory storage: see `Wakeups` for the laws. */
import { Effect, Latch, Option } from "effect"
import { Wakeups } from "../../core/services/Wakeups.ts"
import { type MemoryState, within } from "./MemoryState.ts"

export const make = (state: MemoryState) =>
  Wakeups.of({
    subscribe: (topics) =>
      Effect.gen(function* () {
        const hinted = Latch.makeUnsafe()
        const { currentDispatcher } = yield* Effect.fiber
        // Opened at once, the waiter would go on within the command that hints, half-way through it.
        let isOnItsWay = false
        const open = () => {
          isOnItsWay = false
          hinted.openUnsafe()
        }
        const listener = () => {
          if (isOnItsWay) return
          isOnItsWay = true
          currentDispatcher.scheduleTask(open, 0)
        }
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            for (const topic of topics) {
              within(state.listeners, topic, () => new Set<() => void>()).add(listener)
            }
          }),
          () =>
            Effect.sync(() => {
              for (const topic of topics) {
                const listeners = state.listeners.get(topic)
                listeners?.delete(listener)
                if (listeners?.size === 0) state.listeners.delete(topic)
              }
            }),
        )
        return {
          arm: Effect.asVoid(hinted.close),
          wait: (atMost) => Effect.map(Effect.timeoutOption(hinted.await, atMost), Option.isSome),
        }
      }),
  })
