/** A thread of this process, which may load TypeScript beside others. */
import { setFlagsFromString } from "node:v8"
import { Worker, type WorkerOptions } from "node:worker_threads"

export const make = (entry: URL, options: WorkerOptions): Worker => {
  if (!isDeno) keepWrappers()
  return new Worker(entry, options)
}

const isDeno = "Deno" in globalThis

/**
 * Node takes types away by a WebAssembly module of each thread, which all share their compiled
 * code. V8 compiles a call from there to JavaScript anew when it comes for the thousandth time, and
 * a thread that ends meanwhile can free what that compiles to: the whole process ends, by `SIGSEGV`
 * or `Check failed` in `Runtime_TierUpWasmToJSWrapper`. Seen on Node 24.21 (V8 13.6), also where
 * nobody is terminated: once in some 650 threads of 150 modules each; with the bound at 1 to 10, in
 * four of six half minutes of small ones, and in none of six with the bound out of reach. Then
 * nothing is compiled anew, which loading a module is too short to notice.
 */
const keepWrappers = () => setFlagsFromString(`--wasm-wrapper-tiering-budget=${2 ** 31 - 1}`)
