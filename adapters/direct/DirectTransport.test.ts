/** What the contract does not see: what the direct transport does beyond its laws. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Blocking from "../../core/domain/Blocking.ts"
import { ExecutorName, type Incarnation } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { Namespace } from "../../core/domain/Namespace.ts"
import { TaskName } from "../../core/domain/Task.ts"
import type { Grant, Report, RunSpec } from "../../core/services/RunStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import { type Round, Transport } from "../../core/services/Transport.ts"
import * as Memory from "../memory/mod.ts"
import { MemoryState } from "../memory/mod.ts"
import * as DirectTransport from "./DirectTransport.ts"

const namespace = Namespace.make("default")
const task = TaskName.make("greet")
const lane = Lane.ofTask(namespace, task)

const spec: RunSpec = {
  namespace,
  task,
  payload: "{}",
  lane,
  level: Lane.usual,
  delayMillis: 0,
  gate: undefined,
  idempotencyKey: undefined,
  isAtMostOnce: false,
  crashesMax: 3,
}

const submit = Storage.use(({ runs }) => runs.submit([spec]))

const join = Transport.use((transport) =>
  transport.join({
    namespace,
    name: ExecutorName.make("ada"),
    capacity: 10,
    labels: {},
    ttlMillis: 60_000,
  })
)

const roundOf = (incarnation: Incarnation, differently: Partial<Round> = {}): Round => ({
  incarnation,
  loop: 0,
  round: 1,
  isAgain: false,
  lanes: [lane],
  limit: 1,
  reports: [],
  waitMillis: 0,
  ...differently,
})

const program = <A, E>(effect: Effect.Effect<A, E, Transport | Storage>) =>
  effect.pipe(Effect.provide(Layer.provideMerge(DirectTransport.layer, Layer.fresh(Memory.layer))))

describe("a round that waits", () => {
  it.effect("is over when the executor sends it again, and what it was granted goes there", () =>
    program(Effect.gen(function* () {
      const transport = yield* Transport
      const incarnation = yield* join
      const given = yield* Effect.forkChild(
        Effect.flip(transport.round(roundOf(incarnation, { waitMillis: 30_000 }))),
        { startImmediately: true },
      )
      yield* TestClock.adjust("100 millis")
      const again = yield* Effect.forkChild(
        transport.round(roundOf(incarnation, { isAgain: true, waitMillis: 30_000 })),
        { startImmediately: true },
      )
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* Fiber.join(given))._tag, "TransportUnavailable")
      yield* submit
      assert.strictEqual((yield* Fiber.join(again)).grants.length, 1)
    })))

  it.effect("copied on the way is granted nothing twice", () =>
    program(Effect.gen(function* () {
      const transport = yield* Transport
      const incarnation = yield* join
      yield* submit
      yield* submit
      const first = yield* transport.round(roundOf(incarnation))
      const copy = yield* transport.round(roundOf(incarnation))
      assert.deepStrictEqual(copy.grants, first.grants)
      const next = yield* transport.round(roundOf(incarnation, { round: 2 }))
      assert.notDeepEqual(next.grants, first.grants)
      const late = yield* transport.round(roundOf(incarnation, { isAgain: true }))
      assert.deepStrictEqual(late.grants, first.grants, "and nothing new when it comes late")
    })))

  it.effect("wakes for new lanes after they changed", () =>
    program(Effect.gen(function* () {
      const transport = yield* Transport
      const incarnation = yield* join
      const other = Lane.ofTask(namespace, TaskName.make("other"))
      const before = yield* Effect.forkChild(
        transport.round(roundOf(incarnation, { lanes: [other], waitMillis: 10 })),
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(before)
      const after = yield* Effect.forkChild(
        transport.round(roundOf(incarnation, { round: 2, waitMillis: 60_000 })),
        { startImmediately: true },
      )
      yield* TestClock.adjust("1 milli")
      yield* submit
      yield* TestClock.adjust("1 milli")
      assert.isDefined(after.pollUnsafe(), "without the safety look")
      assert.strictEqual((yield* Fiber.join(after)).grants.length, 1)
    })))
})

describe("gates that a round has freed", () => {
  const gate = Blocking.gate(namespace, task, Blocking.fifo, "a")

  /** Nobody passes while the latch is closed. */
  const whileShut = <A, E>(
    then: (open: Latch.Latch) => Effect.Effect<A, E, Transport | Storage>,
  ) =>
    Effect.suspend(() => {
      const open = Latch.makeUnsafe(true)
      const shutting = Layer.effect(
        Storage,
        Storage.useSync((storage) => {
          const { runs } = storage
          const admit: typeof runs.admit = (gates) => Effect.andThen(open.await, runs.admit(gates))
          return { ...storage, runs: { ...runs, admit } }
        }),
      )
      const stored = Layer.provideMerge(shutting, Layer.fresh(Memory.layer))
      return Effect.provide(then(open), Layer.provideMerge(DirectTransport.layer, stored))
    })

  const submitGated = Storage.use(({ runs }) =>
    Effect.andThen(runs.submit([{ ...spec, gate }, { ...spec, gate }]), runs.admit([gate.key]))
  )
  const succeedAll = ({ grants }: { readonly grants: ReadonlyArray<Grant> }) =>
    grants.map(({ fence, run }): Report => ({ _tag: "Succeed", run, fence }))

  it.effect("are looked at while what was granted is carried out, before the next round", () =>
    whileShut((open) =>
      Effect.gen(function* () {
        const transport = yield* Transport
        const incarnation = yield* join
        yield* submitGated
        const first = yield* transport.round(roundOf(incarnation))
        yield* submit
        yield* open.close
        const reports = succeedAll(first)
        const second = yield* transport.round(roundOf(incarnation, { round: 2, reports }))
        assert.deepStrictEqual([second.settled, second.grants.length], [["applied"], 1])
        yield* submit
        const third = yield* Effect.forkChild(
          transport.round(roundOf(incarnation, { round: 3, limit: 2 })),
          { startImmediately: true },
        )
        yield* TestClock.adjust("1 second")
        assert.isUndefined(third.pollUnsafe(), "one more would be under way for each round")
        yield* open.open
        assert.strictEqual((yield* Fiber.join(third)).grants.length, 2)
      })
    ))

  it.effect("are waited for by a round that is granted nothing", () =>
    whileShut((open) =>
      Effect.gen(function* () {
        const transport = yield* Transport
        const incarnation = yield* join
        yield* submitGated
        const reports = succeedAll(yield* transport.round(roundOf(incarnation)))
        yield* open.close
        const waiting = yield* Effect.forkChild(
          transport.round(roundOf(incarnation, { round: 2, limit: 0, reports })),
          { startImmediately: true },
        )
        yield* TestClock.adjust("1 second")
        assert.isUndefined(waiting.pollUnsafe(), "who reports for the last time may be gone then")
        yield* open.open
        assert.deepStrictEqual((yield* Fiber.join(waiting)).grants, [])
        const next = yield* transport.round(roundOf(incarnation, { round: 3 }))
        assert.strictEqual(next.grants.length, 1)
      })
    ))
})

describe("what is kept of an executor", () => {
  const waited = (round: number, incarnation: Incarnation) =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const waiting = yield* Effect.forkChild(
        transport.round(roundOf(incarnation, { round, waitMillis: 10 })),
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
    })

  const over = (state: MemoryState) =>
    Layer.provideMerge(DirectTransport.layer, Memory.layerOver(state))

  it.effect("is one subscription for all rounds of a loop, until it leaves", () => {
    const state = new MemoryState({ finished: 10, records: 10 })
    return Effect.gen(function* () {
      const incarnation = yield* join
      yield* waited(1, incarnation)
      const kept = [...state.listeners.values()].map((listeners) => [...listeners])
      assert.strictEqual(kept.length, 1)
      yield* waited(2, incarnation)
      assert.deepStrictEqual([...state.listeners.values()].map((each) => [...each]), kept)
      yield* Transport.use((transport) => transport.leave(incarnation))
      assert.strictEqual(state.listeners.size, 0)
    }).pipe(Effect.provide(over(state)))
  })

  it.effect("is nothing once it has been silent for long", () => {
    const state = new MemoryState({ finished: 10, records: 10 })
    return Effect.gen(function* () {
      yield* waited(1, yield* join)
      assert.strictEqual(state.listeners.size, 1)
      yield* TestClock.adjust("6 minutes")
      const other = yield* join
      yield* Transport.use((transport) => transport.beat(other, { count: 0, digest: 0 }))
      assert.strictEqual(state.listeners.size, 0)
    }).pipe(Effect.provide(over(state)))
  })
})

describe("revocations", () => {
  it.effect("do not keep an executor alive that does not beat", () =>
    program(Effect.gen(function* () {
      const transport = yield* Transport
      const incarnation = yield* join
      yield* Effect.forkChild(transport.revocations(incarnation))
      yield* TestClock.adjust("61 seconds")
      const beaten = yield* transport.beat(incarnation, { count: 0, digest: 0 })
      assert.strictEqual(beaten._tag, "Lost")
    })))

  it.effect("are answered at once, and again not before a second", () =>
    program(Effect.gen(function* () {
      const transport = yield* Transport
      const { runs } = yield* Storage
      const incarnation = yield* join
      yield* submit
      const { grants: [grant] } = yield* transport.round(roundOf(incarnation))
      const waiting = yield* Effect.forkChild(transport.revocations(incarnation), {
        startImmediately: true,
      })
      yield* TestClock.adjust("1 milli")
      yield* runs.cancel(grant!.run)
      yield* TestClock.adjust("1 milli")
      const revoked = yield* Fiber.join(waiting)
      assert.deepStrictEqual(revoked, [{ run: grant!.run, fence: grant!.fence }])

      const again = yield* Effect.forkChild(transport.revocations(incarnation), {
        startImmediately: true,
      })
      yield* TestClock.adjust("900 millis")
      assert.isUndefined(again.pollUnsafe())
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* Fiber.join(again), revoked)
    })))
})
