/** Planted: a trigger is kept without its first instant, or without its last. */
import { TriggerDefinition } from "../../domain/Trigger.ts"
import type { Mistake } from "../World.ts"

export const spanForgotten = (side: "start" | "end"): Mistake => (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    put: (definition, revision) => {
      const { schedule } = definition
      if (schedule._tag !== "Cron" && schedule._tag !== "Every") {
        return storage.triggers.put(definition, revision)
      }
      const { [side]: _, ...rest } = schedule
      const kept = new TriggerDefinition({ ...definition, schedule: rest as typeof schedule })
      return storage.triggers.put(kept, revision)
    },
  },
})
