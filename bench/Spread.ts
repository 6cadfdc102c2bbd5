/** What several measurements of one thing say: the middle one, and how far apart they lie. */
import { median } from "./Report.ts"

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export const spreadOf = (values: ReadonlyArray<number>): Spread => {
  const round = (value: number) => Number(value.toFixed(2))
  return {
    median: round(median(values)),
    min: round(Math.min(...values)),
    max: round(Math.max(...values)),
  }
}

/** `12 (10–15)` */
export const spread = (value: Spread | undefined): string =>
  value === undefined ? "" : `${value.median} (${value.min}–${value.max})`

/** The value that so many of a hundred do not exceed. */
export const percentile = (values: ReadonlyArray<number>, percent: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * percent / 100) - 1)] ?? Number.NaN
}
