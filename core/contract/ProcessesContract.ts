/**
 * Several processes over one storage, at once and one after another, as tests: each opens the storage for
 * itself, and what is kept is all that they share.
 *
 * Tried on SQLite, and caught: who came last let pass first; slots that fire although others have fired them.
 */
import { assert, type Vitest } from "@effect/vitest"
import { Duration, Effect, Layer, Schema, Scope } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import { CurrentNamespace } from "../engine/CurrentNamespace.ts"
import { CurrentRun } from "../engine/CurrentRun.ts"
import * as LocalOwnership from "../engine/LocalOwnership.ts"
import * as Task from "../engine/Task.ts"
import { Triggers } from "../engine/Triggers.ts"
import { Storage } from "../services/Storage.ts"
import { Transport } from "../services/Transport.ts"
import { behind } from "./behind.ts"
import { type Base, engine, inFreshNamespace, type Program, serving, until } from "./program.ts"
import { block, type Elapse, times } from "./world.ts"

/**
 * `place` is where the storage is, and `opened` opens it, as often as it is built. `elapse` lets time go by
 * for all who have it open.
 */
export const suite = <R, E, E2>(
  adapter: string,
  place: Layer.Layer<R, E>,
  opened: Layer.Layer<Base, E2, R>,
  elapse: Elapse<R>,
): void =>
  block(`processes, ${adapter}`, place, { runner: "live" }, (it) => {
    restarted(it, opened)
    raced(it, opened, elapse)
  })

type Tests<R> = Vitest.MethodsNonLive<R>

const restarted = <R, E>(it: Tests<R>, opened: Layer.Layer<Base, E, R>): void => {
  it.effect("A25, Q22 FIFO: on one slot runs begin in order of arrival, also after restarts", () =>
    inFreshNamespace(Effect.gen(function* () {
      const task = Task.make("in-order", {
        payload: { n: Schema.Int },
        policy: { blocking: Blocking.fifo },
      })
      const begun: Array<number> = []
      let stopsAt: number | undefined
      const handler = task.toLayer(({ n }) => {
        begun.push(n)
        return n === stopsAt ? Effect.never : Effect.void
      })
      let count = 0
      const submit = (more: number) =>
        Effect.forEach(times(more), () => task.submit({ n: count++ }))
      /** A scheduler, and executors if there are any, until all is closed. */
      const life = <A, E>(
        process: Effect.Effect<A, E, Program | Scope.Scope>,
      ): Effect.Effect<A, unknown, R> =>
        Effect.provide(
          Effect.scoped(process),
          Layer.fresh(Layer.provideMerge(engine, opened)),
        )
      const serve = Effect.forEach(
        ["a", "b"],
        (name) => serving(handler, { name, ttl: "2 seconds", drainTimeout: "50 millis" }),
      )
      const begins = (n: number) => until(Effect.sync(() => begun.at(-1)), (last) => last === n)

      // Nobody is there but who submits.
      yield* life(submit(4))
      // All stop in order, in the middle of the third.
      stopsAt = 2
      yield* life(Effect.gen(function* () {
        yield* serve
        yield* begins(2)
        yield* submit(2)
      }))
      // All are gone without a word, in the middle of the fifth.
      stopsAt = 4
      yield* life(Effect.gen(function* () {
        let isGone = false
        const transport = behind(
          yield* Transport,
          (_, call) => Effect.suspend(() => isGone ? Effect.never : call),
        )
        yield* serve.pipe(
          Effect.provideService(Transport, transport),
          Scope.provide(yield* Scope.make()),
        )
        yield* begins(4)
        yield* submit(2)
        isGone = true
      }))
      stopsAt = undefined
      yield* life(Effect.gen(function* () {
        const last = yield* submit(1)
        yield* serve
        yield* task.result(last[0]!)
      }))
      // What was cut off begins anew, and with the one of the two that stops last perhaps once more.
      const inTurn = begun.filter((n, at) => n !== begun[at - 1])
      assert.deepStrictEqual(inTurn, [0, 1, 2, 3, 4, 5, 6, 7, 8])
      assert.deepStrictEqual(begun.filter((n) => n === 4), [4, 4], "the fifth was lost, and found")
    })))
}

const raced = <R, E>(
  it: Tests<R>,
  opened: Layer.Layer<Base, E, R>,
  elapse: Elapse<R>,
): void =>
  it.effect("J24: three schedulers race for 10,000 slots, and each slot fires once", () =>
    inFreshNamespace(Effect.gen(function* () {
      const namespace = yield* CurrentNamespace
      const task = Task.make("raced")
      const processes = yield* Effect.forEach(times(3), () => Layer.build(Layer.fresh(opened)))
      const { now, runs, triggers } = yield* Effect.provide(Storage, processes[0]!)
      const from = Math.ceil((yield* now) / 1000) * 1000 + 60_000
      for (const nth of times(100)) {
        yield* triggers.put(
          new TriggerDefinition({
            namespace,
            name: TriggerName.make(`nr-${nth}`),
            task: task.name,
            schedule: { _tag: "Every", millis: 1000, start: from, end: from + 100_000 },
            payload: "{}",
            misfire: { _tag: "All", max: 100 },
          }),
        )
      }
      const planner = Layer.provide(Triggers.layer, LocalOwnership.layer)
      for (const process of processes) {
        yield* Effect.provide(Layer.build(Layer.fresh(planner)), process)
      }
      yield* elapse(Duration.minutes(3))
      const begun: Array<number> = []
      yield* Effect.provide(
        serving(
          task.toLayer(() => CurrentRun.use(({ id }) => Effect.sync(() => begun.push(id)))),
          { concurrency: 100 },
        ),
        processes[0]!,
      )
      yield* until(runs.counts(namespace), ({ Succeeded = 0 }) => Succeeded >= 10_000)
      const views = yield* runs.list({ namespace, limit: 20_000 })
      assert.strictEqual(views.length, 10_000)
      assert.strictEqual(
        new Set(views.map(({ slot, trigger }) => `${trigger} ${slot}`)).size,
        10_000,
      )
      assert.isTrue(views.every(({ attempt, fence }) => attempt === 1 && fence === 1))
      assert.deepStrictEqual([begun.length, new Set(begun).size], [10_000, 10_000])
    })))
