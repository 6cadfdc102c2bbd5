/** From options to an engine: where it is kept, or which server it belongs to. */
import { Effect, Layer, ManagedRuntime, Redacted, Schema } from "effect"
import { Namespace, standard } from "../core/domain/Namespace.ts"
import { Refused } from "../core/domain/Refused.ts"
import type { Options as IsolatedOptions } from "../adapters/isolated/mod.ts"
import { CurrentNamespace } from "../core/engine/CurrentNamespace.ts"
import { Breakers } from "../core/engine/Breakers.ts"
import { Executor, type ExecutorOptions } from "../core/engine/Executor.ts"
import { Groups } from "../core/engine/Groups.ts"
import { Locks } from "../core/engine/Locks.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import type { Lock } from "../core/services/Lock.ts"
import type { Storage } from "../core/services/Storage.ts"
import { StorageUnavailable } from "../core/services/StorageUnavailable.ts"
import type { Transport } from "../core/services/Transport.ts"
import type { Wakeups } from "../core/services/Wakeups.ts"
import { type Belfry, over } from "./Belfry.ts"
import type { Engine } from "./call.ts"
import type { Handler } from "./Task.ts"
import * as startOptions from "./startOptions.ts"

/** Everything in this process, gone at its end; a file; or a database for several machines. */
export type StorageOption =
  | "memory"
  | { readonly sqlite: string }
  | { readonly postgres: string; readonly schema?: string }

export interface ServerOption {
  /** As in `http://127.0.0.1:7070`. Of several over one storage any will do. */
  readonly url: string | ReadonlyArray<string>
  readonly token: string
}

export interface CommonOptions {
  /** What this process carries out. Without any it only submits and looks on. */
  readonly handlers?: ReadonlyArray<Handler>
  readonly executor?: ExecutorOptions
  /** Which modules to load for handlers in a thread or process of their own. */
  readonly isolated?: IsolatedOptions
  readonly namespace?: string
}

export type StartOptions =
  & CommonOptions
  & (
    | { readonly storage: StorageOption; readonly server?: never }
    | { readonly server: ServerOption; readonly storage?: never }
  )

/** Rejects when the options are refused, or what they name cannot be reached. */
export const start = async (options: StartOptions): Promise<Belfry> => {
  const flaw = startOptions.flaw(options)
  if (flaw !== undefined) throw flaw
  const engine: Layer.Layer<Engine | Transport, unknown> = options.server === undefined
    ? embedded(options.storage)
    : remote(options.server)
  const runtime = ManagedRuntime.make(
    carriedOut(
      options.handlers ?? [],
      (handlers) =>
        handlers.pipe(
          Layer.provide(Executor.layerWith(options.executor ?? {})),
          Layer.provide(isolation(options.isolated)),
        ),
    ).pipe(
      Layer.provideMerge(engine),
      Layer.provideMerge(namespaceOf(options.namespace ?? standard)),
    ),
  )
  try {
    await runtime.context()
  } catch (cause) {
    await runtime.dispose()
    throw cause
  }
  return over(runtime)
}

/**
 * Handlers as the command `belfry` takes them: the default export of a module that `belfry dev` and
 * `belfry executor` are given.
 */
export const program = (
  handlers: ReadonlyArray<Handler>,
): Layer.Layer<never, Refused, Executor> => carriedOut(handlers, (all) => all)

/** The handlers as one layer, if there are any, put where `executor` wants them. */
export const carriedOut = <E, R>(
  handlers: ReadonlyArray<Handler>,
  executor: (all: Layer.Layer<never, never, Executor>) => Layer.Layer<never, E, R>,
): Layer.Layer<never, E | Refused, R> => {
  const [first, ...others] = handlers
  if (first === undefined) return Layer.empty
  const names = handlers.map(({ task }) => task)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) {
    return refused("handlers", `two are for the task "${twice}"`, "Give one for each task")
  }
  return executor(Layer.mergeAll(first.layer, ...others.map(({ layer }) => layer)))
}

const refused = (field: string, reason: string, remedy: string): Layer.Layer<never, Refused> =>
  Layer.effectDiscard(Effect.fail(new Refused({ field, reason, remedy })))

const decodeNamespace = Schema.decodeUnknownEffect(Namespace)

export const namespaceOf = (name: string): Layer.Layer<never, Refused> =>
  Layer.effect(
    CurrentNamespace,
    Effect.mapError(decodeNamespace(name), (cause) =>
      new Refused({
        field: "namespace",
        reason: cause.message,
        remedy: 'Name it like "billing"',
      })),
  )

/** Loads a layer's module when the layer is built. */
const loaded = <A, E, R>(load: () => Promise<Layer.Layer<A, E, R>>): Layer.Layer<A, E, R> =>
  Layer.unwrap(Effect.promise(load))

const isolation = (options: IsolatedOptions | undefined): Layer.Layer<never> =>
  options === undefined
    ? Layer.empty
    : loaded(async () => (await import("../adapters/isolated/mod.ts")).layer(options))

const storage = (
  option: StorageOption,
): Layer.Layer<Storage | Wakeups | Lock, unknown> => {
  if (option === "memory") {
    return loaded(async () => (await import("../adapters/memory/mod.ts")).layer)
  }
  if ("sqlite" in option) {
    return loaded(async () =>
      (await import("../adapters/sqlite/mod.ts")).layer({ file: option.sqlite })
    )
  }
  const { postgres, schema } = option
  return Layer.unwrap(Effect.tryPromise({
    try: async () =>
      (await import("../adapters/postgres/mod.ts")).layerMigrated({
        url: Redacted.make(postgres),
        ...(schema !== undefined && { schema }),
      }),
    catch: (cause) =>
      (cause as { readonly code?: unknown }).code === "ERR_MODULE_NOT_FOUND"
        ? new Refused({
          field: "storage.postgres",
          reason: "the package @effect/sql-pg is not installed",
          remedy: "npm install @effect/sql-pg",
        })
        : cause,
  }))
}

/** Processes that share a storage take turns at what one has to do for all. */
const embedded = (
  option: StorageOption,
): Layer.Layer<Engine | Transport, unknown> =>
  loaded(async () => {
    const [Direct, Local, Standby] = await Promise.all([
      import("../adapters/direct/mod.ts"),
      import("../core/engine/LocalOwnership.ts"),
      import("../core/engine/StandbyOwnership.ts"),
    ])
    return Layer.mergeAll(
      Direct.layer,
      Scheduler.layer,
      Triggers.layer,
      Breakers.layer,
      Groups.layer,
      Locks.layer,
    ).pipe(
      Layer.provide(option === "memory" ? Local.layer : Standby.layer({ name: "belfry" })),
      Layer.provide(storage(option)),
    )
  })

const remote = (
  { token, url }: ServerOption,
): Layer.Layer<Engine | Transport, Refused | StorageUnavailable> =>
  loaded(async () => {
    const [Remote, ApiClient] = await Promise.all([
      import("../cluster/remote/mod.ts"),
      import("../cluster/api/ApiClient.ts"),
    ])
    const address = { url, token: Redacted.make(token) }
    // Once started, everything waits for a server that is away; whoever starts wants to know.
    const isThere = Effect.flatMap(
      ApiClient.anyOf({
        urls: Remote.urlsOf(address),
        token: address.token,
        patience: "4 seconds",
      }),
      ({ system }) => Effect.timeout(system.status({ query: {} }), "10 seconds"),
    )
    const layer = Layer.merge(Remote.layerTransport(address), Remote.layerServices(address))
    return Layer.unwrap(Effect.as(Effect.mapError(isThere, unreached), layer))
  })

const unreached = (cause: { readonly _tag: string }) =>
  cause._tag === "TokenRefused"
    ? new Refused({
      field: "server.token",
      reason: "the server does not know it",
      remedy: "Give the token that the server was started with",
    })
    : new StorageUnavailable({ storage: "the server", operation: "start", cause })
