/**
 * A namespace is the boundary of isolation: tasks, triggers, runs and executors of one namespace
 * know nothing of another's.
 */
import { Schema } from "effect"

export const Namespace = Schema.String.check(
  Schema.isPattern(/^[a-z0-9][a-z0-9._-]{0,62}$/, {
    message:
      "a namespace has 1 to 63 characters: lower-case letters, digits, '.', '_' or '-', the first a letter or digit",
  }),
).pipe(Schema.brand("Namespace"))
export type Namespace = typeof Namespace.Type

export const standard: Namespace = Namespace.make("default")
