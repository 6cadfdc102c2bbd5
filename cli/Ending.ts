/**
 * How a process of ours ends. The first signal asks: what runs may finish. The second kills. And a
 * process that another one of ours started ends with it, however that one ended.
 */
import { exitCodes } from "./Problem.ts"

let asked: { readonly signal: string; readonly at: number } | undefined
let onAsked = (_signal: string) => {}

/** Signals closer than this are one: a terminal and a parent process may both have sent it. */
const oneMillis = 300

/** Asked to stop by a supervisor, and stopped in order: that is success. */
export const interruptedCode = () => asked?.signal === "SIGTERM" ? 0 : exitCodes.interrupted

export const isAsked = () => asked !== undefined

/** Called once, at the first signal. */
export const whenAsked = (say: (signal: string) => void) => {
  onAsked = say
}

export const listen = () => {
  const ask = (signal: string) => {
    if (asked === undefined) {
      asked = { signal, at: performance.now() }
      return onAsked(signal)
    }
    if (performance.now() - asked.at > oneMillis) process.exit(exitCodes.interrupted)
  }
  process.on("SIGINT", () => ask("SIGINT"))
  process.on("SIGTERM", () => ask("SIGTERM"))
  process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
  if (process.channel !== undefined) {
    process.on("disconnect", () => process.kill(process.pid, "SIGTERM"))
    // Listening alone must not keep the process alive.
    process.channel.unref()
  }
}
