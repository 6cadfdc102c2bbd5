/**
 * Calls the API of a server, typed.
 *
 * ```ts
 * import { Effect, Redacted } from "effect"
 * import { TaskName } from "belfry"
 * import { ApiClient } from "belfry/cluster"
 *
 * export const program = Effect.gen(function* () {
 *   const api = yield* ApiClient.make({
 *     url: "http://127.0.0.1:7070",
 *     token: Redacted.make("…"),
 *   })
 *   return yield* api.runs.submit({
 *     headers: { "idempotency-key": "greet-ada" },
 *     payload: { task: TaskName.make("hello/world"), payload: { name: "Ada" } },
 *   })
 * })
 * ```
 *
 * A problem fails with its class, by tag, as in `Problems`. `HttpClientError` means that no answer
 * came, or none of this API.
 */
import { Context, Effect, Layer, type Redacted } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { anyServer, type Servers } from "./anyServer.ts"
import { Api, Authorization } from "./Api.ts"
import * as KeyHeader from "./KeyHeader.ts"

export interface Options {
  /** As in `http://127.0.0.1:7070`. */
  readonly url: string
  readonly token: Redacted.Redacted<string>
}

export const make = ({ token, url }: Options) =>
  through(HttpClient.mapRequest(HttpClientRequest.prependUrl(url)), token)

export interface AnyOptions extends Servers {
  readonly token: Redacted.Redacted<string>
}

/**
 * Calls any of several servers over one storage. When one does not answer the call goes to the next,
 * and an order, whose answer may have been lost, goes there under a key, so that it is carried out once.
 */
export const anyOf = ({ token, ...servers }: AnyOptions) => through(anyServer(servers), token)

const through = (
  way: (client: HttpClient.HttpClient) => HttpClient.HttpClient,
  token: Redacted.Redacted<string>,
) =>
  HttpApiClient.make(Api, {
    transformClient: (client) =>
      client.pipe(
        way,
        HttpClient.mapRequestEffect((request) =>
          Effect.map(Key, (key) =>
            key === undefined
              ? request
              : HttpClientRequest.setHeader(request, "idempotency-key", KeyHeader.write(key)))
        ),
      ),
  }).pipe(
    Effect.provide(Layer.merge(
      FetchHttpClient.layer,
      HttpApiMiddleware.layerClient(
        Authorization,
        ({ next, request }) => next(HttpClientRequest.bearerToken(request, token)),
      ),
    )),
  )

/** What orders are given under. */
const Key = Context.Reference<string | undefined>("belfry/cluster/api/ApiClient/Key", {
  defaultValue: () => undefined,
})

/**
 * Gives the order of a call under a key: given again, it is not carried out again, and is answered as
 * it was then. So whoever got no answer may ask once more. A key has 1 to 512 characters, with no
 * control character among them and no space at its ends.
 */
export const once =
  (key: string) => <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(call, Key, key)

export type ApiClient = Effect.Success<ReturnType<typeof make>>
