/** A process that wants all duties and says so, line by line. Run by the tests, to be killed. */
import { Effect, Layer, Redacted } from "effect"
import { Ownership } from "../core/services/Ownership.ts"
import * as ClusterOwnership from "./ClusterOwnership.ts"

const say = (event: string, duty: string) => console.log(JSON.stringify({ event, duty }))

const Work = Layer.effectDiscard(Effect.gen(function* () {
  const { whileHeld } = yield* Ownership
  for (const duty of ClusterOwnership.duties) {
    const work = Effect.acquireUseRelease(
      Effect.sync(() => say("began", duty)),
      () => Effect.never,
      () => Effect.sync(() => say("ended", duty)),
    )
    yield* Effect.forkScoped(whileHeld(duty, work))
  }
}))

const config = { url: Redacted.make(process.argv[2]!), schema: process.argv[3]! }
const main = Effect.runFork(
  Layer.launch(Work.pipe(Layer.provide(ClusterOwnership.layerMigrated(config)))),
)
main.addObserver((exit) => {
  if (exit._tag === "Failure") console.error(String(exit.cause))
  process.exit(exit._tag === "Failure" ? 1 : 0)
})
process.on("SIGTERM", () => main.interruptUnsafe())
