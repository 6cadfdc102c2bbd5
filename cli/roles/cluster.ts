/**
 * Schedulers and executors as processes of this machine, on one PostgreSQL. Whoever dies is named
 * and started again, so that one can kill any of them and watch what holds.
 */
import { Deferred, Effect, Exit, Fiber, Option, Redacted, Scope } from "effect"
import { join } from "node:path"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { attached } from "../attached.ts"
import * as Child from "../Child.ts"
import * as Connection from "../Connection.ts"
import * as Ending from "../Ending.ts"
import { database, hostOf } from "../layers.ts"
import { flagOf, joined } from "../joined.ts"
import { LiveView } from "../LiveView.ts"
import * as Output from "../Output.ts"
import * as Place from "../Place.ts"
import { nextFree } from "../ports.ts"
import { Problem } from "../Problem.ts"
import { asHere } from "../started.ts"

export interface Given {
  readonly files: ReadonlyArray<string>
  readonly namespace: Option.Option<string>
  readonly schedulers: number
  readonly executors: number
  readonly concurrency: number
  readonly port: number
  readonly servedAs: ReadonlyArray<string>
  readonly databaseUrl: Option.Option<Redacted.Redacted<string>>
  readonly json: boolean
}

const host = "127.0.0.1"
const membersMax = 64

interface Member {
  readonly name: string
  readonly role: "scheduler" | "executor"
  readonly words: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly url?: string
  pid: number
  state: "starting" | "up" | "restarting" | "stopped"
  restarts: number
}

export const clusterUp = Effect.fnUntraced(function* (given: Given) {
  if (given.schedulers < 1 || given.executors < 0) {
    return yield* new Problem({ kind: "usage", what: "a cluster has at least one scheduler" })
  }
  if (given.schedulers + given.executors > membersMax) {
    return yield* new Problem({
      kind: "usage",
      what: `more than ${membersMax} processes are too many for one machine`,
    })
  }
  yield* joined(given.namespace)
  yield* database(given.databaseUrl)
  const folder = yield* Place.open
  if (yield* attached(folder, given)) return
  yield* Effect.scoped(main(given, folder, new LiveView(given.json)))
})

const main = Effect.fnUntraced(function* (given: Given, folder: string, view: LiveView) {
  const token = Place.token(folder)
  const namespace = yield* joined(given.namespace)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => view.say("stopped", "all processes have ended"))
  )

  const database = yield* databaseOf(given, folder, view)
  const members = yield* membersOf(given, token, database)
  const schedulers = members.filter(({ role }) => role === "scheduler")
  const executors = members.filter(({ role }) => role === "executor")
  const urls = schedulers.map(({ url }) => url!)
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      Place.writeRecord(folder, {
        urls,
        token,
        pid: process.pid,
        role: "cluster",
        startedAt: new Date().toISOString(),
      })
    ),
    () => Effect.sync(() => Place.removeRecord(folder)),
  )
  Ending.whenAsked(() => {
    view.hide()
    view.say("draining", "executors first, then schedulers; Ctrl-C once more kills")
  })

  yield* upkept(schedulers, view)
  yield* upkept(executors, view)
  view.say("ready", `${schedulers.length} schedulers, ${executors.length} executors`, {
    urls,
    members: members.map(({ name, pid }) => ({ name, pid })),
    readyInMillis: Math.round(performance.now()),
  })
  view.say(
    "try",
    asHere(
      [`belfry run submit hello/world '{"name":"you"}' --wait`, ...flagOf(namespace)].join(" "),
    ),
  )
  view.say("try", `kill -9 ${executors[0]?.pid ?? schedulers[0]?.pid}`)
  yield* watched(members, urls, Redacted.make(token), hostOf(database), namespace, view)
})

/** The database that was named, or one of our own that ends with us. */
const databaseOf = Effect.fnUntraced(function* (given: Given, folder: string, view: LiveView) {
  const named = yield* database(given.databaseUrl)
  if (named !== undefined) return named
  const LocalServer = yield* Effect.promise(() => import("../../adapters/postgres/LocalServer.ts"))
  const server = yield* LocalServer.start({ folder: join(folder, "postgres") }).pipe(
    Effect.mapError(({ reason, remedy }) =>
      new Problem({
        kind: "failed",
        what: reason,
        fix: remedy,
        hint: "belfry cluster up --database-url postgres://user:password@host/db",
      })
    ),
  )
  view.say("started", `postgres, process ${server.pid}, port ${server.port}`, {
    name: "postgres",
    pid: server.pid,
  })
  yield* server.lost.pipe(
    Effect.catch((lost) => Effect.sync(() => view.say("died", lost.message))),
    Effect.forkScoped,
  )
  return server.url()
})

const membersOf = Effect.fnUntraced(function* (
  given: Given,
  token: string,
  database: Redacted.Redacted<string>,
) {
  const namespace = yield* joined(given.namespace)
  const schedulers: Array<Member> = []
  let port = given.port - 1
  for (let at = 1; at <= given.schedulers; at++) {
    port = yield* nextFree(host, port + 1)
    schedulers.push({
      name: `scheduler-${at}`,
      role: "scheduler",
      words: [
        ...["server", "--host", host, "--port", String(port)],
        ...given.servedAs.flatMap((each) => ["--served-as", each]),
      ],
      // Secrets go by the environment: the words of a process can be read by all.
      env: { BELFRY_TOKEN: token, BELFRY_DATABASE_URL: Redacted.value(database) },
      url: `http://${host}:${port}`,
      pid: 0,
      state: "starting",
      restarts: 0,
    })
  }
  const urls = schedulers.map(({ url }) => url)
  const executors = Array.from({ length: given.executors }, (_, at): Member => ({
    name: `executor-${at + 1}`,
    role: "executor",
    words: [
      "executor",
      ...given.files,
      ...(given.files.length === 0 ? ["--samples"] : []),
      ...["--name", `executor-${at + 1}`, "--concurrency", String(given.concurrency)],
      ...flagOf(namespace),
    ],
    env: {
      BELFRY_TOKEN: token,
      // Each begins with another scheduler, and knows the others.
      BELFRY_URL: urls.map((_, shift) => urls[(at + shift) % urls.length]).join(","),
    },
    pid: 0,
    state: "starting",
    restarts: 0,
  }))
  return [...schedulers, ...executors]
})

/** Returns when all of them have been ready once; they end, all at the same time, with the scope. */
const upkept = Effect.fnUntraced(function* (members: ReadonlyArray<Member>, view: LiveView) {
  const ready = members.map(() => Deferred.makeUnsafe<void, Problem>())
  yield* Effect.acquireRelease(
    Effect.forEach(
      members,
      (member, at) => Effect.forkDetach(keepUp(member, ready[at]!, view)),
    ),
    (fibers) => Fiber.interruptAll(fibers),
  )
  yield* Effect.forEach(ready, Deferred.await, { concurrency: "unbounded", discard: true })
})

const backOffMillis = (failures: number) => Math.min(15_000, 250 * 2 ** failures)
/** Who has lived this long is started again at once. */
const settledMillis = 30_000

const keepUp = Effect.fnUntraced(function* (
  member: Member,
  ready: Deferred.Deferred<void, Problem>,
  view: LiveView,
) {
  let failed: { readonly what: string; readonly exitCode: number } | undefined
  for (let failures = 0;; failures++) {
    const startedAt = performance.now()
    const scope = yield* Scope.make()
    const ended = yield* Effect.gen(function* () {
      const child = yield* Child.spawn({
        words: member.words,
        env: member.env,
        onLine: (line) => view.log(member.name, line),
        onWord: (word) => {
          if (word._tag === "Failed") failed = word
          if (word._tag !== "Ready") return
          member.state = "up"
          view.say("up", `${member.name}, process ${member.pid}`, {
            name: member.name,
            pid: member.pid,
          })
          Deferred.doneUnsafe(ready, Exit.void)
        },
      })
      member.pid = child.pid
      return yield* child.ended
    }).pipe(
      Scope.provide(scope),
      Effect.onExit((exit) => {
        member.state = "stopped"
        return Scope.close(scope, exit)
      }),
    )
    // What is wrong at the very start will not be right the next time.
    if (!(yield* Deferred.isDone(ready))) {
      yield* Deferred.fail(
        ready,
        new Problem({
          kind: "failed",
          what: `${member.name} did not start: ${failed?.what ?? howItEnded(ended)}`,
          fix: "its own lines are above",
        }),
      )
      return
    }
    if (performance.now() - startedAt > settledMillis) failures = 0
    const pause = backOffMillis(failures)
    member.state = "restarting"
    view.say(
      "died",
      `${member.name}, process ${member.pid}, ${howItEnded(ended)}; again in ${
        Output.millis(pause)
      }`,
      { name: member.name, pid: member.pid, ...ended },
    )
    yield* Effect.sleep(pause)
    member.restarts++
    member.state = "starting"
  }
})

const howItEnded = ({ code, signal }: Child.Ended) =>
  signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`

/** Shows how it goes, for ever: on a terminal in place, elsewhere a line whenever it has changed. */
const watched = Effect.fnUntraced(function* (
  members: ReadonlyArray<Member>,
  urls: ReadonlyArray<string>,
  token: Redacted.Redacted<string>,
  database: string,
  namespace: Namespace,
  view: LiveView,
) {
  const connections = new Map<string, Connection.Connection>()
  for (const url of urls) connections.set(url, yield* Connection.to(url, token))
  const statusAt = (url: string) =>
    connections.get(url)!.call((api) => api.system.status({ query: { namespace } })).pipe(
      Effect.timeout("3 seconds"),
      Effect.option,
    )

  for (;;) {
    const up = members.flatMap(({ state, url }) => url && state === "up" ? [url] : [])
    const answers = new Map(
      yield* Effect.forEach(
        up,
        (url) =>
          Effect.map(statusAt(url), (answer) => [url, Option.getOrUndefined(answer)] as const),
        { concurrency: "unbounded" },
      ),
    )
    const dutiesOf = (url: string | undefined) =>
      answers.get(url ?? "")?.schedulers.find(({ isSelf }) => isSelf)?.duties?.length
    const runs = answers.values().find((answer) => answer !== undefined)?.runs
    view.show(
      [
        `${Output.style("bold", "belfry cluster")}   PostgreSQL ${database}`,
        Output.table(
          ["process", "pid", "state", "restarts", "duties", "address"],
          members.map(({ name, pid, restarts, state, url }) => [
            name,
            String(pid),
            state,
            String(restarts),
            String(dutiesOf(url) ?? ""),
            url ?? "",
          ]),
        ),
        `runs  ${
          runs === undefined
            ? "no scheduler answers"
            : Object.entries(runs).filter(([, count]) => count > 0)
              .map(([name, count]) => `${Output.state(name)} ${count}`).join("  ") || "none"
        }`,
      ].join("\n"),
      runs,
    )
    yield* Effect.sleep("1 second")
  }
})
