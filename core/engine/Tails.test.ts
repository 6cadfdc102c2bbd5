/**
 * Triggers that tail a source, run by the engine over the memory storage, whose commands get lost as a
 * process that is killed, or a connection that breaks, would lose them.
 *
 * Tried, and caught: who is behind goes on with what it has read; a flaw is passed over without a
 * record; `stop` goes on; the end is not looked for; a failure is not told.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Random, Result, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { standard } from "../domain/Namespace.ts"
import { type Reading, type Source, SourceUnavailable } from "../services/Source.ts"
import { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import { sift } from "./Tails.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

const Bill = Task.make("bill", { payload: { order: Schema.Int } })
const Order = Schema.Struct({ nr: Schema.Int, total: Schema.Int })

/** An array that grows; and it may be out of reach. */
const growing = () => {
  const values: Array<unknown> = []
  const state = { isDown: false }
  const source: Source = {
    name: "orders of the shop",
    open: Effect.succeed({
      read: (after, limit) =>
        Effect.suspend((): Effect.Effect<Reading, SourceUnavailable> => {
          if (state.isDown) {
            return Effect.fail(new SourceUnavailable({ source: "orders", reason: "it is down" }))
          }
          const from = Number(after)
          const entries = values.slice(from, from + limit)
            .map((value, at) => ({ position: `${from + at + 1}`, value }))
          return Effect.succeed({
            entries,
            to: entries.at(-1)?.position ?? after,
            isAtEnd: entries.length < limit,
          })
        }),
      end: Effect.sync(() => `${values.length}`),
    }),
  }
  const append = (from: number, count: number) => {
    for (let nr = from; nr < from + count; nr++) values.push({ nr, total: nr % 10 })
  }
  return { append, source, state, values }
}

const world = Layer.mergeAll(Scheduler.layer, Triggers.layer, Direct.layer).pipe(
  Layer.provide(LocalOwnership.layer),
  Layer.provideMerge(Memory.layer),
)

const seconds = Effect.fnUntraced(function* (count: number) {
  for (let second = 0; second < count; second++) yield* TestClock.adjust("1 second")
})

const billsOf = Effect.map(
  Scheduler.use((scheduler) => scheduler.list({ namespace: standard, limit: 1000 })),
  (runs) =>
    runs.map(({ payload }) => (JSON.parse(payload) as { readonly order: number }).order)
      .sort((a, b) => a - b),
)

const tail = Effect.map(
  Triggers.use((triggers) => triggers.tails(standard)),
  ([found]) => found!.tail,
)

const upTo = (count: number) => Array.from({ length: count }, (_, at) => at)

const billing = (source: Source, options: Trigger.TailOptions = {}) =>
  Bill.schedule(
    "bill-orders",
    Trigger.tail(source, { entry: Order, ...options }),
    ({ nr, total }) => total === 9 ? undefined : { order: nr },
  )

describe("a trigger that tails", () => {
  it.effect("makes one run of each entry that it wants, and goes on where it was", () =>
    Effect.gen(function* () {
      const { append, source } = growing()
      append(0, 250)
      const first = yield* Scope.make()
      yield* Layer.buildWithScope(billing(source), first)
      yield* seconds(2)
      const wanted = upTo(250).filter((nr) => nr % 10 !== 9)
      assert.deepEqual(yield* billsOf, wanted)
      assert.deepInclude(yield* tail, { position: "250", fired: 225, passed: 25, skipped: 0 })
      yield* Scope.close(first, Exit.void)
      append(250, 5)
      yield* seconds(3)
      assert.strictEqual((yield* billsOf).length, 225, "nobody reads it")
      yield* Layer.build(billing(source))
      yield* seconds(2)
      assert.deepEqual(yield* billsOf, [...wanted, 250, 251, 252, 253, 254])
      const [latest] = yield* Triggers.use((triggers) =>
        triggers.records(standard, "bill-orders", 1)
      )
      assert.deepInclude(latest!, { entry: "255", outcome: "fired" })
    }).pipe(Effect.provide(world)))

  it.effect("makes one run of each though several read it, and their calls get lost", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const { append, source } = growing()
      /** One of three commands is not carried out, and of one in three the answer is lost. */
      const shaky = Storage.of({
        ...storage,
        triggers: {
          ...storage.triggers,
          tail: Effect.fnUntraced(function* (item) {
            // The others read meanwhile.
            yield* Effect.sleep("10 millis")
            const luck = yield* Random.next
            const lost = new StorageUnavailable({
              storage: "shaky",
              operation: "tail",
              cause: "a broken connection",
            })
            if (luck < 1 / 3) return yield* lost
            const answer = yield* storage.triggers.tail(item)
            return luck < 2 / 3 ? yield* lost : answer
          }),
        },
      })
      for (let program = 0; program < 3; program++) {
        yield* Layer.build(Layer.fresh(
          billing(source).pipe(
            Layer.provide(Triggers.layerClient),
            Layer.provide(Layer.succeed(Storage, shaky)),
          ),
        ))
      }
      for (let round = 0; round < 20; round++) {
        append(round * 13, 13)
        yield* seconds(3)
      }
      yield* seconds(60)
      assert.deepEqual(yield* billsOf, upTo(260).filter((nr) => nr % 10 !== 9))
      assert.deepInclude(yield* tail, { position: "260", fired: 234, passed: 26 })
    }).pipe(Random.withSeed("tails"), Effect.provide(world)))

  it.effect("records what cannot be read, and goes on after it", () =>
    Effect.gen(function* () {
      const { append, source, values } = growing()
      append(0, 2)
      values.push({ nr: "two" })
      append(3, 1)
      yield* Layer.build(billing(source))
      yield* seconds(2)
      assert.deepEqual(yield* billsOf, [0, 1, 3])
      assert.deepInclude(yield* tail, { position: "4", fired: 3, skipped: 1 })
      const records = yield* Triggers.use((triggers) =>
        triggers.records(standard, "bill-orders", 10)
      )
      const skipped = records.filter(({ outcome }) => outcome === "skipped")
      assert.deepEqual(skipped.map(({ entry }) => entry), ["3"])
      assert.match(skipped[0]!.reason!, /nr/)
    }).pipe(Effect.provide(world)))

  it.effect("stops before what cannot be read, if told, says so, and goes on when it can be", () =>
    Effect.gen(function* () {
      const { append, source, values } = growing()
      append(0, 2)
      values.push({ nr: "two" })
      append(3, 1)
      yield* Layer.build(billing(source, { unreadable: "stop" }))
      yield* seconds(5)
      assert.deepEqual(yield* billsOf, [0, 1])
      const stuck = yield* tail
      assert.deepInclude(stuck, { position: "2", fired: 2, skipped: 0 })
      assert.match(stuck.failure!, /^the entry at 3 cannot be taken/)
      values[2] = { nr: 2, total: 2 }
      yield* seconds(70)
      assert.deepEqual(yield* billsOf, [0, 1, 2, 3])
      assert.isUndefined((yield* tail).failure)
    }).pipe(Effect.provide(world)))

  it.effect("begins at the end if told, also of an empty source", () =>
    Effect.gen(function* () {
      const old = growing()
      old.append(0, 5)
      yield* Layer.build(billing(old.source, { from: "end" }))
      yield* seconds(2)
      old.append(5, 2)
      yield* seconds(2)
      assert.deepEqual(yield* billsOf, [5, 6])
      const empty = growing()
      yield* Layer.build(
        Bill.schedule(
          "empty",
          Trigger.tail({ ...empty.source, name: "empty" }, { entry: Order, from: "end" }),
          ({ nr }) => ({ order: nr }),
        ),
      )
      yield* seconds(2)
      empty.append(100, 2)
      yield* seconds(2)
      assert.deepEqual(yield* billsOf, [5, 6, 100, 101])
    }).pipe(Effect.provide(world)))

  it.effect("waits while it is paused, and says why and for how long its source fails", () =>
    Effect.gen(function* () {
      const triggers = yield* Triggers
      const { append, source, state } = growing()
      yield* Layer.build(billing(source))
      yield* seconds(2)
      yield* triggers.pause(standard, "bill-orders")
      append(0, 3)
      yield* seconds(5)
      assert.deepEqual(yield* billsOf, [])
      yield* triggers.resume(standard, "bill-orders")
      yield* seconds(2)
      assert.deepEqual(yield* billsOf, [0, 1, 2])
      const { upTo } = yield* tail
      state.isDown = true
      append(3, 1)
      yield* seconds(5)
      const stuck = yield* tail
      assert.strictEqual(stuck.failure, "orders: it is down")
      assert.isAtMost(stuck.upTo! - upTo!, 1000)
      state.isDown = false
      yield* seconds(70)
      assert.deepEqual(yield* billsOf, [0, 1, 2, 3])
      const after = yield* tail
      assert.isUndefined(after.failure)
      assert.isAbove(after.upTo!, stuck.upTo!)
    }).pipe(Effect.provide(world)))

  it.effect("takes what its conditions say, and is not tailed by another process for a program", () =>
    Effect.gen(function* () {
      const triggers = yield* Triggers
      const { append, source } = growing()
      append(0, 20)
      const when = [{ at: "/total", is: "at least" as const, to: 8 }]
      yield* Layer.build(billing(source, { when }))
      yield* seconds(2)
      assert.deepEqual(yield* billsOf, [8, 18])
      const refused = yield* Effect.flip(triggers.put({
        namespace: standard,
        name: "table",
        task: "bill",
        schedule: Trigger.tailTable("public.orders"),
        payload: "null",
      }))
      assert.match(refused.message, /a storage in memory tails no tables/)
      const backfill = yield* Effect.flip(
        triggers.backfill(standard, "bill-orders", { request: "a", from: 0, to: 1 }),
      )
      assert.match(backfill.message, /fires by events/)
      const bare = yield* Effect.flip(triggers.fire(standard, "bill-orders", { request: "b" }))
      assert.match(bare.message, /Name the payload/)
    }).pipe(Effect.provide(world)))
})

describe("a reading", () => {
  const rule = { unreadable: "skip" as const }
  const entries = [{ position: "1", value: "x".repeat(2_000_000) }, { position: "2", value: "y" }]
  const reading = { entries, to: "2", isAtEnd: true }
  const judged = (judge: Parameters<typeof sift>[2], how: Parameters<typeof sift>[0] = rule) =>
    sift(how, reading, judge, ({ payload }) => payload, "0")

  it.effect("with an entry that is too large records that one", () =>
    Effect.gen(function* () {
      const taken = yield* judged((value) =>
        Effect.succeed(Result.succeed({ payload: JSON.stringify(value) }))
      )
      assert.match(String(taken.entries[0]!.fire), /has 2000002 bytes/)
      assert.deepEqual(taken.entries[1], { position: "2", fire: '"y"' })
    }))

  it.effect("ends before the first that nobody can take, if the rule says so", () =>
    Effect.gen(function* () {
      const never = () => Effect.succeed(Result.fail("never\0"))
      const taken = yield* judged(never, { unreadable: "stop" })
      assert.deepEqual(taken, {
        entries: [],
        passed: 0,
        to: "0",
        failure: "the entry at 1 cannot be taken: never",
      })
    }))
})
