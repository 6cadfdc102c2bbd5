/**
 * How far a run has come, as its handler says: in percent, or by a counter, and in words. The latest
 * word counts, and what it says never fails the work: it is brought within bounds instead.
 */
import { Schema } from "effect"

const textMax = 1024

export const Progress = Schema.Struct({
  /** `0` to `100`. */
  percent: Schema.optionalKey(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
  ),
  done: Schema.optionalKey(Schema.Int),
  total: Schema.optionalKey(Schema.Int),
  text: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(textMax))),
})
export type Progress = typeof Progress.Type

/** What a handler says; the percent follows from a counter unless it is named. */
export interface Said {
  readonly percent?: number
  readonly done?: number
  readonly total?: number
  readonly text?: string
}

export const of = ({ done, percent, text, total }: Said): Progress => {
  const counted = done === undefined || total === undefined || !(total > 0)
    ? undefined
    : 100 * done / total
  const share = percent ?? counted
  return {
    ...(share !== undefined && Number.isFinite(share) && {
      percent: Math.min(100, Math.max(0, share)),
    }),
    ...(isCount(done) && { done: Math.trunc(done) }),
    ...(isCount(total) && { total: Math.trunc(total) }),
    ...(text !== undefined && { text: text.slice(0, textMax) }),
  }
}

const isCount = (count: number | undefined): count is number =>
  count !== undefined && Number.isSafeInteger(Math.trunc(count))

/** As in `30 %, 3 of 10: resizing`. */
export const describe = ({ done, percent, text, total }: Progress): string => {
  const share = percent === undefined ? [] : [`${Math.floor(percent)} %`]
  const count = done === undefined ? [] : [total === undefined ? `${done}` : `${done} of ${total}`]
  const said = [...share, ...count].join(", ")
  return text === undefined ? said : said === "" ? text : `${said}: ${text}`
}
