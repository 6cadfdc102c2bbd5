/**
 * What runs use up and what they touch.
 *
 * `Amounts` are offered by an executor and needed by a run, as in `gpu: 1` or `memory: 4.5`; the
 * units are the user's. `Touches` are things outside, such as a database, that a run uses alone or
 * beside others.
 */
import { Schema } from "effect"
import { countMax, isName, nameRule } from "./Labels.ts"

const amountMax = 1e12

const named = Schema.makeFilter((entries: Readonly<Record<string, unknown>>) => {
  const names = Object.keys(entries)
  if (names.length > countMax) return `${names.length} resources are more than ${countMax}`
  const bad = names.find((name) => !isName(name))
  return bad === undefined ? undefined : { path: [bad], issue: nameRule }
})

export const Amounts = Schema.Record(
  Schema.String,
  Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: amountMax })),
).check(named)
export type Amounts = typeof Amounts.Type

export const Touches = Schema.Record(Schema.String, Schema.Literals(["shared", "exclusive"]))
  .check(named)
export type Touches = typeof Touches.Type

/** The amount under `name`; what nobody spoke of is none. */
export const amountOf = (amounts: Amounts, name: string): number =>
  Object.hasOwn(amounts, name) ? amounts[name]! : 0

/** How much of each they are together. */
export const sum = (a: Amounts, b: Amounts): Amounts => {
  const total: Record<string, number> = { ...a }
  for (const [name, amount] of Object.entries(b)) total[name] = amountOf(a, name) + amount
  return total
}

export const times = (amounts: Amounts, count: number): Amounts =>
  Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, amount * count]))
