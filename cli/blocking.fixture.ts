/** A task that keeps the processor, for tests of the command line. */
import { Effect, Schema } from "effect"
import { Task } from "../core/mod.ts"

const Blocks = Task.make("blocks", { payload: { millis: Schema.Int } })

export default Blocks.toLayer(({ millis }) =>
  Effect.sync(() => {
    const until = performance.now() + millis
    while (performance.now() < until);
  })
)
