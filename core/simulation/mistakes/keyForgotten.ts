/** Planted: an idempotency key is not looked at. */
import type { Mistake } from "../World.ts"

export const keyForgotten: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    submit: (specs) =>
      storage.runs.submit(specs.map((spec) => ({ ...spec, idempotencyKey: undefined }))),
  },
})
