/**
 * Q21: with each beat an executor and the storage compare what it has in hand, and a difference that stays
 * is mended: nothing is running for longer than two beats with nobody who carries it out.
 *
 * Tried, and caught: no reconciling after a beat that differs; what is not known left with its holder; what
 * has passed on going on where it was.
 */
import { assert } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import type { Claimed } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import { Transport } from "../../services/Transport.ts"
import { behind, type Between } from "../behind.ts"
import { serving, state, type Test, until } from "../program.ts"

/** It beats every half second. */
const ttl = "2 seconds"

/** An executor over a transport that has the answers pass through `alter`, with its beats counted. */
const servingAltered = (
  alter: (name: string, answer: unknown) => unknown,
  ...[handlers]: Parameters<typeof serving<never>>
) =>
  Effect.gen(function* () {
    const beats = { answered: 0 }
    const between: Between = (name, call) =>
      Effect.map(call, (answer) => {
        if (name === "beat") beats.answered++
        return alter(name, answer) as typeof answer
      })
    const transport = behind(yield* Transport, between)
    yield* Effect.provideService(serving(handlers, { ttl }), Transport, transport)
    return beats
  })

export const agreed = (test: Test): void => {
  test("Q21: what is running by the storage alone is so for two beats at most, and is then carried out", () =>
    Effect.gen(function* () {
      const task = Task.make("forgotten")
      let begun = 0
      let forgotten = 0
      // The first grant never gets to who is to carry it out, as if it had been dropped there.
      const beats = yield* servingAltered(
        (name, answer) => {
          if (name !== "round" || forgotten > 0) return answer
          const claimed = answer as Claimed
          forgotten += claimed.grants.length
          return { ...claimed, grants: [] }
        },
        task.toLayer(() => Effect.sync(() => void begun++)),
      )
      yield* until(Effect.sync(() => beats.answered), (answered) => answered > 0)
      const run = yield* task.submit({})
      yield* until(state(run), ({ fence }) => fence === 1)
      const from = beats.answered
      const released = yield* until(
        Effect.all({ view: state(run), at: Effect.sync(() => beats.answered) }),
        ({ view }) => view.state !== "Running" || view.fence > 1,
      )
      // The first may have been on its way as it was granted.
      assert.isAtMost(released.at - from, 2)
      yield* task.result(run)
      assert.deepStrictEqual([forgotten, begun], [1, 1])
      const events = yield* Scheduler.use((scheduler) => scheduler.events(run))
      const told = events.map(({ detail, kind }) => detail === undefined ? kind : [kind, detail])
      assert.deepStrictEqual(told, [
        "Submitted",
        "Claimed",
        ["Released", "its holder does not know of it"],
        "Claimed",
        "Succeeded",
      ])
    }))

  test("Q21: what goes on by its executor alone is stopped there within two beats", () =>
    Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const { executors, runs } = yield* Storage
      const task = Task.make("passed-on")
      const stopped = yield* Deferred.make<void>()
      const beats = yield* servingAltered(
        (_, answer) => answer,
        task.toLayer(() =>
          Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, undefined))
        ),
      )
      const run = yield* task.submit({})
      yield* until(state(run), ({ state }) => state === "Running")
      yield* Effect.sleep("100 millis")
      const [self] = yield* executors.list(namespace)
      const { fence } = yield* state(run)
      // Somebody else has said in its name how it ended.
      const from = beats.answered
      const { settled } = yield* runs.settle(self!.incarnation, [{ _tag: "Succeed", run, fence }])
      assert.deepStrictEqual(settled, ["applied"])
      yield* Deferred.await(stopped)
      assert.isAtMost(beats.answered - from, 2)
      assert.strictEqual((yield* executors.list(namespace))[0]!.standing, "live")
    }))
}
