/**
 * Serves executors over WebSocket: any `Transport`, made reachable.
 *
 * ```ts
 * import { createServer } from "node:http"
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Layer, Redacted } from "effect"
 * import { HttpRouter } from "effect/http"
 * import * as Direct from "belfry/direct"
 * import * as Memory from "belfry/memory"
 * import { frameBytesMax, RpcTransportServer } from "belfry/rpc"
 *
 * const Executors = RpcTransportServer.layer({ tokens: [Redacted.make("…")] })
 * export const Main = HttpRouter.serve(Executors).pipe(
 *   Layer.provide(Direct.layer),
 *   Layer.provide(Memory.layer),
 *   Layer.provide(NodeHttpServer.layer(createServer, {
 *     port: 7080,
 *     websocket: { maxPayload: frameBytesMax },
 *   })),
 * )
 * ```
 *
 * It keeps nothing between calls, so an executor may come back to another server. The calls of one
 * connection do not wait for each other, and end when it does: a round whose executor is gone must
 * not claim.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { Effect, Layer, Redacted } from "effect"
import type { HttpRouter } from "effect/http"
import { RpcServer } from "effect/rpc"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { Grant, Report } from "../../core/services/RunStorage.ts"
import { Transport } from "../../core/services/Transport.ts"
import { fit } from "./batches.ts"
import {
  ConnectionBusy,
  ExecutorAuth,
  ExecutorRpcs,
  layerSerialization,
  TokenRefused,
} from "./ExecutorRpcs.ts"

/** A connection has as many calls under way as an executor has loops, and a few more. */
const callsMax = 256

export interface Options {
  /** An executor must show one of these. There may be several, so that they can be replaced. */
  readonly tokens: ReadonlyArray<Redacted.Redacted<string>>
  readonly path?: HttpRouter.PathInput
}

export const layer = (
  options: Options,
): Layer.Layer<never, never, Transport | HttpRouter.HttpRouter> =>
  Layer.suspend(() => {
    const calls = new Map<number, number>()
    return RpcServer.layerHttp({
      group: ExecutorRpcs,
      path: options.path ?? "/rpc",
      protocol: "websocket",
      concurrency: "unbounded",
      disableTracing: true,
      // A defect is the answer to its own call, and nobody else's.
      disableFatalDefects: true,
      onDisconnect: (client) => Effect.sync(() => calls.delete(client)),
    }).pipe(
      Layer.provide(handlers),
      Layer.provide(guard(options.tokens, calls)),
      Layer.provide(layerSerialization),
    )
  })

/**
 * Lets calls in that show a token, a bounded number per connection.
 *
 * Here is the place to bind an incarnation to the token that it joined with: `payload` has it.
 */
const guard = (tokens: Options["tokens"], calls: Map<number, number>) => {
  const known = tokens.map((token) => digest(`Bearer ${Redacted.value(token)}`))
  return Layer.succeed(ExecutorAuth, (call, { client, headers }) => {
    const shown = digest(headers["authorization"] ?? "")
    // Digests are of one length and compared in constant time, so that time tells nothing.
    const isKnown = known.reduce((found, token) => timingSafeEqual(token, shown) || found, false)
    if (!isKnown) return Effect.fail(new TokenRefused())
    const underWay = calls.get(client.id) ?? 0
    if (underWay >= callsMax) return Effect.fail(new ConnectionBusy({ callsMax }))
    calls.set(client.id, underWay + 1)
    return Effect.ensuring(call, Effect.sync(() => release(calls, client.id)))
  })
}

const release = (calls: Map<number, number>, client: number): void => {
  const underWay = calls.get(client)
  if (underWay === undefined) return
  if (underWay === 1) calls.delete(client)
  else calls.set(client, underWay - 1)
}

const digest = (text: string) => createHash("sha256").update(text).digest()

const handlers = ExecutorRpcs.toLayer(Effect.gen(function* () {
  const transport = yield* Transport

  /** Grants that make too large an answer go back to their lanes, unstarted. */
  const withinBounds = Effect.fnUntraced(
    function* (incarnation: Incarnation, grants: ReadonlyArray<Grant>) {
      const fitting = fit(grants)
      if (fitting === grants.length) return grants
      const surplus = grants.slice(fitting).map(({ fence, run }): Report => ({
        _tag: "Release",
        run,
        fence,
        why: "AnswerFull",
      }))
      yield* transport.settle(incarnation, surplus)
      return grants.slice(0, fitting)
    },
  )

  return {
    join: (joining) => transport.join(joining),
    serve: ({ definitions, incarnation }) => transport.serve(incarnation, definitions),
    round: (request) =>
      Effect.flatMap(
        transport.round(request),
        (answered) =>
          Effect.map(
            withinBounds(request.incarnation, answered.grants),
            (grants) => ({ ...answered, grants }),
          ),
      ),
    settle: ({ incarnation, reports }) => transport.settle(incarnation, reports),
    pass: ({ breaker, regulation, run }) => transport.pass(run, breaker, regulation),
    start: ({ incarnation, marks }) => transport.start(incarnation, marks),
    state: ({ key, namespace, task }) => transport.state(namespace, task, key),
    conclude: ({ conclusions, incarnation }) => transport.conclude(incarnation, conclusions),
    beat: ({ endings, held, incarnation, vitals }) =>
      transport.beat(incarnation, held, vitals, endings),
    reconcile: ({ incarnation, known }) => transport.reconcile(incarnation, known),
    revocations: ({ incarnation, waitMillis }) =>
      transport.revocations(incarnation).pipe(
        Effect.timeoutOrElse({ duration: waitMillis, orElse: () => Effect.succeed([]) }),
      ),
    tell: ({ incarnation, told }) => transport.tell(incarnation, told),
    drain: ({ incarnation }) => transport.drain(incarnation),
    leave: ({ incarnation }) => transport.leave(incarnation),
  }
}))
