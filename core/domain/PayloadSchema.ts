/**
 * What a payload of a task looks like, as JSON Schema, for who has the task's definition and not its code:
 * to show it, and to refuse what no executor could read.
 *
 * It refuses nothing that the code would take. What of a schema has no form here, such as a check of the
 * user's own, is left to the executor; so is a payload of a version that the definition does not know.
 */
import { JsonSchema, Result, Schema, SchemaRepresentation } from "effect"
import * as PayloadVersion from "./PayloadVersion.ts"
import { refusalOf, type Refused } from "./Refused.ts"
import * as Text from "./Text.ts"

/** The first flaw of a text in it, as in `Text`. */
const flawOf = (value: unknown): string | undefined => {
  if (typeof value === "string") return Text.flaw(value)
  if (typeof value !== "object" || value === null) return undefined
  for (const [key, each] of Object.entries(value)) {
    const flaw = Text.flaw(key) ?? flawOf(each)
    if (flaw !== undefined) return flaw
  }
  return undefined
}

/** Its JSON Schema, by the draft of 2020-12. Storages look into it, so each text in it is one of theirs. */
export const PayloadSchema = Schema.Record(Schema.String, Schema.Json).check(
  Schema.makeFilter((schema) => flawOf(schema)),
)
export type PayloadSchema = typeof PayloadSchema.Type

/** One for each version of the payload, the present one last; `null`: nothing is said of it. */
export const PayloadSchemas = Schema.Array(Schema.NullOr(PayloadSchema)).check(
  Schema.isMaxLength(1000),
)
export type PayloadSchemas = typeof PayloadSchemas.Type

/** A schema whose JSON is longer than that is not told: every submit would read it. */
export const charsMax = 65_536

/** How payloads of this codec look as JSON, if that can be said. */
export const of = (codec: Schema.Constraint): PayloadSchema | null => {
  try {
    const { definitions, schema } = Schema.toJsonSchemaDocument(codec)
    if (Object.keys(schema).length === 0) return null
    const whole = Object.keys(definitions).length === 0 ? schema : { ...schema, $defs: definitions }
    const text = JSON.stringify(whole)
    return text.length > charsMax || flawOf(whole) !== undefined ? null : JSON.parse(text)
  } catch {
    return null
  }
}

/** Why the payload does not fit the schema of its version, if so; `field` is what it is called. */
export const check = (
  schemas: PayloadSchemas | undefined,
  stored: unknown,
  field = "payload",
): Result.Result<void, Refused> => {
  const { payload, version } = PayloadVersion.read(stored)
  const schema = schemas?.[version - 1]
  if (schema === undefined || schema === null) return Result.void
  const read = readerOf(schema)
  return read === undefined
    ? Result.void
    : Result.map(Result.mapError(read(payload), (error) => refusalOf(error, field)), () => {})
}

type Reader = (payload: unknown) => Result.Result<unknown, Schema.SchemaError>

/** By the text of the schema: those that were asked for, as making one costs more than asking it. */
const readers = new Map<string, Reader | undefined>()
const readersMax = 1000

const readerOf = (schema: PayloadSchema): Reader | undefined => {
  const text = JSON.stringify(schema)
  if (!readers.has(text)) {
    if (readers.size >= readersMax) readers.clear()
    readers.set(text, makeReader(schema))
  }
  return readers.get(text)
}

const makeReader = (schema: PayloadSchema): Reader | undefined => {
  try {
    const document = JsonSchema.fromSchemaDraft2020_12(schema)
    const codec = SchemaRepresentation.fromJsonSchemaDocument(document, {
      // Who brings a task may have its code run; a pattern of it is no more than that.
      patterns: "apply",
      onEnter: loosened,
    })
    return Schema.decodeUnknownResult(codec as Schema.Codec<unknown>)
  } catch {
    return undefined
  }
}

/**
 * Without what cannot be read back, which thus allows more: what is said of keys by a pattern, and `not`
 * but for `{}`. One of several then is any of them.
 */
const loosened = (
  { not, oneOf, patternProperties: _, ...rest }: JsonSchema.JsonSchema,
): JsonSchema.JsonSchema => ({
  ...rest,
  ...(isEmpty(not) && { not }),
  ...(oneOf !== undefined && { anyOf: oneOf }),
})

const isEmpty = (schema: unknown): boolean =>
  typeof schema === "object" && schema !== null && Object.keys(schema).length === 0
