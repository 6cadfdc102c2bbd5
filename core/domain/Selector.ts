/**
 * A selector says by labels which executors may carry a run out.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { Selector } from "belfry"
 *
 * assert(Selector.matches("region = eu, gpu, !spot", { region: "eu", gpu: "a100" }))
 * assert(!Selector.matches("tier in (gold, silver)", { tier: "bronze" }))
 * ```
 *
 * Its terms, between commas, must all hold: `a = x`, `a != x`, `a in (x, y)`, `a notin (x, y)`, `a`
 * (it is there) and `!a` (it is not). `!=` and `notin` also hold where the label is not there.
 *
 * Every selector has a canonical text, and two that select the same executors have the same: it
 * names the lane in which their runs wait, so what it looks like may never change.
 */
import { Result, Schema } from "effect"
import { isName, isValue, type Labels, nameRule, valueRule } from "./Labels.ts"
import { Refused } from "./Refused.ts"

export const bytesMax = 1024

/** What is wrong with a text, and where: `at` counts characters from 1. */
export interface Fault {
  readonly at: number
  readonly reason: string
}

/** All that a selector asks of one label. */
type Requirement =
  | { readonly _tag: "Only"; readonly label: string; readonly values: Set<string> }
  | { readonly _tag: "Absent"; readonly label: string }
  | {
    readonly _tag: "Except"
    readonly label: string
    readonly values: Set<string>
    readonly isThere: boolean
  }

interface Parsed {
  readonly requirements: ReadonlyArray<Requirement>
  readonly canonical: string
}

/** Canonical text, as `check` makes it. */
export const Selector = Schema.String.check(
  Schema.makeFilter((text: string) => {
    const parsed = parse(text)
    if (Result.isFailure(parsed)) return said(parsed.failure)
    return parsed.success.canonical === text || `it is written as ${parsed.success.canonical}`
  }),
).pipe(Schema.brand("Selector"))
export type Selector = typeof Selector.Type

const said = ({ at, reason }: Fault) => `at character ${at}: ${reason}`

/** The selector that `text` is. */
export const check = (text: string, field = "selector"): Result.Result<Selector, Refused> =>
  Result.mapBoth(parse(text), {
    onSuccess: ({ canonical }) => canonical as Selector,
    onFailure: (fault) =>
      new Refused({
        field,
        reason: said(fault),
        remedy: "Write terms such as region = eu, tier in (gold, silver), gpu or !spot, " +
          "with commas between them",
      }),
  })

/** The first thing `selector` asks for that `labels` do not have, in its own words. */
export const unmet = (selector: string, labels: Labels): string | undefined => {
  const { requirements } = Result.getOrThrowWith(
    parse(selector),
    (fault) => new Error(`the selector "${selector}" was never checked: ${said(fault)}`),
  )
  const missing = requirements.find((requirement) => !isMet(requirement, labels))
  return missing && written(missing)
}

export const matches = (selector: string, labels: Labels): boolean =>
  unmet(selector, labels) === undefined

const isMet = (requirement: Requirement, labels: Labels): boolean => {
  // A label may be called `constructor`.
  const value = Object.hasOwn(labels, requirement.label) ? labels[requirement.label] : undefined
  switch (requirement._tag) {
    case "Only":
      return value !== undefined && requirement.values.has(value)
    case "Absent":
      return value === undefined
    case "Except":
      return value === undefined ? !requirement.isThere : !requirement.values.has(value)
  }
}

/** Executors match the same few selectors all the time. */
const seen = new Map<string, Result.Result<Parsed, Fault>>()
const seenMax = 10_000

const parse = (text: string): Result.Result<Parsed, Fault> => {
  const known = seen.get(text)
  if (known !== undefined) return known
  const parsed = read(text)
  // A text longer than any selector is not worth the room.
  if (text.length > bytesMax) return parsed
  if (seen.size >= seenMax) seen.clear()
  seen.set(text, parsed)
  return parsed
}

const isTooLong = (text: string): boolean =>
  text.length > bytesMax || new TextEncoder().encode(text).length > bytesMax

const read = (text: string): Result.Result<Parsed, Fault> => {
  const tooLong = { at: 1, reason: `it takes more than ${bytesMax} bytes` }
  if (isTooLong(text)) return Result.fail(tooLong)
  return Result.flatMap(terms(text), (all) => {
    const requirements = [...all.values()]
      .sort((a, b) => a.label < b.label ? -1 : 1)
    const canonical = requirements.map(written).join(",")
    return isTooLong(canonical) ? Result.fail(tooLong) : Result.succeed({ requirements, canonical })
  })
}

const written = (requirement: Requirement): string => {
  const { label } = requirement
  switch (requirement._tag) {
    case "Only":
      return listed(label, "=", "in", requirement.values)
    case "Absent":
      return `!${label}`
    case "Except": {
      const except = listed(label, "!=", "notin", requirement.values)
      if (!requirement.isThere) return except
      return requirement.values.size === 0 ? label : `${label},${except}`
    }
  }
}

const listed = (label: string, one: string, some: string, values: ReadonlySet<string>): string => {
  const sorted = [...values].sort()
  return sorted.length === 1
    ? `${label}${one}${sorted[0]}`
    : `${label} ${some} (${sorted.join(",")})`
}

const blank = /\s*/y
const word = /[\p{L}\p{N}._/:@+-]+/uy
const symbols = ["!=", "==", "=", "!", "(", ")", ","] as const

/** Reads a text from left to right, once. */
class Reader {
  readonly text: string
  #next = 0
  /** Where the piece read last began. */
  at = 1

  constructor(text: string) {
    this.text = text
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#next
    return pattern.exec(this.text)?.[0] ?? ""
  }

  #skip(): void {
    this.#next += this.#match(blank).length
    this.at = this.#next + 1
  }

  word(): string {
    this.#skip()
    const found = this.#match(word)
    this.#next += found.length
    return found
  }

  take(...wanted: ReadonlyArray<(typeof symbols)[number]>): boolean {
    this.#skip()
    const found = symbols.find((symbol) => this.text.startsWith(symbol, this.#next))
    if (found === undefined || !wanted.includes(found)) return false
    this.#next += found.length
    return true
  }

  get isAtEnd(): boolean {
    this.#skip()
    return this.#next === this.text.length
  }

  /** What stands where something else was expected. */
  expected(what: string): Fault {
    const found = this.isAtEnd ? "the end" : `"${[...this.text.slice(this.#next)][0]}"`
    return { at: this.at, reason: `${what} is expected, and ${found} is there` }
  }
}

const terms = (text: string): Result.Result<ReadonlyMap<string, Requirement>, Fault> => {
  const reader = new Reader(text)
  const all = new Map<string, Requirement>()
  do {
    const term = termOf(reader)
    if (Result.isFailure(term)) return Result.fail(term.failure)
    const { at, requirement } = term.success
    const both = together(all.get(requirement.label), requirement)
    if (both === undefined) {
      const reason = `no executor can have this and what is said of "${requirement.label}" before`
      return Result.fail({ at, reason })
    }
    all.set(requirement.label, both)
  } while (reader.take(","))
  return reader.isAtEnd ? Result.succeed(all) : Result.fail(reader.expected("a comma or the end"))
}

interface Term {
  readonly at: number
  readonly requirement: Requirement
}

const termOf = (reader: Reader): Result.Result<Term, Fault> => {
  const isNegated = reader.take("!")
  const label = reader.word()
  const at = reader.at
  const term = (requirement: Requirement) => Result.succeed({ at, requirement })
  if (label === "") return Result.fail(reader.expected("the name of a label"))
  if (!isName(label)) return Result.fail({ at, reason: nameRule })
  if (isNegated) return term({ _tag: "Absent", label })
  if (reader.take("=", "==")) {
    return Result.flatMap(
      valueOf(reader),
      (value) => term({ _tag: "Only", label, values: new Set([value]) }),
    )
  }
  if (reader.take("!=")) {
    return Result.flatMap(
      valueOf(reader),
      (value) => term({ _tag: "Except", label, values: new Set([value]), isThere: false }),
    )
  }
  const operator = reader.word()
  if (operator === "") return term({ _tag: "Except", label, values: new Set(), isThere: true })
  if (operator !== "in" && operator !== "notin") {
    const reason = `"in", "notin" or "=" is expected, and "${operator}" is there`
    return Result.fail({ at: reader.at, reason })
  }
  return Result.flatMap(valuesOf(reader), (values) =>
    term(
      operator === "in"
        ? { _tag: "Only", label, values }
        : { _tag: "Except", label, values, isThere: false },
    ))
}

const valueOf = (reader: Reader): Result.Result<string, Fault> => {
  const value = reader.word()
  if (value === "") return Result.fail(reader.expected("a value"))
  return isValue(value) ? Result.succeed(value) : Result.fail({ at: reader.at, reason: valueRule })
}

const valuesOf = (reader: Reader): Result.Result<Set<string>, Fault> => {
  if (!reader.take("(")) return Result.fail(reader.expected('"("'))
  const values = new Set<string>()
  do {
    const value = valueOf(reader)
    if (Result.isFailure(value)) return Result.fail(value.failure)
    values.add(value.success)
  } while (reader.take(","))
  return reader.take(")") ? Result.succeed(values) : Result.fail(reader.expected('a comma or ")"'))
}

/**
 * What one label must be to please both, or `undefined` when nothing can. `a` is what the terms
 * before come to, and is used up: who copied it would take a time that grows with its square.
 */
const together = (a: Requirement | undefined, b: Requirement): Requirement | undefined => {
  if (a === undefined) return b
  if (a._tag === "Only") return b._tag === "Except" ? without(a, b.values) : narrowed(a, b)
  if (b._tag === "Only") return narrowed(b, a)
  if (a._tag === "Absent") return isMet(b, {}) ? a : undefined
  if (b._tag === "Absent") return isMet(a, {}) ? b : undefined
  for (const value of b.values) a.values.add(value)
  return { ...a, isThere: a.isThere || b.isThere }
}

const without = (
  only: Extract<Requirement, { readonly _tag: "Only" }>,
  values: ReadonlySet<string>,
): Requirement | undefined => {
  for (const value of values) only.values.delete(value)
  return only.values.size === 0 ? undefined : only
}

const narrowed = (
  only: Extract<Requirement, { readonly _tag: "Only" }>,
  other: Requirement,
): Requirement | undefined => {
  const { label } = only
  const values = new Set([...only.values].filter((value) => isMet(other, { [label]: value })))
  return values.size === 0 ? undefined : { ...only, values }
}
