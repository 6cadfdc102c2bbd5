/**
 * The tasks of which an executor claims nothing for a while, since it has given a run of them back: others
 * can have it. When it drains it claims nothing of any.
 */
import { Effect, Latch } from "effect"
import type { TaskName } from "../domain/Task.ts"

const restMillis = 5000

export class Resting {
  readonly #tasks = new Set<TaskName>()
  readonly #hasAny = Latch.makeUnsafe()
  /** It drains. */
  isAll = false

  has(task: TaskName): boolean {
    return this.isAll || this.#tasks.has(task)
  }

  add(task: TaskName): void {
    this.#tasks.add(task)
    this.#hasAny.openUnsafe()
  }

  /** Ends the rest of all at once, again and again. */
  ending(onEnd: () => void): Effect.Effect<never> {
    return Effect.forever(Effect.gen({ self: this }, function* () {
      yield* this.#hasAny.await
      yield* this.#hasAny.close
      yield* Effect.sleep(restMillis)
      this.#tasks.clear()
      onEnd()
    }))
  }
}
