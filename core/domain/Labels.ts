/** Labels are what an executor says of itself, as in `region: "eu"`; selectors ask for them. */
import { Schema } from "effect"

/** What names and values are made of, in any script: no more than a selector writes without quotes. */
const name = /^[\p{L}\p{N}][\p{L}\p{N}._/-]{0,62}$/u
const value = /^[\p{L}\p{N}._/:@+-]{1,127}$/u

export const isName = (text: string): boolean => name.test(text)
export const isValue = (text: string): boolean => value.test(text)

export const nameRule =
  "a name has 1 to 63 characters: letters, digits, '.', '_', '/' or '-', the first a letter or digit"
export const valueRule =
  "a value has 1 to 127 characters: letters, digits, '.', '_', '/', ':', '@', '+' or '-'"

/** No executor says more of itself than this many things of a kind. */
export const countMax = 64

export const Labels = Schema.Record(Schema.String, Schema.String).check(
  Schema.makeFilter((labels) => {
    const entries = Object.entries(labels)
    if (entries.length > countMax) return `${entries.length} labels are more than ${countMax}`
    for (const [label, text] of entries) {
      if (!isName(label)) return { path: [label], issue: `${nameRule}` }
      if (!isValue(text)) return { path: [label], issue: `${valueRule}` }
    }
    return undefined
  }),
)
export type Labels = typeof Labels.Type
