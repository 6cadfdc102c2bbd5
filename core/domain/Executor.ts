/**
 * An executor is a process that joined a namespace to carry tasks out. Each start is a new
 * incarnation, so that what an earlier one held can be told apart, also under the same name.
 */
import { Schema } from "effect"
import { Labels } from "./Labels.ts"
import { Namespace } from "./Namespace.ts"
import { PoolSizes } from "./PoolSizes.ts"
import { Amounts } from "./Resources.ts"
import { TaskName } from "./TaskName.ts"

export const ExecutorName = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,126}$/, {
    message:
      "an executor name has 1 to 127 characters: letters, digits, '.', '_', ':' or '-', the first a letter or digit",
  }),
).pipe(Schema.brand("ExecutorName"))
export type ExecutorName = typeof ExecutorName.Type

export const Incarnation = Schema.Int.check(Schema.isGreaterThan(0)).pipe(
  Schema.brand("Incarnation"),
)
export type Incarnation = typeof Incarnation.Type

/** Who has a run, or had a grant of it. */
export const Holder = Schema.Struct({ incarnation: Incarnation, name: ExecutorName })
export type Holder = typeof Holder.Type

/** What an executor says of itself when it joins. */
export const Joining = Schema.Struct({
  namespace: Namespace,
  name: ExecutorName,
  /** How many runs it carries out at once. */
  capacity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })),
  labels: Labels,
  /** What it offers to runs, besides its places. */
  resources: Schema.optionalKey(Amounts),
  /** It is lost when it has not beaten for this long. */
  ttlMillis: Schema.Int.check(Schema.isBetween({ minimum: 2000, maximum: 3_600_000 })),
})
export type Joining = typeof Joining.Type

export const Standing = Schema.Literals(["live", "draining", "left", "lost"])
export type Standing = typeof Standing.Type

/** How it goes with an executor, as it says itself with each beat. */
export const Vitals = Schema.Struct({
  sizes: PoolSizes,
  running: Schema.Int,
  queued: Schema.Int,
  /** Handlers that go on although they were interrupted. */
  stuck: Schema.Int,
  /** It beats, and has done nothing else for so long. */
  stalledMillis: Schema.optionalKey(Schema.Int),
})
export type Vitals = typeof Vitals.Type

/** An executor as others see it. */
export const ExecutorView = Schema.Struct({
  incarnation: Incarnation,
  namespace: Namespace,
  name: ExecutorName,
  standing: Standing,
  /** How many runs it carries out at once, as of its last beat. */
  capacity: Schema.Int,
  labels: Schema.Record(Schema.String, Schema.String),
  resources: Schema.Record(Schema.String, Schema.Number),
  tasks: Schema.Array(TaskName),
  /** Runs it holds now. */
  held: Schema.Int,
  /** As of its last beat. */
  vitals: Schema.optionalKey(Vitals),
  joinedAt: Schema.DateTimeUtc,
  beatAt: Schema.DateTimeUtc,
})
export type ExecutorView = typeof ExecutorView.Type

/** Its pool may have another size by now than when it joined. */
export const capacityOf = (joined: number, vitals: Vitals | undefined): number =>
  vitals?.sizes.maximum ?? joined

/** What its beats say of an executor: one that beats may yet do nothing, which is not to be gone. */
export const Health = Schema.Literals(["well", "stuck", "stalled", "gone"])
export type Health = typeof Health.Type

/** `stuck`: handlers go on that were to stop; `stalled`: nothing goes on but its beats. */
export const healthOf = ({ standing, vitals }: ExecutorView): Health => {
  if (standing === "left" || standing === "lost") return "gone"
  if (vitals?.stalledMillis !== undefined) return "stalled"
  return vitals !== undefined && vitals.stuck > 0 ? "stuck" : "well"
}
