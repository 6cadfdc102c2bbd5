/** The token as a command names it: itself, or in a file, where no list of processes shows it. */
import { Effect, Option, Redacted } from "effect"
import { readFileSync } from "node:fs"
import { Problem } from "./Problem.ts"

export interface Given {
  readonly token: Option.Option<Redacted.Redacted<string>>
  readonly tokenFile: Option.Option<string>
}

export const named = (
  { token, tokenFile }: Given,
): Effect.Effect<Redacted.Redacted<string> | undefined, Problem> => {
  if (Option.isNone(tokenFile)) return Effect.succeed(Option.getOrUndefined(token))
  const file = tokenFile.value
  if (Option.isSome(token)) {
    return Effect.fail(
      new Problem({ kind: "usage", what: "--token and --token-file exclude each other" }),
    )
  }
  return Effect.try({
    try: () => Redacted.make(readFileSync(file, "utf8").trim()),
    catch: (cause) =>
      new Problem({
        kind: "usage",
        what: `the token cannot be read: ${(cause as Error).message}`,
        fix: "name a file that holds it, and nothing else",
      }),
  })
}
