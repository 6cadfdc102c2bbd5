/** Ownership by Effect Cluster on a real PostgreSQL, within one process and across several. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Equal, Exit, Layer, Redacted, Scope } from "effect"
import { RunnerAddress } from "effect/cluster"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { connect, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as LocalServer from "../adapters/postgres/LocalServer.ts"
import { stallsOf } from "../core/contract/invariants/stalls.ts"
import * as OwnershipContract from "../core/contract/OwnershipContract.ts"
import { fresh } from "../core/contract/world.ts"
import { type Duty, Ownership } from "../core/services/Ownership.ts"
import * as ClusterOwnership from "./ClusterOwnership.ts"
import { Schedulers } from "./Schedulers.ts"

/** A database that a test may use as it likes. */
class Database extends Context.Service<Database, {
  readonly url: Redacted.Redacted
}>()("belfry/cluster/test/Database") {
  static readonly layer = Layer.effect(
    Database,
    Effect.suspend(() => {
      const url = process.env["BELFRY_TEST_DATABASE_URL"]
      return url !== undefined ? Effect.succeed({ url: Redacted.make(url) }) : Effect.map(
        LocalServer.start({ settings: { fsync: "off" } }),
        (server) => ({ url: server.url() }),
      )
    }),
  )
}

const schemaOf = (group: string) => group.replaceAll("-", "_").toLowerCase()

interface Cable {
  readonly url: Redacted.Redacted
  readonly cut: () => void
  readonly close: () => void
}

/** A way to the database that can be cut: from then on nothing gets through, in either direction. */
const cable = (url: Redacted.Redacted) =>
  Effect.acquireRelease(
    Effect.callback<Cable>((resume) => {
      const target = new URL(Redacted.value(url))
      const sockets = new Set<Socket>()
      let isCut = false
      const server = createServer((near) => {
        if (isCut) return void near.pause()
        const far = connect({ host: target.hostname, port: Number(target.port) })
        for (const [one, other] of [[near, far], [far, near]] as const) {
          sockets.add(one)
          one.on("data", (chunk) => isCut || other.write(chunk))
          one.on("close", () => isCut || other.destroy())
          one.on("error", () => isCut || other.destroy())
        }
      })
      server.listen(0, "127.0.0.1", () => {
        const near = new URL(target)
        const address = server.address()
        near.host = `127.0.0.1:${typeof address === "object" ? address!.port : 0}`
        resume(Effect.succeed({
          url: Redacted.make(near.href),
          cut: () => {
            isCut = true
          },
          close: () => {
            server.close()
            for (const socket of sockets) socket.destroy()
          },
        }))
      })
    }),
    ({ close }) => Effect.sync(close),
  )

const contender = Effect.fnUntraced(function* (group: string) {
  const { url } = yield* Database
  const way = yield* cable(url)
  const config = { url: way.url, schema: schemaOf(group) }
  const scope = yield* Scope.fork(yield* Effect.scope)
  const context = yield* Layer.buildWithScope(
    Layer.fresh(ClusterOwnership.layerMigrated(config)),
    scope,
  )
  // Or its end would wait for answers that do not come.
  yield* Effect.addFinalizer(() => Effect.sync(way.close))
  return {
    ownership: Context.get(context, Ownership),
    leave: Scope.close(scope, Exit.void),
    kill: Effect.sync(way.cut),
  }
})

OwnershipContract.suite("Effect Cluster", Database.layer, contender, { runner: "live" })

/** A process of its own, and what it says of its duties. */
class Process {
  readonly holds = new Set<Duty>()
  readonly child: ChildProcess
  said = ""

  constructor(url: Redacted.Redacted, schema: string) {
    const fixture = fileURLToPath(new URL("./ClusterOwnership.fixture.ts", import.meta.url))
    const flags = "Deno" in globalThis ? ["run", "-A"] : []
    this.child = spawn(process.execPath, [...flags, fixture, Redacted.value(url), schema], {
      stdio: ["ignore", "pipe", "pipe"],
    })
    this.child.stderr!.on("data", (chunk) => {
      this.said += chunk
    })
    createInterface({ input: this.child.stdout! }).on("line", (line) => {
      if (!line.startsWith("{")) return void (this.said += `${line}\n`)
      const { duty, event } = JSON.parse(line)
      if (event === "began") this.holds.add(duty)
      else this.holds.delete(duty)
    })
  }

  get isComplete(): boolean {
    return this.holds.size === ClusterOwnership.duties.length
  }
}

const launch = (url: Redacted.Redacted, schema: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new Process(url, schema)),
    ({ child }) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.on("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      }),
  )

const until = Effect.fnUntraced(
  function* (isTrue: () => boolean, what: () => string, atMostMillis: number) {
    const started = performance.now()
    while (!isTrue()) {
      if (performance.now() - started > atMostMillis) assert.fail(what())
      yield* Effect.sleep(20)
    }
    return performance.now() - started
  },
)

/** What is promised of a process that was killed, or leaves. */
const promised = 4000
/** Of one that hangs: PostgreSQL frees its locks only then. */
const promisedOfHung = ClusterOwnership.lockMillis + 2000
/** For what is no promise: that processes start, share, and find PostgreSQL again. */
const bound = 30_000

const placed = (processes: ReadonlyArray<Process>, atMostMillis = bound) =>
  until(
    () =>
      ClusterOwnership.duties.every((duty) =>
        processes.filter(({ holds }) => holds.has(duty)).length === 1
      ) && processes.every(({ holds }) => holds.size > 0),
    () =>
      `not every duty is held once: ${
        processes.map(({ holds, said }) => `${[...holds]}\n${said}`).join("\n---\n")
      }`,
    atMostMillis,
  )

layer(Database.layer, { excludeTestServices: true, timeout: "1 minute" })("processes", (it) => {
  it.effect(
    "share the duties; those of a killed one pass on, and come back with another",
    () =>
      Effect.gen(function* () {
        const { url } = yield* Database
        const schema = schemaOf(fresh("killed"))
        const stalled = yield* stallsOf(Effect.void)
        const ada = yield* launch(url, schema)
        yield* until(() => ada.isComplete, () => ada.said, bound)
        const bob = yield* launch(url, schema)
        yield* placed([ada, bob])

        ada.child.kill("SIGKILL")
        const killed = performance.now()
        const millis = yield* until(() => bob.isComplete, () => bob.said, bound)
        console.log(`taken over ${Math.round(millis)} ms after kill -9`)
        assert.isAtMost(millis, promised + stalled(killed))

        const cyd = yield* launch(url, schema)
        yield* placed([bob, cyd])
        bob.child.kill("SIGTERM")
        const left = performance.now()
        const handed = yield* until(() => cyd.isComplete, () => cyd.said, bound)
        console.log(`handed over ${Math.round(handed)} ms after SIGTERM`)
        assert.isAtMost(handed, promised + stalled(left))
      }),
    90_000,
  )

  it.effect(
    "that hang lose their duties, and take part again when they go on",
    () =>
      Effect.gen(function* () {
        const { url } = yield* Database
        const schema = schemaOf(fresh("hung"))
        const stalled = yield* stallsOf(Effect.void)
        const ada = yield* launch(url, schema)
        const bob = yield* launch(url, schema)
        yield* placed([ada, bob])
        // Under Deno, after `child.kill` a second signal is sent to nobody: this one is not its last.
        process.kill(ada.child.pid!, "SIGSTOP")
        const hung = performance.now()
        const millis = yield* until(() => bob.isComplete, () => bob.said, bound)
        console.log(`taken over ${Math.round(millis)} ms after SIGSTOP`)
        assert.isAtMost(millis, promisedOfHung + stalled(hung))
        process.kill(ada.child.pid!, "SIGCONT")
        yield* placed([ada, bob])
      }),
    90_000,
  )
})

layer(Database.layer, { excludeTestServices: true, timeout: "1 minute" })("its table", (it) => {
  it.effect(
    "Q40: shows everybody which member holds which duty, each held by one",
    () =>
      Effect.gen(function* () {
        const { url } = yield* Database
        const config = { url, schema: schemaOf(fresh("told")) }
        const join = Effect.gen(function* () {
          const scope = yield* Scope.fork(yield* Effect.scope)
          const context = yield* Layer.buildWithScope(
            Layer.fresh(ClusterOwnership.layerMigrated(config)),
            scope,
          )
          const members = Effect.map(
            Context.get(context, Schedulers)!,
            (all) => all.toSorted((a, b) => a.name < b.name ? -1 : 1),
          )
          return { members, leave: Scope.close(scope, Exit.void) }
        })
        const ada = yield* join
        const bob = yield* join
        const seen = (by: typeof ada) =>
          Effect.map(by.members, (all) => all.map(({ duties, name }) => ({ name, duties })))
        const isShared = (all: Effect.Success<ReturnType<typeof seen>>) =>
          all.length === 2 && all.every(({ duties }) => duties!.length > 0) &&
          all.flatMap(({ duties }) => duties!).length === ClusterOwnership.duties.length
        let shown = { ada: yield* seen(ada), bob: yield* seen(bob) }
        yield* until(
          () => isShared(shown.ada) && Equal.equals(shown.ada, shown.bob),
          () => JSON.stringify(shown),
          bound,
        ).pipe(Effect.raceFirst(Effect.forever(Effect.gen(function* () {
          shown = { ada: yield* seen(ada), bob: yield* seen(bob) }
          yield* Effect.sleep("50 millis")
        }))))
        assert.deepStrictEqual(
          shown.ada.flatMap(({ duties }) => duties!).toSorted(),
          ClusterOwnership.duties.toSorted(),
        )
        yield* ada.leave
        for (;;) {
          const [only, ...others] = yield* seen(bob)
          if (others.length === 0 && only!.duties!.length === ClusterOwnership.duties.length) break
          yield* Effect.sleep("50 millis")
        }
      }),
    60_000,
  )
})

describe("a cluster", () => {
  it.live(
    "drops its duties when PostgreSQL is lost, and heals when it is back",
    () =>
      Effect.gen(function* () {
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-cluster-"))),
          (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true })),
        )
        const start = LocalServer.start({ folder, settings: { fsync: "off" } })
        const server = yield* start
        const url = server.url()
        const held = new Set<Duty>()
        const context = yield* Layer.build(ClusterOwnership.layerMigrated({ url }))
        const { whileHeld } = Context.get(context, Ownership)
        for (const duty of ClusterOwnership.duties) {
          yield* Effect.forkChild(whileHeld(
            duty,
            Effect.acquireUseRelease(
              Effect.sync(() => held.add(duty)),
              () => Effect.never,
              () => Effect.sync(() => held.delete(duty)),
            ),
          ))
        }
        const all = () => held.size === ClusterOwnership.duties.length
        const holding = () => `held: ${[...held]}`
        yield* until(all, holding, bound)
        const [self] = yield* Context.get(context, Schedulers)!
        assert.deepStrictEqual([self?.isSelf, self?.isHealthy, self?.duties?.length], [
          true,
          true,
          ClusterOwnership.duties.length,
        ])

        yield* server.stop
        yield* until(() => held.size === 0, holding, bound)
        yield* LocalServer.start({ folder, port: server.port, settings: { fsync: "off" } })
        const millis = yield* until(all, holding, bound)
        console.log(`healed ${Math.round(millis)} ms after PostgreSQL was back`)
      }),
    90_000,
  )

  it("is looked after by neighbours, each by a few", () => {
    const address = (port: number) => RunnerAddress.make("127.0.0.1", port)
    const members = [1, 2, 3, 4, 5, 6].map(address)
    const ports = (self: number) =>
      ClusterOwnership.neighbours(address(self), members).map(({ port }) => port)
    assert.deepStrictEqual(ports(2), [3, 4, 5])
    assert.deepStrictEqual(ports(5), [6, 1, 2])
    assert.deepStrictEqual(ports(6), [1, 2, 3])
    assert.deepStrictEqual(ClusterOwnership.neighbours(address(1), [address(1)]), [])
  })
})
