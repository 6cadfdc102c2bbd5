/** JSON from the command line. */
import { Effect, Option, type Schema } from "effect"
import { Problem } from "./Problem.ts"

export const parsedJson = (
  what: string,
  text: Option.Option<string>,
  example: string,
): Effect.Effect<Schema.Json | undefined, Problem> =>
  Effect.suspend(() => {
    if (Option.isNone(text)) return Effect.undefined
    try {
      return Effect.succeed(JSON.parse(text.value) as Schema.Json)
    } catch (cause) {
      return Effect.fail(
        new Problem({
          kind: "usage",
          what: `the ${what} is not JSON: ${(cause as Error).message}`,
          fix: "put it in single quotes, and names and texts in it in double quotes",
          hint: example,
        }),
      )
    }
  })
