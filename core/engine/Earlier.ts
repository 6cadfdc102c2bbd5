/**
 * Payloads as earlier versions of a task had them, and how each becomes the next. What is stored says
 * its version, so a run that was submitted by old code is carried out by new code as that expects.
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Task } from "belfry"
 *
 * export const Order = Task.make("order", {
 *   payload: { total: Schema.Int, currency: Schema.String }, // the third version
 *   earlier: Task.earlier({ amount: Schema.Int })
 *     .next({ total: Schema.Int }, ({ amount }) => ({ total: amount }))
 *     .now(({ total }) => ({ total, currency: "EUR" })),
 * })
 * ```
 */
import { Result, type Schema } from "effect"
import { key } from "../domain/PayloadVersion.ts"

// deno-lint-ignore no-explicit-any -- `unknown` would refuse every schema: codecs are invariant
type Kept = Schema.Codec<any, any>

/** One version: how its payloads are read, and what becomes of one. */
export interface Step<S extends Kept = Kept> {
  readonly payload: S
  // deno-lint-ignore no-explicit-any -- what comes out of one goes into the next, which `next` checks
  readonly up: (payload: any) => unknown
}

/** All versions before the present one, whose payload is a `P`. */
export interface Earlier<out P> {
  readonly steps: ReadonlyArray<Step>
  /** @internal */
  readonly becomes?: P
}

/** The payload as it is stored by the code of that version; only objects can say it. */
export const write = (version: number, encoded: unknown): Result.Result<unknown, string> => {
  const isTaken = typeof encoded === "object" && encoded !== null && Object.hasOwn(encoded, key)
  if (isTaken) {
    return Result.fail(`its field ${key} is taken: it says of which version a payload is`)
  }
  if (version === 1) return Result.succeed(encoded)
  return typeof encoded === "object" && encoded !== null && !Array.isArray(encoded)
    ? Result.succeed({ [key]: version, ...encoded })
    : Result.fail("a payload that has had other versions is an object, and this one is none")
}

/** A payload of one of the versions, as the present one has it. */
export const raise = <P>(
  steps: ReadonlyArray<Step>,
  version: number,
  payload: unknown,
  decode: (schema: Kept, payload: unknown) => Result.Result<unknown, string>,
): Result.Result<P, string> =>
  Result.map(
    decode(steps[version - 1]!.payload, payload),
    (known) => steps.slice(version - 1).reduce((value, { up }) => up(value), known) as P,
  )
