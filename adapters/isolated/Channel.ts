/** A thread or a process at the other end of a channel, on Node and on Deno. */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type * as child from "./child.ts"
import type { Opening, Order, Word } from "./messages.ts"
import * as Thread from "./Thread.ts"

export interface Channel {
  readonly send: (order: Order) => void
  /** Ends it, whatever it does. */
  readonly kill: () => void
  /** Whether the program may end while it is there. */
  readonly hold: (isHeld: boolean) => void
}

export interface Listener {
  readonly onWord: (word: Word) => void
  /** It has ended by itself: in what way. Not said of one that was killed. */
  readonly onEnd: (how: string) => void
}

export interface Bounds {
  readonly memoryMegabytes: number | undefined
}

/** Where a place begins. What it exports is named only so that it is built with the rest. */
export const entry: string = new URL("./child.ts", import.meta.url).href satisfies child.Url

/** The variable that a process finds its opening in. */
export const variable = "BELFRY_ISOLATED"

export const openThread = (
  opening: Opening,
  { memoryMegabytes }: Bounds,
  { onEnd, onWord }: Listener,
): Channel => {
  const worker = Thread.make(new URL(entry), {
    workerData: opening,
    ...(memoryMegabytes !== undefined && {
      resourceLimits: { maxOldGenerationSizeMb: memoryMegabytes },
    }),
  })
  let isOver = false
  const end = (how: string) => {
    if (isOver) return
    isOver = true
    onEnd(how)
  }
  worker.on("message", onWord)
  worker.on("error", (error) => end(`its thread failed: ${wordsOf(error)}`))
  worker.on("messageerror", (error) => end(`its thread was not understood: ${wordsOf(error)}`))
  worker.on("exit", (code) => end(`its thread ended with code ${code}`))
  return {
    send: (order) => worker.postMessage(order),
    kill: () => {
      isOver = true
      void worker.terminate()
    },
    hold: (isHeld) => isHeld ? worker.ref() : worker.unref(),
  }
}

export const openProcess = (
  opening: Opening,
  { memoryMegabytes }: Bounds,
  { onEnd, onWord }: Listener,
): Channel => {
  const bound = memoryMegabytes === undefined ? [] : [`--max-old-space-size=${memoryMegabytes}`]
  const process: ChildProcess = fork(fileURLToPath(entry), [], {
    env: { ...globalThis.process.env, [variable]: JSON.stringify(opening) },
    execArgv: isDeno ? bound.map((flag) => `--v8-flags=${flag}`) : bound,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  })
  let isOver = false
  const end = (how: string) => {
    if (isOver) return
    isOver = true
    onEnd(how)
  }
  process.on("message", (word) => onWord(word as Word))
  process.on("error", (error) => end(`its process failed: ${wordsOf(error)}`))
  process.on("exit", (code, signal) =>
    end(
      signal === null
        ? `its process ended with code ${code}`
        : `its process was ended by ${signal}`,
    ))
  return {
    // A process that has just ended hears nothing, and its end is told.
    send: (order) => void process.send?.(order, () => {}),
    kill: () => {
      isOver = true
      process.kill("SIGKILL")
    },
    hold: (isHeld) => {
      if (isHeld) process.ref()
      else process.unref()
      const channel = process.channel as { ref?: () => void; unref?: () => void } | null | undefined
      if (isHeld) channel?.ref?.()
      else channel?.unref?.()
    },
  }
}

const isDeno = "Deno" in globalThis

const wordsOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
