/**
 * The way to several servers of one storage, any of which will do: to whichever answered last, and
 * when it does not, to the next.
 *
 * 1. An answer that was lost leaves open whether the order was carried out. So every order goes under a
 *    key, one of its own unless it has one, and may be given again, to the same server or another.
 * 2. An answer counts once it is here as a whole. What something in between answers in a server's stead
 *    is none.
 * 3. It ends: after two rounds of them all, three calls at least, each with its time.
 */
import { Duration, Effect, Random } from "effect"
import {
  HttpClient,
  HttpClientError,
  HttpClientRequest,
  type HttpClientResponse,
} from "effect/http"

export interface Servers {
  /** Each as in `http://127.0.0.1:7070`. */
  readonly urls: ReadonlyArray<string>
  /** How long an answer may take, before another one is asked; 15 seconds unless given. */
  readonly patience?: Duration.Input
}

const roundsMax = 2
const triesMin = 3

export const anyServer =
  ({ patience = "15 seconds", urls }: Servers) =>
  (client: HttpClient.HttpClient): HttpClient.HttpClient => {
    const servers = [...new Set(urls.map((url) => url.replace(/\/+$/, "")))]
    const triesMax = Math.max(triesMin, roundsMax * servers.length)
    /** The one that answered last. */
    let current = 0

    const asked = (request: HttpClientRequest.HttpClientRequest, url: string) => {
      const sent = HttpClientRequest.prependUrl(request, url)
      const lost = (description: string, cause?: unknown) =>
        new HttpClientError.HttpClientError({
          reason: new HttpClientError.TransportError({ request: sent, description, cause }),
        })
      return client.postprocess(Effect.succeed(sent)).pipe(
        Effect.tap((response) =>
          isOfServer(response)
            // Kept in the response, for whoever reads it later.
            ? Effect.mapError(
              response.arrayBuffer,
              (cause) => lost("the answer was cut off", cause),
            )
            : Effect.fail(lost(`something in between answered ${response.status}`))
        ),
        Effect.timeoutOrElse({
          duration: patience,
          orElse: () => Effect.fail(lost("there was no answer in time")),
        }),
      )
    }

    const answered = (
      request: HttpClientRequest.HttpClientRequest,
      nth: number,
    ): Effect.Effect<
      HttpClientResponse.HttpClientResponse,
      HttpClientError.HttpClientError
    > =>
      Effect.suspend(() => {
        const at = current
        return Effect.catchIf(asked(request, servers[at]!), isLost, (error) => {
          // Whoever lost an answer meanwhile has gone on already.
          if (current === at) current = (at + 1) % servers.length
          if (nth >= triesMax) return Effect.fail(error)
          return Effect.andThen(
            nth % servers.length === 0 ? pause : Effect.void,
            answered(request, nth + 1),
          )
        })
      })

    return HttpClient.transform(client, (_, request) => answered(underKey(request), 1))
  }

/** A round has found none: those who were cut off with us come back at other times. */
const pause = Effect.flatMap(Random.nextBetween(100, 500), (millis) => Effect.sleep(millis))

const underKey = (request: HttpClientRequest.HttpClientRequest) =>
  request.method === "GET" || request.headers["idempotency-key"] !== undefined
    ? request
    : HttpClientRequest.setHeader(request, "idempotency-key", `call-${crypto.randomUUID()}`)

const isLost = ({ reason }: HttpClientError.HttpClientError) => reason._tag === "TransportError"

/** A server's own 503 is a problem; it gives neither of the others. */
const isOfServer = ({ headers, status }: HttpClientResponse.HttpClientResponse) =>
  ![502, 503, 504].includes(status) ||
  (headers["content-type"] ?? "").startsWith("application/problem+json")
