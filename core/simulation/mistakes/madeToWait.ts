/** Planted: what is discarded if another is under way waits for it to end. */
import type { Mistake } from "../World.ts"

export const madeToWait: Mistake = (storage) => ({
  ...storage,
  runs: {
    ...storage.runs,
    submit: (specs) =>
      storage.runs.submit(
        specs.map((spec) =>
          spec.gate?.whenFull === "discard"
            ? { ...spec, gate: { ...spec.gate, whenFull: "wait" } }
            : spec
        ),
      ),
  },
})
