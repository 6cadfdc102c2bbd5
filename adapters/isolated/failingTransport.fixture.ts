/** As `sqliteTransport.fixture.ts`, and the first beats of the thread fail; each is noted in a file, for tests. */
import { Effect, Layer } from "effect"
import { appendFileSync } from "node:fs"
import { behind } from "../../core/contract/behind.ts"
import { Transport, TransportUnavailable } from "../../core/services/Transport.ts"
import sqliteTransport from "./sqliteTransport.fixture.ts"

export interface Given {
  readonly file: string
  /** For so long after the first of them. */
  readonly failMillis: number
}

export default ({ failMillis, file }: Given) => {
  let firstAt: number | undefined
  const failing = Effect.map(
    Transport,
    (transport) =>
      behind(transport, (operation, call) =>
        Effect.suspend(() => {
          if (operation !== "beat") return call
          const now = performance.now()
          firstAt ??= now
          appendFileSync(file, `${Math.round(now - firstAt)}\n`)
          return now - firstAt < failMillis
            ? Effect.fail(new TransportUnavailable({ operation, cause: "closed" }) as never)
            : call
        })),
  )
  return Layer.provide(Layer.effect(Transport, failing), sqliteTransport)
}
