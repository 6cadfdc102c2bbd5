/** The API as routes: its handlers, what stands around them, and the pages that describe it. */
import { Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder, type HttpApiEndpoint, HttpApiError, HttpApiScalar } from "effect/http-api"
import * as Objection from "../../core/domain/Objection.ts"
import { Breakers } from "../../core/engine/Breakers.ts"
import { Groups } from "../../core/engine/Groups.ts"
import { Readiness } from "../Readiness.ts"
import { Api, Authorization, Courtesy, docsPath, openapiPath } from "./Api.ts"
import { tokenRefused } from "./Gate.ts"
import * as BreakersApi from "./BreakersApi.ts"
import * as CalendarsApi from "./CalendarsApi.ts"
import * as GroupsApi from "./GroupsApi.ts"
import * as LocksApi from "./LocksApi.ts"
import * as once from "./once.ts"
import * as OthersApi from "./OthersApi.ts"
import * as Problems from "./Problems.ts"
import * as RunsApi from "./RunsApi.ts"
import * as TasksApi from "./TasksApi.ts"
import { Tokens } from "./Tokens.ts"
import * as TriggersApi from "./TriggersApi.ts"

/** The gate has asked already. A route that is mounted without it is asked for here. */
const authorization = Layer.effect(
  Authorization,
  Effect.map(Tokens, (tokens) =>
    Authorization.of({
      bearer: (answer, { credential }) =>
        tokens.has(Redacted.value(credential)) ? answer : Effect.fail(tokenRefused),
    })),
)

const courtesy = Layer.succeed(
  Courtesy,
  (answer, { endpoint }) =>
    HttpServerRequest.HttpServerRequest.pipe(
      Effect.flatMap((request) => untaken(request, endpoint)),
      Effect.andThen(answer),
      Effect.catch((error) =>
        !HttpApiError.HttpApiSchemaError.is(error)
          ? Effect.fail(error)
          // What cannot be written is a mistake of ours.
          : error.kind === "Body" || error.kind === "ResponseHeaders"
          ? Effect.die(error.cause)
          : Effect.fail(unreadable(error))
      ),
    ),
)

/** Refuses what nobody would read: a query or a body where the endpoint has none. */
const untaken = Effect.fnUntraced(function* (
  request: HttpServerRequest.HttpServerRequest,
  endpoint: HttpApiEndpoint.Top,
) {
  const [name] = new URL(request.url, "http://localhost").searchParams.keys()
  if (name !== undefined && endpoint.query === undefined) {
    return yield* unread(
      Objection.fieldOf(["query", name]),
      "there is no such field",
      endpoint.payload.size === 0 ? "Leave it out" : "Give it in the body",
    )
  }
  if (endpoint.payload.size > 0 || request.method === "GET") return
  const text = (yield* Effect.orDie(request.text)).trim()
  if (text === "" || /^\{\s*\}$/.test(text)) return
  const remedy = endpoint.query === undefined
    ? "Leave it out"
    : "Leave it out, or give it in the query"
  return yield* unread("body", "nothing of it is read here", remedy)
})

const unreadable = ({ cause, kind }: HttpApiError.HttpApiSchemaError) => {
  const { path, reason, remedy } = Objection.first(cause.issue)
  // What is in a body is called by its own name, as where it is refused for what it says.
  const all = kind === "Payload" ? path : [kind.toLowerCase(), ...path]
  return unread(all.length === 0 ? "body" : Objection.fieldOf(all), reason, remedy)
}

const unread = (field: string, reason: string, remedy: string) =>
  new Problems.RequestUnreadable({
    detail: `${field}: ${reason}.`,
    remedy: `${remedy.replace(/\?$/, "")}. See ${docsPath} for what this endpoint takes.`,
    field,
    reason,
  })

/** For those who only want to know whether to restart it, or to send it requests. */
const probes = HttpRouter.use(Effect.fnUntraced(function* (router) {
  const readiness = yield* Readiness
  const empty = (status: number) => HttpServerResponse.empty({ status })
  yield* router.add("GET", "/livez", empty(200))
  yield* router.add("GET", "/startupz", empty(200))
  yield* router.add(
    "GET",
    "/readyz",
    Effect.map(readiness.isReady, (isReady) => empty(isReady ? 200 : 503)),
  )
}))

export const layerWith = (options: once.Options) =>
  Layer.mergeAll(
    HttpApiBuilder.layer(Api, { openapiPath }).pipe(
      Layer.provide(Layer.mergeAll(
        RunsApi.layer,
        TriggersApi.layer,
        CalendarsApi.layer,
        BreakersApi.layer.pipe(Layer.provide(Breakers.layer)),
        GroupsApi.layer.pipe(Layer.provide(Groups.layer)),
        LocksApi.layer,
        TasksApi.layer,
        OthersApi.layerExecutors,
        OthersApi.layerSystem,
      )),
      Layer.provide(Layer.mergeAll(authorization, courtesy, once.layerWith(options))),
    ),
    HttpApiScalar.layer(Api, {
      path: docsPath,
      scalar: { withDefaultFonts: false },
    }),
    probes,
  )
