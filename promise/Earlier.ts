/**
 * Payloads as earlier versions of a task had them, and how each becomes the next. What is stored says
 * its version, so a run that was submitted by old code is carried out by new code as that expects.
 *
 * ```ts
 * import { Schema } from "effect" // or: import { z } from "zod"
 * import { earlier, task } from "belfry/promise"
 *
 * const schema = Schema.toStandardSchemaV1
 *
 * export const order = task("order", {
 *   payload: schema(Schema.Struct({ total: Schema.Int, currency: Schema.String })), // the third
 *   earlier: earlier(schema(Schema.Struct({ amount: Schema.Int })))
 *     .next(schema(Schema.Struct({ total: Schema.Int })), ({ amount }) => ({ total: amount }))
 *     .now(({ total }) => ({ total, currency: "EUR" })),
 * })
 * ```
 *
 * Each step answers what the schema of the next version accepts, which is asked.
 */
import { Effect, Schema } from "effect"
import type * as Versions from "../core/engine/Earlier.ts"
import { type Input, type Output, parse, type StandardSchema } from "./StandardSchema.ts"

interface Step {
  readonly payload: StandardSchema
  // deno-lint-ignore no-explicit-any -- what comes out of one goes into the next, which `next` checks
  readonly up: (payload: any) => unknown
}

/** All versions before the present one, whose schema accepts a `P`. */
export interface Earlier<out P> {
  readonly steps: ReadonlyArray<Step>
  /** @internal */
  readonly becomes?: P
}

/** Of a payload that a task had, what became of it. */
export interface Before<A> {
  /** Another that is an earlier one, too, by now. */
  readonly next: <S extends StandardSchema>(
    payload: S,
    up: (before: A) => Input<S>,
  ) => Before<Output<S>>
  /** The present one. */
  readonly now: <P>(up: (before: A) => P) => Earlier<P>
}

/** The first payload that a task had. */
export const earlier = <S extends StandardSchema>(payload: S): Before<Output<S>> =>
  before([], payload)

const before = <S extends StandardSchema>(
  steps: ReadonlyArray<Step>,
  payload: S,
): Before<Output<S>> => ({
  next: (later, up) => before([...steps, { payload, up }], later),
  now: (up) => ({ steps: [...steps, { payload, up }] }),
})

/** A stored payload of an earlier version, until its schemas have been asked, which may take time. */
export class Stored {
  /** Which step comes first. */
  readonly at: number
  readonly payload: Schema.Json

  constructor(at: number, payload: Schema.Json) {
    this.at = at
    this.payload = payload
  }
}

/** As many versions as there are, of which the core only tells which one a payload is of. */
export const overJson = ({ steps }: Earlier<unknown>): Versions.Earlier<Schema.Json> => ({
  steps: steps.map((_, at) => ({
    payload: Schema.Json,
    up: (payload: Schema.Json | Stored) =>
      payload instanceof Stored ? payload : new Stored(at, payload),
  })),
})

/** What became of it, for the present schema to be asked of; or why it cannot be read. */
export const raise = Effect.fnUntraced(function* (
  { steps }: Earlier<unknown>,
  { at, payload: stored }: Stored,
): Effect.fn.Return<unknown, string> {
  let value: unknown = stored
  for (const { payload, up } of steps.slice(at)) {
    const known = yield* Effect.fromResult(yield* parse(payload, value))
    value = yield* Effect.try({
      try: () => up(known),
      catch: (cause) => cause instanceof Error ? cause.message : String(cause),
    })
  }
  return value
})
