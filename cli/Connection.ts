/**
 * The way to a running server: flags win over the environment, which wins over what the nearest
 * `.belfry/server.json` says.
 */
import { Effect, Option, Redacted, Schema } from "effect"
import * as ApiClient from "../cluster/api/ApiClient.ts"
import type { Namespace } from "../core/domain/Namespace.ts"
import * as Objection from "../core/domain/Objection.ts"
import type { Vocabulary } from "../core/domain/Vocabulary.ts"
import { firstUp } from "../cluster/remote/firstUp.ts"
import * as Place from "./Place.ts"
import { Problem } from "./Problem.ts"
import * as Tokens from "./tokens.ts"

export interface Given extends Tokens.Given {
  readonly url: Option.Option<string>
  /** What the command's order is given under. */
  readonly once?: Option.Option<string>
}

export interface Address {
  readonly urls: ReadonlyArray<string>
  readonly token: Redacted.Redacted<string>
}

const start = "belfry dev"

export const address = Effect.fnUntraced(function* (given: Given) {
  const folder = Place.find()
  const record = folder === undefined ? undefined : Place.readRecord(folder)
  // Several may be named, with commas between them: any of them will do.
  const url = Option.getOrUndefined(given.url) ?? (process.env["BELFRY_URL"] || undefined)
  const urls = url === undefined
    ? record?.urls
    : url.split(",").map((each) => each.trim().replace(/\/+$/, ""))
  if (urls === undefined) {
    return yield* new Problem({
      kind: "unreachable",
      what: "no server is known: nothing runs in this folder, and no --url was given",
      fix: "start one here, or name it with --url or BELFRY_URL",
      hint: start,
    })
  }
  for (const each of urls) {
    if (!/^https?:$/.test(URL.parse(each)?.protocol ?? "")) {
      return yield* new Problem({
        kind: "usage",
        what: `${
          Option.isSome(given.url) ? "--url" : "BELFRY_URL"
        }: "${each}" is not the address of a server`,
        fix: "write it as in http://127.0.0.1:7070",
      })
    }
  }
  // The token of this place is for the server of this place, and shown to no other.
  const isOurs = record !== undefined && urls.every((each) => record.urls.includes(each))
  const token = (yield* Tokens.named(given)) ??
    Redacted.make(process.env["BELFRY_TOKEN"] || (isOurs ? record.token : ""))
  const address: Address = { urls, token }
  return address
})

export interface Connection {
  readonly url: string
  readonly api: ApiClient.ApiClient
  /** Calls the server; what goes wrong is a problem. */
  readonly call: <A, E>(
    ask: (api: ApiClient.ApiClient) => Effect.Effect<A, E>,
  ) => Effect.Effect<A, Problem>
}

/** To the first server that can be reached; when none can, the call will say so. */
export const open = Effect.fnUntraced(function* (given: Given) {
  const { token, urls } = yield* address(given)
  return yield* to(yield* firstUp(urls), token, Option.getOrUndefined(given.once ?? Option.none()))
})

export const to = (
  url: string,
  token: Redacted.Redacted<string>,
  key?: string,
): Effect.Effect<Connection> =>
  Effect.map(ApiClient.make({ url, token }), (api) => ({
    url,
    api,
    call: (ask) =>
      (key === undefined ? ask(api) : ApiClient.once(key)(ask(api))).pipe(
        Effect.mapError((error) => explained(url, error)),
      ),
  }))

export const inNamespace = (namespace: Option.Option<string>) =>
  Option.isSome(namespace) ? { namespace: namespace.value as Namespace } : {}

export const inVocabulary = (vocabulary: Option.Option<Vocabulary>) =>
  Option.isSome(vocabulary) ? { vocabulary: vocabulary.value } : {}

const kinds: Record<string, Problem["kind"]> = {
  TokenRefused: "notAllowed",
  HostRefused: "notAllowed",
  OriginRefused: "notAllowed",
  RunUnknown: "notFound",
  TaskUnknown: "notFound",
  TriggerUnknown: "notFound",
  LockFree: "notFound",
  CalendarUnknown: "notFound",
  BreakerUnknown: "notFound",
  GroupUnknown: "notFound",
  ExecutorUnknown: "notFound",
  CalendarInUse: "notFound",
  RouteUnknown: "notFound",
  KeyConflict: "notFound",
  KeyTaken: "notFound",
  OrderUnsettled: "notFound",
  RunChanged: "notFound",
  TriggerChanged: "notFound",
  OrderRefused: "notFound",
  BackfillCutOff: "notFound",
  RequestUnreadable: "usage",
  RequestRefused: "usage",
  BodyTooLarge: "usage",
}

const hints: Record<string, string> = {
  RunUnknown: "belfry run list",
  TaskUnknown: "belfry task list",
  TriggerUnknown: "belfry trigger list",
  RunChanged: "belfry run list",
  TriggerChanged: "belfry trigger list",
  LockFree: "belfry lock list",
  CalendarUnknown: "belfry calendar list",
  BreakerUnknown: "belfry breaker list",
  GroupUnknown: "belfry group list",
  ExecutorUnknown: "belfry executor list",
  CalendarInUse: "belfry trigger list",
}

/** As whoever wrote the command knows the field: by its flag, where it was named. */
const spoken = (field: string): string => {
  const name = field.replace(/^(query|params|headers)\./, "").replace(/Millis$/, "")
  const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  const isNamed = process.argv.some((word) => word === flag || word.startsWith(`${flag}=`))
  return isNamed ? flag : name
}

const explained = (url: string, error: unknown): Problem => {
  if (error instanceof Problem) return error
  // It was not sent: it is nothing that a server takes.
  if (Schema.isSchemaError(error)) {
    const { path, reason, remedy } = Objection.first(error.issue)
    const what = `${spoken(Objection.fieldOf(path))}: ${reason}`
    return new Problem({ kind: "usage", what, fix: remedy })
  }
  const { _tag, detail, field, reason, remedy } = error as {
    readonly _tag?: string
    readonly detail?: string
    readonly field?: string
    readonly remedy?: string
    readonly reason?: { readonly _tag?: string } | string
  }
  if ((_tag === "RequestUnreadable" || _tag === "RequestRefused") && field !== undefined) {
    return new Problem({
      kind: "usage",
      what: `${spoken(field)}: ${String(reason)}`,
      // The pages of the API are for who calls it.
      fix: remedy?.replace(/ See \/api\/docs .*$/, ""),
    })
  }
  if (_tag === "TokenRefused") {
    return new Problem({
      kind: "notAllowed",
      what: `the server at ${url} does not know this token`,
      fix: "give the server's token with --token-file or BELFRY_TOKEN; `belfry dev` keeps it in " +
        ".belfry/token",
    })
  }
  if (
    _tag === "HttpClientError" && typeof reason === "object" && reason._tag === "TransportError"
  ) {
    return new Problem({
      kind: "unreachable",
      what: `no server answers at ${url}`,
      fix: "start one, or name another with --url or BELFRY_URL",
      hint: start,
    })
  }
  if (detail !== undefined) {
    return new Problem({
      kind: kinds[_tag ?? ""] ?? "failed",
      what: detail,
      fix: remedy,
      hint: hints[_tag ?? ""],
    })
  }
  return new Problem({
    kind: "failed",
    what: `${url} gave an answer that is none of Belfry's: ${String(error).slice(0, 300)}`,
    fix: "see that the address is right, and that both have the same version",
  })
}
