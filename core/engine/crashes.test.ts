/**
 * A process dies at each step in turn of all that it does for one slot: firing it, carrying its run
 * out, and the run that follows. Another one comes after it and finds what it left.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Scope } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind, type Between } from "../contract/behind.ts"
import { movableClock } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import * as Run from "../domain/Run.ts"
import { Storage } from "../services/Storage.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

const Step = Task.make("step")
const Next = Task.make("next")

/** What changes anything: to die at a look is to die before the change that comes next. */
const changes = [
  ...["admit", "claim", "conclude", "done", "fire", "follow", "join", "recover", "serve", "settle"],
  ...["start", "take"],
]

/** Whether somebody died at the change of this number, `isDone` or not; checks what is left then. */
const world = Effect.fnUntraced(function* (deadAt: number, isDone: boolean) {
  const clock = movableClock()
  const state = new Memory.MemoryState({ finished: 1000, records: 1000 })
  const memory = yield* Layer.build(Layer.provide(Memory.layerOver(state), clock.layer))
  const storage = Context.get(memory, Storage)
  const begun: Array<string> = []
  const program = Layer.mergeAll(
    Step.toLayer(() => Effect.sync(() => begun.push("step"))),
    Next.toLayer(() => Effect.sync(() => begun.push("next"))),
  ).pipe(
    Layer.provide(Executor.layerWith({ ttl: "2 seconds" })),
    Layer.provide(Direct.layer),
    Layer.merge(Layer.mergeAll(
      Triggers.layer,
      Scheduler.layerWith({ sweepInterval: "20 millis", dueInterval: "20 millis" }),
    )),
    Layer.provide(LocalOwnership.layer),
  )
  const begin = (between: Between) =>
    Layer.build(Layer.fresh(program)).pipe(
      Effect.provideContext(Context.add(memory, Storage, behind(storage, between))),
    )
  const runs = () => [...state.runs.values()]
  const records = () =>
    [...state.triggers.values()].find(({ view }) => view.definition.name === "once")!.records
  const isOver = () =>
    runs().length === 2 && runs().every(({ state: { _tag } }) => Run.isFinal(_tag))

  const now = yield* storage.now
  const shared = { namespace: standard, payload: "{}" }
  yield* Triggers.use(({ put }) =>
    Effect.all([
      put({ ...shared, name: "once", task: Step.name, schedule: Trigger.at(new Date(now + 9000)) }),
      put({ ...shared, name: "behind", task: Next.name, schedule: Trigger.after(Step) }),
    ])
  ).pipe(Effect.provide(Layer.provide(Triggers.layerClient, Layer.succeedContext(memory))))
  yield* clock.elapse(Duration.seconds(10))

  let count = 0
  let isDead = false
  // Nothing of it ends when it dies, so neither does its scope.
  yield* begin((name, call) =>
    Effect.suspend(() => {
      if (isDead) return Effect.never
      if (!changes.includes(name) || ++count !== deadAt) return call
      isDead = true
      return isDone ? Effect.andThen(call, Effect.never) : Effect.never
    })
  ).pipe(Scope.provide(yield* Scope.make()), Effect.forkDetach)
  while (!isDead && !isOver()) yield* Effect.sleep("1 millis")

  const fired = records().map(({ run }) => run)
  const slots = runs().filter(({ slot }) => slot !== undefined && slot === records()[0]?.slot)
  assert.deepStrictEqual(fired, slots.map(({ id }) => id), "a run exists if its record does")

  // Its lease ends, and what it had in hand is handed out again.
  yield* clock.elapse(Duration.seconds(12))
  yield* begin((_, call) => call)
  while (!isOver()) yield* Effect.sleep("1 millis")
  const [step, next] = runs().toSorted((a, b) => a.id - b.id)
  assert.deepStrictEqual([step!.spec.task, next!.spec.task], [Step.name, Next.name])
  assert.deepStrictEqual([step!.state._tag, next!.state._tag], ["Succeeded", "Succeeded"])
  assert.strictEqual(next!.follows?.run, step!.id)
  assert.strictEqual(records().length, 1)
  for (const task of ["step", "next"]) {
    const times = begun.filter((each) => each === task).length
    assert.isTrue(times === 1 || (isDead && times === 2), `${task} was begun ${times} times`)
  }
  return isDead
})

describe("a process that dies", () => {
  for (const [when, isDone] of [["before", false], ["after", true]] as const) {
    it.live(
      `B20, B26, B62: ${when} any change at all, each slot has its run, and each end is told once`,
      () =>
        Effect.gen(function* () {
          let deadAt = 1
          while (yield* Effect.scoped(world(deadAt, isDone))) deadAt++
          // From joining to the end of the run that followed.
          assert.isAbove(deadAt, 9)
        }),
      60_000,
    )
  }
})
