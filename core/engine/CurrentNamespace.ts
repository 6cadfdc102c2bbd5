/** The namespace that submits, triggers and executors belong to unless they name one. */
import { Context } from "effect"
import { type Namespace, standard } from "../domain/Namespace.ts"

export const CurrentNamespace = Context.Reference<Namespace>(
  "belfry/core/engine/CurrentNamespace",
  {
    defaultValue: () => standard,
  },
)
