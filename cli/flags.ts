/** Flags that several commands share. */
import { Duration, Option, Schema } from "effect"
import { Argument, Flag } from "effect/cli"
import * as IdempotencyKey from "../core/domain/IdempotencyKey.ts"
import { levels, wordOf } from "../core/domain/Lane.ts"
import { RunIdFromString } from "../core/domain/RunId.ts"
import { suggest } from "../core/domain/suggestions.ts"
import { vocabularies } from "../core/domain/Vocabulary.ts"

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print one JSON document"),
  Flag.withDefault(false),
)

export const jsonl = Flag.Boolean("jsonl").pipe(
  Flag.withDescription("Print one JSON document per line"),
  Flag.withDefault(false),
)

/** Where the server is. */
export const connection = {
  url: Flag.String("url").pipe(
    Flag.withDescription(
      "Server, as in http://127.0.0.1:7070, or several over one storage with commas between them " +
        "(BELFRY_URL, .belfry/server.json)",
    ),
    Flag.optional,
  ),
  token: Flag.Redacted("token").pipe(
    Flag.withDescription("Token of the server (BELFRY_TOKEN, .belfry/server.json)"),
    Flag.optional,
  ),
  tokenFile: Flag.String("token-file").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription(
      "File that holds the token, which others then see in no list of processes",
    ),
    Flag.optional,
  ),
}

/** What holds unless the flag is named; its help says so. */
export const unlessNamed = <A extends number | string>(usual: A, description: string) =>
(
  flag: Flag.Flag<Wide<A>>,
): Flag.Flag<Wide<A>> =>
  flag.pipe(
    Flag.withDescription(`${description}; ${usual} unless named`),
    Flag.withDefault(usual as Wide<A>),
  )
type Wide<A> = A extends number ? number : string

/** A whole number within bounds. */
export const whole = (name: string, { from, to }: { readonly from: number; readonly to: number }) =>
  Flag.Int(name).pipe(
    Flag.filterMap(
      (given) => given >= from && given <= to ? Option.some(given) : Option.none(),
      (given) => `"${given}" is out of bounds; write a number from ${from} to ${to}`,
    ),
  )

/** Of a list: so many at most. */
export const limit = whole("limit", { from: 1, to: 500 })

export const port = whole("port", { from: 0, to: 65_535 })

/** One of some words, in any case. */
export const anyCase = <A extends string>(
  name: string,
  words: ReadonlyArray<A>,
  common: ReadonlyArray<A>,
) =>
  Flag.String(name).pipe(
    Flag.withMetavar(name),
    Flag.filterMap(
      (given) =>
        Option.fromUndefinedOr(
          words.find((word) => word.toLowerCase() === given.trim().toLowerCase()),
        ),
      (given) => {
        const [alike] = suggest(given, common, 1)
        return `"${given}" is no ${name}; ` +
          (alike === undefined ? `write one of ${common.join(", ")}` : `did you mean ${alike}?`)
      },
    ),
  )

/** For servers: what they are called by. */
export const servedAs = Flag.String("served-as").pipe(
  Flag.withMetavar("host"),
  Flag.withDescription(
    "Name it is called by besides localhost, as in belfry.example.org; may be given several times",
  ),
  Flag.atLeast(0),
)

export const namespace = Flag.String("namespace").pipe(
  Flag.withDescription("Namespace, `default` unless named"),
  Flag.optional,
)

/** For commands that show one thing of a server. */
export const client = { ...connection, json }
/** For commands that show a list of a server's. */
export const list = { ...connection, namespace, json, jsonl }

/** For commands that tell states. */
export const vocabulary = {
  vocabulary: Flag.Literals("vocabulary", vocabularies).pipe(
    Flag.withDescription("Tell states in other words, as in docs/states.md"),
    Flag.optional,
  ),
}

/** For commands that give an order. */
export const by = Flag.String("by").pipe(
  Flag.withDescription("Who gives the order, as others see it"),
  Flag.optional,
)
export const ofBy = (given: Option.Option<string>): { readonly by?: string } =>
  Option.isSome(given) ? { by: given.value } : {}

/** What an order is given under, or a run submitted. */
export const idempotencyKey = Flag.String("key").pipe(
  Flag.filterMap(
    (key) => IdempotencyKey.flawInHeader(key) === undefined ? Option.some(key) : Option.none(),
    (key) => `${IdempotencyKey.inHeader}; ${IdempotencyKey.flawInHeader(key)}`,
  ),
)

/** For commands that give an order which a script may give again. */
export const once = idempotencyKey.pipe(
  Flag.withDescription("Idempotency key: given again with it, the order is not carried out again"),
  Flag.optional,
)

/** For orders that others will wonder about. */
export const note = Flag.String("note").pipe(
  Flag.withDescription("Why; others see it"),
  Flag.optional,
)
export const ofNote = (given: Option.Option<string>): { readonly note?: string } =>
  Option.isSome(given) ? { note: given.value } : {}

export const level = Flag.Literals("level", [
  ...levels.map(String),
  ...levels.map((each) => wordOf[each]),
]).pipe(
  Flag.map((said) => levels.find((each) => said === String(each) || said === wordOf[each])!),
)

export const runId = Argument.String("id").pipe(
  Argument.withDescription("Number of the run"),
  Argument.filterMap(
    Schema.decodeUnknownOption(RunIdFromString),
    () => "Expected the number of a run, as `belfry run list` tells it",
  ),
)

export const triggerName = Argument.String("name").pipe(
  Argument.withDescription("Name of the trigger"),
)

export const calendarName = Argument.String("name").pipe(
  Argument.withDescription("Name of the calendar"),
)

export const breakerKey = Flag.String("of").pipe(
  Flag.withMetavar("key"),
  Flag.withDescription("That of this key alone, of a breaker by key"),
  Flag.optional,
)

export const breakerName = Argument.String("name").pipe(
  Argument.withDescription("Name of the breaker"),
)

export const groupName = Argument.String("name").pipe(
  Argument.withDescription("Name of the group"),
)

export const files = Argument.String("files").pipe(
  Argument.withDescription("Modules whose default export is a layer of tasks"),
  Argument.variadic(),
)

export const databaseUrl = Flag.Redacted("database-url").pipe(
  Flag.withDescription("PostgreSQL, as in postgres://user:password@host/db (BELFRY_DATABASE_URL)"),
  Flag.optional,
)

export const sqlite = Flag.String("sqlite").pipe(
  Flag.withMetavar("file"),
  Flag.withDescription("SQLite file (.belfry/belfry.db, where no database is named)"),
  Flag.optional,
)

const units: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** `90s`, `1.5h`, `10 minutes`, in milliseconds; `undefined` when it is no duration. */
export const durationMillis = (text: string): number | undefined => {
  const [, amount, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/.exec(text) ?? []
  if (amount === undefined || unit === undefined) return undefined
  const known = units[unit]
  if (known !== undefined) return Math.round(Number(amount) * known)
  const spelled = Duration.fromInput(`${amount} ${unit}` as Duration.Input)
  return Option.isSome(spelled) ? Math.round(Duration.toMillis(spelled.value)) : undefined
}

const durationMax = 366 * 86_400_000

export const duration = (name: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("duration"),
    Flag.filterMap(
      (text) =>
        Option.filter(
          Option.fromUndefinedOr(durationMillis(text)),
          (millis) => millis <= durationMax,
        ),
      (text) =>
        durationMillis(text) === undefined
          ? `"${text}" is not a duration: write it as 500ms, 90s, 10m, 2h or 1d`
          : `"${text}" is too long: write 366d or less`,
    ),
  )

export const follow = Flag.Boolean("follow").pipe(
  Flag.withAlias("f"),
  Flag.withDescription("Go on until the run has ended"),
  Flag.withDefault(false),
)
