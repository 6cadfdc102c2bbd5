/** R18: parents and their children. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as FanIn from "../../domain/FanIn.ts"
import { TaskName } from "../../domain/Task.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import { Storage } from "../../services/Storage.ts"
import type { FamilySpec } from "../../services/RunStorage.ts"
import {
  abort,
  admitAll,
  assertState,
  cancelled,
  type Elapse,
  expireAll,
  found,
  fresh,
  freshNamespace,
  giveUp,
  ids,
  joined,
  notified,
  promoteAll,
  retry,
  revived,
  sorted,
  specOf,
  succeed,
  suspended,
  type Tests,
  times,
  together,
} from "../world.ts"

const familyOf = (
  namespace: Namespace,
  count: number,
  differently: Partial<FamilySpec> = {},
): FamilySpec => ({
  parent: specOf(namespace),
  children: times(count).map((n) => specOf(namespace, { payload: `${n}` })),
  places: count,
  ...differently,
})

const submitted = (spec: FamilySpec) =>
  Effect.map(
    Storage.use(({ runs }) => runs.submitFamily(spec)),
    (answer) => answer._tag === "Submitted" ? answer : assert.fail("a conflict"),
  )

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("R18 family: children are granted with their shard, and know each other's parent", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { children, gate, run: parent, ...answer } = yield* submitted(familyOf(namespace, 3))
      assert.deepEqual(answer, { _tag: "Submitted", state: "Awaiting", isNew: true })
      assert.strictEqual(children.length, 3)
      assert.deepInclude(yield* found(parent), { state: "Awaiting", attempt: 0 })
      for (const run of children) yield* assertState(run, "Blocked")
      assert.deepEqual(sorted(ids(yield* admitAll(gate))), sorted(children))
      const { grants } = yield* hand.claim(9)
      const byRun = new Map(grants.map((grant) => [grant.run, grant]))
      for (const [index, run] of children.entries()) {
        const grant = byRun.get(run)!
        const shard = { parent, index, count: 3 }
        assert.deepEqual(grant.shard, shard)
        assert.strictEqual(grant.payload, `${index}`)
        assert.strictEqual(grant.idempotencyKey, FanIn.keyOf(shard))
        assert.deepEqual((yield* found(run)).shard, shard)
      }
      const listed = yield* runs.list({ namespace, parent, limit: 9 })
      assert.deepEqual(listed.map(({ id }) => id), children.toReversed())
      const two = yield* runs.list({ namespace, parent, limit: 9, before: children[2]! })
      assert.deepEqual(two.map(({ id }) => id), [children[1], children[0]])
      const other = freshNamespace()
      assert.deepEqual(yield* runs.list({ namespace: other, parent, limit: 9 }), [])
      const task = TaskName.make("other")
      assert.deepEqual(yield* runs.list({ namespace, parent, task, limit: 9 }), [])
      const states = ["Ready"] as const
      assert.deepEqual(yield* runs.list({ namespace, parent, states, limit: 9 }), [])
    }))

  it.effect("R18 family: a key that looks like a child's makes no child", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { children, run: parent } = yield* submitted(familyOf(namespace, 2))
      const idempotencyKey = FanIn.keyOf({ parent, index: 0, count: 2 })
      const [answer] = yield* runs.submit([specOf(namespace, { idempotencyKey })])
      assert.deepInclude(answer!, { isNew: true, state: "Ready" })
      assert.notInclude(children, answer!.run)
      const grant = yield* hand.one
      assert.isUndefined(grant.shard)
      assert.strictEqual(grant.idempotencyKey, idempotencyKey)
    }))

  const ends = [
    ["all succeed", [succeed, succeed, succeed], "Succeeded"],
    ["one fails", [succeed, giveUp, succeed], "Failed"],
    ["one is cancelled", [succeed, abort, succeed], "Cancelled"],
    ["one fails and one is cancelled", [abort, succeed, giveUp], "Failed"],
  ] as const
  for (const [what, reports, state] of ends) {
    it.effect(`R18 family: when ${what} the parent has ${state}, after the last and not before`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const { gate, run: parent } = yield* submitted(familyOf(namespace, 3))
        yield* admitAll(gate)
        const { grants } = yield* hand.claim(3)
        for (const [at, grant] of grants.entries()) {
          assert.deepEqual(yield* admitAll(gate), [])
          yield* assertState(parent, "Awaiting")
          const { freed } = yield* hand.settle(reports[at]!(grant))
          assert.deepEqual(freed, [gate])
        }
        assert.deepEqual(yield* admitAll(gate), [{ run: parent, state }])
        assert.deepEqual(yield* admitAll(gate), [], "once")
        const view = yield* found(parent)
        assert.strictEqual(view.state, state)
        assert.isDefined(view.finishedAt)
        const bad = reports.filter((report) => report !== succeed).length
        assert.deepEqual(view.failure, state === "Failed" ? FanIn.failureOf(bad, 3) : undefined)
      }))
  }

  it.effect("R18 family: a child between attempts has not ended", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { gate, run: parent } = yield* submitted(familyOf(namespace, 1))
      yield* admitAll(gate)
      yield* hand.settle(retry(yield* hand.one))
      assert.deepEqual(yield* admitAll(gate), [])
      yield* promoteAll
      const grant = yield* hand.one
      assert.deepEqual(grant.shard, { parent, index: 0, count: 1 })
      yield* hand.settle(succeed(grant))
      assert.deepEqual(yield* admitAll(gate), [{ run: parent, state: "Succeeded" }])
    }))

  it.effect("R18 family: so many children at once as there are places", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { gate, run: parent } = yield* submitted(familyOf(namespace, 5, { places: 2 }))
      let ended = 0
      for (; ended < 5;) {
        yield* admitAll(gate)
        const { grants } = yield* hand.claim(5)
        assert.strictEqual(grants.length, Math.min(2, 5 - ended))
        yield* hand.settle(...grants.map((grant) => succeed(grant)))
        ended += grants.length
      }
      assert.deepEqual(yield* admitAll(gate), [{ run: parent, state: "Succeeded" }])
    }))

  it.effect("R18 family, B61: last children that end at once leave no parent behind", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hands = yield* together(times(4).map(() => joined(namespace)))
      for (const _ of times(5)) {
        const { gate, run: parent } = yield* submitted(familyOf(namespace, 4))
        yield* admitAll(gate)
        const grants = yield* together(hands.map((hand) => hand.one))
        const answers = yield* together(hands.map((hand, at) =>
          Effect.flatMap(
            hand.settle(succeed(grants[at]!)),
            ({ freed }) => runs.admit(freed),
          )
        ))
        assert.deepEqual(answers.flat(), [{ run: parent, state: "Succeeded" }])
      }
    }))

  it.effect("R18 family: whose fan-in nobody asked for is found by openGates", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { gate, run: parent } = yield* submitted(familyOf(namespace, 2))
      assert.include(yield* runs.openGates(100_000), gate, "its children can pass")
      yield* admitAll(gate)
      const { grants } = yield* hand.claim(2)
      yield* hand.settle(succeed(grants[0]!))
      assert.notInclude(yield* runs.openGates(100_000), gate)
      yield* hand.settle(succeed(grants[1]!))
      assert.include(yield* runs.openGates(100_000), gate)
      yield* admitAll(gate)
      yield* assertState(parent, "Succeeded")
      assert.notInclude(yield* runs.openGates(100_000), gate)
    }))

  it.effect("R18 family: a parent is cancelled with its children", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { children, gate, run: parent } = yield* submitted(
        familyOf(namespace, 4, { places: 2 }),
      )
      yield* admitAll(gate)
      const { grants } = yield* hand.claim(1)
      assert.deepEqual(yield* cancelled(parent), { answer: "requested", freed: [gate] })
      for (const run of children) {
        yield* assertState(run, run === grants[0]!.run ? "Running" : "Cancelled")
      }
      assert.strictEqual((yield* found(grants[0]!.run)).isCancelling, true)
      assert.deepEqual(yield* admitAll(gate), [])
      yield* hand.settle(abort(grants[0]!))
      assert.deepEqual(yield* admitAll(gate), [{ run: parent, state: "Cancelled" }])
      assert.strictEqual((yield* cancelled(parent)).answer, "ended")
    }))

  it.effect("R18 family: a parent takes no notice, and is not suspended", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { run: parent } = yield* submitted(familyOf(namespace, 1))
      assert.strictEqual((yield* notified(parent)).answer, "refused")
      assert.strictEqual((yield* suspended(parent)).answer, "refused")
      yield* assertState(parent, "Awaiting")
    }))

  it.effect("R18 family: a failed child alone is tried again, and the parent goes on", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { gate, run: parent } = yield* submitted(familyOf(namespace, 3))
      yield* admitAll(gate)
      const { grants: [a, b, c] } = yield* hand.claim(3)
      yield* hand.settle(succeed(a!), giveUp(b!), giveUp(c!))
      yield* admitAll(gate)
      yield* assertState(parent, "Failed")
      assert.deepEqual(yield* revived(b!.run), { answer: "confirmed", freed: [gate] })
      yield* assertState(parent, "Awaiting")
      yield* assertState(c!.run, "Failed")
      assert.deepEqual(ids(yield* admitAll(gate)), [b!.run])
      const again = yield* hand.one
      assert.deepInclude(again, { run: b!.run, attempt: 2 })
      assert.deepEqual(again.shard, b!.shard)
      yield* hand.settle(succeed(again))
      yield* admitAll(gate)
      yield* assertState(parent, "Failed")
      // By way of the parent: those that failed, and only those.
      assert.deepEqual(yield* revived(parent), { answer: "confirmed", freed: [gate] })
      assert.deepEqual(yield* runs.counts(namespace), { Succeeded: 2, Blocked: 1, Awaiting: 1 })
      yield* admitAll(gate)
      yield* hand.settle(succeed(yield* hand.one))
      assert.deepEqual(yield* admitAll(gate), [{ run: parent, state: "Succeeded" }])
      assert.strictEqual((yield* revived(parent)).answer, "refused")
    }))

  it.effect("R18 family: a child revived while the last one ends is not left behind", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      for (const _ of times(5)) {
        const { gate, run: parent } = yield* submitted(familyOf(namespace, 2))
        yield* admitAll(gate)
        const { grants: [a, b] } = yield* hand.claim(2)
        yield* hand.settle(giveUp(a!))
        yield* together([
          Effect.asVoid(Effect.andThen(hand.settle(succeed(b!)), runs.admit([gate]))),
          Effect.asVoid(revived(a!.run)),
        ])
        yield* admitAll(gate)
        yield* assertState(parent, "Awaiting")
        yield* hand.settle(succeed(yield* hand.one))
        yield* admitAll(gate)
        yield* assertState(parent, "Succeeded")
      }
    }))

  it.effect("R18 family: children may be due later, and expire", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const { children: [soon, late], gate, run: parent } = yield* submitted(
        familyOf(namespace, 2, {
          children: [
            specOf(namespace, { delayMillis: 30_000 }),
            specOf(namespace, { deadlineMillis: 60_000 }),
          ],
          places: 1,
        }),
      )
      yield* suspended(late!)
      yield* assertState(soon!, "Scheduled")
      yield* elapse(Duration.seconds(70))
      yield* promoteAll
      yield* expireAll
      yield* assertState(late!, "Expired")
      yield* admitAll(gate)
      yield* hand.settle(succeed(yield* hand.one))
      assert.deepEqual(yield* admitAll(gate), [{ run: parent, state: "Failed" }])
    }))

  it.effect("R18 family: a key names one parent, with its children", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const parent = specOf(namespace, { idempotencyKey: fresh("key") })
      const spec = familyOf(namespace, 3, { parent })
      const answers = yield* together(times(5).map(() => runs.submitFamily(spec)))
      const made = answers.flatMap((answer) => answer._tag === "Submitted" ? [answer] : [])
      assert.strictEqual(made.length, 5)
      assert.strictEqual(new Set(made.map(({ run }) => run)).size, 1)
      assert.strictEqual(made.filter(({ isNew }) => isNew).length, 1)
      assert.deepEqual(yield* runs.counts(namespace), { Awaiting: 1, Blocked: 3 })
      const other = { ...spec, parent: { ...parent, payload: '"other"' } }
      assert.deepEqual(yield* runs.submitFamily(other), { _tag: "Conflict", run: made[0]!.run })
      assert.deepEqual(yield* runs.submit([{ ...parent, payload: "3" }]), [
        { _tag: "Conflict", run: made[0]!.run },
      ])
    }))

  it.effect("R18 family: a thousand children are kept in one step", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const { gate, run: parent } = yield* submitted(familyOf(namespace, FanIn.childrenMax))
      assert.deepEqual(yield* runs.counts(namespace), { Awaiting: 1, Blocked: 1000 })
      yield* cancelled(parent)
      yield* admitAll(gate)
      assert.deepEqual(yield* runs.counts(namespace), { Cancelled: 1001 })
    }))
}
