/** Runs a server until it is asked to stop. */
import { Effect, Option, Redacted } from "effect"
import { Server } from "../../cluster/Server.ts"
import type { Particular } from "../../core/services/Required.ts"
import * as Child from "../Child.ts"
import * as Ending from "../Ending.ts"
import { type Backing, database, serving, words } from "../layers.ts"
import * as Output from "../Output.ts"
import { Problem } from "../Problem.ts"
import * as Tokens from "../tokens.ts"

export interface Given extends Tokens.Given {
  readonly databaseUrl: Option.Option<Redacted.Redacted<string>>
  readonly sqlite: Option.Option<string>
  readonly wakeups: Option.Option<Redacted.Redacted<string>>
  readonly require: ReadonlyArray<Particular>
  readonly host: string
  readonly port: number
  readonly behindProxy: boolean
  readonly servedAs: ReadonlyArray<string>
}

export const server = Effect.fnUntraced(function* (given: Given) {
  const backing = yield* backingOf(given)
  const token = yield* tokenOf(given)
  if (!Child.hasParent()) Ending.whenAsked(() => Output.talk("draining; once more kills"))
  const { behindProxy: isBehindProxy, host, port, require: required, servedAs: hosts } = given
  yield* Effect.gen(function* () {
    const { rpcUrl, url } = yield* Server
    Child.tell({ _tag: "Ready", url })
    if (!Child.hasParent()) Output.talk(`belfry server  ${url}  ${rpcUrl}  ${words(backing)}`)
    yield* Effect.never
  }).pipe(Effect.provide(serving({ backing, host, hosts, isBehindProxy, port, token, required })))
})

const backingOf = Effect.fnUntraced(function* (given: Given) {
  const wakeups = Option.getOrUndefined(given.wakeups)
  if (Option.isSome(given.sqlite)) {
    const file = given.sqlite.value
    if (wakeups !== undefined) {
      return yield* new Problem({
        kind: "usage",
        what: "--wakeups is for servers that share a PostgreSQL",
        fix: "leave it out: processes that share a SQLite file find each other's work in it",
      })
    }
    if (Option.isSome(given.databaseUrl)) {
      return yield* new Problem({
        kind: "usage",
        what: "--sqlite and --database-url exclude each other",
        fix: "name one of them",
      })
    }
    const backing: Backing = { _tag: "Sqlite", file }
    return backing
  }
  const url = yield* database(given.databaseUrl)
  if (url === undefined) {
    return yield* new Problem({
      kind: "usage",
      what: "a server needs a storage",
      fix: "name one with --sqlite FILE, --database-url URL or BELFRY_DATABASE_URL",
      hint: "belfry server --sqlite belfry.db",
    })
  }
  const backing: Backing = { _tag: "Postgres", url, wakeups }
  return backing
})

const tokenOf = Effect.fnUntraced(function* (given: Given) {
  const named = yield* Tokens.named(given)
  if (named !== undefined) return named
  const known = process.env["BELFRY_TOKEN"]
  if (known) return Redacted.make(known)
  return yield* new Problem({
    kind: "usage",
    what: "a server needs a token that its clients show",
    fix: "give one with --token-file, BELFRY_TOKEN or --token",
    hint: "openssl rand -hex 32 > token && belfry server --sqlite belfry.db --token-file token",
  })
})
