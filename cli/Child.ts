/**
 * A process of ours, started by another one of ours. They talk over the channel that Node gives
 * them; when it closes, the child knows that its parent is gone, however it went, and ends itself.
 *
 * A child has a session of its own: Control-C in a terminal reaches only the parent, which ends the
 * children in the right order. When the parent itself is told to end at once, it kills them.
 */
import { type ChildProcess, spawn as spawnProcess } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Deferred, Duration, Effect, type Scope } from "effect"

/** What a child says of itself. */
export type Word =
  | { readonly _tag: "Ready"; readonly url?: string; readonly tasks?: ReadonlyArray<string> }
  /** It cannot go on; its problem, as people read it, and its exit code. */
  | { readonly _tag: "Failed"; readonly what: string; readonly exitCode: number }
  /** The files it has loaded. */
  | { readonly _tag: "Loaded"; readonly files: ReadonlyArray<string> }

/** Whether another process of ours speaks for this one. */
export const hasParent = () => process.env["BELFRY_CHILD"] !== undefined

/** Tells the parent, if there is one. */
export const tell = (word: Word) => {
  if (process.connected) process.send?.(word)
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Child {
  readonly pid: number
  readonly ended: Effect.Effect<Ended>
}

export interface Options {
  readonly words: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly onWord?: (word: Word) => void
  /** A line that it wrote to either of its outputs. */
  readonly onLine?: (line: string) => void
  /** It is killed if it has not ended so long after it was asked to. */
  readonly patience?: Duration.Input
}

const lastWordsMillis = 1000

const alive = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL")
})

const entry = fileURLToPath(new URL("./belfry.mjs", import.meta.url))

/** A child that is asked to end with the scope, and waited for. */
export const spawn = (options: Options): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(Effect.sync(() => start(options)), ({ child, ended }) =>
      Effect.gen(function* () {
        if (child.exitCode !== null || child.signalCode !== null) {
          return
        }
        child.kill("SIGTERM")
        const isOver = yield* Effect.timeoutOption(
          Deferred.await(ended),
          options.patience ?? "20 seconds",
        )
        if (isOver._tag === "None") {
          child.kill("SIGKILL")
        }
        yield* Deferred.await(ended)
      })),
    ({ child, ended }) => ({ pid: child.pid ?? 0, ended: Deferred.await(ended) }),
  )

const start = ({ env, onLine, onWord, words }: Options) => {
  const child = spawnProcess(process.execPath, [entry, ...words], {
    env: { ...process.env, BELFRY_CHILD: "1", ...env },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    detached: true,
  })
  alive.add(child)
  const ended = Deferred.makeUnsafe<Ended>()
  const end = (code: number | null, signal: NodeJS.Signals | null) => {
    alive.delete(child)
    Deferred.doneUnsafe(ended, Effect.succeed({ code, signal }))
  }
  // What it said last may come after its exit code, unless somebody else keeps its outputs open.
  child.on("close", end)
  child.on("exit", (code, signal) => void setTimeout(end, lastWordsMillis, code, signal).unref())
  child.on("error", () => end(null, null))
  child.on("message", (word) => onWord?.(word as Word))
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface({ input: stream }).on("line", (line) => onLine?.(line))
  }
  return { child, ended }
}
