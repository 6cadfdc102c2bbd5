/**
 * Everything in one process, gone when it ends: for tests, simulation, and work that may be lost.
 */
import { Context, Effect, Layer } from "effect"
import { HintCarrier } from "../../core/services/HintCarrier.ts"
import { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import { Wakeups } from "../../core/services/Wakeups.ts"
import * as MemoryLock from "./MemoryLock.ts"
import { type Bounds, MemoryState } from "./MemoryState.ts"
import * as MemoryStorage from "./MemoryStorage.ts"
import * as MemoryWakeups from "./MemoryWakeups.ts"

export { type KeptTrigger, MemoryState } from "./MemoryState.ts"

const usual: Bounds = { finished: 100_000, records: 10_000 }

/** Over a state of the caller's, which may look into it. */
export const layerOver = (state: MemoryState): Layer.Layer<Storage | Wakeups | Lock> =>
  Layer.effectContext(Effect.gen(function* () {
    state.carrier = yield* HintCarrier
    return Context.make(Storage, yield* MemoryStorage.make(state)).pipe(
      Context.add(Wakeups, MemoryWakeups.make(state)),
      Context.add(Lock, yield* MemoryLock.make(state)),
    )
  }))

export const layer: Layer.Layer<Storage | Wakeups | Lock> = Layer.suspend(() =>
  layerOver(new MemoryState(usual))
)
