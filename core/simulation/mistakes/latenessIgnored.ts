/** Planted: a planner fires every slot, however late, whatever becomes of late ones by their policy. */
import { Effect } from "effect"
import { TriggerDefinition } from "../../domain/Trigger.ts"
import type { Plant } from "../World.ts"

const dayMillis = 86_400_000

export const latenessIgnored: NonNullable<Plant["planner"]> = (storage) => ({
  ...storage,
  triggers: {
    ...storage.triggers,
    due: (...asked) =>
      Effect.map(storage.triggers.due(...asked), ({ now, triggers }) => ({
        now,
        triggers: triggers.map((view) => ({
          ...view,
          definition: new TriggerDefinition({ ...view.definition, graceMillis: dayMillis }),
        })),
      })),
  },
})
