/**
 * The transport of an executor that reaches its server over WebSocket: one outgoing connection and
 * a token, and no password of any database.
 *
 * The connection is made again for ever, and a join is refused where the server says that it lets
 * nobody in with this token. What was under way when it broke fails at once as
 * `TransportUnavailable`, as does what is asked while it is down; nothing is sent again from here,
 * because only the executor knows what is still worth sending. Before the first connection calls
 * wait for it, within their time.
 */
import { Array, Cause, Duration, Effect, Layer, Option, Random, Redacted, Schedule } from "effect"
import { Headers } from "effect/http"
import { RpcClient, RpcMiddleware } from "effect/rpc"
import type { Socket } from "effect/socket"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Refused } from "../../core/domain/Refused.ts"
import {
  JoinRefused,
  SessionLost,
  Transport,
  TransportUnavailable,
} from "../../core/services/Transport.ts"
import { inBatches } from "./batches.ts"
import * as Door from "./Door.ts"
import {
  batchMax,
  ExecutorAuth,
  ExecutorRpcs,
  layerSerialization,
  type TokenRefused,
  waitMillisMax,
} from "./ExecutorRpcs.ts"

export interface Options {
  /** As in `wss://belfry.example.org/rpc`. An effect is asked anew for each connection. */
  readonly url: string | Effect.Effect<string>
  readonly token: Redacted.Redacted<string>
}

export const layer = (options: Options): Layer.Layer<Transport> =>
  Layer.suspend(() => {
    const door = Door.make(options)
    return Layer.effect(Transport, make(options, door)).pipe(
      Layer.provide(protocol(options, door)),
      Layer.provide(authorized(options.token)),
      Layer.provide(layerSerialization),
    )
  })

const protocol = (options: Options, door: Door.Door) =>
  RpcClient.layerProtocolSocket({
    retryTransientErrors: true,
    retryPolicy: reconnects(door),
    // A connection that is silent is given up after 3 to 4.5 seconds, so that the executor beats on
    // another before its lease (10 seconds, if not told otherwise) has run out: the last beat that
    // was answered is up to 2.5 seconds older, and a server that answers is still to be found.
    pingInterval: "1500 millis",
    pingTimeout: "3 seconds",
  }).pipe(Layer.provide(NodeSocket.layerWebSocket(options.url, {
    openTimeout: "5 seconds",
    // The server asks before it opens the connection, and again with every call.
    headers: { authorization: `Bearer ${Redacted.value(options.token)}` },
  })))

/** What a server may answer instead of what was asked for. */
type Answer = JoinRefused | Refused | SessionLost

/** How long an answer may take, besides the time it is asked to be held back. */
const patienceMillis = 10_000

const make = Effect.fnUntraced(function* ({ url }: Options, door: Door.Door) {
  const client = yield* RpcClient.make(ExecutorRpcs, { disableTracing: true })

  /** Its answer when it gave one, `TransportUnavailable` whatever else became of it. */
  const answer = <A, E>(
    operation: string,
    // A payload that the schema refuses throws right where the call is made.
    call: () => Effect.Effect<A, E>,
    heldMillis = 0,
  ): Effect.Effect<A, TransportUnavailable | Extract<E, Answer>> =>
    Effect.suspend(call).pipe(
      Effect.timeoutOrElse({
        duration: heldMillis + patienceMillis,
        orElse: () => Effect.fail(new TransportUnavailable({ operation, cause: silence })),
      }),
      Effect.catchCause((cause) => {
        const failed = Option.getOrUndefined(Cause.findErrorOption(cause))
        return Effect.fail(
          isAnswer(failed)
            ? failed as Extract<E, Answer> | TransportUnavailable
            // A defect of the server, or its end, is no answer either.
            : new TransportUnavailable({ operation, cause: failed ?? Cause.squash(cause) }),
        )
      }),
    )

  const settle: Transport["Service"]["settle"] = (incarnation, reports) =>
    Effect.map(
      Effect.forEach(
        inBatches(reports),
        (reports) => answer("settle", () => client.settle({ incarnation, reports })),
      ),
      (settled) => settled.flat(),
    )

  const revocations: Transport["Service"]["revocations"] = (incarnation) => {
    const call = () => client.revocations({ incarnation, waitMillis: waitMillisMax })
    return answer("revocations", call, waitMillisMax).pipe(
      Effect.repeat({ until: (revoked) => revoked.length > 0 }),
    )
  }

  return Transport.of({
    join: (joining) =>
      Effect.raceFirst(
        answer(
          "join",
          () =>
            Effect.catchTag(
              client.join(joining),
              "TokenRefused",
              (refused) => Effect.fail(refusal(url, refused)),
            ),
        ),
        door.refusal,
      ).pipe(Effect.catchTag("TransportUnavailable", (error) =>
        // While there is no connection a call fails at once.
        Effect.flatMap(
          door.verdict,
          (refusal) => Effect.fail(Option.getOrElse(refusal, () => error)),
        ))),
    serve: (incarnation, definitions) =>
      answer("serve", () => client.serve({ incarnation, definitions })),
    round: Effect.fnUntraced(function* (round) {
      const batches = inBatches(round.reports)
      const reports = batches[batches.length - 1] ?? []
      const before = batches.length > 1
        ? yield* settle(round.incarnation, round.reports.slice(0, -reports.length))
        : []
      const waitMillis = Math.min(round.waitMillis, waitMillisMax)
      const call = () => client.round({ ...round, reports, waitMillis })
      const answered = yield* answer("round", call, waitMillis)
      return before.length === 0
        ? answered
        : { ...answered, settled: [...before, ...answered.settled] }
    }),
    settle,
    start: (incarnation, marks) =>
      Effect.map(
        Effect.forEach(
          Array.chunksOf(marks, batchMax),
          (marks) => answer("start", () => client.start({ incarnation, marks })),
        ),
        (accepted) => accepted.flat(),
      ),
    pass: (run, breaker, regulation) =>
      answer(
        "pass",
        () => client.pass({ run, breaker, ...(regulation !== undefined && { regulation }) }),
      ),
    state: (namespace, task, key) => answer("state", () => client.state({ namespace, task, key })),
    conclude: (incarnation, conclusions) =>
      Effect.map(
        Effect.forEach(
          Array.chunksOf(conclusions, batchMax),
          (conclusions) => answer("conclude", () => client.conclude({ incarnation, conclusions })),
        ),
        (kept) => kept.flat(),
      ),
    beat: (incarnation, held, vitals, endings) =>
      answer(
        "beat",
        () =>
          client.beat({
            incarnation,
            held,
            ...(vitals !== undefined && { vitals }),
            ...(endings !== undefined && { endings }),
          }),
      ),
    reconcile: (incarnation, known) =>
      answer("reconcile", () => client.reconcile({ incarnation, known })),
    revocations,
    tell: (incarnation, told) =>
      Effect.forEach(
        inBatches(told),
        (told) => answer("tell", () => client.tell({ incarnation, told })),
        { discard: true },
      ),
    drain: (incarnation) => answer("drain", () => client.drain({ incarnation })),
    leave: (incarnation) => answer("leave", () => client.leave({ incarnation })),
  })
})

const silence = new Error("no answer in time")

const isAnswer = (failed: unknown) =>
  [TransportUnavailable, SessionLost, JoinRefused, Refused].some((each) => failed instanceof each)

const refusal = (url: Options["url"], refused: TokenRefused) =>
  new JoinRefused({
    reason: `${typeof url === "string" ? url : "the server"} refused the token: ${refused.message}`,
    remedy: "Give the executor one of the tokens that the server was started with",
  })

const authorized = (token: Redacted.Redacted<string>) => {
  const authorization = `Bearer ${Redacted.value(token)}`
  return RpcMiddleware.layerClient(
    ExecutorAuth,
    ({ next, request }) =>
      next({ ...request, headers: Headers.set(request.headers, "authorization", authorization) }),
  )
}

/**
 * For ever, within a second. All executors of a server that stops come back at once, so each waits
 * a random time: a short one after a drop, a longer one when nobody answered.
 */
const reconnects = (door: Door.Door) =>
  Schedule.forever.pipe(
    Schedule.setInputType<Socket.SocketError>(),
    Schedule.modifyDelay(({ input }) =>
      Effect.map(
        input.reason._tag === "SocketOpenError"
          ? Effect.andThen(door.ask, Random.nextBetween(250, 1000))
          : Random.nextBetween(10, 250),
        Duration.millis,
      )
    ),
  )
