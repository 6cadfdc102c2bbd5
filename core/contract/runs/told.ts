/** What is told of a run: its events, and why it is where it is. */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, Option } from "effect"
import * as Asked from "../../domain/Asked.ts"
import * as Execution from "../../domain/Execution.ts"
import { ExecutorName } from "../../domain/Executor.ts"
import * as GivenBack from "../../domain/GivenBack.ts"
import * as Lane from "../../domain/Lane.ts"
import { Fence } from "../../domain/Lease.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { Reason } from "../../domain/RunView.ts"
import { Selector } from "../../domain/Selector.ts"
import * as Share from "../../domain/Share.ts"
import { TaskName } from "../../domain/Task.ts"
import * as Touching from "../../domain/Touching.ts"
import { Storage } from "../../services/Storage.ts"
import { assertReplayed } from "../replayed.ts"
import {
  abort,
  admitAll,
  assertState,
  cancelled,
  definitionOf,
  type Elapse,
  expireAll,
  failure,
  found,
  fresh,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  handOver,
  joined,
  promoteAll,
  putDown,
  recoverAll,
  release,
  resumed,
  retry,
  revived,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  suspended,
  type Tests,
  times,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  const kinds = (run: RunId) =>
    Effect.map(
      Storage.use(({ runs }) => runs.events(run)),
      (events) => events.map(({ kind }) => kind),
    )

  it.effect("events: tell how a run went, the earliest first", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      assert.deepEqual(yield* kinds(run), ["Submitted"])
      yield* elapse(Duration.seconds(2))
      yield* hand.settle(retry(yield* hand.one))
      yield* elapse(Duration.seconds(2))
      yield* promoteAll
      yield* hand.settle(release(yield* hand.one))
      yield* elapse(Duration.seconds(2))
      const last = yield* hand.one
      yield* elapse(Duration.seconds(2))
      yield* cancelled(run)
      yield* elapse(Duration.seconds(2))
      yield* hand.settle(abort(last))
      const events = yield* runs.events(run)
      const wanted = ["Submitted", "Retried", "Released", "Claimed", "CancelAsked", "Cancelled"]
      const told = events.map(({ kind }) => kind).filter((kind) => wanted.includes(kind))
      // Earlier claims may be told of as well.
      const last6 = told.filter((kind, n) => kind !== "Claimed" || n === told.lastIndexOf(kind))
      assert.deepEqual(last6, wanted)
      const instants = events.map(({ at }) => DateTime.toEpochMillis(at))
      assert.deepEqual(instants, sorted(instants))
      const retried = events.find(({ kind }) => kind === "Retried")!
      assert.strictEqual(retried.detail, failure.message)
      assert.deepInclude(events[events.length - 1]!, {
        kind: "Cancelled",
        attempt: 2,
        fence: Fence.make(3),
      })
    }))

  for (const why of [...GivenBack.Why.literals, undefined]) {
    it.effect(`R44 given back: it is told why (${why ?? "not said"}), also when it is said again`, () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const made = yield* submitAll(times(3).map(() => specOf(namespace)))
        const { grants } = yield* hand.claim(3)
        const [run, put, stopped] = made
        yield* suspended(put!)
        yield* cancelled(stopped!)
        const back = grants.map((held) => ({ ...release(held), ...(why !== undefined && { why }) }))
        assert.deepEqual((yield* hand.settle(...back)).settled, ["applied", "applied", "applied"])
        assert.deepEqual((yield* hand.settle(back[0]!)).settled, ["duplicate"])
        for (const [each, state] of [[run, "Ready"], [put, "Suspended"]] as const) {
          yield* assertState(each!, state)
          const events = yield* runs.events(each!)
          const released = events.filter(({ kind }) => kind === "Released")
          assert.deepEqual(released.map(({ detail }) => detail), [GivenBack.wordsOf(why)])
          assert.notInclude(events.map(({ kind }) => kind), "LateReport")
          const [execution] = Execution.of(yield* found(each!), events)
          assert.deepInclude(execution, { end: "Released" })
          assert.strictEqual(execution!.detail, GivenBack.wordsOf(why))
        }
        const end = (yield* runs.events(stopped!)).at(-1)!
        assert.deepInclude(end, { kind: "Cancelled" })
        assert.notProperty(end, "detail")
        assert.notProperty(yield* found(stopped!), "failure")
      }))
  }

  it.effect("R44 given back: or that its holder did not know of it, which is not said by that", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      const grant = yield* hand.one
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      const back = { ...release(grant), why: "PoolFull" } as const
      assert.deepEqual((yield* hand.settle(back)).settled, ["fenced"])
      const told = (yield* runs.events(run)).filter(({ kind }) => kind === "Released")
      assert.deepEqual(told.map(({ detail }) => detail), [GivenBack.unknown])
    }))

  it.effect("R24 told: each grant is, once, and how it ended", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [first, second] = [yield* joined(namespace), yield* joined(namespace)]
      const run = yield* submitOne(specOf(namespace, { crashesMax: 1 }))
      yield* first.settle(retry(yield* first.one))
      yield* elapse(Duration.seconds(2))
      yield* promoteAll
      yield* first.settle(release(yield* first.one))
      yield* elapse(Duration.seconds(2))
      yield* first.start(yield* first.one)
      yield* elapse(Duration.seconds(1))
      yield* first.leave
      yield* recoverAll
      yield* second.settle(giveUp(yield* second.one))
      yield* elapse(Duration.seconds(1))
      yield* revived(run)
      const last = yield* second.one
      const running = Execution.of(yield* found(run), yield* runs.events(run))
      assert.deepStrictEqual(running.map(({ end }) => end), [
        "Retried",
        "Released",
        "Lost",
        "Failed",
        undefined,
      ])
      yield* elapse(Duration.seconds(1))
      yield* second.settle(succeed(last))
      const executions = Execution.of(yield* found(run), yield* runs.events(run))
      assert.deepStrictEqual(
        executions.map(({ attempt, fence }) => [attempt, fence as number]),
        [[1, 1], [2, 2], [2, 3], [3, 4], [4, 5]],
      )
      assert.strictEqual(executions[4]!.end, "Succeeded")
      assert.deepStrictEqual(
        executions.map(({ executor }) => [executor?.name, executor?.incarnation]),
        [first, first, first, second, second].map(({ incarnation, name }) => [name, incarnation]),
      )
      assert.include(executions[2]!.detail, first.name)
      const times = executions.map(({ startedAt }) => DateTime.toEpochMillis(startedAt))
      assert.deepEqual(times, sorted(times))
      const events = yield* runs.events(run)
      assert.strictEqual(events.filter(({ kind }) => kind === "Claimed").length, 5)
    }))

  it.effect("R24 told: each grant is, once, whatever becomes of it and of the run", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const [hand, other] = [yield* joined(namespace), yield* joined(namespace)]
      const run = yield* submitOne(specOf(namespace, { crashesMax: 0 }))
      const told = Effect.fnUntraced(function* (count: number) {
        const claims = (yield* runs.events(run)).filter(({ kind }) => kind === "Claimed")
        assert.deepStrictEqual(
          claims.map(({ fence }) => fence as number),
          times(count).map((at) => at + 1),
        )
        const had = claims.map(({ executor }) => executor?.name)
        assert.deepStrictEqual(had, times(count).map((at) => at < 4 ? hand.name : other.name))
        yield* elapse(Duration.seconds(1))
      })
      yield* told(0)
      yield* hand.settle(putDown(yield* hand.one))
      yield* told(1)
      yield* resumed(run)
      yield* told(1)
      yield* hand.one
      yield* runs.reconcile(hand.incarnation, { grants: [], rounds: hand.answered() })
      yield* told(2)
      yield* hand.settle(handOver(yield* hand.one, 1))
      yield* told(3)
      yield* expireAll
      yield* told(3)
      yield* revived(run)
      yield* told(3)
      yield* hand.start(yield* hand.one)
      yield* told(4)
      yield* hand.leave
      yield* recoverAll
      assert.strictEqual((yield* found(run)).state, "Quarantined")
      yield* told(4)
      yield* revived(run)
      yield* told(4)
      const last = yield* other.one
      yield* cancelled(run)
      yield* told(5)
      yield* other.settle(abort(last))
      yield* told(5)
    }))

  it.effect("events: tell who asked for a run, and which it does again", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const again = yield* submitOne(specOf(namespace))
      assert.isUndefined((yield* found(again)).asked)
      const ways = [
        { asked: { by: "Ada" } },
        { asked: { by: "Ada", again }, idempotencyKey: fresh("key") },
        { asked: { again }, delayMillis: 60_000 },
        { asked: { by: "Ada" }, gate: gateOf(namespace, 1) },
        { asked: { by: "Ada" }, deadlineMillis: 60_000 },
      ]
      for (const { asked, ...way } of ways) {
        const run = yield* submitOne(specOf(namespace, { ...way, asked }))
        assert.deepStrictEqual((yield* found(run)).asked, asked)
        const events = yield* runs.events(run)
        assert.deepStrictEqual(
          events.map(({ detail, kind }) => [kind, detail]),
          [["Submitted", undefined], ["Asked", Asked.textOf(asked)]],
        )
      }
      const spec = { ...specOf(namespace), asked: { by: "Ada" } }
      const child = specOf(namespace)
      const family = yield* runs.submitFamily({ parent: spec, children: [child], places: 1 })
      assert.deepStrictEqual((yield* found(family.run)).asked, { by: "Ada" })
      const listed = yield* runs.list({ namespace, limit: 99 })
      assert.strictEqual(listed.filter(({ asked }) => asked !== undefined).length, 6)
    }))

  it.effect("R28 history: tells that a gate was passed, and a start marked, once each", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace, { gate: gateOf(namespace, 1), isAtMostOnce: true })
      const run = yield* submitOne(spec)
      yield* admitAll(spec.gate!.key)
      assert.deepEqual(yield* kinds(run), ["Submitted", "Admitted"])
      const grant = yield* hand.one
      yield* hand.start(grant)
      yield* hand.start(grant)
      assert.deepEqual(yield* kinds(run), ["Submitted", "Admitted", "Claimed", "Started"])
      yield* assertReplayed(run, spec)
      yield* hand.settle(retry(grant))
      yield* elapse(Duration.seconds(2))
      yield* promoteAll
      // Its place is kept, and its start is marked again.
      yield* hand.start(yield* hand.one)
      yield* assertReplayed(run, spec)
      const events = yield* kinds(run)
      assert.deepEqual(events.slice(4), ["Retried", "Claimed", "Started"])
    }))

  it.effect("R28 history: tells that a gate was passed, of whatever kind it is", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gates = [
        gateOf(namespace, 1),
        gateOf(namespace, 1, "discard"),
        gateOf(namespace, 1, "replace"),
        gateOf(namespace, 1, "latest"),
        Touching.gate(namespace, { thing: "exclusive" }),
        Share.gate(namespace, greet, { _tag: "Fair", limit: 1 }, "key"),
      ]
      for (const gate of gates) {
        const spec = specOf(namespace, { gate })
        const run = yield* submitOne(spec)
        assert.deepEqual((yield* admitAll(gate.key)).map(({ state }) => state), ["Ready"])
        assert.deepEqual(yield* kinds(run), ["Submitted", "Admitted"], gate.whenFull)
        yield* assertReplayed(run, spec)
        yield* hand.settle(succeed(yield* hand.one))
        yield* assertReplayed(run, spec)
      }
    }))

  it.effect("R28 history: tells how a run had ended that is revived, and a family too", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [spec, child] = [specOf(namespace), specOf(namespace)]
      const family = yield* runs.submitFamily({ parent: spec, children: [child, child], places: 2 })
      if (family._tag === "Conflict") return assert.fail("it is new")
      const gated = { ...child, gate: { key: family.gate, places: 2, whenFull: "wait" } as const }
      const assertAll = Effect.gen(function* () {
        yield* assertReplayed(family.run, spec, { isParent: true })
        for (const each of family.children) yield* assertReplayed(each, gated)
      })
      yield* assertAll
      yield* admitAll(family.gate)
      yield* assertAll
      const { grants } = yield* hand.claim(2)
      yield* hand.settle(giveUp(grants[0]!), succeed(grants[1]!))
      yield* admitAll(family.gate)
      yield* assertAll
      yield* elapse(Duration.seconds(1))
      yield* revived(family.run)
      yield* assertAll
      assert.deepEqual(yield* kinds(family.run), ["Submitted", "Failed", "Reopened"])
      const failed = grants[0]!.run
      assert.deepEqual(
        (yield* runs.events(failed)).map(({ detail, kind }) => [kind, detail]),
        [
          ["Submitted", undefined],
          ["Admitted", undefined],
          ["Claimed", undefined],
          ["Failed", failure.message],
          ["Revived", failure.message],
        ],
      )
      yield* admitAll(family.gate)
      yield* hand.settle(succeed(yield* hand.one))
      yield* admitAll(family.gate)
      yield* assertAll
      assert.strictEqual((yield* found(family.run)).state, "Succeeded")
    }))

  it.effect("R28 history: tells each start apart that came in one instant, and the end last", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace, { isAtMostOnce: true })
      const run = yield* submitOne(spec)
      const late = []
      for (const _ of times(3)) {
        const grant = yield* hand.one
        late.push(grant)
        yield* hand.start(grant)
        yield* hand.settle(release(grant))
      }
      yield* hand.settle(succeed(yield* hand.one))
      yield* hand.settle(retry({ ...late[0]!, fence: Fence.make(99) }))
      assert.deepEqual(
        (yield* kinds(run)).filter((kind) => kind !== "LateReport"),
        [
          "Submitted",
          ...times(3).flatMap(() => ["Claimed", "Started", "Released"]),
          "Claimed",
          "Succeeded",
        ],
      )
      yield* assertReplayed(run, spec)
    }))

  it.effect("R28 history: however many reports came late, what comes after them is told", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const spec = specOf(namespace, { gate: gateOf(namespace, 1), isAtMostOnce: true })
      const run = yield* submitOne(spec)
      yield* admitAll(spec.gate!.key)
      const grant = yield* hand.one
      const late = times(1500).map((n) => retry({ ...grant, fence: Fence.make(1000 + n) }))
      for (const at of [0, 500, 1000]) yield* hand.settle(...late.slice(at, at + 500))
      const told = yield* kinds(run)
      assert.approximately(told.filter((kind) => kind === "LateReport").length, 1000, 3)
      yield* hand.start(grant)
      yield* hand.settle(release(grant))
      yield* suspended(run)
      yield* resumed(run)
      yield* admitAll(spec.gate!.key)
      yield* hand.start(yield* hand.one)
      yield* assertReplayed(run, spec)
      assert.deepEqual(
        (yield* kinds(run)).filter((kind) => kind !== "LateReport"),
        [
          "Submitted",
          "Admitted",
          "Claimed",
          "Started",
          "Released",
          "Suspended",
          "Resumed",
          "Claimed",
          "Started",
        ],
      )
    }))

  it.effect("R29 ordered by: each order that a run took tells whose it was", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const orders = (run: RunId) =>
        Effect.map(
          runs.events(run),
          (events) => events.flatMap(({ by, kind }) => by === undefined ? [] : [`${kind} ${by}`]),
        )
      const spec = specOf(namespace)
      const run = yield* submitOne(spec)
      yield* runs.suspend(run, "Ada")
      yield* runs.resume(run, "Bob")
      const grant = yield* hand.one
      yield* runs.suspend(run, "Cy")
      yield* hand.settle(putDown(grant))
      // It took no order: nothing is told.
      yield* runs.suspend(run, "nobody")
      yield* runs.resume(run)
      yield* hand.settle(handOver(yield* hand.one))
      yield* runs.notify(run, { _tag: "Failed", failure }, "Dan")
      yield* runs.notify(run, { _tag: "Failed", failure }, "nobody")
      yield* runs.revive(run, "Eve")
      const last = yield* hand.one
      yield* runs.cancel(run, "Flo")
      yield* hand.settle(abort(last))
      yield* runs.cancel(run, "nobody")
      assert.deepEqual(yield* orders(run), [
        "Suspended Ada",
        "Resumed Bob",
        "SuspendAsked Cy",
        "Notified Dan",
        "Revived Eve",
        "CancelAsked Flo",
      ])
      yield* assertReplayed(run, spec)

      const [waiting, other] = yield* submitAll([spec, spec])
      yield* runs.cancel(waiting!, "Ada")
      yield* runs.cancel(other!)
      assert.deepEqual(yield* kinds(waiting!), ["Submitted", "CancelAsked", "Cancelled"])
      assert.deepEqual(yield* orders(waiting!), ["CancelAsked Ada"])
      assert.deepEqual(yield* kinds(other!), ["Submitted", "Cancelled"])
      yield* assertReplayed(waiting!, spec)

      const family = yield* runs.submitFamily({ parent: spec, children: [spec, spec], places: 1 })
      if (family._tag === "Conflict") return assert.fail("it is new")
      yield* admitAll(family.gate)
      const child = yield* hand.one
      yield* runs.cancel(family.run, "Ada")
      assert.deepEqual(yield* orders(family.run), ["CancelAsked Ada"])
      for (const each of family.children) {
        assert.deepEqual(yield* orders(each), ["CancelAsked Ada"])
      }
      yield* hand.settle(giveUp(child))
      yield* admitAll(family.gate)
      const failing = yield* runs.submitFamily({ parent: spec, children: [spec], places: 1 })
      if (failing._tag === "Conflict") return assert.fail("it is new")
      yield* admitAll(failing.gate)
      yield* hand.settle(giveUp(yield* hand.one))
      yield* admitAll(failing.gate)
      yield* runs.revive(failing.run, "Bob")
      assert.deepEqual(yield* orders(failing.run), ["Reopened Bob"])
      assert.deepEqual(yield* orders(failing.children[0]!), ["Revived Bob"])
    }))

  it.effect("events: tell of a lost executor", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { crashesMax: 0 }))
      yield* hand.start(yield* hand.one)
      yield* hand.leave
      yield* recoverAll
      assert.includeMembers([...yield* kinds(run)], ["Submitted", "Lost", "Quarantined"])
    }))

  it.effect("events: of the plain path are three", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* hand.settle(succeed(yield* hand.one))
      assert.deepEqual(yield* kinds(run), ["Submitted", "Claimed", "Succeeded"])
    }))

  const why = (run: RunId): Effect.Effect<Reason, unknown, Storage> =>
    Effect.map(
      Storage.use(({ runs }) => runs.why(run)),
      Option.getOrThrowWith(() => new Error("not known")),
    )

  it.effect("why DueLater: names the instant, and the failure before it", () =>
    Effect.gen(function* () {
      const { now } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { delayMillis: 60_000 }))
      const reason = yield* why(run)
      if (reason._tag !== "DueLater") return assert.fail(reason._tag)
      const at = yield* now
      assert.approximately(DateTime.toEpochMillis(reason.at), at + 60_000, 5000)
      assert.isUndefined(reason.failure)
      const other = yield* submitOne(specOf(namespace))
      yield* hand.settle(retry(yield* hand.one, 60_000))
      const later = yield* why(other)
      assert.deepInclude(later, { _tag: "DueLater", failure })
    }))

  it.effect("why GateFull and GateOpen: name the gate, who holds it, and how many go first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const gate = gateOf(namespace, 1)
      const [first, second, third] = yield* submitAll(
        times(3).map(() => specOf(namespace, { gate })),
      )
      assert.deepEqual(yield* why(first!), { _tag: "GateOpen", gate: gate.key })
      yield* admitAll(gate.key)
      const full = { _tag: "GateFull" as const, gate: gate.key, holders: [first!] }
      assert.deepEqual(yield* why(second!), { ...full, ahead: 0 })
      assert.deepEqual(yield* why(third!), { ...full, ahead: 1 })
      yield* cancelled(first!)
      assert.deepInclude(yield* why(second!), { _tag: "GateOpen" })
    }))

  it.effect("why NoExecutor: nobody live serves its task", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const task = TaskName.make("unheard-of")
      const lane = Lane.ofTask(namespace, task)
      yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, { task, lane }))
      assert.deepEqual(yield* why(run), { _tag: "NoExecutor", task })
      const usual = yield* submitOne(specOf(namespace))
      assert.deepInclude(yield* why(usual), { _tag: "Waiting" })
      for (const { incarnation } of yield* executors.list(namespace)) {
        yield* executors.leave(incarnation)
      }
      assert.deepEqual(yield* why(usual), { _tag: "NoExecutor", task: greet })
    }))

  it.effect("why NoneMatches: executors serve its task, and none has the labels it asks for", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const namespace = freshNamespace()
      const selector = Selector.make("region=eu,!spot")
      const lane = Lane.ofTask(namespace, greet, selector)
      const joinedWith = Effect.fnUntraced(function* (labels: Record<string, string>) {
        const incarnation = yield* executors.join({
          namespace,
          name: ExecutorName.make(fresh("executor")),
          capacity: 1,
          labels,
          ttlMillis: 60_000,
        })
        yield* executors.serve(incarnation, [definitionOf(namespace)])
        return incarnation
      })
      const run = yield* submitOne(specOf(namespace, { lane }))
      assert.deepEqual(yield* why(run), { _tag: "NoExecutor", task: greet })
      yield* joinedWith({ region: "eu", spot: "yes" })
      yield* joinedWith({})
      assert.deepEqual(yield* why(run), { _tag: "NoneMatches", task: greet, selector })
      const match = yield* joinedWith({ region: "eu" })
      assert.deepEqual(yield* why(run), { _tag: "Waiting", lane, ahead: 0 })
      yield* executors.drain(match)
      assert.deepEqual(yield* why(run), { _tag: "NoneMatches", task: greet, selector })
    }))

  it.effect("why Waiting: names the lane and how many go first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      yield* joined(namespace)
      const lane = Lane.ofTask(namespace, greet)
      const [low, usual, urgent] = yield* submitAll(
        ([2, 1, 0] as const).map((level) => specOf(namespace, { level })),
      )
      assert.deepEqual(yield* why(low!), { _tag: "Waiting", lane, ahead: 2 })
      assert.deepEqual(yield* why(usual!), { _tag: "Waiting", lane, ahead: 1 })
      assert.deepEqual(yield* why(urgent!), { _tag: "Waiting", lane, ahead: 0 })
    }))

  it.effect("why Held: names the holder, and whether it was asked to stop", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { incarnation, name, one } = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace))
      yield* one
      const held = { _tag: "Held" as const, incarnation, name }
      assert.deepEqual(yield* why(run), { ...held, isCancelling: false })
      yield* cancelled(run)
      assert.deepEqual(yield* why(run), { ...held, isCancelling: true })
    }))

  it.effect("why Ended: names the end, and the failure", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [a, b] = yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* hand.claim(2)
      yield* hand.settle(...grants.map((held) => held.run === a ? succeed(held) : giveUp(held)))
      assert.deepEqual(yield* why(a!), { _tag: "Ended", state: "Succeeded" })
      assert.deepEqual(yield* why(b!), { _tag: "Ended", state: "Failed", failure })
    }))
}
