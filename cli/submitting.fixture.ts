/** A task that submits others and waits for them, for tests of the command line. */
import { Effect, Layer, Schema } from "effect"
import { Task } from "../core/mod.ts"

const Part = Task.make("part", { payload: { nth: Schema.Int }, success: Schema.Int })

/** Each part is submitted once the one before has ended, so that it goes on for a while. */
const Whole = Task.make("whole", { payload: { parts: Schema.Int }, success: Schema.Int })

export default Layer.mergeAll(
  Part.toLayer(({ nth }) => Effect.as(Effect.sleep("20 millis"), nth)),
  Whole.toLayer(({ parts }) =>
    Effect.orDie(Effect.reduce(
      Array.from({ length: parts }, (_, at) => at + 1),
      () => 0,
      (sum, nth) => Effect.map(Part.execute({ nth }), (part) => sum + part),
    ))
  ),
)
