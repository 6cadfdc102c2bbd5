/**
 * When a failed attempt is tried again. A retry policy is data: it is stored with the task, shown,
 * and edited.
 */
import { Schema } from "effect"

const tags = Schema.Array(Schema.NonEmptyString.check(Schema.isMaxLength(256))).check(
  Schema.isBetweenLength(1, 64),
)

export const Retry = Schema.Struct({
  /** How often user code may fail before the run has failed. `1` means: no retry. */
  attempts: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })),
  /** Delay before the second attempt. */
  delayMillis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 86_400_000 })),
  /** Factor from one delay to the next. */
  growth: Schema.Number.check(Schema.isBetween({ minimum: 1, maximum: 10 })),
  /** No delay is longer, but for what is added at random. */
  capMillis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 * 86_400_000 })),
  /** Up to this share of the delay is added at random, so that a herd spreads. */
  jitter: Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
  /**
   * `added`, unless named: the delay and a share of it. `wide`: anything from the first delay to
   * `growth` times this one, within the cap.
   */
  jitterKind: Schema.optionalKey(Schema.Literals(["added", "wide"])),
  /** By the tag of the failure, or its name; without it every failure is tried again. */
  errors: Schema.optionalKey(Schema.TaggedUnion({ Only: { tags }, Except: { tags } })),
  /** No attempt is begun later than this after the run was first due. */
  withinMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 366 * 86_400_000 })),
  ),
})
export type Retry = typeof Retry.Type

export const none: Retry = { attempts: 1, delayMillis: 0, growth: 1, capMillis: 0, jitter: 0 }

/** Delays that grow: `attempts` in all, the first retry after `delayMillis`. */
export const exponential = (options: {
  readonly attempts: number
  readonly delayMillis?: number
  readonly growth?: number
  readonly capMillis?: number
  readonly jitter?: number
  readonly jitterKind?: "added" | "wide"
  readonly errors?: NonNullable<Retry["errors"]>
  readonly withinMillis?: number
}): Retry => ({
  attempts: options.attempts,
  delayMillis: options.delayMillis ?? 1000,
  growth: options.growth ?? 2,
  capMillis: options.capMillis ?? 600_000,
  jitter: options.jitter ?? 0.2,
  ...(options.jitterKind !== undefined && { jitterKind: options.jitterKind }),
  ...(options.errors !== undefined && { errors: options.errors }),
  ...(options.withinMillis !== undefined && { withinMillis: options.withinMillis }),
})

/** Only failures with one of these tags are tried again. */
export const only = (...tags: ReadonlyArray<string>): NonNullable<Retry["errors"]> => ({
  _tag: "Only",
  tags,
})

/** All failures but those with one of these tags are tried again. */
export const except = (...tags: ReadonlyArray<string>): NonNullable<Retry["errors"]> => ({
  _tag: "Except",
  tags,
})

/** Whether a failure of this tag is worth another attempt. */
export const covers = ({ errors }: Retry, tag: string): boolean =>
  errors === undefined || errors.tags.includes(tag) === (errors._tag === "Only")

/**
 * The delay after the `failures`-th failure, or `undefined` when it was the last one allowed, or the
 * next one could not begin in time: the run first became due `ageMillis` ago. `chance` is from [0, 1). The delay is never shorter than the policy says, and a whole number of
 * milliseconds, so that every store can keep it.
 */
export const delayAfter = (
  policy: Retry,
  failures: number,
  chance: number,
  ageMillis = 0,
): number | undefined => {
  if (failures >= policy.attempts) return undefined
  // Of an infinite factor no delay at all would become no number.
  const factor = (times: number) => Math.min(policy.growth ** times, Number.MAX_VALUE)
  const grown = (times: number) =>
    Math.min(
      policy.delayMillis * factor(times),
      Math.max(policy.capMillis, policy.delayMillis),
    )
  const delay = Math.ceil(
    policy.jitterKind === "wide"
      ? policy.delayMillis + (grown(failures) - policy.delayMillis) * chance
      : grown(failures - 1) * (1 + policy.jitter * chance),
  )
  return isTooLate(policy, ageMillis + delay) ? undefined : delay
}

/** Whether another attempt may not begin any more so long after the run first became due. */
export const isTooLate = ({ withinMillis = Infinity }: Retry, ageMillis: number): boolean =>
  ageMillis > withinMillis
