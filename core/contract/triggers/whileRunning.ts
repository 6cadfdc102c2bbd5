/**
 * Slots that come while a run of their trigger is under way, and triggers that are always alive: T14,
 * T15 and T20.
 *
 * Tried, and caught:
 *
 * | law | mistake                                                                       |
 * | --- | ----------------------------------------------------------------------------- |
 * | T14 | only the latest slot looked at; runs by hand not; a failed run put into its lane; |
 * |     | the latest of all kept; who was held up itself not looked at                  |
 * | T15 | paused ones told of; those between attempts; listed among the due             |
 * | T20 | what it comes after ignored, or told of again; the limit taken before those that are |
 * |     | alive are left out; the latest first                                          |
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import type { Namespace } from "../../domain/Namespace.ts"
import * as Permanent from "../../domain/Permanent.ts"
import * as Trigger from "../../domain/Trigger.ts"
import { Storage } from "../../services/Storage.ts"
import type { Firing, TriggerView } from "../../services/TriggerStorage.ts"
import {
  apart,
  definitionOf,
  fireOne,
  firing,
  put,
  recordsOf,
  runsOf,
  second,
  viewOf,
} from "./triggers.ts"
import {
  cancelled,
  type Elapse,
  found,
  fresh,
  freshNamespace,
  giveUp,
  joined,
  retry,
  specOf,
  succeed,
  type Tests,
  times,
} from "../world.ts"

export const whileRunning = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  const dueTrigger = (namespace: Namespace, slots: number) =>
    Effect.gen(function* () {
      const view = yield* put(definitionOf(namespace))
      yield* elapse(Duration.millis(slots * apart + 2 * second))
      return yield* viewOf(view)
    })

  const under = (view: TriggerView, ahead: number, policy: Trigger.WhileRunning): Firing => {
    const item = firing(view, ahead)
    return { ...item, fire: { ...item.fire!, whileRunning: policy } }
  }

  it.effect("T14 while running: a slot is skipped, and says for which run", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 4)
      const hand = yield* joined(namespace)
      const fired = yield* fireOne(under(view, 0, "skip"))
      if (fired._tag !== "Fired") return assert.fail(fired._tag)
      assert.deepEqual(yield* fireOne(under(view, 1, "skip")), { _tag: "Recorded" })
      const grant = yield* hand.one
      assert.deepEqual(yield* fireOne(under(view, 2, "skip")), { _tag: "Recorded" })
      assert.strictEqual((yield* viewOf(view)).cursor, view.cursor! + 3 * apart)
      const [skipped] = yield* recordsOf(view)
      assert.deepInclude(skipped, {
        slot: view.cursor! + 2 * apart,
        outcome: "skipped",
        reason: Trigger.stillRunning(fired.run),
        running: fired.run,
      })
      assert.isUndefined(skipped!.run)
      assert.strictEqual((yield* runsOf(namespace)).length, 1)
      yield* hand.settle(succeed(grant))
      assert.strictEqual((yield* fireOne(under(view, 3, "skip")))._tag, "Fired")
    }))

  it.effect("T14 while running: a slot makes a run that has failed, and no handler is called", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 4)
      const hand = yield* joined(namespace)
      const first = yield* fireOne(under(view, 0, "fail"))
      if (first._tag !== "Fired") return assert.fail(first._tag)
      const grant = yield* hand.one
      for (const ahead of [1, 2]) {
        const failed = yield* fireOne(under(view, ahead, "fail"))
        if (failed._tag !== "Fired") return assert.fail(failed._tag)
        const run = yield* found(failed.run)
        assert.deepInclude(run, { state: "Failed", attempt: 0 })
        assert.deepInclude(run.failure, {
          tag: "StillRunning",
          message: `previous run ${first.run} still running`,
        })
        const [record] = yield* recordsOf(view)
        assert.deepInclude(record, { outcome: "fired", run: failed.run, running: first.run })
      }
      assert.deepEqual((yield* hand.claim(10)).grants, [])
      yield* hand.settle(succeed(grant))
      const last = yield* fireOne(under(view, 3, "fail"))
      if (last._tag !== "Fired") return assert.fail(last._tag)
      assert.strictEqual((yield* found(last.run)).state, "Ready")
    }))

  it.effect("T14 while running: what has failed by it can be revived, and cancelled after that", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const view = yield* dueTrigger(freshNamespace(), 2)
      yield* fireOne(under(view, 0, "fail"))
      const failed = yield* fireOne(under(view, 1, "fail"))
      if (failed._tag !== "Fired") return assert.fail(failed._tag)
      yield* elapse(Duration.seconds(1))
      assert.strictEqual(Option.getOrThrow(yield* runs.revive(failed.run)).answer, "confirmed")
      assert.strictEqual((yield* found(failed.run)).state, "Ready")
      assert.strictEqual(Option.getOrThrow(yield* runs.cancel(failed.run)).answer, "confirmed")
      assert.strictEqual((yield* found(failed.run)).state, "Cancelled")
    }))

  it.effect("T14 while running: a run by hand counts, and one from before the policy", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 3)
      const early = yield* fireOne(firing(view))
      const later = yield* fireOne(firing(view, 1))
      if (early._tag !== "Fired" || later._tag !== "Fired") return assert.fail("not fired")
      yield* cancelled(later.run)
      assert.deepEqual(yield* fireOne(under(view, 2, "skip")), { _tag: "Recorded" })
      assert.strictEqual((yield* recordsOf(view))[0]!.running, early.run)
      const other = yield* dueTrigger(freshNamespace(), 2)
      const [asked] = yield* triggers.ask([{
        trigger: other.id,
        revision: other.revision,
        kind: "manual",
        request: "now",
        by: undefined,
        slot: undefined,
        spec: specOf(other.definition.namespace),
      }], false)
      assert.strictEqual(asked!._tag, "Fired")
      assert.deepEqual(yield* fireOne(under(other, 0, "skip")), { _tag: "Recorded" })
    }))

  it.effect("T14 while running: who holds slots up is known of, also beside one by hand that ends first", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const held = 40
      const view = yield* dueTrigger(namespace, held + 2)
      const first = yield* fireOne(under(view, 0, "skip"))
      if (first._tag !== "Fired") return assert.fail(first._tag)
      const [byHand] = yield* triggers.ask([{
        trigger: view.id,
        revision: view.revision,
        kind: "manual",
        request: "now",
        by: undefined,
        slot: undefined,
        spec: specOf(namespace),
      }], false)
      if (byHand?._tag !== "Fired") return assert.fail(byHand?._tag)
      for (const nth of times(held)) {
        assert.deepEqual(yield* fireOne(under(view, 1 + nth, "skip")), { _tag: "Recorded" })
      }
      yield* cancelled(byHand.run)
      assert.deepEqual(yield* fireOne(under(view, 1 + held, "skip")), { _tag: "Recorded" })
      const last = view.cursor! + (1 + held) * apart
      const record = (yield* recordsOf(view)).find(({ slot }) => slot === last)
      assert.strictEqual(record?.running, first.run)
    }))

  it.effect("T14 while running: what has failed by it holds up the next once it is revived", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const view = yield* dueTrigger(freshNamespace(), 3)
      const first = yield* fireOne(under(view, 0, "fail"))
      const failed = yield* fireOne(under(view, 1, "fail"))
      if (first._tag !== "Fired" || failed._tag !== "Fired") return assert.fail("not fired")
      yield* cancelled(first.run)
      yield* elapse(Duration.seconds(1))
      yield* runs.revive(failed.run)
      assert.deepEqual(yield* fireOne(under(view, 2, "skip")), { _tag: "Recorded" })
      assert.strictEqual((yield* recordsOf(view))[0]!.running, failed.run)
    }))

  const permanent: Trigger.Schedule = Permanent.usual
  const stopped = (view: TriggerView) =>
    Effect.map(
      Storage.use(({ triggers }) =>
        triggers.stopped(
          [Trigger.partitionOf(view.definition.namespace, view.definition.name)],
          1000,
        )
      ),
      (answer) => ({
        now: answer.now,
        found: answer.triggers.find((each) => each.view.id === view.id),
      }),
    )

  /** Starts the next run of a permanent trigger, as a planner does. */
  const start = (view: TriggerView, slot: number) =>
    fireOne({
      trigger: view.id,
      revision: view.revision,
      passed: undefined,
      fire: { slot, spec: specOf(view.definition.namespace) },
      next: undefined,
    })

  it.effect("T15 one alive: a permanent trigger is told of while none of its runs is under way", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const name = Trigger.TriggerName.make(fresh("always"))
      const view = yield* put(definitionOf(namespace, { name, schedule: permanent }))
      const all = times(Trigger.partitions)
      const due = yield* triggers.due(all, 1e9, 100_000)
      assert.notInclude(due.triggers.map(({ id }) => id), view.id)
      const before = yield* stopped(view)
      assert.deepEqual(before.found, { view, lives: [], endedAt: 0 })
      assert.isAtMost(view.cursor!, before.now)
      const others = all.filter((each) => each !== Trigger.partitionOf(namespace, name))
      const elsewhere = yield* triggers.stopped(others, 1000)
      assert.notInclude(elsewhere.triggers.map((each) => each.view.id), view.id)

      assert.strictEqual((yield* start(view, view.cursor!))._tag, "Fired")
      assert.strictEqual((yield* start(view, view.cursor!))._tag, "Already")
      assert.isUndefined((yield* stopped(view)).found)
      const hand = yield* joined(namespace)
      yield* hand.settle(retry(yield* hand.one, 1))
      assert.isUndefined((yield* stopped(view)).found, "between two attempts it is alive")
      yield* elapse(Duration.seconds(2))
      yield* Storage.use(({ runs }) => runs.promote(1000))
      yield* hand.settle(giveUp(yield* hand.one))
      const after = yield* stopped(view)
      const [life, ...earlier] = after.found!.lives
      assert.deepEqual(earlier, [])
      assert.strictEqual(life!.slot, view.cursor!)
      assert.isAtLeast(life!.livedMillis, 0)
      assert.isAtMost(life!.livedMillis, after.found!.endedAt - view.cursor!)
      assert.isAtMost(after.found!.endedAt, after.now)
      assert.isAbove(after.found!.endedAt, view.cursor!)

      yield* triggers.pause(namespace, name, true)
      assert.isUndefined((yield* stopped(view)).found)
      yield* triggers.pause(namespace, name, false)
      assert.isDefined((yield* stopped(view)).found)
      yield* triggers.remove(namespace, name)
      assert.isUndefined((yield* stopped(view)).found)
      const records = yield* recordsOf(view)
      assert.deepEqual(records.map(({ outcome }) => outcome), ["fired"], "it has no other slots")
    }))

  it.effect("T15 one alive: it remembers when its latest runs were started", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const name = Trigger.TriggerName.make(fresh("always"))
      const view = yield* put(definitionOf(namespace, { name, schedule: permanent }))
      const slots = times(Permanent.remembered + 3).map((nth) => view.cursor! + nth)
      yield* elapse(Duration.seconds(2))
      for (const slot of slots) {
        const fired = yield* start(view, slot)
        if (fired._tag !== "Fired") return assert.fail(fired._tag)
        yield* cancelled(fired.run)
      }
      const { found } = yield* stopped(view)
      assert.deepEqual(
        found?.lives,
        slots.toReversed().slice(0, Permanent.remembered)
          .map((slot) => ({ slot, livedMillis: 0 })),
      )
    }))

  it.effect("T20 pages: every stopped trigger comes once, in order, after the one named", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const all = times(Trigger.partitions)
      const views: Array<TriggerView> = []
      for (const _ of times(7)) {
        const name = Trigger.TriggerName.make(fresh("always"))
        views.push(yield* put(definitionOf(namespace, { name, schedule: permanent })))
      }
      const [first, paused, alive, removed, again, ...others] = views
      const named = ({ definition }: TriggerView) => definition.name
      yield* triggers.pause(namespace, named(paused!), true)
      yield* start(alive!, alive!.cursor!)
      // Put anew it has the id that it had, so it comes where it was.
      yield* triggers.remove(namespace, named(again!))
      yield* put(again!.definition)
      const ids = views.map(({ id }) => id)
      const page = (limit: number, after?: Trigger.TriggerId) =>
        Effect.map(
          triggers.stopped(all, limit, after),
          (answer) => answer.triggers.map(({ view }) => view.id),
        )
      // What other tests have kept has other ids; what they keep meanwhile, higher ones.
      const before = ids[0]! - 1 as Trigger.TriggerId
      const until = (found: ReadonlyArray<Trigger.TriggerId>) =>
        found.filter((id) => ids.includes(id))
      const stopping = [first!, removed!, again!, ...others].map(({ id }) => id)
      assert.deepEqual(until(yield* page(100, before)), stopping)
      assert.deepEqual(until(yield* page(100, stopping[1])), stopping.slice(2))
      assert.deepEqual((yield* page(2, before)).length, 2, "it is full while there are more")
      const seen: Array<Trigger.TriggerId> = []
      let after: Trigger.TriggerId | undefined = before
      while (after !== undefined && after < ids.at(-1)!) {
        const found: ReadonlyArray<Trigger.TriggerId> = yield* page(2, after)
        seen.push(...found)
        after = found.at(-1)
        // What goes, or comes to be stopped, moves nothing that is yet to be seen.
        if (found.includes(first!.id)) {
          yield* triggers.pause(namespace, named(paused!), false)
          yield* triggers.remove(namespace, named(first!))
        }
      }
      assert.deepEqual(until(seen).filter((id) => id !== paused!.id), stopping)
      assert.deepEqual(seen, seen.toSorted((a, b) => a - b))
      assert.deepEqual(until(yield* page(100)), [paused!.id, ...stopping.slice(1)])
    }))
}
