/** That locks are held by whom they were, and fences rise. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { Lock } from "../../services/Lock.ts"
import type { Passage } from "./Passage.ts"

export const locks = <R, R2>({ after, to }: Passage<R, R2>): void => {
  after(
    "X10 locks: fences rise, and who held one holds it",
    ({ free, held }) =>
      Effect.gen(function* () {
        const lock = yield* Lock
        const ada = Option.getOrThrow(yield* lock.acquire(free, "ada", Duration.minutes(1)))
        assert.strictEqual(ada.fence, 4)
        assert.isTrue(Option.isNone(yield* lock.acquire(held, "bob", Duration.minutes(1))))
        yield* to.elapse(Duration.minutes(11))
        const bob = Option.getOrThrow(yield* lock.acquire(held, "bob", Duration.minutes(1)))
        assert.strictEqual(bob.fence, 2)
      }),
  )
}
