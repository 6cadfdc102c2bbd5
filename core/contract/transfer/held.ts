/** That whoever held something holds it, and numbers go on. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { Incarnation } from "../../domain/Executor.ts"
import type { Report } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import {
  assertState,
  found,
  joined,
  nothingHeld,
  recoverAll,
  retry,
  specOf,
  submitOne,
  succeed,
  ttl,
} from "../world.ts"
import { into, type Passage } from "./Passage.ts"
import { every } from "./furnished.ts"

export const settled = (incarnation: Incarnation, ...reports: ReadonlyArray<Report>) =>
  Effect.map(Storage.use(({ runs }) => runs.settle(incarnation, reports)), (done) => done.settled)

export const held = <R, R2>({ after, moved, test, to }: Passage<R, R2>): void => {
  after(
    "X6 held: it is held by the same, under the same fence",
    ({ hand, plain, started }) =>
      Effect.gen(function* () {
        const { executors, runs } = yield* Storage
        const held = yield* executors.beat(hand.incarnation, nothingHeld)
        assert.strictEqual(held._tag, "Alive")
        for (const grant of [plain, started]) {
          assert.deepInclude(yield* found(grant.run), { state: "Running", fence: grant.fence })
        }
        assert.deepEqual(
          yield* runs.start(hand.incarnation, [{ run: plain.run, fence: plain.fence }]),
          [true],
        )
        assert.deepEqual(
          yield* settled(hand.incarnation, succeed(plain), succeed(started)),
          ["applied", "applied"],
        )
        yield* assertState(plain.run, "Succeeded")
      }),
  )

  after(
    "X6 held: who was here has a whole ttl, who was lost stays lost",
    (world) =>
      Effect.gen(function* () {
        const { executors } = yield* Storage
        const { hand, lost } = world
        assert.strictEqual((yield* executors.beat(lost.incarnation, nothingHeld))._tag, "Lost")
        yield* to.elapse(Duration.subtract(ttl, Duration.seconds(30)))
        assert.strictEqual((yield* executors.beat(hand.incarnation, nothingHeld))._tag, "Alive")
        const { states } = yield* recoverAll
        assert.strictEqual(states.get(world.orphan.run), "Ready")
        assert.isUndefined(states.get(world.plain.run))
      }),
  )

  after(
    "X6 held: what its holder never reports of is recovered as ever",
    (world) =>
      Effect.gen(function* () {
        yield* to.elapse(Duration.sum(ttl, Duration.seconds(1)))
        const { states } = yield* recoverAll
        const { family, once, plain, puttingDown, started, stopping } = world
        assert.strictEqual(states.get(once.run), "Failed", "it may have begun once")
        assert.strictEqual(states.get(plain.run), "Ready")
        assert.strictEqual(states.get(started.run), "Ready")
        assert.strictEqual(states.get(stopping.run), "Cancelled")
        assert.strictEqual(states.get(puttingDown.run), "Suspended")
        assert.strictEqual(states.get(family.last.run), "Ready")
      }),
  )

  after(
    "X7 onward: a fence rises, and the report of an older one is fenced",
    (world) =>
      Effect.gen(function* () {
        const { late, lost, namespace, succeeded } = world
        yield* recoverAll
        const { lane } = yield* found(late.run)
        const hand = yield* joined(namespace)
        const { grants: [again] } = yield* hand.claim(1, { lanes: [lane] })
        assert.strictEqual(again!.run, late.run)
        assert.isAbove(again!.fence, late.fence)
        assert.deepEqual(yield* settled(lost.incarnation, succeed(late)), ["fenced"])
        assert.deepEqual(
          yield* settled(
            world.hand.incarnation,
            succeed(succeeded),
            retry(world.failing),
            world.returned,
          ),
          ["duplicate", "duplicate", "duplicate"],
        )
        yield* assertState(late.run, "Running")
      }),
  )

  test("X7 onward: new numbers are above all that were given", () =>
    Effect.gen(function* () {
      const { records, target, world } = yield* moved
      yield* into(target)(Effect.gen(function* () {
        const { triggers } = yield* Storage
        const marks = records.find((each) => each._tag === "Marks")!
        assert.isAbove(yield* submitOne(specOf(world.namespace)), marks.run)
        const { incarnation } = yield* joined(world.namespace)
        assert.strictEqual(incarnation, marks.incarnation + 1)
        const { id } = yield* triggers.put(every(world.namespace, "new"))
        assert.strictEqual(id, marks.trigger + 1)
      }))
    }))
}
