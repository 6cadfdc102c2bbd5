/** Planted: what is to be due later is due at once. */
import type { Mistake } from "../World.ts"

export const delayForgotten: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    submit: (specs) => storage.runs.submit(specs.map((spec) => ({ ...spec, delayMillis: 0 }))),
  },
})
