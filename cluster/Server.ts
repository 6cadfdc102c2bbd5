/**
 * A scheduler as a process: REST for people and programs, RPC for executors, and the duties that
 * keep runs moving, over whatever storage it is given.
 *
 * ```ts
 * import { Layer, Redacted } from "effect"
 * import { LocalOwnership } from "belfry"
 * import { Server } from "belfry/cluster"
 * import * as Direct from "belfry/direct"
 * import * as Memory from "belfry/memory"
 *
 * export const Main = Server.layer({ token: Redacted.make("as-openssl-rand--hex-32-makes-it") }).pipe(
 *   Layer.provide([Direct.layer, LocalOwnership.layer]),
 *   Layer.provide(Memory.layer),
 * )
 * ```
 *
 * At its end it is unready first, lets go of what waits, lets requests finish, and only then gives
 * its duties up.
 */
import { createServer } from "node:http"
import { isIPv6 } from "node:net"
import { hostname } from "node:os"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Duration, Effect, Layer, Redacted, Schedule, Schema, Scope } from "effect"
import { HttpRouter, type HttpServerError } from "effect/http"
import { frameBytesMax, RpcTransportServer } from "../adapters/rpc/mod.ts"
import { ExecutorName } from "../core/domain/Executor.ts"
import { Refused } from "../core/domain/Refused.ts"
import { Loops, Watch } from "../core/engine/Loops.ts"
import type { SweepOptions } from "../core/engine/Sweeping.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import type { TriggersOptions } from "../core/engine/SlotAuditor.ts"
import * as StorageRegistry from "../core/engine/StorageRegistry.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import type { Lock } from "../core/services/Lock.ts"
import type { Ownership } from "../core/services/Ownership.ts"
import { Registry } from "../core/services/Registry.ts"
import type { Storage } from "../core/services/Storage.ts"
import type { Transport } from "../core/services/Transport.ts"
import type { Wakeups } from "../core/services/Wakeups.ts"
import * as Gate from "./api/Gate.ts"
import * as Routes from "./api/layers.ts"
import { Tokens } from "./api/Tokens.ts"
import { Readiness } from "./Readiness.ts"

export const rpcPath = "/rpc"

export interface ServerOptions extends SweepOptions, TriggersOptions {
  /** An address of this machine. Others than the loopback only with `isBehindProxy`. */
  readonly host?: string
  /** `0`: any that is free. */
  readonly port?: number
  /** Whoever shows it may do everything. */
  readonly token: Redacted.Redacted<string>
  /**
   * What it is called by, besides names of the loopback and `host`: names or addresses without a port,
   * as in `belfry.example.org`.
   */
  readonly hosts?: ReadonlyArray<string>
  /** Something before it ends TLS, so it may listen to other machines. */
  readonly isBehindProxy?: boolean
  /** At the end it still answers this long, unready, for those that send it requests to notice. */
  readonly unreadyFor?: Duration.Input
  /** After that requests, and orders under a key, have this long to finish. */
  readonly drainTimeout?: Duration.Input
}

/** Another process listens at this address. */
export class PortTaken extends Schema.TaggedError<PortTaken>()("PortTaken", {
  host: Schema.String,
  port: Schema.Int,
}) {
  override get message() {
    return `${this.host}:${this.port} is taken by another process. ` +
      "End that, name another port, or port 0 for any that is free"
  }
}

export class Server extends Context.Service<Server, {
  readonly host: string
  readonly port: number
  /** As in `http://127.0.0.1:7070`. */
  readonly url: string
  /** Where executors connect, as in `ws://127.0.0.1:7070/rpc`. */
  readonly rpcUrl: string
}>()("belfry/cluster/Server") {
  static readonly layer = (
    options: ServerOptions,
  ): Layer.Layer<
    Server | Scheduler | Triggers,
    PortTaken | Refused,
    Storage | Wakeups | Lock | Ownership | Transport
  > =>
    Layer.unwrap(Effect.as(
      check(options),
      Layer.effect(Server, serve(options)).pipe(
        Layer.provide(NodeHttpServer.layerHttpServices),
        Layer.provideMerge(Layer.merge(Scheduler.layerWith(options), Triggers.layerWith(options))),
        Layer.provide(
          Layer.mergeAll(Readiness.layer, Tokens.layer([options.token]), StorageRegistry.layer),
        ),
        Layer.provide(Layer.sync(Loops, () => new Watch())),
      ),
    ))
}

const usualPort = 7070
const usualHost = "127.0.0.1"
const tokenLengthMin = 16
const connectionsMax = 10_000

const isLoopback = (host: string) =>
  host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host)

const check = ({ host = usualHost, hosts = [], isBehindProxy = false, token }: ServerOptions) =>
  Effect.suspend(() => {
    if (!isLoopback(host) && !isBehindProxy) {
      return Effect.fail(
        new Refused({
          field: "host",
          reason: `${host} is open to other machines, and this server speaks no TLS`,
          remedy: "Listen on 127.0.0.1, or say --behind-proxy (in a program isBehindProxy) when " +
            "something before it ends TLS",
        }),
      )
    }
    const stray = hosts.find((each) =>
      Gate.hostOf(bracketed(each)) !== bracketed(each).toLowerCase()
    )
    if (stray !== undefined) {
      return Effect.fail(
        new Refused({
          field: "hosts",
          reason: `"${stray}" is not the name or the address of a host`,
          remedy: "Write it as in belfry.example.org, without a scheme, a port or a path",
        }),
      )
    }
    // A header says where it ends.
    if (/[^!-~]/.test(Redacted.value(token))) {
      return Effect.fail(
        new Refused({
          field: "token",
          reason: "it has spaces, or others than the visible characters of ASCII",
          remedy: "Use a random one, as `openssl rand -hex 32` makes",
        }),
      )
    }
    if (Redacted.value(token).length < tokenLengthMin) {
      return Effect.fail(
        new Refused({
          field: "token",
          reason: `it has fewer than ${tokenLengthMin} characters`,
          remedy: "Use a random one, as `openssl rand -hex 32` makes",
        }),
      )
    }
    return Effect.void
  })

const serve = Effect.fnUntraced(function* (options: ServerOptions) {
  const { drainTimeout = "10 seconds", host = usualHost, port = usualPort } = options
  const readiness = yield* Readiness
  const gate = yield* Gate.make({ hosts: [...(options.hosts ?? []), host].map(bracketed) })
  const routes = yield* HttpRouter.toHttpEffect(Layer.merge(
    Routes.layerWith({ drainTimeout }),
    RpcTransportServer.layer({ tokens: [options.token], path: rpcPath }),
  ))

  // In a scope of its own: what the HTTP server adds to its scope while it runs, such as waiting for
  // its connections, must not come before our finalizer.
  const listening = yield* Scope.fork(yield* Effect.scope)
  const server = yield* NodeHttpServer.make(bounded, {
    host,
    port,
    websocket: { maxPayload: frameBytesMax },
    gracefulShutdownTimeout: drainTimeout,
  }).pipe(
    Scope.provide(listening),
    Effect.catchTag("ServeError", (error) => unlistenable(host, port, error)),
  )
  yield* Scope.provide(server.serve(gate(routes)), listening)
  // Finalizers run in the opposite order of their making: this one is the first.
  yield* Effect.addFinalizer(() =>
    readiness.drain.pipe(
      Effect.andThen(Effect.sleep(options.unreadyFor ?? 0)),
      Effect.andThen(readiness.letGo),
    )
  )

  const actual = server.address._tag === "UnixPathAddress" ? port : server.address.port
  const authority = `${bracketed(host)}:${actual}`
  yield* announced(ExecutorName.make(`${machine()}:${actual}`))
  return Server.of({
    host,
    port: actual,
    url: `http://${authority}`,
    rpcUrl: `ws://${authority}${rpcPath}`,
  })
}, Effect.withTracerEnabled(false))

/** A storage that is away for a moment keeps no server from starting. */
const announced = Effect.fnUntraced(function* (name: ExecutorName) {
  const { announce } = yield* Registry
  yield* announce({ name }).pipe(
    Effect.catch(() =>
      announce({ name }).pipe(Effect.retry(Schedule.spaced("1 second")), Effect.forkScoped)
    ),
  )
})

/** The name of this machine, as far as it is one. */
const machine = () =>
  hostname().replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 100) ||
  "server"

/** Slow and many clients are bounded here, before any of our code runs. */
const bounded = () => {
  const server = createServer({
    requestTimeout: 30_000,
    headersTimeout: 10_000,
    connectionsCheckingInterval: 5000,
    maxHeaderSize: 16 * 1024,
  })
  server.maxConnections = connectionsMax
  return server
}

const bracketed = (host: string) => isIPv6(host) ? `[${host}]` : host

const unlistenable = (
  host: string,
  port: number,
  { cause }: HttpServerError.ServeError,
): Effect.Effect<never, PortTaken | Refused> => {
  const { code } = cause as { readonly code?: string }
  return Effect.fail(
    code === "EADDRINUSE" ? new PortTaken({ host, port }) : new Refused({
      field: code === "EACCES" ? "port" : "host",
      reason: `this process cannot listen on ${host}:${port} (${code ?? "no reason given"})`,
      remedy: "Name an address of this machine, and a port above 1023",
    }),
  )
}
