/**
 * Who asked for a run by hand, and which run it is to do again. The journal keeps it as a text, which
 * people read as it is.
 */
import { Schema } from "effect"
import { RunId, RunIdFromString } from "./RunId.ts"
import * as Text from "./Text.ts"

/** Of characters. */
export const byMax = 256
export const noteMax = 1024

export const By = Schema.NonEmptyString.check(Schema.isMaxLength(byMax), Text.kept)

/** What is said with an order that is not to a run: who gave it, and why, in their own words. */
export const Words = Schema.Struct({
  by: Schema.optionalKey(By),
  note: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(noteMax), Text.kept)),
})
export type Words = typeof Words.Type

export const Asked = Schema.Struct({
  by: Schema.optionalKey(Schema.String),
  /** It is made after this run, with its payload or another. */
  again: Schema.optionalKey(RunIdFromString),
})
export type Asked = typeof Asked.Type

/** The kind of the entry in the journal. */
export const kind = "Asked"

export const textOf = ({ again, by }: Asked): string =>
  [
    ...(again === undefined ? [] : [`again, after run ${again}`]),
    ...(by === undefined ? [] : [`by ${by}`]),
  ].join(", ")

const pattern = /^(?:again, after run (\d+)|manual|backfill)?(?:, )?(?:by ([^]*))?$/

/** What an entry says, also one of a trigger that was fired by hand. */
export const ofText = (text: string): Asked => {
  const [, again, by] = pattern.exec(text) ?? []
  return {
    ...(by !== undefined && { by }),
    ...(again !== undefined && { again: RunId.make(Number(again)) }),
  }
}
