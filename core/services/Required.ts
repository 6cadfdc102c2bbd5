/**
 * What every task must say of itself to be taken in, so that whoever lists tasks finds out what each
 * is for and whom to ask. Nothing, unless those who run the server say so.
 */
import { Context } from "effect"
import { Refused } from "../domain/Refused.ts"
import type { TaskDefinition } from "../domain/Task.ts"

export const particulars = ["owner", "purpose"] as const
export type Particular = (typeof particulars)[number]

export const Required = Context.Reference<ReadonlyArray<Particular>>(
  "belfry/core/services/Required",
  { defaultValue: () => [] },
)

/** Why the first of them is refused that does not say what is required. */
export const refused = (
  required: ReadonlyArray<Particular>,
  definitions: ReadonlyArray<TaskDefinition>,
): Refused | undefined => {
  for (const definition of definitions) {
    const missing = required.find((each) => (definition[each] ?? "").trim() === "")
    if (missing === undefined) continue
    return new Refused({
      field: `${definition.name}.${missing}`,
      reason: "it is missing, and here every task has one",
      remedy: `Say it where the task is made: Task.make("${definition.name}", { ${missing}: "…" })`,
    })
  }
}
