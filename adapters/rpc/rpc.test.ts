import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import * as EngineContract from "../../core/contract/EngineContract.ts"
import * as RoutingContract from "../../core/contract/RoutingContract.ts"
import * as TransportContract from "../../core/contract/TransportContract.ts"
import { movableClock } from "../../core/contract/world.ts"
import * as Direct from "../direct/mod.ts"
import * as Memory from "../memory/mod.ts"
import { frameBytesMax } from "./ExecutorRpcs.ts"
import * as RpcTransport from "./RpcTransport.ts"
import * as RpcTransportServer from "./RpcTransportServer.ts"

const token = Redacted.make("a token for tests")
const clock = movableClock()

const server = HttpRouter.serve(RpcTransportServer.layer({ tokens: [token] }), {
  disableLogger: true,
  disableListenLog: true,
}).pipe(
  Layer.provide(Direct.layer),
  Layer.provideMerge(NodeHttpServer.layer(createServer, {
    host: "127.0.0.1",
    port: 0,
    gracefulShutdownTimeout: 100,
    websocket: { maxPayload: frameBytesMax },
  })),
)

const client = Layer.unwrap(Effect.map(HttpServer.HttpServer, ({ address }) => {
  const port = address._tag === "UnixPathAddress" ? 0 : address.port
  return RpcTransport.layer({ url: `ws://127.0.0.1:${port}/rpc`, token })
}))

TransportContract.suite(
  "rpc",
  client.pipe(
    Layer.provide(server),
    Layer.provideMerge(Memory.layer.pipe(Layer.provide(clock.layer))),
  ),
  clock.elapse,
  { runner: "live", seeds: 2 },
)

EngineContract.suite("rpc", client.pipe(Layer.provide(server), Layer.provideMerge(Memory.layer)))
RoutingContract.suite("rpc", client.pipe(Layer.provide(server), Layer.provideMerge(Memory.layer)))
