/** R21: runs that touch the same things. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Level } from "../../domain/Lane.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import type { Touches } from "../../domain/Resources.ts"
import type { RunId } from "../../domain/RunId.ts"
import { gate, touchesOf } from "../../domain/Touching.ts"
import { Storage } from "../../services/Storage.ts"
import {
  admitAll,
  assertState,
  cancelled,
  freshNamespace,
  ids,
  joined,
  resumed,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
  together,
} from "../world.ts"

const alone = (...things: ReadonlyArray<string>): Touches =>
  Object.fromEntries(things.map((thing) => [thing, "exclusive"]))
const beside = (...things: ReadonlyArray<string>): Touches =>
  Object.fromEntries(things.map((thing) => [thing, "shared"]))

const touching = (namespace: Namespace, touches: Touches, level: Level = 1) =>
  specOf(namespace, { gate: gate(namespace, touches), level })

/** Admits at the gates of all of these. */
const admitted = (namespace: Namespace, touches: ReadonlyArray<Touches>) =>
  Effect.map(
    Storage.use(({ runs }) => runs.admit(touches.map((each) => gate(namespace, each).key))),
    (admissions) => sorted(ids(admissions)),
  )

export const laws = <R>(it: Tests<Storage | R>): void => {
  it.effect("R21 touching: one alone, or many beside each other", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const [db, reading] = [alone("db"), beside("db")]
      const make = (touches: Touches) => submitOne(touching(namespace, touches))
      const writers = [yield* make(db), yield* make(db)]
      const readers = [yield* make(reading), yield* make(reading)]
      const both = [db, reading]
      assert.deepStrictEqual(yield* admitted(namespace, both), [writers[0]!])
      assert.deepStrictEqual(yield* admitted(namespace, both), [])
      yield* cancelled(writers[0]!)
      assert.deepStrictEqual(yield* admitted(namespace, [db]), [writers[1]!])
      yield* cancelled(writers[1]!)
      assert.deepStrictEqual(yield* admitted(namespace, [db]), readers, "whose gate was not named")
    }))

  it.effect("R21 touching: nobody is passed by, whatever the level", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const [db, reading] = [alone("db"), beside("db")]
      const [first, writer, urgent] = yield* submitAll([
        touching(namespace, reading),
        touching(namespace, db, 2),
        touching(namespace, reading, 0),
      ])
      const both = [db, reading]
      assert.deepStrictEqual(yield* admitted(namespace, both), [first!])
      yield* assertState(urgent!, "Blocked")
      yield* cancelled(first!)
      assert.deepStrictEqual(yield* admitted(namespace, both), [writer!])
      yield* cancelled(writer!)
      assert.deepStrictEqual(yield* admitted(namespace, both), [urgent!])
    }))

  it.effect("R21 touching: all that it touches, or nothing; others are not held up", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const all = [alone("a", "b"), alone("b", "c"), alone("c", "d"), alone("d"), beside("e")]
      const made = yield* submitAll(all.map((touches) => touching(namespace, touches)))
      const [ab, bc, cd, d, e] = made
      // bc waits for b, and keeps c from cd, which keeps d from d: in order, nobody is passed by.
      assert.deepStrictEqual(yield* admitted(namespace, all), [ab!, e!])
      yield* cancelled(bc!)
      assert.deepStrictEqual(yield* admitted(namespace, all), [cd!])
      yield* cancelled(cd!)
      assert.deepStrictEqual(yield* admitted(namespace, all), [d!])
    }))

  it.effect("R21 touching: namespaces share nothing", () =>
    Effect.gen(function* () {
      const [here, there] = [freshNamespace(), freshNamespace()]
      const made = yield* submitAll([here, there].map((each) => touching(each, alone("db"))))
      assert.deepStrictEqual(yield* admitted(here, [alone("db")]), [made[0]!])
      assert.deepStrictEqual(yield* admitted(there, [alone("db")]), [made[1]!])
    }))

  it.effect("R21 touching: what is put down keeps what it has alone, and gives back what it shares", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [db, cache] = [alone("db"), beside("cache")]
      const writer = yield* submitOne(touching(namespace, db))
      const reader = yield* submitOne(touching(namespace, cache))
      yield* admitted(namespace, [db, cache])
      yield* suspended(writer)
      yield* suspended(reader)
      const others = [db, alone("cache")]
      const [next, flush] = yield* submitAll(others.map((touches) => touching(namespace, touches)))
      assert.deepStrictEqual(yield* admitted(namespace, others), [flush!])
      yield* resumed(reader)
      assert.deepStrictEqual(yield* admitted(namespace, [cache]), [])
      yield* resumed(writer)
      const { grants } = yield* hand.claim(9)
      assert.deepStrictEqual(sorted(ids(grants)), sorted([writer, flush!]))
      yield* hand.settle(...grants.map((grant) => succeed(grant)))
      assert.deepStrictEqual(yield* admitted(namespace, others), sorted([reader, next!]))
    }))

  it.effect("R21 touching: why says who has it, and how many come before", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [db, both] = [alone("db"), alone("db", "disk")]
      const [first, second, third] = yield* submitAll(
        [db, both, beside("disk")].map((touches) => touching(namespace, touches)),
      )
      const other = yield* submitOne(touching(namespace, alone("else")))
      assert.deepInclude(yield* runs.why(first!), {
        value: { _tag: "GateOpen", gate: gate(namespace, db).key },
      } as never)
      yield* admitted(namespace, [db, both, alone("else")])
      assert.deepInclude(yield* runs.why(second!), {
        value: { _tag: "GateFull", gate: gate(namespace, both).key, holders: [first!], ahead: 0 },
      } as never)
      assert.deepInclude(yield* runs.why(third!), {
        value: {
          _tag: "GateFull",
          gate: gate(namespace, beside("disk")).key,
          holders: [],
          ahead: 1,
        },
      } as never)
      yield* assertState(other, "Ready")
    }))

  it.effect("R21 touching: openGates names those whose runs can pass", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const db = alone("db")
      yield* submitOne(touching(namespace, db))
      assert.include(yield* runs.openGates(100_000), gate(namespace, db).key)
      yield* admitAll(gate(namespace, db).key)
      assert.notInclude(yield* runs.openGates(100_000), gate(namespace, db).key)
    }))

  it.effect("R21 touching: decisions that race keep them apart, and leave nobody behind", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const all = [alone("a", "b"), alone("b", "c"), alone("c", "a"), beside("a", "b", "c")]
      const made = yield* submitAll(
        times(24).map((n) => touching(namespace, all[n % all.length]!)),
      )
      const keys = all.map((touches) => gate(namespace, touches).key)
      const hands = yield* together(times(4).map(() => joined(namespace)))
      const held = new Map<RunId, Touches>()
      let ended = 0
      const working = (hand: (typeof hands)[number], at: number) =>
        Effect.gen(function* () {
          for (let idle = 0; ended < made.length && idle < 400;) {
            yield* runs.admit([...keys.slice(at), ...keys.slice(0, at)])
            const { grants } = yield* hand.claim(2)
            idle = grants.length === 0 ? idle + 1 : 0
            for (const grant of grants) {
              const [view] = yield* runs.findMany([grant.run])
              const { touches } = touchesOf(view!.gate!)
              for (const other of held.values()) {
                for (const [thing, how] of Object.entries(touches)) {
                  const isApart = other[thing] === undefined ||
                    other[thing] === "shared" && how === "shared"
                  assert.isTrue(isApart, thing)
                }
              }
              held.set(grant.run, touches)
              yield* Effect.yieldNow
              held.delete(grant.run)
              yield* hand.settle(succeed(grant))
              ended++
            }
            yield* Effect.yieldNow
          }
        })
      yield* together(hands.map(working))
      assert.deepInclude(yield* runs.counts(namespace), { Succeeded: made.length })
    }))

  it.effect("R21 touching: of those that come at once at several gates one has it alone", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      for (const _ of times(8)) {
        const namespace = freshNamespace()
        const all = times(4).map((n) => alone("db", `own-${n}`))
        const made = yield* submitAll(all.map((touches) => touching(namespace, touches)))
        const admissions = yield* together(
          all.map((touches) => runs.admit([gate(namespace, touches).key])),
        )
        assert.strictEqual(ids(admissions.flat()).length, 1)
        assert.include(made, ids(admissions.flat())[0]!)
      }
    }))
}
