/** I23: submits are held back while many wait, wherever they wait. */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import * as Group from "../../domain/Group.ts"
import type { RunId } from "../../domain/RunId.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import * as Task from "../../engine/Task.ts"
import { serving, type Test, until } from "../program.ts"
import { fresh } from "../world.ts"

const payload = { key: Schema.String }
const backlog = { high: 3, low: 1 }
const blockingKey = ({ key }: { readonly key: string }) => key

/** Ways to wait at a gate. */
const gated = {
  "in a queue": () =>
    Task.make(fresh("flooded"), { payload, policy: { backlog, blocking: Blocking.fifo } }),
  "in a queue of each key": () =>
    Task.make(fresh("flooded"), {
      payload,
      policy: { backlog, blocking: Blocking.fifo, blockingKey },
    }),
  "for fair shares": () =>
    Task.make(fresh("flooded"), {
      payload,
      policy: { backlog, blocking: Blocking.fair(1), blockingKey },
    }),
  "for what others touch": () =>
    Task.make(fresh("flooded"), {
      payload,
      policy: { backlog, touches: { [fresh("thing")]: "exclusive" } },
    }),
  "for a place of a group": () =>
    Task.make(fresh("flooded"), {
      payload,
      policy: { backlog, group: Group.make(fresh("few"), { limit: 1 }) },
    }),
  "in a queue, to be placed": () =>
    Task.make(fresh("flooded"), {
      payload,
      policy: { backlog, blocking: Blocking.fifo, routing: { _tag: "RoundRobin" } },
    }),
}

/** Longer than a count is taken for true. */
const counted = Effect.sleep("300 millis")

export const heldBack = (test: Test): void => {
  for (const [how, make] of Object.entries(gated)) {
    test(`I23 bounded: no more is taken in while many wait ${how}, and none of it is lost`, () =>
      Effect.gen(function* () {
        const task = make()
        const began: Array<RunId> = []
        const open = yield* Deferred.make<void>()
        // Two of one key, and one of another.
        const keys = ["a", "a", "b"]
        const accepted = yield* Effect.forEach(keys, (key) => task.submit({ key }))
        yield* counted
        const refused = yield* Effect.flip(task.submit({ key: "c" }))
        assert.strictEqual(refused._tag, "BacklogFull", "nobody serves it")

        const waiting = yield* Effect.forkChild(task.submit({ key: "c" }, { whenFull: "wait" }))
        yield* serving(
          task.toLayer(() =>
            CurrentRun.use(({ id }) =>
              Effect.andThen(Effect.sync(() => began.push(id)), Deferred.await(open))
            )
          ),
        )
        // Of three runs one waits if each key has a queue, and two if one of all is under way.
        const keyed = how === "in a queue of each key"
        yield* until(Effect.sync(() => began.length), (count) => count === (keyed ? 2 : 1))
        if (keyed) yield* Fiber.join(waiting)
        else {
          yield* Effect.sleep("600 millis")
          assert.isUndefined(waiting.pollUnsafe(), "there is room again with one that waits")
        }
        yield* Deferred.succeed(open, undefined)
        const last = yield* Fiber.join(waiting)
        for (const run of [...accepted, last]) yield* task.result(run)
        assert.sameMembers(began, [...accepted, last], "what was refused did not begin")
      }))
  }
}
