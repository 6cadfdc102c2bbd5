/**
 * Carries an order that is given under an `Idempotency-Key` out once, and answers whoever gives it
 * again as it was answered then.
 *
 * It is begun in the storage before it is carried out, and its answer kept before it is given. So when
 * a server dies in the middle, or the storage does not say what became of the order, it stays begun,
 * and nobody carries it out again: those who ask are told so, and have to look.
 */
import { createHash } from "node:crypto"
import { Effect, Fiber, Layer, Schedule, Schema } from "effect"
import { HttpServerRequest, HttpServerRespondable, HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { lengthMax } from "../../core/domain/IdempotencyKey.ts"
import type { AnswerStorage } from "../../core/services/AnswerStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { storageProblem } from "./answers.ts"
import { Once } from "./Api.ts"
import * as Problems from "./Problems.ts"

/** So long whoever gives an order again waits for the answer of the one who carries it out. */
const patienceMillis = 5000
const pauseMillis = 50

/** These say that nothing was done, and why: what is mended may come under the same key. */
const nothingDone = new Set([400, 413, 415, 422, 429])

/** An answer as it is kept. */
const Kept = Schema.fromJsonString(
  Schema.Struct({
    status: Schema.Int,
    type: Schema.optionalKey(Schema.String),
    body: Schema.String,
  }),
)
const encode = Schema.encodeSync(Kept)
const decode = Schema.decodeSync(Kept)

type Response = HttpServerResponse.HttpServerResponse

export const layer = Layer.effect(
  Once,
  Effect.gen(function* () {
    const { answers } = yield* Storage
    const scope = yield* Effect.scope

    return Once.of((handler) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const key = request.headers["idempotency-key"]
        if (key === undefined) return yield* handler
        if (key === "" || key.length > lengthMax) return yield* keyRefused(key)
        // The gate has read it.
        const order = digestOf(request, yield* Effect.orDie(request.text))
        const known = yield* begun(answers, key, order)
        if (known._tag === "Answered") return replayed(known.answer)
        if (known._tag === "Another") return yield* Effect.fail(keyTaken)
        if (known._tag === "Unsettled") return yield* unsettled(known.forMillis)
        // Not within the request: whoever has gone away will ask what became of it.
        const carriedOut = yield* Effect.forkIn(settled(answers, key, order, handler), scope)
        return yield* Fiber.join(carriedOut)
      })
    )
  }),
)

const begun = Effect.fnUntraced(
  function* (answers: AnswerStorage, key: string, order: string) {
    for (let waited = 0;; waited += pauseMillis) {
      const known = yield* answers.begin(key, order)
      if (known._tag !== "Unsettled" || waited >= patienceMillis) return known
      yield* Effect.sleep(pauseMillis)
    }
  },
  Effect.catchTag("StorageUnavailable", storageProblem),
)

/** Carries it out, and keeps its answer. */
const settled = Effect.fnUntraced(function* <E, R>(
  answers: AnswerStorage,
  key: string,
  order: string,
  handler: Effect.Effect<Response, E, R>,
) {
  const response = yield* Effect.catch(
    handler,
    (error) =>
      isUnread(error)
        ? Effect.andThen(patient(answers.giveUp(key, order)), Effect.fail(error))
        : HttpServerRespondable.isRespondable(error)
        ? HttpServerRespondable.toResponse(error)
        : Effect.fail(error),
  )
  const { status } = response
  if (nothingDone.has(status)) yield* patient(answers.giveUp(key, order))
  // Of what failed for reasons of our own, nobody knows how far it had come.
  else if (status < 500) yield* patient(answers.keep(key, order, keptOf(response)))
  return response
})

/** The order could not be read, so it did not come to anything. What cannot be written, did. */
const isUnread = (error: unknown): boolean =>
  HttpApiError.HttpApiSchemaError.is(error) &&
  error.kind !== "Body" && error.kind !== "ResponseHeaders"

/** The order is carried out: a storage that is away for a moment does not make that unknown. */
const patient = (effect: Effect.Effect<void, StorageUnavailable>) =>
  effect.pipe(
    Effect.retry({ times: 20, schedule: Schedule.spaced("250 millis") }),
    Effect.catch((error) => Effect.logWarning("what an order was answered is not kept", error)),
  )

const digestOf = ({ method, url }: HttpServerRequest.HttpServerRequest, body: string) =>
  createHash("sha256").update(JSON.stringify([method, url, body])).digest("base64url")

/** Orders are answered in JSON, or not at all. */
const keptOf = ({ body, status }: Response): string =>
  encode(
    body._tag === "Uint8Array"
      ? { status, type: body.contentType, body: new TextDecoder().decode(body.body) }
      : { status, body: "" },
  )

const replayed = (answer: string): Response => {
  const { body, status, type } = decode(answer)
  const headers = { "idempotent-replayed": "true" }
  return type === undefined
    ? HttpServerResponse.empty({ status, headers })
    : HttpServerResponse.text(body, { status, headers, contentType: type })
}

const keyRefused = (key: string) =>
  new Problems.RequestRefused({
    detail: `The Idempotency-Key has ${key.length} characters.`,
    remedy: `Use 1 to ${lengthMax} characters.`,
    field: "idempotency-key",
    reason: `it has ${key.length} characters`,
  })

const keyTaken = new Problems.KeyTaken({
  detail: "The Idempotency-Key was used with another order: another address, method or body.",
  remedy: "Use a key of its own for each order.",
  field: "idempotency-key",
  reason: "it was used with another order",
})

const unsettled = (forMillis: number) =>
  new Problems.OrderUnsettled({
    detail: `An order with this Idempotency-Key was begun ${Math.round(forMillis / 1000)} s ago, ` +
      "and has no answer.",
    remedy:
      "Ask again in a moment. If that stays, its server has died in the middle, or its storage " +
      "did: see what became of it, and give it again under another key if need be.",
    field: "idempotency-key",
    reason: "its order is begun, and has no answer",
    forMillis,
  })
