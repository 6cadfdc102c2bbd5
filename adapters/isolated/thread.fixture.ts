/** A program that loads TypeScript in a thread, where V8 would compile calls anew at once. */
import { once } from "node:events"
import { setFlagsFromString } from "node:v8"
import * as Thread from "./Thread.ts"

setFlagsFromString("--wasm-wrapper-tiering-budget=1")
await once(Thread.make(new URL("./messages.ts", import.meta.url), {}), "exit")
