/**
 * What every request passes before it is routed, and every answer on its way out.
 *
 * 1. Nothing but the three probes is answered without a token: it is asked for here, whatever the
 *    path, so that no route can be forgotten and no spelling of a path gets around it.
 * 2. A request under a foreign host name, or from a page of another origin, goes no further.
 * 3. So many requests at once, so large and so deep a body, and no more.
 * 4. Whatever fails, the answer is a problem that tells nothing of the inside.
 */
import { ByteSize, Cause, Effect, Random, Result } from "effect"
import { Base64 } from "effect/encoding"
import {
  HttpIncomingMessage,
  HttpServerError,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse,
} from "effect/http"
import { Readiness } from "../Readiness.ts"
import { docsPath, openapiPath } from "./Api.ts"
import * as Problems from "./Problems.ts"
import { Tokens } from "./Tokens.ts"

export const bodyBytesMax = 1024 * 1024
export const depthMax = 64
/** Requests, and as many orders that may have outlived theirs. */
export const underWayMax = 1000

export interface Options {
  /** Host names under which the server may be called, besides those of the loopback. */
  readonly hosts: ReadonlyArray<string>
}

type Handler<E, R> = Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>

const probes = new Set(["/livez", "/readyz", "/startupz"])
/** What a browser may look at, with the token as password. */
const pages = new Set<string>([docsPath, openapiPath])
const loopback = new Set(["localhost", "127.0.0.1", "[::1]"])

export const make = Effect.fnUntraced(function* (options: Options) {
  const tokens = yield* Tokens
  const readiness = yield* Readiness
  const hosts = new Set([...loopback, ...options.hosts.map((host) => host.toLowerCase())])
  let underWay = 0

  const isKnownHost = (authority: string | undefined) => {
    const host = hostOf(authority)
    return host !== undefined && hosts.has(host)
  }

  const refusal = (request: HttpServerRequest.HttpServerRequest) => {
    const { authorization, host, origin } = request.headers
    if (!isKnownHost(host)) return hostRefused
    if (origin !== undefined && !isSameOrigin(origin, host)) return originRefused
    const isPage = request.method === "GET" && pages.has(pathOf(request))
    const token = tokenOf(authorization, isPage)
    if (token === undefined || !tokens.has(token)) return tokenRefused
    return undefined
  }

  const upgrade = <E, R>(handler: Handler<E, R>) =>
    // Connections end when the server drains, or it would wait for them for ever.
    Effect.raceFirst(handler, Effect.as(readiness.isLetGo, HttpServerResponse.empty()))

  const admitted = <E, R>(
    request: HttpServerRequest.HttpServerRequest,
    handler: Handler<E, R>,
  ) =>
    Effect.suspend(() => {
      if (underWay >= underWayMax) return HttpServerRespondable.toResponse(serverBusy)
      underWay++
      return readBody(request).pipe(
        Effect.andThen(handler),
        Effect.map(restored),
        Effect.catchCause(problemOf),
        Effect.ensuring(Effect.sync(() => {
          underWay--
        })),
      )
    })

  return <E, R>(handler: Handler<E, R>) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const path = pathOf(request)
      if (request.method === "GET" && probes.has(path)) return handler
      const refused = refusal(request)
      const isPage = pages.has(path)
      if (refused !== undefined) {
        return Effect.map(
          HttpServerRespondable.toResponse(refused),
          (response) => guarded(isPage ? challenged(response) : response, false),
        )
      }
      if (request.headers["upgrade"] !== undefined) return upgrade(handler)
      return Effect.map(
        admitted(request, handler),
        (response) => guarded(response, isPage && response.status === 200),
      )
    }).pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(bodyBytesMax)),
    )
})

const pathOf = ({ url }: HttpServerRequest.HttpServerRequest) => url.split("?", 1)[0]!

/** The host of a `Host` header, without its port. */
export const hostOf = (authority: string | undefined): string | undefined =>
  /^(\[[0-9a-fA-F:.]+\]|[^:/@]+)(?::\d{1,5})?$/.exec(authority ?? "")?.[1]?.toLowerCase()

const isSameOrigin = (origin: string, host: string | undefined): boolean =>
  origin === `http://${host}` || origin === `https://${host}`

const tokenOf = (authorization: string | undefined, isPage: boolean): string | undefined => {
  const [, scheme, credential] = /^(\w+) +(\S+)$/.exec(authorization ?? "") ?? []
  switch (scheme?.toLowerCase()) {
    case "bearer":
      return credential
    case "basic": {
      if (!isPage) return undefined
      const decoded = Base64.decodeString(credential!)
      return Result.isSuccess(decoded)
        ? decoded.success.slice(decoded.success.indexOf(":") + 1)
        : undefined
    }
    default:
      return undefined
  }
}

const hasBody = new Set(["POST", "PUT", "PATCH", "DELETE"])

/** Reads the body, which is kept for the handler, so that its bounds are judged in one place. */
const readBody = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
  if (!hasBody.has(request.method)) return
  const text = yield* request.text
  if (depthOf(text) > depthMax) {
    return yield* new Problems.RequestUnreadable({
      detail: `The body nests more than ${depthMax} deep.`,
      field: "payload",
      reason: `it nests more than ${depthMax} deep`,
      remedy: "Flatten it, or submit it as text within a string.",
    })
  }
})

/** How deep brackets nest in a JSON text, outside its strings. */
export const depthOf = (text: string): number => {
  let depth = 0
  let deepest = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 34) {
      for (at++; at < text.length && text.charCodeAt(at) !== 34; at++) {
        if (text.charCodeAt(at) === 92) at++
      }
    } else if (code === 91 || code === 123) {
      depth++
      if (depth > deepest) deepest = depth
    } else if (code === 93 || code === 125) depth--
  }
  return deepest
}

/** Answers that the framework gives for itself become problems too. */
const restored = (response: HttpServerResponse.HttpServerResponse) =>
  response.status === 415 ? bodyUnsupportedResponse : response

const problemOf = <E>(
  cause: Cause.Cause<E>,
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  // Nobody waits for the answer any more, or the server ends.
  if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
  for (const reason of cause.reasons) {
    const error = Cause.isFailReason(reason)
      ? reason.error
      : Cause.isDieReason(reason)
      ? reason.defect
      : undefined
    const known = knownProblem(error)
    if (known !== undefined) return Effect.orDie(HttpServerRespondable.toResponse(known))
  }
  return Effect.gen(function* () {
    const id = (yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36)
    yield* Effect.logError("a request failed", cause).pipe(Effect.annotateLogs({ id }))
    return yield* Effect.orDie(HttpServerRespondable.toResponse(
      new Problems.ServerFailed({
        detail: `The server failed for a reason of its own, logged under ${id}.`,
        remedy: "Try again; if it stays, look into the server's log.",
        id,
      }),
    ))
  })
}

const knownProblem = (error: unknown): HttpServerRespondable.Respondable | undefined => {
  if (error instanceof HttpServerError.HttpServerError) {
    const { reason } = error
    if (reason._tag === "RouteNotFound") return routeUnknown
    if (reason._tag === "RequestParseError") {
      return reason.reason === "BodyTooLarge" ? bodyTooLarge : bodyUnfinished
    }
    return undefined
  }
  return Object.values(Problems).some((problem) => error instanceof problem)
    ? error as HttpServerRespondable.Respondable
    : undefined
}

const guarded = (response: HttpServerResponse.HttpServerResponse, isPage: boolean) =>
  HttpServerResponse.setHeaders(response, {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": isPage ? pagePolicy : "default-src 'none'; frame-ancestors 'none'",
    ...(response.status === 401 && response.headers["www-authenticate"] === undefined &&
      { "www-authenticate": 'Bearer realm="belfry"' }),
    ...((response.status === 429 || response.status === 503) && { "retry-after": "1" }),
  })

/** The page brings its own script and style along, and reaches nobody but this server. */
const pagePolicy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " +
  "img-src data:; font-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"

/** A browser asks its user for the token. */
const challenged = (response: HttpServerResponse.HttpServerResponse) =>
  response.status === 401
    ? HttpServerResponse.setHeader(response, "www-authenticate", 'Basic realm="belfry"')
    : response

export const tokenRefused = new Problems.TokenRefused({
  detail: "The request carries no token that this server knows.",
  remedy: "Send the header `Authorization: Bearer <token>` with the token that the server was " +
    "started with; `belfry dev` keeps it in .belfry/token.",
})

const hostRefused = new Problems.HostRefused({
  detail: "The request names a host that this server does not answer for.",
  remedy:
    "Call it as localhost, or start the server with that name: --served-as, in a program hosts.",
})

const originRefused = new Problems.OriginRefused({
  detail: "The request comes from a page of another origin.",
  remedy: "Call the API from a program, or from a page that this server served.",
})

export const serverBusy = new Problems.ServerBusy({
  detail: `The server has ${underWayMax} requests or orders under way and takes no more.`,
  remedy: "Wait as long as Retry-After says, and try again.",
})

const routeUnknown = new Problems.RouteUnknown({
  detail: "No endpoint has this method and path.",
  remedy: `See ${docsPath} for those there are.`,
})

const bodyTooLarge = new Problems.BodyTooLarge({
  detail: `The body is larger than ${bodyBytesMax} bytes.`,
  remedy: "Keep the data elsewhere and submit where it is.",
})

const bodyUnfinished = new Problems.RequestUnreadable({
  detail: "The body ended early or is not text.",
  field: "payload",
  reason: "it ended early or is not text",
  remedy: "Send the whole body as UTF-8.",
})

const bodyUnsupportedResponse = HttpServerResponse.jsonUnsafe(
  {
    type: "urn:belfry:problem:body-unsupported",
    title: "The body is not JSON",
    status: 415,
    code: "body-unsupported",
    detail: "The body has a content type that is not JSON.",
    remedy: "Send the header `Content-Type: application/json`.",
  },
  { status: 415, contentType: "application/problem+json" },
)
