/** That all of it comes, as of one instant, a page at a time, into nothing, or not at all. */
import { assert } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Stream } from "effect"
import { LockKey } from "../../domain/Lease.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import { Refused } from "../../domain/Refused.ts"
import type { RunId } from "../../domain/RunId.ts"
import { StateRecord } from "../../domain/StateRecord.ts"
import { Lock } from "../../services/Lock.ts"
import { Storage } from "../../services/Storage.ts"
import { pageMax } from "../../services/TransferStorage.ts"
import {
  definitionOf,
  freshNamespace,
  greet,
  joined,
  specOf,
  submitAll,
  submitOne,
  succeed,
  times,
} from "../world.ts"
import { comparable, exported, imported, into, type Passage, runsIn } from "./Passage.ts"
import { every, officeOf } from "./furnished.ts"

/** All that is told of a namespace, but for when its executors have beaten. */
const told = (namespace: Namespace) =>
  Effect.gen(function* () {
    const { calendars, executors, permits, runs, tasks, triggers } = yield* Storage
    const views = yield* runs.list({ namespace, limit: 1000 })
    const kept = yield* triggers.list(namespace)
    return {
      // When a retried run became due is not kept everywhere.
      // Nor, everywhere, the last grant of one that was put down.
      runs: views.map(({ dueAt: _, ...view }) =>
        view.state === "Suspended" ? { ...view, claimedAt: undefined } : view
      ),
      breakers: yield* permits.list(namespace),
      keys: yield* permits.keys(namespace, "mail server"),
      groups: yield* permits.groups(namespace),
      state: yield* runs.state(namespace, greet, "ada"),
      events: yield* Effect.forEach(views, ({ id }) => runs.events(id)),
      counts: yield* runs.counts(namespace),
      why: yield* Effect.forEach(views, ({ id }) => runs.why(id)),
      tasks: yield* tasks.list(namespace),
      calendars: yield* Effect.forEach(
        yield* calendars.list(namespace),
        ({ name }) => calendars.find(namespace, name),
      ),
      triggers: kept,
      records: yield* Effect.forEach(kept, ({ id }) => triggers.records(id, 100)),
      tails: yield* triggers.tails({ namespace }),
      executors: (yield* executors.list(namespace)).map(({ beatAt: _, ...view }) => view),
    }
  })

export const whole = <R, R2>({ after, empty, from, moved, test }: Passage<R, R2>): void => {
  test("X1 whole: it tells what it told before", () =>
    Effect.gen(function* () {
      const { source, target, world: { namespace } } = yield* moved
      const before = yield* into(source)(told(namespace))
      assert.isAbove(before.runs.length, 40)
      assert.deepEqual(yield* into(target)(told(namespace)), before)
    }))

  test("X1 whole: it is exported as it was imported", () =>
    Effect.gen(function* () {
      const { records, target } = yield* moved
      const again = yield* into(target)(exported)
      assert.deepEqual(comparable(again), comparable(records))
      assert.deepEqual(
        new Set(records.map(({ _tag }) => _tag)),
        new Set(Object.keys(StateRecord.cases)),
        "one of each sort",
      )
      const places = runsIn(records).map(({ place }) =>
        place._tag === "Ended" ? place.state : place._tag
      )
      assert.strictEqual(new Set(places).size, 13, "one in each state")
    }))

  after(
    "X1 whole: a key names the run it named",
    ({ family, inLane, namespace, succeeded }) =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const submitted = yield* runs.submit([
          specOf(namespace, { idempotencyKey: "done" }),
          specOf(namespace, { idempotencyKey: "waits" }),
          specOf(namespace, { idempotencyKey: "done", payload: "2" }),
        ])
        assert.deepInclude(submitted[0]!, { run: succeeded.run, isNew: false })
        assert.deepInclude(submitted[1]!, { run: inLane[1]!, isNew: false })
        assert.deepEqual(submitted[2], { _tag: "Conflict", run: succeeded.run })
        const again = yield* runs.submitFamily({
          parent: specOf(namespace, { idempotencyKey: "family" }),
          children: [specOf(namespace)],
          places: 1,
        })
        assert.deepInclude(again, { run: family.run, gate: family.gate })
      }),
  )

  test("X2 one instant: what happens while it is read is not in it", () =>
    Effect.gen(function* () {
      const source = yield* Layer.build(Layer.fresh(from.layer))
      const records = yield* into(source)(Effect.gen(function* () {
        const { transfer } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const runs = yield* submitAll(
          times(3 * pageMax).map(() => specOf(namespace)),
        )
        const others: Array<RunId> = []
        const records: Array<StateRecord> = []
        yield* Stream.runForEachArray(transfer.export, (some) =>
          Effect.gen(function* () {
            records.push(...some)
            if (others.length > 0) return
            others.push(...yield* submitAll([specOf(namespace), specOf(namespace)]))
            const { grants } = yield* hand.claim(500)
            yield* hand.settle(...grants.map((each) => succeed(each)))
          }))
        assert.deepEqual(runsIn(records).map(({ id }) => id), runs)
        return records
      }))
      assert.isTrue(runsIn(records).every(({ place }) => place._tag === "Ready"))
    }))

  test("X3 bounded: it comes a page at a time", () =>
    Effect.gen(function* () {
      const source = yield* Layer.build(Layer.fresh(from.layer))
      const target = yield* empty
      yield* into(source)(Effect.gen(function* () {
        const namespace = freshNamespace()
        yield* submitAll(times(2 * pageMax + 1).map(() => specOf(namespace)))
        const { transfer } = yield* Storage
        const pages: Array<number> = []
        const counts = yield* Context.get(target, Storage).transfer.import(
          Stream.mapArray(transfer.export, (some) => {
            pages.push(some.length)
            return some
          }),
        )
        assert.strictEqual(counts.Run, 2 * pageMax + 1)
        assert.isAtLeast(pages.length, 3)
        assert.isAtMost(Math.max(...pages), pageMax)
      }))
    }))

  test("X4 into nothing: a storage that keeps something refuses, and stays as it is", () =>
    Effect.gen(function* () {
      const source = yield* Layer.build(Layer.fresh(from.layer))
      const records = yield* into(source)(
        Effect.andThen(submitOne(specOf(freshNamespace())), exported),
      )
      const namespace = freshNamespace()
      const kept: Readonly<Record<string, Effect.Effect<unknown, unknown, Storage | Lock>>> = {
        runs: submitOne(specOf(namespace)),
        tasks: Storage.use(({ tasks }) => tasks.define([definitionOf(namespace)])),
        calendars: Storage.use(({ calendars }) => calendars.put(officeOf(namespace))),
        triggers: Storage.use(({ triggers }) => triggers.put(every(namespace, "regular"))),
        permits: Storage.use(({ permits }) => permits.order(namespace, "mail", "open")),
        locks: Lock.use((lock) => lock.acquire(LockKey.make("a"), "ada", Duration.minutes(1))),
      }
      for (const [what, keep] of Object.entries(kept)) {
        yield* into(yield* empty)(Effect.gen(function* () {
          yield* keep
          const before = comparable(yield* exported)
          const refusal = yield* Effect.flip(imported(records))
          if (!(refusal instanceof Refused)) return assert.fail(`${refusal}`)
          assert.strictEqual(refusal.field, "storage")
          assert.include(refusal.reason, what)
          assert.include(refusal.remedy, "does not exist yet")
          assert.deepEqual(comparable(yield* exported), before)
        }))
      }
    }))

  test("X5 all or nothing: an import that ends early leaves nothing", () =>
    Effect.gen(function* () {
      const { records } = yield* moved
      yield* into(yield* empty)(Effect.gen(function* () {
        const { transfer } = yield* Storage
        const half = Stream.fromIterable(records.slice(0, -10), { chunkSize: 7 })
        const failed = transfer.import(Stream.concat(half, Stream.fail("torn" as const)))
        assert.strictEqual(yield* Effect.flip(failed), "torn")
        const silent = Stream.concat(half, Stream.fromEffect(Effect.never))
        yield* Effect.raceFirst(transfer.import(silent), Effect.sleep("300 millis"))
        const twice = [...records, records.at(-1)!, runsIn(records)[0]!]
        const refusal = yield* Effect.flip(imported(twice))
        if (!(refusal instanceof Refused)) return assert.fail(`${refusal}`)
        assert.strictEqual(refusal.field, "records")
        assert.deepEqual(comparable(yield* exported), [])
        yield* imported(records)
        assert.deepEqual(comparable(yield* exported), comparable(records))
      }))
    }))
}
