/** PgBouncer before the server, where the machine has it: it would lose LISTEN and settings. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { temporaryFolder } from "./LocalServerFiles.ts"
import * as Postgres from "./mod.ts"
import * as TestDatabase from "./TestDatabase.ts"

const has = (command: string, argument: string): boolean => {
  try {
    execFileSync(command, [argument], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" ? address!.port : 0)))
  })
})

/** The same database, by way of a pooler. */
const pooled = Effect.fnUntraced(function* (
  target: Redacted.Redacted<string>,
  mode: "session" | "transaction",
  passing: ReadonlyArray<string>,
) {
  const url = new URL(Redacted.value(target))
  const port = yield* freePort
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(join(temporaryFolder(), "belfry-pooler-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true })),
  )
  const ini = join(folder, "pooler.ini")
  fs.writeFileSync(
    ini,
    `[databases]
* = host=${url.hostname} port=${url.port} user=${url.username} password=${url.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
ignore_startup_parameters = ${passing.join(",")}
`,
  )
  // It does not run as root either.
  const account = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  fs.chmodSync(folder, 0o755)
  yield* Effect.acquireRelease(
    Effect.sync(() => spawn("pgbouncer", [ini], { ...account, stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  )
  url.port = `${port}`
  yield* Effect.sleep("500 millis")
  return Redacted.make(url.href)
})

const all = ["extra_float_digits", "options", "search_path", "statement_timeout"]

describe("a pooler", () => {
  if (!has("pgbouncer", "--version")) {
    it("is not on this machine, so none is tried", () =>
      console.warn("PgBouncer is not on this machine: nothing was tried behind it"))
    return
  }

  it.live("B42: in transaction mode is refused, with what to do", () =>
    Effect.gen(function* () {
      const direct = yield* TestDatabase.fresh
      yield* Layer.build(Layer.fresh(Postgres.layerMigrations({ url: direct })))
      for (const passing of [[], all]) {
        const url = yield* pooled(direct, "transaction", passing)
        const refused = yield* Effect.flip(Layer.build(Layer.fresh(Postgres.layer({ url }))))
        assert.strictEqual(refused._tag, "DatabaseUnfit")
        assert.match(refused.message, /pooler.*address of the server itself/)
      }
    }).pipe(Effect.scoped))

  it.live("B42: one that drops settings is refused too, whatever its mode", () =>
    Effect.gen(function* () {
      const direct = yield* TestDatabase.fresh
      const url = yield* pooled(direct, "session", all)
      for (const layer of [Postgres.layer, Postgres.layerMigrations]) {
        const refused = yield* Effect.flip(
          Layer.build(Layer.fresh(layer({ url }) as Layer.Layer<never, Postgres.DatabaseUnfit>)),
        )
        assert.match(refused.message, /pooler/)
      }
    }).pipe(Effect.scoped))
})
