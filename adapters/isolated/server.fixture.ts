/** A server over a file in a thread of its own, which goes on while the tests' thread is held up. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { parentPort, workerData } from "node:worker_threads"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as Direct from "../direct/mod.ts"
import { frameBytesMax, RpcTransportServer } from "../rpc/mod.ts"
import * as Sqlite from "../sqlite/mod.ts"

const { file, token } = workerData as { readonly file: string; readonly token: string }

const told = Layer.effectDiscard(
  HttpServer.HttpServer.use(({ address }) =>
    Effect.sync(() => parentPort!.postMessage(address._tag !== "UnixPathAddress" && address.port))
  ),
)

const server = HttpRouter.serve(RpcTransportServer.layer({ tokens: [Redacted.make(token)] }), {
  disableLogger: true,
  disableListenLog: true,
}).pipe(
  Layer.merge(told),
  Layer.provide(NodeHttpServer.layer(createServer, {
    host: "127.0.0.1",
    port: 0,
    websocket: { maxPayload: frameBytesMax },
  })),
  Layer.merge(Scheduler.layerWith({ sweepInterval: "100 millis" })),
  Layer.provide(Direct.layer),
  Layer.provide(LocalOwnership.layer),
  Layer.provide(Sqlite.layer({ file })),
)

void Effect.runPromise(Layer.launch(server))
