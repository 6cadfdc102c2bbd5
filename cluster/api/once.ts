/**
 * Carries an order that is given under an `Idempotency-Key` out once, and answers whoever gives it
 * again as it was answered then.
 *
 * It is begun in the storage before it is carried out, and its answer kept before it is given. So when
 * a server dies in the middle, or the storage does not say what became of the order, it stays begun,
 * and nobody carries it out again: those who ask are told so, and have to look.
 *
 * All three happen in the server's scope, whatever becomes of the request: so many orders at once and
 * no more, and at its end the server waits for them as for its requests.
 */
import { createHash } from "node:crypto"
import { Clock, type Duration, Effect, Fiber, FiberSet, Layer, Schedule, Schema } from "effect"
import { HttpServerRequest, HttpServerRespondable, HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import type { Standing } from "../../core/domain/Answer.ts"
import { lengthMax } from "../../core/domain/IdempotencyKey.ts"
import type { AnswerStorage } from "../../core/services/AnswerStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { Readiness } from "../Readiness.ts"
import { storageProblem } from "./answers.ts"
import { Once } from "./Api.ts"
import { serverBusy, underWayMax } from "./Gate.ts"
import * as KeyHeader from "./KeyHeader.ts"
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

interface Order {
  readonly key: string
  /** By which it is told from another one. */
  readonly digest: string
  /** Of this time that it is given. */
  readonly beginner: string
}

export interface Options {
  /** At the end of the server those that are being carried out have this long, from `letGo` on. */
  readonly drainTimeout: Duration.Input
}

/** What whoever gives an order is told. */
type Told =
  | { readonly _tag: "CarriedOut"; readonly response: Response }
  | Exclude<Standing, { readonly _tag: "Begun" }>

export const layerWith = (options: Options) => Layer.effect(Once, make(options))

const make = Effect.fnUntraced(function* ({ drainTimeout }: Options) {
  const { answers } = yield* Storage
  const { isLetGo } = yield* Readiness
  const orders = yield* FiberSet.make()
  const timeIsUp = yield* Effect.forkScoped(Effect.andThen(isLetGo, Effect.sleep(drainTimeout)))
  yield* Effect.addFinalizer(() =>
    FiberSet.awaitEmpty(orders).pipe(
      Effect.raceFirst(Fiber.await(timeIsUp)),
      Effect.timeoutOption(drainTimeout),
    )
  )

  const given = Effect.fnUntraced(function* <E, R>(
    { beginner, digest, key }: Order,
    handler: Effect.Effect<Response, E, R>,
  ) {
    const known = yield* answers.begin(key, digest, beginner).pipe(
      // Perhaps it is begun, and nobody would carry it out. Whoever gave it need not wait for this.
      Effect.tapError(() =>
        FiberSet.run(orders, patient("given up", answers.giveUp(key, beginner)))
      ),
      Effect.catchTag("StorageUnavailable", storageProblem),
    )
    if (known._tag !== "Begun") return known
    const response = yield* settled(answers, key, beginner, handler)
    return { _tag: "CarriedOut", response } as const
  })

  /** Not within the request: whoever has gone away will ask what became of it. */
  const givenApart = Effect.fnUntraced(function* <E, R>(
    order: Order,
    handler: Effect.Effect<Response, E, R>,
  ) {
    if ((yield* FiberSet.size(orders)) >= underWayMax) return yield* Effect.fail(serverBusy)
    return yield* Fiber.join(yield* FiberSet.run(orders, given(order, handler)))
  })

  return Once.of((handler) =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const header = request.headers["idempotency-key"]
      if (header === undefined) return yield* handler
      const key = KeyHeader.read(header)
      if (key === "" || key.length > lengthMax) return yield* keyRefused(key)
      // The gate has read it.
      const digest = digestOf(request, yield* Effect.orDie(request.text))
      const order = { key, digest, beginner: crypto.randomUUID() }
      const since = yield* Clock.currentTimeMillis
      for (;;) {
        const known: Told = yield* givenApart(order, handler)
        if (known._tag === "CarriedOut") return known.response
        if (known._tag === "Answered") return replayed(known.answer)
        if (known._tag === "Another") return yield* Effect.fail(keyTaken)
        const now = yield* Clock.currentTimeMillis
        if (now - since >= patienceMillis) return yield* unsettled(known.forMillis)
        yield* Effect.sleep(pauseMillis)
      }
    })
  )
})

/** Carries it out, and keeps its answer. */
const settled = Effect.fnUntraced(function* <E, R>(
  answers: AnswerStorage,
  key: string,
  beginner: string,
  handler: Effect.Effect<Response, E, R>,
) {
  const giveUp = patient("given up", answers.giveUp(key, beginner))
  const response = yield* Effect.catch(
    handler,
    (error) =>
      isUnread(error)
        ? Effect.andThen(giveUp, Effect.fail(error))
        : HttpServerRespondable.isRespondable(error)
        ? HttpServerRespondable.toResponse(error)
        : Effect.fail(error),
  )
  const { status } = response
  if (nothingDone.has(status)) yield* giveUp
  // Of what failed for reasons of our own, nobody knows how far it had come.
  else if (status < 500) {
    yield* patient("kept", answers.keep(key, beginner, keptOf(response)))
  }
  return response
})

/** The order could not be read, so it did not come to anything. What cannot be written, did. */
const isUnread = (error: unknown): boolean =>
  HttpApiError.HttpApiSchemaError.is(error) &&
  error.kind !== "Body" && error.kind !== "ResponseHeaders"

/** It is known what became of the order: a storage that is away for a moment does not change that. */
const patient = (done: string, effect: Effect.Effect<void, StorageUnavailable>) =>
  effect.pipe(
    Effect.retry({ times: 20, schedule: Schedule.spaced("250 millis") }),
    Effect.catch((error) =>
      Effect.logWarning(`an order under a key is not ${done}: it stays begun`, error)
    ),
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
