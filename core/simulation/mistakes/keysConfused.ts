/** Planted: how the calls of one key went is told of another. */
import type { Mistake } from "../World.ts"

export const keysConfused: Mistake = (storage) => ({
  ...storage,
  permits: {
    ...storage.permits,
    hear: (heard) =>
      storage.permits.hear(
        heard.key === undefined
          ? heard
          : { ...heard, key: heard.key === "key-0" ? "key-1" : "key-0" },
      ),
  },
})
