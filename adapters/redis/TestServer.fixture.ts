/**
 * Redis servers for tests: of `redis-server` on the PATH, each in a folder of its own, or the one of
 * `BELFRY_TEST_REDIS_URL`, which cannot be killed.
 */
import { Clock, Effect, Redacted, type Scope } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const givenUrl = process.env["BELFRY_TEST_REDIS_URL"]
export const isInstalled = spawnSync("redis-server", ["--version"]).status === 0

/** Why there is none, in one line. */
export const missing =
  "redis: skipped, for there is neither a redis-server on the PATH nor BELFRY_TEST_REDIS_URL"

/** One that nobody else's tests disturb. */
export const freshPrefix = (): string => `belfry-test-${randomBytes(5).toString("hex")}`

export interface TestServer {
  readonly url: Redacted.Redacted
  /** As kill -9. */
  readonly kill: Effect.Effect<void>
  /** Starts it again, on what it kept. */
  readonly start: Effect.Effect<void, Error>
  /** It keeps its connections and answers nothing, until it goes on. */
  readonly pause: Effect.Effect<void>
  readonly goOn: Effect.Effect<void>
}

/** Flushed to disk before it answers. */
export const durable = { appendonly: "yes", appendfsync: "always" }

export const start = (
  settings: Readonly<Record<string, string>> = {},
): Effect.Effect<TestServer, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-redis-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true })),
    )
    const port = yield* Effect.promise(freePort)
    const isCluster = settings["cluster-enabled"] === "yes"
    const all = {
      ...{ save: "", bind: "127.0.0.1", port: `${port}`, dir: folder, ...settings },
      // The usual one, 10,000 above the other, may not exist.
      ...(isCluster && { "cluster-port": `${yield* Effect.promise(freePort)}` }),
    }
    let running: Running | undefined
    const launch = Effect.gen(function* () {
      running = yield* Effect.promise(() => run(all))
      yield* untilReady(port, folder)
    })
    yield* Effect.acquireRelease(launch, () =>
      Effect.promise(() => running?.end() ?? Promise.resolve()))
    const signal = (name: NodeJS.Signals) =>
      Effect.sync(() => void process.kill(running!.pid, name))
    return {
      url: Redacted.make(`redis://127.0.0.1:${port}`),
      kill: Effect.promise(() => running!.end()),
      start: launch,
      pause: signal("SIGSTOP"),
      goOn: signal("SIGCONT"),
    }
  }).pipe(Effect.provideService(Clock.Clock, Clock.Clock.defaultValue()))

interface Running {
  readonly pid: number
  readonly end: () => Promise<void>
}

/** Kills the server when it is told to, or when whoever started it has died. */
const keeper = `
log=$1; shift
redis-server "$@" </dev/null >"$log" 2>&1 &
server=$!
echo $server
read -r _
kill -KILL $server
wait $server
`

const run = (settings: Readonly<Record<string, string>>): Promise<Running> =>
  new Promise((resolve, reject) => {
    const words = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
    const child = spawn(
      "/bin/sh",
      ["-c", keeper, "belfry-redis-keeper", join(settings["dir"]!, "log"), ...words],
      { stdio: ["pipe", "pipe", "ignore"], cwd: "/" },
    )
    const gone = new Promise<void>((resolve) => child.on("close", () => resolve()))
    child.stdin.on("error", () => {})
    child.on("error", reject)
    child.stdout.once("data", (said) =>
      resolve({
        pid: Number(said),
        end: () => {
          child.stdin.end("stop\n")
          return gone
        },
      }))
  })

const untilReady = Effect.fnUntraced(function* (port: number, folder: string) {
  for (let tries = 0; tries < 500; tries++) {
    if (yield* Effect.promise(() => answers(port))) return
    yield* Effect.sleep("20 millis")
  }
  return yield* Effect.fail(new Error(`redis-server did not start; see the log in ${folder}`))
})

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"))
    socket.setTimeout(500, () => socket.destroy())
    socket.on("data", (said) => {
      resolve(said.toString().startsWith("+PONG"))
      socket.destroy()
    })
    socket.on("error", () => {})
    socket.on("close", () => resolve(false))
  })

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.on("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0))
    })
  })
