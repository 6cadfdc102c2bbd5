/**
 * What a schema has against a value, in words: where, what is wrong there, and what to give instead.
 *
 * Of all that is wrong the first is told. Of several shapes that a value may have, it is told what is wrong
 * by the one that it comes nearest to.
 */
import { SchemaAST, SchemaIssue } from "effect"
import { cut, shown } from "./given.ts"
import { suggest } from "./suggestions.ts"

export interface Objection {
  readonly path: ReadonlyArray<string>
  readonly reason: string
  readonly remedy: string
}

/** How a schema is asked so that it tells of unknown fields, and most of what else is wrong. */
export const strictly = {
  errors: "all",
  onExcessProperty: "error",
  reportInput: true,
} as const satisfies SchemaAST.ParseOptions

export const missing = "it is missing"

const textMax = 500
const nameMax = 130

export const first = (issue: SchemaIssue.Issue): Objection => {
  const { path, reason, remedy } = objection(issue, [])
  return { path, reason: cut(reason, textMax), remedy: cut(remedy, textMax) }
}

/** As one writes it; a name that nobody would see is quoted. */
export const fieldOf = (path: ReadonlyArray<string>): string =>
  path.map((key) => /^[^\p{L}\p{N}\p{P}\p{S}]*$/u.test(key) ? JSON.stringify(key) : key)
    .map((key) => cut(key, nameMax))
    .join(".")

const keysOf = (path: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }>) =>
  path.map((key) => String(typeof key === "object" ? key.key : key))

const objection = (issue: SchemaIssue.Issue, path: ReadonlyArray<string>): Objection => {
  switch (issue._tag) {
    case "Pointer":
      return objection(issue.issue, [...path, ...keysOf(issue.path)])
    case "Composite":
      return objection(issue.issues[0]!, path)
    case "AnyOf":
      return ofUnion(issue, path)
    case "OneOf":
      return { path, reason: "it may be read in several ways", remedy: "Give one of them" }
    case "UnexpectedKey":
      return {
        path,
        reason: "there is no such field",
        remedy: instead(issue.ast, path.at(-1) ?? ""),
      }
    case "MissingKey":
      return { path, reason: messageOf(issue, missing), remedy: "Give it" }
    case "InvalidType":
      return mismatch(path, issue, wordsOf(issue.ast))
    case "Encoding":
    case "Filter":
    case "InvalidValue":
    case "Forbidden":
      return ofMessage(issue, path)
  }
}

const messageOf = (issue: SchemaIssue.Issue, usual: string): string => {
  const [said] = plainly(issue).issues
  return said === undefined || said.message === "Missing key" ? usual : said.message
}

const plainly = SchemaIssue.makeFormatterStandardSchemaV1()

const given = (issue: SchemaIssue.Issue): string =>
  SchemaIssue.hasInput(issue) ? shown(issue.input) : "it"

const mismatch = (
  path: ReadonlyArray<string>,
  issue: SchemaIssue.Issue,
  expected: string,
): Objection => ({
  path,
  reason: `${given(issue)} is not ${expected}`,
  remedy: `Give ${expected}`,
})

/** What an annotation says, or a check of somebody's own. */
const ofMessage = (
  issue:
    | SchemaIssue.Filter
    | SchemaIssue.Encoding
    | SchemaIssue.InvalidValue
    | SchemaIssue.Forbidden,
  path: ReadonlyArray<string>,
): Objection => {
  const inner = "issue" in issue ? issue.issue : undefined
  const isSaid = issue._tag === "Filter" && issue.filter.annotations?.["message"] !== undefined
  if (inner !== undefined && !isSaid && !leaves.has(inner._tag)) return objection(inner, path)
  const [said] = plainly(issue).issues
  const all = [...path, ...keysOf(said?.path ?? [])]
  const message = said?.message ?? "it cannot be read"
  const [, expected] = /^Expected ([^]*?)(?:, got [^]*)?$/.exec(message) ?? []
  if (expected === undefined || expected === "<filter>") {
    return { path: all, reason: message, remedy: "Mend it as the reason says" }
  }
  const from = inner !== undefined && !SchemaIssue.hasInput(issue) ? inner : issue
  return mismatch(all, from, spoken(expected))
}

const leaves: ReadonlySet<SchemaIssue.Issue["_tag"]> = new Set(["InvalidValue", "Forbidden"])

/** What the library calls otherwise than people do. */
const spoken = (expected: string): string =>
  ({
    "JSON value": "a JSON value",
    "a valid UTC DateTime string": 'an instant such as "2031-01-01T00:00:00Z"',
    "a string representing a finite number": "a number",
  })[expected] ?? expected

/** By the shape that fits best: the one with the fewest fields too many or too few. */
const ofUnion = (issue: SchemaIssue.AnyOf, path: ReadonlyArray<string>): Objection => {
  const ways = issue.issues.map((way) => ({ way, strays: strays(way) }))
  const fewest = Math.min(...ways.map(({ strays }) => strays.length))
  const nearest = ways.filter(({ strays }) => strays.length === fewest)
  const best = nearest[0]
  if (best === undefined || nearest.every(({ way }) => !goesDeeper(way))) return none(issue, path)
  const astray = nearest.flatMap(({ strays }) => strays)
  if (nearest.length < 2 || astray.length === 0) return objection(best.way, path)
  if (astray.every(({ isMissing }) => isMissing)) return none(issue, path)
  const keys = [...new Set(astray.map(({ key }) => `\`${key}\``))]
  return keys.length < 2 || astray.some(({ isMissing }) => isMissing)
    ? objection(best.way, path)
    : { path, reason: `it names both ${listed(keys, "and")}`, remedy: "Name one of them" }
}

/** It has none of the shapes. */
const none = (issue: SchemaIssue.AnyOf, path: ReadonlyArray<string>): Objection => {
  const words = wordList(issue.ast)
  if (words.length <= wordsMax) return mismatch(path, issue, listed(words, "or"))
  const input = SchemaIssue.hasInput(issue) ? issue.input : undefined
  const [alike] = suggest(String(input), words.map((each) => each.replaceAll('"', "")), 1)
  return {
    path,
    reason: `${given(issue)} is none of the ${words.length} words there are`,
    remedy: alike === undefined ? `Give ${listed(words, "or")}` : `Did you mean "${alike}"?`,
  }
}

/** So many are told at once. */
const wordsMax = 8

interface Stray {
  readonly key: string
  readonly isMissing: boolean
}

/** Fields of the value itself that a shape does not have, or that it has and the value has not. */
const strays = (issue: SchemaIssue.Issue): ReadonlyArray<Stray> =>
  issue._tag !== "Composite" ? [] : issue.issues.flatMap((each) => {
    if (each._tag !== "Pointer" || each.path.length !== 1) return []
    const { _tag } = each.issue
    if (_tag !== "MissingKey" && _tag !== "UnexpectedKey") return []
    return [{ key: keysOf(each.path)[0]!, isMissing: _tag === "MissingKey" }]
  })

const goesDeeper = (issue: SchemaIssue.Issue): boolean =>
  issue._tag === "Pointer" || "issues" in issue && issue.issues.some(goesDeeper) ||
  "issue" in issue && goesDeeper(issue.issue) || issue._tag === "Composite" ||
  issue._tag === "Filter"

const instead = (ast: SchemaAST.AST, key: string): string => {
  const known = ast._tag === "Objects" ? ast.propertySignatures.map(({ name }) => String(name)) : []
  const [alike] = key.length < 2 ? [] : suggest(key, known, 1)
  if (alike !== undefined) return `Leave it out, or write \`${alike}\``
  return known.length === 0
    ? "Leave it out"
    : `Leave it out; there is ${listed(known.map((name) => `\`${name}\``), "and")}`
}

const listed = (words: ReadonlyArray<string>, and: string): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} ${and} ${words.at(-1)}`

/** What a schema takes, as people say it. */
const wordsOf = (ast: SchemaAST.AST): string => listed(wordList(ast), "or")

const wordList = (of: SchemaAST.AST): ReadonlyArray<string> => {
  const ast = SchemaAST.toEncoded(of)
  return [...new Set(ast._tag === "Union" ? alternatives(ast.types) : [word(ast)])]
}

const alternatives = (types: ReadonlyArray<SchemaAST.AST>): ReadonlyArray<string> => {
  const flat = types.flatMap(flattened)
  const objects = flat.filter((each) => each._tag === "Objects")
  const others = flat.filter((each) => each._tag !== "Objects" && each._tag !== "Undefined")
  return [
    ...others.map(word),
    ...(objects.length > 0 ? [objectWords(objects)] : []),
  ]
}

const flattened = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> =>
  ast._tag === "Union" ? ast.types.flatMap(flattened) : [ast]

/** Shapes are told apart by a literal that all have, or by the field that each begins with. */
const objectWords = (objects: ReadonlyArray<SchemaAST.Objects>): string => {
  const tags = objects.flatMap(({ propertySignatures }) =>
    propertySignatures.flatMap(({ name, type }) => {
      const literal = SchemaAST.toEncoded(type)
      return literal._tag === "Literal" ? [{ name: String(name), word: word(literal) }] : []
    })
  )
  const [tag] = tags
  if (tag !== undefined && tags.length === objects.length) {
    return `an object whose \`${tag.name}\` is ${listed(tags.map(({ word }) => word), "or")}`
  }
  const [only] = objects
  if (objects.length === 1 && !hasNeeded(only!)) {
    const all = namesOf(only!)
    return all.length === 0 || all.length > wordsMax
      ? "an object"
      : `an object of ${listed(all, "and")}`
  }
  const names = objects.flatMap(({ propertySignatures }) => {
    const needed = propertySignatures.find(({ type }) => !SchemaAST.isOptional(type)) ??
      propertySignatures[0]
    return needed === undefined ? [] : [`\`${String(needed.name)}\``]
  })
  return names.length === 0 ? "an object" : `an object with ${listed([...new Set(names)], "or")}`
}

const namesOf = ({ propertySignatures }: SchemaAST.Objects): ReadonlyArray<string> =>
  propertySignatures.map(({ name }) => `\`${String(name)}\``)

const hasNeeded = ({ propertySignatures }: SchemaAST.Objects) =>
  propertySignatures.some(({ type }) => !SchemaAST.isOptional(type))

const word = (ast: SchemaAST.AST): string => {
  const expected = ast.annotations?.["expected"]
  if (typeof expected === "string") return spoken(expected)
  switch (ast._tag) {
    case "Literal":
      return typeof ast.literal === "bigint" ? String(ast.literal) : JSON.stringify(ast.literal)
    case "String":
    case "TemplateLiteral":
      return "a string"
    case "Number":
      return "a number"
    case "BigInt":
      return "an integer"
    case "Boolean":
      return "a boolean"
    case "Null":
      return "null"
    case "Arrays":
      return "an array"
    case "Objects":
    case "ObjectKeyword":
      return objectWords(ast._tag === "Objects" ? [ast] : [])
    case "Enum":
      return listed(ast.enums.map(([, value]) => JSON.stringify(value)), "or")
    default:
      return "a value of another kind"
  }
}
