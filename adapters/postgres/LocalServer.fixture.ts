/** Starts a server, says where as a line of JSON, and stays. Run by the tests, to be killed. */
import { Effect } from "effect"
import * as LocalServer from "./LocalServer.ts"

const folder = process.argv[2] || undefined

await Effect.gen(function* () {
  const { pid, port, folder: place } = yield* LocalServer.start({
    folder,
    settings: { fsync: "off" },
  })
  console.log(JSON.stringify({ pid, port, folder: place }))
  yield* Effect.callback(() => {
    setInterval(() => {}, 1000)
  })
}).pipe(Effect.scoped, Effect.runPromise)
