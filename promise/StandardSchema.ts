/**
 * Checks values by a schema of whichever library: zod, valibot, arktype, Effect and others agree on
 * the Standard Schema interface, which is all that is known of them here.
 */
import { Effect, Result, type Schema, type StandardSchema as Standard } from "effect"

// deno-lint-ignore no-explicit-any -- a schema of `unknown` accepts no other in place of it
export type StandardSchema = Standard.StandardSchemaV1<any, any>
/** What a schema accepts. It is kept as JSON, so it has to survive that. */
export type Input<S extends StandardSchema> = Standard.StandardSchemaV1.InferInput<S>
/** What a schema makes of that. */
export type Output<S extends StandardSchema> = Standard.StandardSchemaV1.InferOutput<S>

/** What `schema` makes of `value`, or what is wrong with it. */
export const parse = <S extends StandardSchema>(
  schema: S,
  value: unknown,
): Effect.Effect<Result.Result<Output<S>, string>> =>
  Effect.map(
    Effect.promise(async () => await schema["~standard"].validate(value)),
    (answer) =>
      answer.issues === undefined
        ? Result.succeed(answer.value as Output<S>)
        : Result.fail(answer.issues.slice(0, issuesMax).map(told).join("; ")),
  )

/** `value` as JSON keeps it, or why it cannot. */
export const kept = (value: unknown): Result.Result<Schema.Json, string> => {
  try {
    const text: string | undefined = JSON.stringify(value)
    return text === undefined
      ? Result.fail(`${typeof value} is nothing that JSON can keep`)
      : Result.succeed(JSON.parse(text))
  } catch (cause) {
    return Result.fail(cause instanceof Error ? cause.message : String(cause))
  }
}

/** `value` as JSON keeps it, if the schema can read it back. */
export const keptFor = (
  schema: StandardSchema,
  value: unknown,
): Effect.Effect<Result.Result<Schema.Json, string>> => {
  const json = kept(value)
  return Result.isFailure(json)
    ? Effect.succeed(json)
    : Effect.map(parse(schema, json.success), (read) => Result.flatMap(read, () => json))
}

const issuesMax = 5

const told = ({ message, path }: Standard.StandardSchemaV1.Issue) => {
  const at = (path ?? []).map((each) => String(typeof each === "object" ? each.key : each))
  return at.length === 0 ? message : `${at.join(".")}: ${message}`
}
