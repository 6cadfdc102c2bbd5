/** All of it in one terminal: a server, its storage, and an executor for files or for samples. */
import { Effect, Fiber, Layer, Option, Redacted, Scope } from "effect"
import { join, relative } from "node:path"
import { Server } from "../../cluster/Server.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { attached } from "../attached.ts"
import * as Ending from "../Ending.ts"
import { flagOf, joined } from "../joined.ts"
import { keys } from "../keys.ts"
import { type Backing, database, databaseUrl, serving, words } from "../layers.ts"
import * as Output from "../Output.ts"
import * as Place from "../Place.ts"
import { nextFree } from "../ports.ts"
import * as Programs from "../programs.ts"
import { reloading } from "../reloading.ts"
import { asHere } from "../started.ts"
import { version } from "../version.ts"

export interface Given {
  readonly files: ReadonlyArray<string>
  readonly namespace: Option.Option<string>
  readonly port: number
  readonly servedAs: ReadonlyArray<string>
  readonly memory: boolean
  readonly databaseUrl: Option.Option<Redacted.Redacted<string>>
  readonly json: boolean
}

const host = "127.0.0.1"

export const dev = Effect.fnUntraced(function* (given: Given) {
  yield* database(given.databaseUrl)
  const folder = yield* Place.open
  if (yield* attached(folder, given)) return

  const namespace = yield* joined(given.namespace)
  const backing = backingOf(given, folder)
  const token = Redacted.make(Place.token(folder))
  const port = yield* nextFree(host, given.port)
  if (given.port !== 0 && port !== given.port) {
    Output.talk(`port ${given.port} is taken, so this is on ${port}`)
  }
  Ending.whenAsked(() => Output.talk("\ndraining; Ctrl-C once more kills"))

  yield* Effect.gen(function* () {
    // The executor's process starts while the server does, and waits for it.
    const ofExecutor = yield* Scope.fork(yield* Effect.scope)
    const executor = given.files.length === 0 ? undefined : yield* reloading({
      files: given.files,
      namespace,
      env: { BELFRY_URL: `http://${host}:${port}`, BELFRY_TOKEN: Redacted.value(token) },
    }).pipe(Scope.provide(ofExecutor), Effect.forkIn(ofExecutor))
    yield* Effect.gen(function* () {
      // Executors end while the server is there, which takes what they give back and report.
      yield* Effect.addFinalizer((exit) => Scope.close(ofExecutor, exit))
      yield* served(given, folder, token, executor)
    }).pipe(
      Effect.scoped,
      Effect.provideService(CurrentNamespace, namespace),
      Effect.provide(serving({ backing, host, hosts: given.servedAs, port, token })),
    )
  }).pipe(Effect.scoped)
})

const served = Effect.fnUntraced(function* (
  given: Given,
  folder: string,
  token: Redacted.Redacted<string>,
  executor: Fiber.Fiber<ReadonlyArray<string>, never> | undefined,
) {
  const server = yield* Server
  const record: Place.ServerRecord = {
    urls: [server.url],
    token: Redacted.value(token),
    pid: process.pid,
    role: "dev",
    startedAt: new Date().toISOString(),
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => Place.writeRecord(folder, record)),
    () => Effect.sync(() => Place.removeRecord(folder)),
  )
  const tasks = executor === undefined ? yield* samples : yield* Fiber.join(executor)
  if (executor !== undefined) yield* withoutSamples
  const backing = backingOf(given, folder)
  screen(given, backing, server, tasks, yield* CurrentNamespace)
  yield* Effect.raceFirst(Effect.never, keys(pressed(tasks)))
})

const backingOf = (given: Given, folder: string): Backing => {
  const url = databaseUrl(given.databaseUrl)
  if (given.memory) return { _tag: "Memory" }
  if (url !== undefined) return { _tag: "Postgres", url }
  return { _tag: "Sqlite", file: join(folder, "belfry.db") }
}

/** In this process: nothing of theirs is going to change. */
const samples = Effect.gen(function* () {
  const seen: Programs.Seen = { tasks: [], executor: undefined }
  const { default: program } = yield* Effect.promise(() => import("../samples/mod.ts"))
  yield* Layer.build(Programs.carriedOut(program, { name: "samples" }, seen))
  return seen.tasks
})

/** A trigger of samples that are gone would fire runs that nobody carries out. */
const withoutSamples = Effect.gen(function* () {
  const triggers = yield* Triggers
  const { triggerName } = yield* Effect.promise(() => import("../samples/mod.ts"))
  yield* Effect.ignore(triggers.remove(yield* CurrentNamespace, triggerName))
})

const screen = (
  given: Given,
  backing: Backing,
  { rpcUrl, url }: Server["Service"],
  tasks: ReadonlyArray<string>,
  namespace: Namespace,
) => {
  const readyInMillis = Math.round(performance.now())
  if (given.json) {
    return Output.printJsonLine({ url, rpcUrl, storage: words(backing), tasks, readyInMillis })
  }
  const from = given.files.length === 0
    ? `samples; yours with ${asHere("belfry dev your-tasks.ts")}`
    : `from ${given.files.map((file) => relative(".", file)).join(" ")} (watching)`
  const name = (text: string) => Output.style("dim", text.padEnd(8))
  const ready = Output.style("green", `ready in ${(readyInMillis / 1000).toFixed(1)} s`)
  Output.print([
    "",
    `  ${Output.style("bold", "belfry")} ${version}  dev${" ".repeat(34)}${ready}`,
    `  ${name("API")}  ${url}/api/v1   docs ${url}/api/docs`,
    `  ${name("RPC")}  ${rpcUrl}`,
    `  ${name("Token")}  .belfry/token   ${
      Output.style("dim", "(the password of docs, in a browser)")
    }`,
    `  ${name("Storage")}  ${storageLine(backing)}`,
    `  ${name("Tasks")}  ${tasks.join(", ") || "none yet"}   ${Output.style("dim", from)}`,
    `  ${name("Try")}  ${trial(tasks, namespace)}`,
    ...(process.stdin.isTTY
      ? ["", `  ${Output.style("dim", "r run a sample   c clear   q quit")}`]
      : []),
    "",
  ].join("\n"))
}

const storageLine = (backing: Backing) =>
  backing._tag === "Sqlite"
    ? `SQLite ${relative(".", backing.file)}   ${Output.style("dim", "(--memory, --database-url)")}`
    : words(backing)

const trial = (tasks: ReadonlyArray<string>, namespace: Namespace) =>
  asHere(
    [
      tasks.includes("hello/world") || tasks.length === 0
        ? `belfry run submit hello/world '{"name":"you"}' --wait`
        : `belfry run submit ${tasks[0]} '{}' --wait`,
      ...flagOf(namespace),
    ].join(" "),
  )

/** What the keys do. `false` ends. */
const pressed = (tasks: ReadonlyArray<string>) => (key: string) =>
  Effect.gen(function* () {
    switch (key) {
      case "q":
        return false
      case "c":
        Output.print("\u001b[2J\u001b[H")
        return true
      case "r": {
        const task = tasks.find((each) => each === "hello/world") ?? tasks[0]
        if (task !== undefined) yield* ranOnce(task)
      }
    }
    return true
  })

const ranOnce = Effect.fnUntraced(function* (task: string) {
  const scheduler = yield* Scheduler
  const { usualPolicy } = yield* Effect.promise(() => import("../../core/domain/Task.ts"))
  const view = yield* Effect.flatMap(
    scheduler.submit({
      task: task as never,
      payload: task === "hello/world" ? `{"name":"you"}` : "{}",
      policy: usualPolicy,
    }, { namespace: yield* CurrentNamespace }),
    ({ run }) => scheduler.ended(run),
  ).pipe(Effect.option)
  if (Option.isSome(view)) {
    Output.print(
      `  run ${view.value.id}  ${task}  ${Output.state(view.value.state)}  ${
        Output.plain(view.value.result ?? view.value.failure?.message ?? "")
      }`,
    )
  }
})
