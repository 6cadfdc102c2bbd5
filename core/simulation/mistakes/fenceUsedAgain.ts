/** Planted: what is granted again has the fence that it had. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"
import { Fence } from "../../domain/Lease.ts"

export const fenceUsedAgain: Mistake = (storage, state) => ({
  ...storage,
  runs: {
    ...storage.runs,
    claim: (request) =>
      Effect.suspend(() => {
        for (const entry of [...state.ready.values()].flatMap((ready) => [...ready])) {
          const { fence } = entry.state
          if (fence > 0) entry.state = { ...entry.state, fence: Fence.make(fence - 1) }
        }
        return storage.runs.claim(request)
      }),
  },
})
