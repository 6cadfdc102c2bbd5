/** From configuration to adapters: here, and nowhere else that ships, they are chosen. */
import { Effect, Layer, Option, Redacted } from "effect"
import type { PortTaken, Server, ServerOptions } from "../cluster/Server.ts"
import type { Beats } from "../core/engine/Beats.ts"
import type { Scheduler } from "../core/engine/Scheduler.ts"
import type { Triggers } from "../core/engine/Triggers.ts"
import type { Refused } from "../core/domain/Refused.ts"
import type { Lock } from "../core/services/Lock.ts"
import type { Ownership } from "../core/services/Ownership.ts"
import { type Particular, Required } from "../core/services/Required.ts"
import { Storage } from "../core/services/Storage.ts"
import type { Transport } from "../core/services/Transport.ts"
import type { Wakeups } from "../core/services/Wakeups.ts"
import type * as beatsTransport from "./beatsTransport.ts"
import type { Address } from "./Connection.ts"
import { Problem } from "./Problem.ts"

/** Where everything is kept. */
export type Backing =
  | { readonly _tag: "Memory" }
  | { readonly _tag: "Sqlite"; readonly file: string }
  | {
    readonly _tag: "Postgres"
    readonly url: Redacted.Redacted<string>
    /** The Redis that carries its hints; none: PostgreSQL does. */
    readonly wakeups?: Redacted.Redacted<string> | undefined
  }

export const databaseUrl = (
  given: Option.Option<Redacted.Redacted<string>>,
): Redacted.Redacted<string> | undefined =>
  Option.getOrUndefined(given) ??
    (process.env["BELFRY_DATABASE_URL"]
      ? Redacted.make(process.env["BELFRY_DATABASE_URL"])
      : undefined)

/** As `databaseUrl`, once it is known to be the address of a PostgreSQL. It may hold a password. */
export const database = (
  given: Option.Option<Redacted.Redacted<string>>,
): Effect.Effect<Redacted.Redacted<string> | undefined, Problem> =>
  Effect.suspend(() => {
    const url = databaseUrl(given)
    if (url === undefined) return Effect.undefined
    const protocol = URL.parse(Redacted.value(url))?.protocol
    if (protocol !== undefined && /^postgres(ql)?:$/.test(protocol)) return Effect.succeed(url)
    const name = Option.isSome(given) ? "--database-url" : "BELFRY_DATABASE_URL"
    const reason = protocol === undefined ? "it is no URL" : `"${protocol}" is no PostgreSQL`
    return Effect.fail(
      new Problem({
        kind: "usage",
        what: `${name}: ${reason}`,
        fix: "write it as in postgres://user:password@host/db",
      }),
    )
  })

type Kept = Storage | Wakeups | Lock

/** Loads a layer's module when the layer is built. */
const loaded = <A, E, R>(
  load: () => Promise<Layer.Layer<A, E, R>>,
): Layer.Layer<A, E, R> => Layer.unwrap(Effect.promise(load))

const problemsOf = <E>(
  explain: (error: E) => Problem,
) =>
<A, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, Problem, R> =>
  Layer.catch(layer, (error) => Layer.effectContext(Effect.fail(explain(error))))

export const storage = (backing: Backing): Layer.Layer<Kept, Problem> => {
  switch (backing._tag) {
    case "Memory":
      return loaded(async () => (await import("../adapters/memory/mod.ts")).layer)
    case "Sqlite":
      return loaded(async () =>
        (await import("../adapters/sqlite/mod.ts")).layer({ file: backing.file })
      ).pipe(problemsOf((error) =>
        new Problem({
          kind: "failed",
          what: `the SQLite file ${backing.file} cannot be used: ${error.message}`,
          fix: "name another file, or move this one away",
        })
      ))
    case "Postgres":
      return loaded(async () =>
        (await import("../adapters/postgres/mod.ts")).layerMigrated({ url: backing.url })
      ).pipe(
        problemsOf((error) =>
          new Problem({
            kind: error._tag === "StorageUnavailable" ? "unreachable" : "failed",
            what: `PostgreSQL at ${hostOf(backing.url)} cannot be used: ${
              error._tag === "StorageUnavailable" ? innermost(error.cause) : error.reason
            }`,
            fix: error._tag === "StorageUnavailable"
              ? "see that it runs, and that user, password and database are right"
              : error.remedy,
            hint: "belfry cluster up",
          })
        ),
        carrying(backing.wakeups),
      )
  }
}

/** Hints go through Redis, if one is given. */
const carrying =
  (url: Redacted.Redacted<string> | undefined) =>
  (kept: Layer.Layer<Kept, Problem>): Layer.Layer<Kept, Problem> =>
    url === undefined ? kept : Layer.unwrap(
      Effect.map(
        Effect.tryPromise({
          try: () => import("../adapters/redis/mod.ts"),
          catch: () =>
            new Problem({
              kind: "failed",
              what: "--wakeups needs the package redis, which is not installed",
              fix: "npm install redis@6.3.1",
            }),
        }),
        (Redis) => Redis.carryingHints({ url })(kept),
      ),
    ).pipe(problemsOf((error) =>
      error._tag === "Refused"
        ? new Problem({
          kind: "usage",
          what: `--wakeups: ${error.reason}`,
          fix: error.remedy,
        })
        : error._tag === "StorageUnavailable"
        ? new Problem({
          kind: "unreachable",
          what: `Redis at ${hostOf(url)} cannot be used: ${innermost(error.cause)}`,
          fix: "see that it runs, and that user and password are right",
        })
        : error
    ))

/** Builds all that servers need in a PostgreSQL, for these roles. */
export const migrations = (
  url: Redacted.Redacted<string>,
  grantTo: ReadonlyArray<string>,
): Layer.Layer<never, Problem> => {
  const explain = (error: { readonly cause?: unknown; readonly message: string }) =>
    new Problem({
      kind: "failed",
      what: `PostgreSQL at ${hostOf(url)} could not be brought up to date: ${
        error.cause === undefined ? error.message : innermost(error.cause)
      }`,
      fix: "see that this role may create the schema belfry, or owns it, and that the others exist",
    })
  // What the roles get covers the tables that come after it as well.
  return loaded(async () =>
    (await import("../cluster/ClusterOwnership.ts")).layerMigrations({ url })
  )
    .pipe(
      problemsOf(explain),
      Layer.provide(
        loaded(async () =>
          (await import("../adapters/postgres/mod.ts")).layerMigrations({ url, grantTo })
        ).pipe(problemsOf(explain)),
      ),
    )
}

/** The driver's own words, without those of the layers around it. */
const innermost = (cause: unknown): string => {
  let at = cause
  for (let depth = 0; depth < 8 && at instanceof Error; depth++) {
    const { cause: next, reason } = at as { readonly cause?: unknown; readonly reason?: unknown }
    const inner = next ?? reason
    if (!(inner instanceof Error)) break
    at = inner
  }
  return at instanceof Error ? at.message || at.name : String(at)
}

/** Without the password. */
export const hostOf = (url: Redacted.Redacted<string>): string => {
  const parsed = URL.parse(Redacted.value(url))
  return parsed === null ? "an address that is no URL" : `${parsed.host}${parsed.pathname}`
}

export const words = (backing: Backing): string => {
  switch (backing._tag) {
    case "Memory":
      return "memory, gone at the end"
    case "Sqlite":
      return `SQLite ${backing.file}`
    case "Postgres":
      return `PostgreSQL ${hostOf(backing.url)}`
  }
}

/**
 * Who fires triggers and sweeps, when several servers share a storage. It comes after the storage,
 * which makes the schema that the cluster's tables are in.
 */
const ownership = (backing: Backing): Layer.Layer<Ownership, Problem, Storage | Lock> => {
  switch (backing._tag) {
    case "Memory":
      return loaded(async () => (await import("../core/engine/LocalOwnership.ts")).layer)
    case "Sqlite":
      return loaded(async () =>
        (await import("../core/engine/StandbyOwnership.ts")).layer({ name: "belfry" })
      )
    case "Postgres":
      return Layer.unwrap(Effect.as(
        Storage,
        loaded(async () =>
          (await import("../cluster/ClusterOwnership.ts")).layerMigrated({ url: backing.url })
        ).pipe(problemsOf(({ cause, reason, remedy }) =>
          new Problem({
            kind: "unreachable",
            what: `${reason}: ${innermost(cause)}`,
            fix: remedy,
          })
        )),
      ))
  }
}

export interface Serving extends ServerOptions {
  readonly backing: Backing
  readonly required?: ReadonlyArray<Particular>
}

/** A server over its storage, and what an executor in the same process needs. */
export const serving = ({ backing, required = [], ...options }: Serving): Layer.Layer<
  Server | Scheduler | Triggers | Transport | Kept,
  Problem
> =>
  loaded(async () => (await import("../cluster/Server.ts")).Server.layer(options)).pipe(
    problemsOf((error: PortTaken | Refused) =>
      error._tag === "PortTaken"
        ? new Problem({
          kind: "failed",
          what: `${error.host}:${error.port} is taken by another process`,
          fix: "end that one, or name another port with --port; 0 takes any that is free",
        })
        : new Problem({ kind: "usage", what: `${error.field}: ${error.reason}`, fix: error.remedy })
    ),
    Layer.provideMerge(loaded(async () => (await import("../adapters/direct/mod.ts")).layer)),
    Layer.provide(Layer.succeed(Required, required)),
    Layer.provide(ownership(backing)),
    Layer.provideMerge(storage(backing)),
  )

const reach = () => import("../cluster/remote/mod.ts")

/** When one server is gone it goes to the next. */
export const transport = ({ token, urls }: Address): Layer.Layer<Transport> =>
  loaded(async () => (await reach()).layerTransport({ url: urls, token }))

/** What an executor needs whose server is elsewhere. */
export const remote = (
  { token, urls }: Address,
): Layer.Layer<Transport | Scheduler | Triggers> =>
  loaded(async () => {
    const { layerServices, layerTransport } = await reach()
    const address = { url: urls, token }
    return Layer.merge(layerTransport(address), layerServices(address))
  })

const beatsEntry: string = new URL("./beatsTransport.ts", import.meta.url)
  .href satisfies beatsTransport.Url

/** Beats on a connection and from a thread of their own: handlers may hold up the executor's. */
export const beats = ({ token, urls }: Address): Layer.Layer<Beats> => {
  const given: beatsTransport.Given = { urls, token: Redacted.value(token) }
  return loaded(async () =>
    (await import("../adapters/isolated/mod.ts")).layerBeats({ transport: beatsEntry, given })
  )
}
