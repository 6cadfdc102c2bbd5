/** The namespace that is named on the command line, for whatever is started here. */
import { Effect, Option, Schema } from "effect"
import { Namespace, standard } from "../core/domain/Namespace.ts"
import { Problem } from "./Problem.ts"

const isNamespace = Schema.is(Namespace)

export const joined = (named: Option.Option<string>): Effect.Effect<Namespace, Problem> => {
  const name = Option.getOrElse(named, (): string => standard)
  return isNamespace(name) ? Effect.succeed(name) : Effect.fail(
    new Problem({
      kind: "usage",
      what: `--namespace: "${name}" is no name of a namespace`,
      fix: "use 1 to 63 lower-case letters, digits, '.', '_' or '-', the first a letter or digit",
    }),
  )
}

/** As further commands name it: nothing where it is the usual one. */
export const flagOf = (namespace: Namespace): ReadonlyArray<string> =>
  namespace === standard ? [] : ["--namespace", namespace]
