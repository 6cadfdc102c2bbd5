/** Which ports of this machine are free. */
import { Effect } from "effect"
import { createServer } from "node:net"
import { Problem } from "./Problem.ts"

/** The port, or for `0` any that is free; `undefined` when it is taken. */
const probed = (host: string, port: number) =>
  Effect.callback<number | undefined>((resume) => {
    const probe = createServer()
    probe.on("error", () => resume(Effect.undefined))
    probe.listen(port, host, () => {
      const address = probe.address()
      const found = typeof address === "object" && address !== null ? address.port : port
      probe.close(() => resume(Effect.succeed(found)))
    })
  })

const looks = 100

/** The first that is free, from `first` on; any for `0`. */
export const nextFree = Effect.fnUntraced(function* (host: string, first: number) {
  for (let port = first; port < Math.min(first + looks, 65_536); port++) {
    const found = yield* probed(host, port)
    if (found !== undefined) return found
  }
  return yield* new Problem({
    kind: "failed",
    what: `no port from ${first} on is free at ${host}`,
    fix: "name another with --port; 0 takes any that is free",
  })
})
