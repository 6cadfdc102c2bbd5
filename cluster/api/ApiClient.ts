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
import { Effect, Layer, type Redacted } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { Api, Authorization } from "./Api.ts"

export interface Options {
  /** As in `http://127.0.0.1:7070`. */
  readonly url: string
  readonly token: Redacted.Redacted<string>
}

export const make = ({ token, url }: Options) =>
  HttpApiClient.make(Api, {
    transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(url)),
  }).pipe(
    Effect.provide(Layer.merge(
      FetchHttpClient.layer,
      HttpApiMiddleware.layerClient(
        Authorization,
        ({ next, request }) => next(HttpClientRequest.bearerToken(request, token)),
      ),
    )),
  )

export type ApiClient = Effect.Success<ReturnType<typeof make>>
