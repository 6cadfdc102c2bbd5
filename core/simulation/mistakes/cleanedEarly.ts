/** Planted: an executor cleans what is handed over as it hands it over. */
import { Effect } from "effect"
import type { Plant } from "../World.ts"

export const cleanedEarly: NonNullable<Plant["executor"]> = (executor) => ({
  ...executor,
  register: (handler) =>
    executor.register({
      ...handler,
      carryOut: (text, run) => {
        const { clean } = handler.hooks ?? {}
        if (clean === undefined) return handler.carryOut(text, run)
        const cleaned = Effect.ignore(clean(text, run, { state: "Stopped", tookMillis: {} }))
        return handler.carryOut(text, {
          ...run,
          handOver: (timeout) => Effect.andThen(cleaned, run.handOver(timeout)),
        })
      },
    }),
})
