/**
 * A run id is an integer that rises with time: the milliseconds since 2025 in its upper bits and a
 * counter in its lower twelve. It stays below 2^53 until the year 2094, so it is a plain number in
 * JavaScript, a bigint in SQL and, lest a client round it, a string in every interface.
 *
 * Only an adapter makes ids, from one counter per database, so they are unique there and order
 * submits that do not overlap. The time in them, good to the adapter's sweep interval, is a hint for
 * look-ups and retention, and decides nothing but for how long a run lets others pass at a gate
 * (`Blocking.rank`): that is counted in minutes, and no clock that is set may change who came first.
 */
import { Schema, SchemaTransformation } from "effect"

export const RunId = Schema.Int.check(
  Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
).pipe(Schema.brand("RunId"))
export type RunId = typeof RunId.Type

/** A run id as interfaces carry it. */
export const RunIdFromString = Schema.String.check(
  Schema.isPattern(/^[1-9][0-9]{0,15}$/, { expected: "the number of a run" }),
).pipe(Schema.decodeTo(RunId, SchemaTransformation.numberFromString))

const epochMillis = Date.UTC(2025, 0, 1)
const counters = 4096

/** The smallest id that an id made at `millis` may have. */
export const floor = (millis: number): number => (millis - epochMillis) * counters

/** The id after `last`, at `millis`: moves with the clock, and never back. */
export const next = (last: number, millis: number): RunId =>
  Math.max(last + 1, floor(millis)) as RunId

/** About when the run was submitted, in milliseconds since 1970. */
export const millisOf = (id: RunId): number => Math.floor(id / counters) + epochMillis
