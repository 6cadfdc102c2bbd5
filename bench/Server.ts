/**
 * The PostgreSQL that every system is measured on, and an empty database of it for each trial, so
 * that no trial inherits another one's bloat. `BELFRY_BENCH_DATABASE_URL` names an existing one.
 */
import { PgConnection } from "@effect/sql-pg"
import { Config, Context, Effect, Layer, Redacted, type Scope } from "effect"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as LocalServer from "../adapters/postgres/LocalServer.ts"
import type { Place } from "./System.ts"

export interface Facts {
  readonly version: string
  readonly settings: Readonly<Record<string, string>>
}

export class Server extends Context.Service<Server, {
  readonly facts: Facts
  /** An empty database and an empty folder, gone when the scope ends. */
  readonly place: Effect.Effect<Place, unknown, Scope.Scope>
  /** Puts a filled database in order, so that no trial pays for its own filling. */
  readonly settle: (place: Place) => Effect.Effect<void, unknown>
  /** Bytes of write-ahead log ever written. */
  readonly walBytes: Effect.Effect<number, unknown>
  /** Processor time of all its processes so far, where the system tells it. */
  readonly cpuMillis: Effect.Effect<number | undefined, unknown>
}>()("belfry/bench/Server") {}

const named = [
  "shared_buffers",
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "data_checksums",
  "wal_level",
  "max_wal_size",
  "autovacuum",
  "max_connections",
  "jit",
]

const makeServer = Effect.fnUntraced(function* (url: string) {
  const admin = yield* PgConnection.make({ url: Redacted.make(url) })
  const { rows: facts } = yield* admin.query(
    "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY ($1::text[])",
    [[...named, "server_version"]],
  )
  const settings = Object.fromEntries(
    facts.map((row) => [String(row["name"]), String(row["value"])]),
  )
  const { server_version: version = "unknown", ...others } = settings
  if (others["fsync"] !== "on" || others["synchronous_commit"] !== "on") {
    return yield* Effect.fail(
      new Error("a server with fsync or synchronous_commit off proves little"),
    )
  }
  let count = 0
  return Server.of({
    facts: { version, settings: others },
    place: Effect.gen(function* () {
      const name = `belfry_bench_${process.pid}_${count++}`
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-bench-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true })),
      )
      yield* Effect.acquireRelease(
        admin.query(`CREATE DATABASE ${name}`),
        // The plain statement waits for sessions that are just closing; force is for stuck ones.
        () =>
          admin.query(`DROP DATABASE ${name}`).pipe(
            Effect.catch(() => admin.query(`DROP DATABASE ${name} WITH (FORCE)`)),
            Effect.ignore,
          ),
      )
      const databaseUrl = new URL(url)
      databaseUrl.pathname = `/${name}`
      return { databaseUrl: databaseUrl.href, folder }
    }),
    settle: ({ databaseUrl }) =>
      Effect.scoped(Effect.gen(function* () {
        const connection = yield* PgConnection.make({
          url: Redacted.make(databaseUrl),
        })
        yield* connection.query("VACUUM (ANALYZE)")
        yield* connection.query("CHECKPOINT")
      })),
    walBytes: Effect.map(
      admin.query("SELECT (pg_current_wal_lsn() - '0/0')::float8 AS bytes"),
      ({ rows }) => Number(rows[0]?.["bytes"]),
    ),
    cpuMillis: Effect.map(
      admin.query("SELECT pg_backend_pid() AS pid"),
      ({ rows }) => cpuMillisOf(Number(rows[0]?.["pid"])),
    ),
  })
})

/** Of the server that this backend belongs to; Linux alone tells it, in hundredths of a second. */
const cpuMillisOf = (backend: number): number | undefined => {
  const stat = (pid: number | string) => {
    try {
      // The name of a program may hold spaces, and ends with the last bracket.
      return readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ").map(Number)
    } catch {
      return undefined
    }
  }
  const server = stat(backend)?.[1]
  if (server === undefined) return undefined
  let ticks = 0
  for (const pid of readdirSync("/proc")) {
    const told = /^\d+$/.test(pid) ? stat(pid) : undefined
    if (told === undefined) continue
    if (Number(pid) !== server && told[1] !== server) continue
    // Its own, and for the server that of its children that have ended, too.
    ticks += told[11]! + told[12]! + (Number(pid) === server ? told[13]! + told[14]! : 0)
  }
  return ticks * 10
}

/** Ours when none is named: durable, with the memory that the peers were measured with. */
const local = Effect.map(
  LocalServer.start({
    settings: {
      shared_buffers: "1GB",
      max_connections: 200,
      fsync: "on",
      synchronous_commit: "on",
    },
  }),
  (server) => Redacted.value(server.url()),
)

export const layer = Layer.effect(
  Server,
  Config.String("BELFRY_BENCH_DATABASE_URL").pipe(
    Effect.catch(() => local),
    Effect.flatMap(makeServer),
  ),
)
