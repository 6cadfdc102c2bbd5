/** How the tests of invariants are told: by the number of the invariant, in a namespace of their own. */
import type { Effect, Scope } from "effect"
import type { Program } from "../program.ts"

export type Test<R = Program> = (
  name: string,
  body: () => Effect.Effect<unknown, unknown, R | Scope.Scope>,
) => void
