/**
 * The folder `.belfry` of a project: its data, and where its server is. Nothing in it is for git,
 * and the files with a token or a password are for their owner only.
 */
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { dirname, join, resolve } from "node:path"
import { Problem } from "./Problem.ts"

export interface ServerRecord {
  /** One per scheduler; any will do. */
  readonly urls: ReadonlyArray<string>
  readonly token: string
  readonly pid: number
  readonly role: "dev" | "server" | "cluster"
  readonly startedAt: string
}

export const name = ".belfry"

/** The folder, made if it is not there. */
export const open: Effect.Effect<string, Problem> = Effect.suspend(() => {
  const folder = resolve(name)
  try {
    fs.mkdirSync(folder, { recursive: true })
    const ignore = join(folder, ".gitignore")
    if (!fs.existsSync(ignore)) fs.writeFileSync(ignore, "*\n")
    return Effect.succeed(folder)
  } catch (cause) {
    return Effect.fail(
      new Problem({
        kind: "failed",
        what: `the folder ${folder} cannot be made: ${(cause as Error).message}`,
        fix: "run this in a folder that you may write to",
      }),
    )
  }
})

/** The nearest folder, here or above. */
export const find = (start = "."): string | undefined => {
  for (let at = resolve(start);; at = dirname(at)) {
    const folder = join(at, name)
    if (fs.existsSync(folder)) return folder
    if (at === dirname(at)) return undefined
  }
}

/** Written whole or not at all: a reader never sees half of it. */
const writeSecret = (file: string, text: string) => {
  const making = `${file}.${process.pid}`
  fs.writeFileSync(making, text, { mode: 0o600 })
  fs.renameSync(making, file)
}

/** The token of this place: made once, so that it outlives restarts. */
export const token = (folder: string): string => {
  const file = join(folder, "token")
  if (!fs.existsSync(file)) writeSecret(file, randomBytes(24).toString("base64url"))
  return fs.readFileSync(file, "utf8").trim()
}

const recordFile = (folder: string) => join(folder, "server.json")

export const writeRecord = (folder: string, record: ServerRecord) =>
  writeSecret(recordFile(folder), `${JSON.stringify(record, undefined, 2)}\n`)

export const readRecord = (folder: string): ServerRecord | undefined => {
  try {
    const record = JSON.parse(fs.readFileSync(recordFile(folder), "utf8"))
    return Array.isArray(record.urls) && typeof record.token === "string" ? record : undefined
  } catch {
    return undefined
  }
}

/** Removes the record, unless another process has written its own since. */
export const removeRecord = (folder: string) => {
  if (readRecord(folder)?.pid === process.pid) fs.rmSync(recordFile(folder), { force: true })
}

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "EPERM"
  }
}
