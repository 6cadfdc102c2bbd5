/**
 * Ownership by Effect Cluster: the duties are spread over all processes that share a database, and
 * pass on when one leaves or dies.
 *
 * Each duty is a singleton of the cluster, which runs in the process that its shard is assigned to
 * and locked by. What a duty's work does is guarded in `Storage`; the cluster only places it.
 *
 * How long a duty may be without a process:
 *
 * - A process that leaves hands its shards over: half a second.
 * - A process that was killed, or whose machine refuses connections, is found by its neighbours
 *   within `watchMillis` and the next assignment; PostgreSQL has freed its locks with its
 *   connection. In all about two seconds.
 * - A process that hangs, or that cannot be reached, holds its locks until PostgreSQL ends its idle
 *   session, after `lockMillis`; when it comes back it finds its duties gone.
 * - When PostgreSQL is lost, every process drops its duties, and takes them up again with it.
 *
 * The cluster asks its members about each other from one of its own singletons, which may have died
 * with the process in question. So here every process looks after a few others by itself.
 */
import { PgClient } from "@effect/sql-pg"
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import { connect, createServer } from "node:net"
import {
  Cause,
  Context,
  Effect,
  Equal,
  Latch,
  Layer,
  Option,
  type Redacted,
  References,
  Schema,
} from "effect"
import {
  MessageStorage,
  RunnerAddress,
  RunnerHealth,
  RunnerStorage,
  Sharding,
  ShardingConfig,
  SocketRunner,
  SqlRunnerStorage,
} from "effect/cluster"
import { RpcSerialization } from "effect/rpc"
import { SqlClient } from "effect/sql"
import { partitions } from "../core/domain/Trigger.ts"
import { upkeep } from "../core/engine/upkeep.ts"
import { type Duty, Ownership } from "../core/services/Ownership.ts"
import type { SchedulerView } from "./api/Views.ts"
import { Schedulers } from "./Schedulers.ts"

export interface Config {
  readonly url: Redacted.Redacted
  /** Where the cluster's tables are, all named `cluster_…`. `belfry` unless given. */
  readonly schema?: string
  /**
   * The address of this machine at which the other processes reach this one. Whoever reaches it may
   * talk to the cluster, so it belongs into a private network. `127.0.0.1` unless given.
   */
  readonly host?: string
  /** Any that is free unless given. */
  readonly port?: number
}

/** This process could not become a member. */
export class ClusterUnavailable
  extends Schema.TaggedError<ClusterUnavailable>()("ClusterUnavailable", {
    reason: Schema.String,
    remedy: Schema.String,
    cause: Schema.Defect(),
  }) {
  override get message() {
    return `${this.reason}. ${this.remedy}`
  }
}

const watchMillis = 1000
export const lockMillis = 6000

const timing = {
  shardLockExpiration: lockMillis,
  shardLockRefreshInterval: 2000,
  refreshAssignmentsInterval: 500,
  runnerHealthCheckInterval: 2000,
} as const

/** A few shards per duty, so that they spread evenly, and not so many that locks cost. */
const shards = 64

export const duties: ReadonlyArray<Duty> = [
  "sweep",
  "retention",
  "audit",
  ...Array.from({ length: partitions }, (_, partition) => `triggers/${partition}` as const),
]

/** Runs no DDL: `layerMigrations` must have been built before. */
export const layer = (config: Config): Layer.Layer<Ownership, ClusterUnavailable> =>
  withPort(config, 3)

/** Brings the cluster's tables up to date when it is built; several processes may do so at once. */
export const layerMigrations = (config: Config): Layer.Layer<never, ClusterUnavailable> =>
  Layer.effectDiscard(migrate(config)).pipe(
    Layer.provide(client(config, 1)),
    Layer.catchCause((cause) => Layer.effectDiscard(Effect.fail(unavailable(cause)))),
  )

export const layerMigrated = (config: Config): Layer.Layer<Ownership, ClusterUnavailable> =>
  Layer.provide(layer(config), layerMigrations(config))

/**
 * The members know each other by their ports, so a port must be chosen before anybody listens on
 * it. Another process may take it in between; then another is chosen.
 */
const withPort = (config: Config, tries: number): Layer.Layer<Ownership, ClusterUnavailable> =>
  Layer.unwrap(
    Effect.map(
      config.port === undefined ? freePort : Effect.succeed(config.port),
      (port) =>
        ownership(tableOf(config)).pipe(
          Layer.provide(Layer.fresh(cluster(config, port))),
          Layer.catchCause((cause) =>
            tries > 1 && config.port === undefined && isPortTaken(cause)
              ? withPort(config, tries - 1)
              : Layer.effect(Ownership, Effect.fail(unavailable(cause)))
          ),
        ),
    ),
  )

const cluster = (config: Config, port: number) =>
  SocketRunner.layer.pipe(
    Layer.provide(NodeClusterSocket.layerSocketServer),
    Layer.provide(Layer.succeed(RunnerHealth.RunnerHealth, { isAlive })),
    Layer.provide(NodeClusterSocket.layerClientProtocol),
    Layer.provideMerge(SqlRunnerStorage.layerStorage({ prefix: prefixOf(config) })),
    Layer.provide([MessageStorage.layerNoop, RpcSerialization.layerSchemaBinary()]),
    Layer.provideMerge(ShardingConfig.layer({
      ...timing,
      shardsPerGroup: shards,
      runnerAddress: Option.some(RunnerAddress.make(config.host ?? "127.0.0.1", port)),
    })),
    Layer.provideMerge(client(config, 4)),
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "Warn")),
  )

const client = (config: Config, maxConnections: number) =>
  PgClient.layer({
    url: config.url,
    applicationName: "belfry cluster",
    maxConnections,
    connectTimeout: "3 seconds",
    keepAlive: "5 seconds",
    // The tables keep instants without a zone.
    startupParameters: { timezone: "UTC", statement_timeout: "5s" },
  })

/** Locks are named after it too, so that two schemas of one database are two clusters. */
const prefixOf = (config: Config) => `${config.schema ?? "belfry"}.cluster`

const migrate = (config: Config) =>
  Effect.gen(function* () {
    const schema = config.schema ?? "belfry"
    const sql = yield* SqlClient.SqlClient
    yield* Effect.gen(function* () {
      const lock = `belfry cluster migrations ${schema}`
      yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${lock}, 0))::text`
      const [known] = yield* sql<{ is_there: boolean }>`
        SELECT to_regnamespace(${schema}) IS NOT NULL AS is_there`
      // To create what is there is refused to a role that may create nothing.
      if (!known!.is_there) yield* sql`CREATE SCHEMA ${sql(schema)}`
      yield* Layer.build(SqlRunnerStorage.layerMigrations({ prefix: prefixOf(config) }))
      const [table] = yield* sql<{ is_there: boolean }>`
        SELECT to_regclass(${tableOf(config)}) IS NOT NULL AS is_there`
      if (!table!.is_there) {
        yield* sql.unsafe(
          `CREATE TABLE ${tableOf(config)} (
             duty text PRIMARY KEY, holder text NOT NULL, since timestamptz NOT NULL DEFAULT now())`,
        )
      }
    }).pipe(sql.withTransaction)
  })

/** Who says of which duties that it holds them. */
const tableOf = (config: Config) =>
  `"${(config.schema ?? "belfry").replaceAll('"', '""')}".cluster_duties`

const ownership = (table: string): Layer.Layer<
  Ownership,
  never,
  | Sharding.Sharding
  | RunnerStorage.RunnerStorage
  | ShardingConfig.ShardingConfig
  | SqlClient.SqlClient
> =>
  Layer.effectContext(Effect.gen(function* () {
    const { registerSingleton } = yield* Sharding.Sharding
    const held = new Map(duties.map((duty) => [duty, new Held()]))
    for (const [duty, { hold }] of held) yield* registerSingleton(`belfry/${duty}`, hold)
    yield* Effect.forkScoped(watch)
    yield* say(held, table)

    return Context.make(
      Ownership,
      Ownership.of({
        whileHeld: (duty, work) => {
          const known = held.get(duty)
          return known === undefined
            ? Effect.die(new Error(`there is no duty "${duty}"`))
            : known.during(upkeep(duty, work))
        },
      }),
    ).pipe(Context.add(Schedulers, yield* listed(held, table)))
  }))

const holding = (held: ReadonlyMap<Duty, Held>): ReadonlyArray<Duty> =>
  [...held].flatMap(([duty, { isHeld }]) => isHeld ? [duty] : [])

const nameOf = ({ host, port }: RunnerAddress.RunnerAddress) => `${host}:${port}`

/**
 * Says in a table which duties this process holds, for all to see; nothing is decided by it. It is said
 * when that changes, and now and then anew: somebody may have taken one for a moment.
 */
const say = Effect.fnUntraced(function* (held: ReadonlyMap<Duty, Held>, table: string) {
  const sql = yield* SqlClient.SqlClient
  const self = nameOf(yield* selfAddress)
  let said: ReadonlyArray<Duty> = []

  const saying = (now: ReadonlyArray<Duty>) =>
    sql.unsafe(
      `WITH gone AS (DELETE FROM ${table} WHERE holder = $1 AND duty <> ALL ($2::text[]))
       INSERT INTO ${table} AS known (duty, holder) SELECT unnest($2::text[]), $1
       ON CONFLICT (duty) DO UPDATE SET holder = excluded.holder, since = now()
       WHERE known.holder <> excluded.holder`,
      [self, now],
    ).pipe(
      Effect.tap(() => Effect.sync(() => void (said = now))),
      Effect.catchCause((cause) => Effect.logDebug("could not say which duties are held", cause)),
    )

  const loop = Effect.gen(function* () {
    for (let look = 0;; look++) {
      const now = holding(held)
      if (look % looksPerSaying === 0 || !Equal.equals(now, said)) yield* saying(now)
      yield* Effect.sleep(lookMillis)
    }
  })
  yield* Effect.addFinalizer(() => Effect.timeoutOption(saying([]), "1 second"))
  yield* Effect.forkScoped(loop)
})

const lookMillis = 250
const looksPerSaying = 40

/** Whether this process holds a duty, and who works on it. */
class Held {
  readonly #held = Latch.makeUnsafe()
  readonly #lost = Latch.makeUnsafe(true)
  readonly #idle = Latch.makeUnsafe(true)
  #workers = 0

  get isHeld(): boolean {
    return this.#held.isOpen()
  }

  /** Runs while this process holds the duty; ends when its work has, lest two work at once. */
  readonly hold: Effect.Effect<never> = Effect.acquireUseRelease(
    Effect.andThen(this.#lost.close, this.#held.open),
    () => Effect.never,
    () =>
      this.#held.close.pipe(
        Effect.andThen(this.#lost.open),
        Effect.andThen(Effect.timeoutOption(this.#idle.await, windDownMillis)),
      ),
  )

  /** Carries `work` out whenever the duty is held. */
  during<R>(work: Effect.Effect<never, never, R>): Effect.Effect<never, never, R> {
    const turn = Effect.acquireUseRelease(
      Effect.sync(() => {
        this.#workers++
        this.#idle.closeUnsafe()
      }),
      () => Effect.raceFirst(work, this.#lost.await),
      () =>
        Effect.sync(() => {
          this.#workers--
          if (this.#workers === 0) this.#idle.openUnsafe()
        }),
    )
    return this.#held.await.pipe(Effect.andThen(turn), Effect.forever)
  }
}

/** Work that takes longer to stop is not waited for: storage guards what it does. */
const windDownMillis = 2000

/** How many others each process looks after, so that it costs the same in a large cluster. */
const neighboursMax = 3

/** Looks after the next few members, and tells the cluster of those that are dead. */
const watch = Effect.gen(function* () {
  const storage = yield* RunnerStorage.RunnerStorage
  const self = yield* selfAddress

  const look = Effect.gen(function* () {
    const runners = yield* storage.getRunners
    const healthy = runners.flatMap(([runner, isHealthy]) => isHealthy ? [runner.address] : [])
    // Who was found dead by others does not judge them.
    if (!healthy.some((address) => Equal.equals(address, self))) return
    yield* Effect.forEach(
      neighbours(self, healthy),
      (address) =>
        Effect.flatMap(
          isAlive(address),
          (isAlive) => isAlive ? Effect.void : storage.setRunnerHealth(address, false),
        ),
      { concurrency: "unbounded", discard: true },
    )
  })

  return yield* look.pipe(
    Effect.catchCause((cause) => Effect.logDebug("could not look after the cluster", cause)),
    Effect.andThen(Effect.sleep(watchMillis)),
    Effect.forever,
  )
})

const selfAddress = Effect.map(
  ShardingConfig.ShardingConfig,
  ({ runnerAddress }) => Option.getOrThrow(runnerAddress),
)

/** Those that come after `self` in the order of addresses, around the corner if need be. */
export const neighbours = (
  self: RunnerAddress.RunnerAddress,
  members: ReadonlyArray<RunnerAddress.RunnerAddress>,
): ReadonlyArray<RunnerAddress.RunnerAddress> => {
  const key = ({ host, port }: RunnerAddress.RunnerAddress) => `${host}:${port}`
  const others = members.filter((address) => key(address) !== key(self))
    .sort((a, b) => key(a) < key(b) ? -1 : 1)
  const first = others.findIndex((address) => key(address) > key(self))
  const turned = first < 0 ? others : [...others.slice(first), ...others.slice(0, first)]
  return turned.slice(0, neighboursMax)
}

/**
 * Whether somebody listens at the address. Only a refusal says that nobody does: a process that is
 * slow to answer is not dead, and one that hangs is found by its heartbeat.
 */
const isAlive = ({ host, port }: RunnerAddress.RunnerAddress): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const socket = connect({ host, port })
    const answer = (isAlive: boolean) => {
      socket.destroy()
      resume(Effect.succeed(isAlive))
    }
    socket.on("connect", () => answer(true))
    socket.on("error", () => answer(false))
    socket.setTimeout(watchMillis, () => answer(true))
    return Effect.sync(() => socket.destroy())
  })

/** All members with their duties. Of its own this process knows best. */
const listed = Effect.fnUntraced(function* (held: ReadonlyMap<Duty, Held>, table: string) {
  const storage = yield* RunnerStorage.RunnerStorage
  const sql = yield* SqlClient.SqlClient
  const own = { name: nameOf(yield* selfAddress), isSelf: true }
  return Effect.gen(function* () {
    const [runners, said] = yield* Effect.all([
      storage.getRunners,
      sql.unsafe<{ readonly duty: Duty; readonly holder: string }>(
        `SELECT duty, holder FROM ${table}`,
      ),
    ], { concurrency: 2 })
    const ours = holding(held)
    return runners.map(([{ address }, isHealthy]): SchedulerView => {
      const name = nameOf(address)
      if (name === own.name) return { ...own, isHealthy, duties: ours }
      const theirs = said.flatMap(({ duty, holder }) =>
        holder === name && !ours.includes(duty) ? [duty] : []
      )
      return {
        name,
        isSelf: false,
        isHealthy,
        duties: duties.filter((duty) => theirs.includes(duty)),
      }
    })
  }).pipe(
    Effect.orElseSucceed(() => [{ ...own, isHealthy: false, duties: holding(held) }]),
  )
})

const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const isPortTaken = (cause: Cause.Cause<unknown>): boolean =>
  String(Cause.squash(cause)).includes("EADDRINUSE") || Cause.pretty(cause).includes("EADDRINUSE")

const unavailable = (cause: Cause.Cause<unknown>) =>
  new ClusterUnavailable({
    reason: isPortTaken(cause)
      ? "The port for the other processes of the cluster is taken"
      : "This process could not join the cluster over PostgreSQL",
    remedy: isPortTaken(cause)
      ? "Name another port, or none for any that is free"
      : "See that the database is there, and that its schema is up to date",
    cause: Cause.squash(cause),
  })
