/**
 * A PostgreSQL server of one's own: for tests, and for people who have none.
 *
 * ```text
 * const program = Effect.gen(function* () {
 *   const server = yield* LocalServer.start({ folder: ".belfry/postgres" })
 *   yield* work.pipe(Effect.provide(PgClient.layer({ url: server.url() })))
 * }).pipe(Effect.scoped)
 * ```
 *
 * It listens on a port of the loopback interface only, and its one account has a random password.
 *
 * The server must not outlive us, however we end. So its parent is a small shell script, the
 * *keeper*, which holds one end of a pipe while we hold the other. The pipe closes when we ask for
 * the stop, and as well when we crash or are killed; either way the keeper shuts the server down,
 * fast at first and with more force if that takes too long. Keeper and server have a session of
 * their own: Control-C in a terminal reaches only us, and we may finish our work before the stop.
 *
 * Two servers on one folder would destroy it. PostgreSQL itself sees to that, by its file
 * `postmaster.pid` and its shared memory; what is read from that file here only makes for clearer
 * words, and lets the folder of a killed server be used when another process has its old id.
 */
import { Clock, Deferred, Effect, Redacted, type Scope } from "effect"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { createServer } from "node:net"
import { dirname, join, resolve } from "node:path"
import { type Account, type Binaries, plainEnvironment } from "./LocalServerFiles.ts"
import * as Files from "./LocalServerFiles.ts"
import { LocalServerUnavailable } from "./LocalServerUnavailable.ts"

export type Settings = Readonly<Record<string, string | number | boolean>>

export interface Options {
  /** Keeps the data between runs. Without it the data lie in a temporary folder and go with the server. */
  readonly folder?: string | undefined
  /** A free port is taken when left out. */
  readonly port?: number | undefined
  /** The folder of another PostgreSQL's programs, as in `/usr/lib/postgresql/15/bin`. */
  readonly programs?: string | undefined
  /** Server settings by name, which win over ours, such as `{ fsync: "off" }`. */
  readonly settings?: Settings | undefined
}

export interface LocalServer {
  /** Where to connect; to the database `postgres` when none is named. */
  readonly url: (database?: string) => Redacted.Redacted<string>
  readonly port: number
  /** The process id of the server. */
  readonly pid: number
  /** Holds `data`, `log` and `password`. */
  readonly folder: string
  /** Shuts down now rather than with the scope; open transactions are rolled back. */
  readonly stop: Effect.Effect<void>
  /** Never succeeds; fails when the server ends without having been asked. */
  readonly lost: Effect.Effect<never, LocalServerUnavailable>
}

const defaults = {
  max_connections: 200,
  shared_buffers: "128MB",
  timezone: "UTC",
  log_timezone: "UTC",
  // The client is told of a failed statement; kept here as well, they would fill the disk.
  log_min_messages: "log",
  log_checkpoints: "off",
}

/** A running server, which stops when the scope closes. */
export const start: (
  options?: Options,
) => Effect.Effect<LocalServer, LocalServerUnavailable, Scope.Scope> = Effect.fn(
  "LocalServer.start",
)(
  function* (options: Options = {}) {
    const binaries = yield* options.programs === undefined
      ? Files.binaries
      : Files.installed(options.programs)
    const place = yield* options.folder === undefined
      ? temporary(binaries)
      : persistent(options.folder, binaries, options.settings)
    yield* untilFree(place)
    return yield* launch(place, options)
  },
  // A process is out in the real world, so we wait in real time, also under a test clock.
  Effect.provideService(Clock.Clock, Clock.Clock.defaultValue()),
)

interface Place {
  readonly binaries: Binaries
  readonly account: Account
  readonly folder: string
  readonly data: string
  readonly isTemporary: boolean
}

const temporary = Effect.fnUntraced(function* (binaries: Binaries) {
  const { parent, account } = yield* Files.attempt("find the temporary folder", () => {
    const parent = Files.temporaryFolder()
    return { parent, account: Files.accountFor(parent) }
  })
  const folder = yield* Effect.acquireRelease(
    Files.attempt("make a temporary folder", () => {
      removeLeftovers(parent)
      const made = fs.mkdtempSync(join(parent, `belfry-postgres-run-${process.pid}-`))
      Files.give(made, account)
      return made
    }),
    (made) => Effect.sync(() => Files.remove(made)),
  )
  yield* fill(folder, binaries, account)
  return { binaries, account, folder, data: join(folder, "data"), isTemporary: true }
})

/**
 * Removes the folders of processes that were killed before they had a keeper. Where there is a
 * `postmaster.pid` a server may run, of another container say, whose processes we do not see.
 */
const removeLeftovers = (parent: string) => {
  for (const name of fs.readdirSync(parent)) {
    const pid = /^belfry-postgres-run-(\d+)-/.exec(name)?.[1]
    if (pid === undefined || Files.isAlive(Number(pid))) continue
    if (!fs.existsSync(join(parent, name, "data", "postmaster.pid"))) {
      Files.remove(join(parent, name))
    }
  }
}

const persistent = Effect.fnUntraced(function* (
  given: string,
  binaries: Binaries,
  settings: Settings = {},
) {
  const folder = resolve(given)
  const data = join(folder, "data")
  const account = yield* Files.attempt(`look at ${folder}`, () => Files.accountFor(folder))
  yield* mayEnter(dirname(folder), account)

  if (!fs.existsSync(data)) {
    const making = `${folder}.${process.pid}-${randomBytes(4).toString("hex")}.making`
    yield* Files.attempt(`make ${making}`, () => {
      fs.mkdirSync(making, { mode: 0o700 })
      Files.give(making, account)
    }).pipe(
      Effect.andThen(fill(making, binaries, account)),
      Effect.andThen(
        settings["fsync"] === "off" ? Effect.void : Files.run(
          binaries.initdb,
          ["--sync-only", `--pgdata=${join(making, "data")}`],
          { account },
        ),
      ),
      Effect.andThen(Files.attempt(`make ${folder}`, () => {
        try {
          fs.renameSync(making, folder)
        } catch (cause) {
          // Another process that starts at the same time may have been quicker.
          if (!fs.existsSync(data)) throw cause
        }
      })),
      Effect.ensuring(Effect.sync(() => Files.remove(making))),
    )
  }
  yield* sameVersion(data, binaries)
  return { binaries, account, folder, data, isTemporary: false }
})

/** Makes the parent of a folder, and fails if the account cannot go there. */
const mayEnter = Effect.fnUntraced(function* (parent: string, account: Account) {
  yield* Files.attempt(`make ${parent}`, () => {
    const first = fs.mkdirSync(parent, { recursive: true })
    if (first !== undefined) Files.give(first, account)
  })
  if (account.uid === undefined) return
  yield* Files.run("/bin/sh", ["-c", 'cd -- "$1"', "sh", parent], { account }).pipe(
    Effect.mapError((cause) =>
      new LocalServerUnavailable({
        reason: `PostgreSQL does not run as root, and user ${account.uid} may not enter ${parent}`,
        remedy: "run as another user, or choose a folder that user may enter, below /var/lib say",
        cause,
      })
    ),
  )
})

const sameVersion = (data: string, { version }: Binaries) =>
  Effect.flatMap(
    Files.attempt(
      `read ${data}`,
      () => fs.readFileSync(join(data, "PG_VERSION"), "utf8").trim(),
    ),
    (found) =>
      found === version ? Effect.void : new LocalServerUnavailable({
        reason: `${data} was written by PostgreSQL ${found}, and this is PostgreSQL ${version}`,
        remedy: "dump and restore it with the tools of PostgreSQL, or choose another folder",
      }),
  )

/** Puts data and a new password into an empty folder. */
const fill = Effect.fnUntraced(function* (folder: string, binaries: Binaries, account: Account) {
  const template = yield* Files.template(binaries, account)
  const password = randomBytes(24).toString("hex")
  const data = join(folder, "data")
  yield* Files.run("/bin/cp", ["-Rp", template, data], { account })
  // A server in single-user mode asks for no password; nobody can connect to it.
  yield* Files.run(binaries.postgres, ["--single", "-F", "-D", data, "postgres"], {
    account,
    input: `ALTER ROLE belfry PASSWORD '${password}';\n`,
  })
  yield* Files.attempt(`write into ${folder}`, () => {
    const file = join(folder, "password")
    fs.writeFileSync(file, password, { mode: 0o600 })
    Files.give(file, account)
  })
})

/** What `postmaster.pid` says: the server that has these data, or had them when it was killed. */
const readHolder = (data: string) => {
  const file = join(data, "postmaster.pid")
  if (!fs.existsSync(file)) return undefined
  const lines = fs.readFileSync(file, "utf8").split("\n")
  return { pid: Math.abs(Number(lines[0])), port: lines[3], status: lines[7]?.trim() }
}

/** The id of a live process that has nothing to do with these data, though `postmaster.pid` names it. */
const strangerIn = (data: string) => {
  const holder = readHolder(data)
  if (holder === undefined || !Files.isAlive(holder.pid)) return undefined
  try {
    const command = fs.readFileSync(`/proc/${holder.pid}/cmdline`, "utf8")
    return command.includes(data) ? undefined : holder.pid
  } catch {
    // Not Linux, or not for us to see. PostgreSQL will judge.
    return undefined
  }
}

/**
 * Waits for another server on these data to be gone, and fails if it does not seem to go. After a
 * process was killed, its server may take a moment to notice, and then a while to shut down.
 */
const untilFree = Effect.fnUntraced(function* ({ data }: Place) {
  for (let tenths = 0;; tenths++) {
    const holder = yield* Files.attempt(`read ${data}`, () => readHolder(data))
    if (!holder || !isHeld(data, holder)) return
    if (tenths >= (holder.status === "stopping" ? 300 : 20)) return yield* inUse(data, holder)
    yield* Effect.sleep("100 millis")
  }
})

const isHeld = (data: string, holder = readHolder(data)): boolean =>
  holder !== undefined && Files.isAlive(holder.pid) && strangerIn(data) === undefined

const inUse = (data: string, holder = readHolder(data)) =>
  new LocalServerUnavailable({
    reason: `${data} is in use by another PostgreSQL server` +
      (holder ? `: process ${holder.pid}, port ${holder.port}` : ""),
    remedy: "stop that server, or choose another folder",
  })

const launch = Effect.fnUntraced(function* (place: Place, options: Options) {
  const file = join(place.folder, "password")
  const password = yield* Files.attempt(`read ${file}`, () => fs.readFileSync(file, "utf8"))

  for (let failures = 0;; failures++) {
    const port = options.port ?? (yield* freePort)
    const settings = { ...defaults, ...options.settings, port }
    const keeper = yield* Effect.acquireRelease(keep(place, settings), (keeper) => keeper.stop)
    const isReady = yield* Effect.raceFirst(untilReady(place, keeper), keeper.ended)
    if (isReady === true) {
      keeper.letGo()
      return {
        url: (database = "postgres") =>
          Redacted.make(`postgres://belfry:${password}@127.0.0.1:${port}/${database}`),
        port,
        pid: yield* keeper.pid,
        folder: place.folder,
        stop: keeper.stop,
        lost: Effect.flatMap(
          keeper.ended,
          (how) => how === "asked" ? Effect.never : Effect.flatMap(tail(place), endedByItself),
        ),
      } satisfies LocalServer
    }
    yield* keeper.stop
    const log = yield* tail(place)
    const again = isPortTaken(log) && options.port === undefined && failures < 5 ||
      isMemoryHeld(log) && failures < 50
    if (!again) return yield* didNotStart(place, options, log)
    yield* Effect.sleep("100 millis")
  }
})

const isPortTaken = (log: string) => log.includes("could not bind")

/** The processes of a server that was killed take a moment to notice. */
const isMemoryHeld = (log: string) => log.includes("pre-existing shared memory block")

const didNotStart = ({ data, folder }: Place, { port }: Options, log: string) => {
  if (isPortTaken(log)) {
    return new LocalServerUnavailable({
      reason: `Port ${port} of 127.0.0.1 is taken`,
      remedy: "choose another port, or none",
    })
  }
  // Of two that start at once one begins the log anew, and what the other was told is gone.
  if (isMemoryHeld(log) || log.includes('lock file "postmaster.pid"') || isHeld(data)) {
    return inUse(data)
  }
  return new LocalServerUnavailable({
    reason: `PostgreSQL did not start in ${folder}: ${log}`,
    remedy: "the reason is what the server itself says",
  })
}

const endedByItself = (log: string) =>
  new LocalServerUnavailable({
    reason: `PostgreSQL has ended: ${log}`,
    remedy: "the reason is what the server itself says; start it again",
  })

/** The end of the server's log. */
const tail = ({ folder }: Place) =>
  Effect.sync(() => {
    try {
      const lines = fs.readFileSync(join(folder, "log"), "utf8").trim().split("\n")
      return lines.slice(-10).join("\n").slice(-2000) || "its log is empty"
    } catch {
      return "it left no log"
    }
  })

const freePort = Effect.callback<number, LocalServerUnavailable>((resume) => {
  const probe = createServer()
  probe.on("error", (cause) =>
    resume(
      new LocalServerUnavailable({
        reason: `No port of 127.0.0.1 is free: ${cause.message}`,
        remedy: "see that the loopback interface is up",
        cause,
      }),
    ))
  probe.listen(0, "127.0.0.1", () => {
    const address = probe.address()
    const port = typeof address === "object" && address ? address.port : 0
    probe.close(() => resume(Effect.succeed(port)))
  })
})

interface Keeper {
  /** The server's process id, once it runs. */
  readonly pid: Effect.Effect<number, LocalServerUnavailable>
  /** Waits for the end of the server. */
  readonly ended: Effect.Effect<"asked" | "by itself", LocalServerUnavailable>
  /** A server that nobody stops is no reason for us to go on living; it ends with us. */
  readonly letGo: () => void
  /** Returns when server and keeper are gone. */
  readonly stop: Effect.Effect<void>
}

/**
 * Runs a server, says its process id and later its end.
 *
 * It is asked to stop by two lines, for it has two readers, and the one that dies may take half a
 * line along. When the pipe just ends we are dead, and it removes the temporary folder for us. The
 * signal is repeated, because a server that is just starting does not hear it yet. A shutdown that
 * takes longer than 30 seconds is cut short, which loses nothing: the next start recovers from the
 * write-ahead log.
 */
const keeperScript = `
folder=$1 log=$2; shift 2
exec 3<&0
"$@" </dev/null >"$log" 2>&1 3<&- &
server=$!
{
  read -r _ <&3
  tenths=0
  while :; do
    if [ $tenths -lt 300 ]; then kill -INT $server
    elif [ $tenths -lt 350 ]; then kill -QUIT $server
    else kill -KILL $server; fi
    sleep 0.1
    tenths=$((tenths + 1))
  done
} >/dev/null 2>&1 &
watcher=$!
trap '' PIPE
echo $server
wait $server
kill $watcher
wait $watcher
echo ended
asked=
while read -r word <&3; do [ "$word" = stop ] && asked=yes; done
[ "$asked" ] || [ -z "$folder" ] || rm -rf "$folder"
`

const keep = (place: Place, settings: Settings) =>
  Effect.sync((): Keeper => {
    const log = join(place.folder, "log")
    if (fs.existsSync(log)) fs.renameSync(log, `${log}.before`)
    const stranger = strangerIn(place.data)
    const child = spawn("/bin/sh", [
      "-c",
      keeperScript,
      "belfry-postgres-keeper",
      place.isTemporary ? place.folder : "",
      log,
      place.binaries.postgres,
      ...["-D", place.data],
      ...["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ], {
      ...place.account,
      cwd: "/",
      detached: true,
      stdio: ["pipe", "pipe", "ignore"],
      env: {
        ...plainEnvironment(),
        // A process named here holds no data, says PostgreSQL, even if `postmaster.pid` names it.
        ...stranger !== undefined && { PG_GRANDPARENT_PID: String(stranger) },
      },
    })
    const pid = Deferred.makeUnsafe<number, LocalServerUnavailable>()
    const ended = Deferred.makeUnsafe<"asked" | "by itself", LocalServerUnavailable>()
    const gone = Deferred.makeUnsafe<void>()

    let isAsked = false
    const end = () => Deferred.doneUnsafe(ended, Effect.succeed(isAsked ? "asked" : "by itself"))

    let said = ""
    child.stdout.on("data", (chunk) => {
      said += chunk
      const [first, second] = said.split("\n")
      if (said.includes("\n")) Deferred.doneUnsafe(pid, Effect.succeed(Number(first)))
      if (second === "ended") end()
    })
    // The server may end, and its keeper be killed, before they are asked to stop.
    child.stdin.on("error", () => {})
    child.on("error", (cause) => {
      const failure = new LocalServerUnavailable({
        reason: `Could not run /bin/sh to keep the server: ${cause.message}`,
        remedy: "see that there is a shell, and that processes may be started",
        cause,
      })
      Deferred.doneUnsafe(pid, failure)
      Deferred.doneUnsafe(ended, failure)
      Deferred.doneUnsafe(gone, Effect.void)
    })
    child.on("close", () => {
      end()
      Deferred.doneUnsafe(gone, Effect.void)
    })
    return {
      pid: Deferred.await(pid),
      ended: Deferred.await(ended),
      letGo: () => unref(child, child.stdin, child.stdout),
      stop: Effect.suspend(() => {
        isAsked = true
        child.ref()
        child.stdin.end("stop\nstop\n")
        return Deferred.await(gone)
      }),
    }
  })

/** Pipes are sockets, though their type does not say so. */
const unref = (...handles: ReadonlyArray<object>) => {
  for (const handle of handles) {
    if ("unref" in handle && typeof handle.unref === "function") handle.unref()
  }
}

/** Recovery after a crash takes as long as there is log to replay, at most 1 GB by default. */
const untilReady = Effect.fnUntraced(function* (place: Place, keeper: Keeper) {
  const pid = yield* keeper.pid
  for (let hundredths = 0; hundredths < 12_000; hundredths++) {
    const holder = yield* Files.attempt(`read ${place.data}`, () => readHolder(place.data))
    // Until the server has replaced it, the file may be that of an earlier one.
    // A server that follows another one is no less ready to be asked.
    if (holder?.pid === pid && ["ready", "standby"].includes(holder.status ?? "")) return true
    yield* Effect.sleep("10 millis")
  }
  return yield* new LocalServerUnavailable({
    reason: `PostgreSQL was not ready within two minutes: ${yield* tail(place)}`,
    remedy: "see its log, and that the machine is not overloaded",
  })
})
