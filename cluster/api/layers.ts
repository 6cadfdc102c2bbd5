/** The API as routes: its handlers, what stands around them, and the pages that describe it. */
import { Effect, Layer, Redacted, SchemaIssue } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import {
  HttpApiBuilder,
  type HttpApiError,
  HttpApiMiddleware,
  HttpApiScalar,
} from "effect/http-api"
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

const courtesy = HttpApiMiddleware.layerSchemaErrorTransform(
  Courtesy,
  // What cannot be written is a mistake of ours.
  (error) =>
    error.kind === "Body" || error.kind === "ResponseHeaders"
      ? Effect.die(error.cause)
      : Effect.fail(unreadable(error)),
)

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()
const reasonMax = 500

const unreadable = ({ cause, kind }: HttpApiError.HttpApiSchemaError) => {
  const [first] = issuesOf(cause.issue).issues
  const path = (first?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key))
  const field = [kind.toLowerCase(), ...path].join(".")
  const reason = (first?.message ?? "it cannot be read").slice(0, reasonMax)
  return new Problems.RequestUnreadable({
    detail: `${field}: ${reason}.`,
    remedy: `See ${docsPath} for what this endpoint takes.`,
    field,
    reason,
  })
}

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
