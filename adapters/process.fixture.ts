/** A module as a process of its own, which may be stopped or killed, and is with the scope. For tests. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { until } from "../core/contract/program.ts"

const isDeno = "Deno" in globalThis

/** Its lines so far are in `lines`. */
export const processOf = (module: URL, ...words: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const all = [...(isDeno ? ["run", "-A"] : []), fileURLToPath(module), ...words]
      const child = spawn(process.execPath, all, { stdio: ["ignore", "pipe", "inherit"] })
      const lines: Array<string> = []
      let rest = ""
      child.stdout.setEncoding("utf8").on("data", (some: string) => {
        const parts = `${rest}${some}`.split("\n")
        rest = parts.pop()!
        lines.push(...parts)
      })
      const ended = once(child, "exit")
      return {
        lines,
        ended: Effect.promise(() => ended),
        // Under Deno the end of a child that `child.kill` has stopped is never told.
        signal: (name: NodeJS.Signals) =>
          Effect.sync(() => {
            if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, name)
          }),
      }
    }),
    ({ ended, signal }) =>
      signal("SIGKILL").pipe(Effect.andThen(signal("SIGCONT")), Effect.andThen(ended)),
  )

/** Its lines that begin so, when there is one. */
export const said = (lines: ReadonlyArray<string>, word: string) =>
  until(
    Effect.sync(() => lines.filter((line) => line.startsWith(word))),
    ({ length }) => length > 0,
  )
