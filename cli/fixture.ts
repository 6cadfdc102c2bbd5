/** For tests: the real command, as processes in a folder of its own. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const entry = fileURLToPath(new URL("./belfry.mjs", import.meta.url))

export interface Done {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A folder, and what runs in it; all of it ends with `end`. */
export class Place {
  readonly folder = mkdtempSync(join(tmpdir(), "belfry-cli-"))
  readonly #running = new Set<Running>()

  constructor() {
    // What LocalServer starts as another user must be able to get here.
    spawn("chmod", ["755", this.folder])
  }

  start(words: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}): Running {
    const clean = { ...process.env }
    for (const name of Object.keys(clean)) if (name.startsWith("BELFRY_")) delete clean[name]
    const running = new Running(
      spawn(process.execPath, [entry, ...words], {
        cwd: this.folder,
        // As npx starts it, whoever runs the tests: it tells commands as they can be copied.
        env: { ...clean, NO_COLOR: "1", npm_command: "exec", ...env },
        stdio: ["pipe", "pipe", "pipe"],
      }),
      words,
    )
    this.#running.add(running)
    return running
  }

  /** Runs a command to its end. */
  run(words: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}): Promise<Done> {
    return this.start(words, env).done
  }

  /** Its document: tests reach into it, and fail where it has another shape. */
  // deno-lint-ignore no-explicit-any
  async json(words: ReadonlyArray<string>): Promise<any> {
    const { code, err, out } = await this.run([...words, "--json"])
    if (code !== 0) throw new Error(`belfry ${words.join(" ")} ended with ${code}: ${err}`)
    return JSON.parse(out)
  }

  /** The REST answer of the first server that gives one: a fact at the price of no process. */
  // deno-lint-ignore no-explicit-any
  async ask(path: string, body?: unknown): Promise<any> {
    const { token, urls } = JSON.parse(
      readFileSync(join(this.folder, ".belfry", "server.json"), "utf8"),
    )
    for (const url of urls) {
      const answer = await fetch(`${url}/api/v1${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(5000),
      }).catch(() => undefined)
      if (answer?.ok) return await answer.json()
    }
  }

  async end() {
    for (const running of this.#running) running.kill("SIGTERM")
    await Promise.all([...this.#running].map(({ done }) => done))
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

export class Running {
  readonly child: ChildProcess
  readonly done: Promise<Done>
  readonly #words: ReadonlyArray<string>
  out = ""
  err = ""
  #hear = () => {}

  constructor(child: ChildProcess, words: ReadonlyArray<string>) {
    this.child = child
    this.#words = words
    child.stdout!.on("data", (chunk) => {
      this.out += chunk
      this.#hear()
    })
    child.stderr!.on("data", (chunk) => {
      this.err += chunk
      this.#hear()
    })
    this.done = new Promise((resolve) =>
      child.on("close", (code) => {
        this.#hear()
        resolve({ code, out: this.out, err: this.err })
      })
    )
  }

  get pid() {
    return this.child.pid!
  }

  get hasEnded() {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  kill(signal: NodeJS.Signals) {
    // Deno takes what `child.kill` sent for the way in which the child ended.
    if (!this.hasEnded) process.kill(this.pid, signal)
  }

  /** What `pattern` matches in what was written, as soon as it does. */
  async says(pattern: RegExp, withinMillis = 60_000): Promise<RegExpExecArray> {
    const until = Date.now() + withinMillis
    for (;;) {
      const found = pattern.exec(this.out) ?? pattern.exec(this.err)
      if (found !== null) return found
      if (this.hasEnded || Date.now() > until) {
        throw new Error(
          `belfry ${this.#words.join(" ")} did not say ${pattern}:\n${this.out}\n${this.err}`,
        )
      }
      await new Promise<void>((resolve) => {
        this.#hear = resolve
        setTimeout(resolve, 200)
      })
    }
  }
}

/** Waits for a fact. */
export const until = async (isSo: () => Promise<boolean>, withinMillis = 60_000) => {
  const end = Date.now() + withinMillis
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not so within ${withinMillis} ms: ${isSo}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
