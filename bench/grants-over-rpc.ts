/**
 * How many runs does one executor get and report per second, over WebSocket and directly?
 *
 * `node bench/grants-over-rpc.ts`: server and executor are processes of their own over loopback,
 * with the memory storage behind, so that what is measured is the transport. Each round reports the
 * 200 runs of the one before and claims 200 more.
 */
import { fork } from "node:child_process"
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Clock, Context, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import * as DirectTransport from "../adapters/direct/DirectTransport.ts"
import * as Memory from "../adapters/memory/mod.ts"
import { RpcTransport, RpcTransportServer } from "../adapters/rpc/mod.ts"
import { ExecutorName } from "../core/domain/Executor.ts"
import * as Lane from "../core/domain/Lane.ts"
import { Namespace } from "../core/domain/Namespace.ts"
import { TaskName } from "../core/domain/Task.ts"
import type { Report } from "../core/services/RunStorage.ts"
import { Storage } from "../core/services/Storage.ts"
import { Transport } from "../core/services/Transport.ts"

const namespace = Namespace.make("default")
const task = TaskName.make("greet")
const lane = Lane.ofTask(namespace, task)
const token = Redacted.make("bench")
const batch = 200
const millis = 4000

/** Keeps some ready runs in stock. */
const stock = Effect.gen(function* () {
  const { runs } = yield* Storage
  const specs = Array.from({ length: 2000 }, () => ({
    namespace,
    task,
    payload: '{"to":"ada@example.org","invoice":"2031-00042"}',
    lane,
    level: Lane.usual,
    delayMillis: 0,
    gate: undefined,
    idempotencyKey: undefined,
    isAtMostOnce: false,
    crashesMax: 3,
  }))
  for (;;) {
    const { Ready = 0 } = stocked
    if (Ready < 30_000) {
      yield* runs.submit(specs)
      stocked.Ready = Ready + specs.length
      yield* Effect.yieldNow
    } else yield* Effect.sleep("2 millis")
  }
})
const stocked = { Ready: 0 }

/** Counts what is taken out of stock, as counting in storage would cost more than the claim. */
const counting = Layer.effect(
  Transport,
  Effect.map(Transport, (transport) => ({
    ...transport,
    round: (round: Parameters<typeof transport.round>[0]) =>
      Effect.tap(transport.round(round), ({ grants }) =>
        Effect.sync(() => {
          stocked.Ready -= grants.length
        })),
  })),
).pipe(Layer.provide(DirectTransport.layer))

const measure = Effect.fnUntraced(function* (loops: number) {
  const transport = yield* Transport
  const incarnation = yield* transport.join({
    namespace,
    name: ExecutorName.make("ada"),
    capacity: 1000,
    labels: {},
    ttlMillis: 60_000,
  })
  let rounds = 0
  let grants = 0
  const loop = Effect.fnUntraced(function* (loop: number) {
    let reports: ReadonlyArray<Report> = []
    for (let round = 1;; round++) {
      const answer = yield* transport.round({
        incarnation,
        loop,
        round,
        isAgain: false,
        lanes: [lane],
        limit: batch,
        reports,
        waitMillis: 1000,
      })
      reports = answer.grants.map(({ fence, run }) => ({ _tag: "Succeed", run, fence }))
      rounds++
      grants += answer.grants.length
    }
  })
  const all = Effect.all(Array.from({ length: loops }, (_, i) => loop(i)), {
    concurrency: "unbounded",
  })
  const one = Effect.gen(function* () {
    rounds = grants = 0
    const from = yield* Clock.currentTimeMillis
    yield* Effect.sleep(millis)
    const seconds = ((yield* Clock.currentTimeMillis) - from) / 1000
    return { rounds: Math.round(rounds / seconds), grants: Math.round(grants / seconds) }
  })
  const measured = Effect.gen(function* () {
    yield* Effect.sleep("1 second")
    return [yield* one, yield* one, yield* one]
  })
  return yield* Effect.raceFirst(measured, Effect.andThen(all, Effect.never))
})

const print = Effect.fnUntraced(function* (kind: string) {
  for (const loops of [1, 2, 4]) {
    for (const { grants, rounds } of yield* measure(loops)) {
      console.log(JSON.stringify({ kind, loops, rounds, grants }))
    }
  }
})

const server = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  if (address._tag !== "UnixPathAddress") process.send!(address.port)
  yield* stock
}).pipe(
  Effect.provide(
    HttpRouter.serve(RpcTransportServer.layer({ tokens: [token] }), { disableLogger: true }).pipe(
      Layer.provide(counting),
      Layer.provideMerge(Memory.layer),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    ),
  ),
)

if (process.argv[2] === "serve") {
  Effect.runFork(server)
} else {
  await Effect.runPromise(
    Effect.raceFirst(print("direct"), stock).pipe(
      Effect.provide(Layer.provideMerge(counting, Memory.layer)),
    ),
  )
  const child = fork(import.meta.filename, ["serve"])
  const port = await new Promise((resolve) => child.once("message", resolve))
  const rpc = RpcTransport.layer({ url: `ws://127.0.0.1:${port}/rpc`, token })
  const context = Layer.build(rpc).pipe(Effect.map((built) => Context.get(built, Transport)))
  await Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(
        context,
        (transport) => Effect.provideService(print("rpc"), Transport, transport),
      ),
    ),
  )
  child.kill()
}
