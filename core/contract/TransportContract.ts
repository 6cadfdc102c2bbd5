/**
 * The laws of `Transport`, as tests. `layer` provides the transport and the storage behind it, so
 * that the tests can look; `elapse` ages that storage, and time in between goes by as the runner
 * has it.
 *
 * The last part is a small executor, written as the comment of the port allows, that works over the
 * transport and over a `LossyTransport`; in the end every run must have ended once.
 *
 * Tried on the direct transport, and caught:
 *
 * | law | mistake                                       |
 * | --- | --------------------------------------------- |
 * | X1  | one number for all                            |
 * | X2  | `isAgain` not passed on                       |
 * | X3  | reports dropped; freed places not admitted    |
 * | X4  | no wait; no wake-up while it waits            |
 * | X5  | beats, revocations or reconcile not passed on |
 * | X6  | who is lost gets an empty answer              |
 * | X7  | all of the limit claimed; heard when sent;    |
 * |     | one key for all; no limit given back          |
 * | X8  | defined and not looked at                     |
 * | X9  | not passed on; lines passed on as they came   |
 * | X10 | granted; no wait; no wake-up; no permit asked |
 *
 * Not caught, because R13 mends it within a beat: a copied round that is carried out, and an earlier
 * call of a round that waits on beside the later one. They cost time; `DirectTransport.test.ts` has
 * them.
 */
import { assert } from "@effect/vitest"
import { Cause, Duration, Effect, Fiber, type Layer, Option, Random } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import { usual } from "../domain/Breaker.ts"
import { ExecutorName, type Incarnation } from "../domain/Executor.ts"
import * as GivenBack from "../domain/GivenBack.ts"
import * as Lane from "../domain/Lane.ts"
import { Fence } from "../domain/Lease.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { isFinal } from "../domain/Run.ts"
import type { RunId } from "../domain/RunId.ts"
import { held as heldOf } from "../services/ExecutorStorage.ts"
import type { Grant, Report } from "../services/RunStorage.ts"
import { type Policy, TaskDefinition } from "../domain/Task.ts"
import { Storage } from "../services/Storage.ts"
import { type Round, type SessionLost, Transport } from "../services/Transport.ts"
import type { TransportUnavailable } from "../services/Transport.ts"
import * as LossyTransport from "./LossyTransport.ts"
import { tell } from "./LogStorageContract.ts"
import {
  abort,
  admitAll,
  assertState,
  block,
  cancelled,
  definitionOf,
  type Elapse,
  failure,
  found,
  fresh,
  freshNamespace,
  gateOf,
  greet,
  ids,
  nothingHeld,
  type Options,
  pass,
  release,
  retry,
  sorted,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  times,
} from "./world.ts"

export interface TransportOptions extends Options {
  /** How many seeds of the lossy world are tried. */
  readonly seeds?: number
  readonly faults?: LossyTransport.Faults
}

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Transport | Storage | R, E>,
  elapse: Elapse<R>,
  options: TransportOptions = {},
): void => block(`Transport, ${adapter}`, layer, options, (it) => laws(it, elapse, options))

const joiningOf = (namespace: Namespace, ttlMillis = 600_000) => ({
  namespace,
  name: ExecutorName.make(fresh("executor")),
  capacity: 10,
  labels: { zone: "größe" },
  resources: { gpu: 2 },
  ttlMillis,
})

export const laws = <R>(
  it: Tests<Transport | Storage | R>,
  elapse: Elapse<R>,
  options: TransportOptions = {},
): void => {
  const passOf = pass(options)

  const session = Effect.fnUntraced(function* (namespace: Namespace, ttlMillis = 600_000) {
    const transport = yield* Transport
    const incarnation = yield* transport.join(joiningOf(namespace, ttlMillis))
    yield* transport.serve(incarnation, [definitionOf(namespace)])
    let round = 0
    return {
      incarnation,
      round: (differently: Partial<Round> = {}) =>
        transport.round({
          incarnation,
          loop: 0,
          round: differently.isAgain ? round : ++round,
          isAgain: false,
          lanes: [Lane.ofTask(namespace, greet)],
          limit: 5,
          reports: [],
          waitMillis: 0,
          ...differently,
        }),
    }
  })

  /** The answer, which must come within seconds. */
  const soon = <A, E>(fiber: Fiber.Fiber<A, E>) =>
    Effect.gen(function* () {
      for (let waited = 0; waited < 50 && fiber.pollUnsafe() === undefined; waited++) {
        yield* passOf("50 millis")
      }
      assert.isDefined(fiber.pollUnsafe(), "it was answered soon")
      return yield* Fiber.join(fiber)
    })

  it.effect("X1 incarnation: each join is a new one, and storage knows it", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const transport = yield* Transport
      const namespace = freshNamespace()
      const joining = joiningOf(namespace)
      const first = yield* transport.join(joining)
      const second = yield* transport.join(joining)
      assert.notStrictEqual(first, second)
      yield* transport.serve(second, [definitionOf(namespace)])
      const views = yield* executors.list(namespace)
      assert.deepStrictEqual(sorted(views.map((view) => view.incarnation)), sorted([first, second]))
      const view = views.find(({ incarnation }) => incarnation === second)!
      assert.deepEqual(view.tasks, [greet])
      assert.deepEqual(view.labels, joining.labels)
      assert.deepEqual(view.resources, joining.resources)
      assert.strictEqual(view.capacity, joining.capacity)
    }))

  it.effect("X2 rounds: a round sent again hands out the same grants", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { round } = yield* session(namespace)
      const text = '{"n":1e400,"s":"\\u0000é🎩"}'
      yield* submitAll(times(8).map(() => specOf(namespace, { payload: text })))
      const { grants } = yield* round()
      assert.strictEqual(grants.length, 5)
      assert.strictEqual(grants[0]!.payload, text)
      const again = yield* round({ isAgain: true })
      assert.deepEqual(
        again.grants.toSorted((a, b) => a.run - b.run),
        grants.toSorted((a, b) => a.run - b.run),
      )
      const next = yield* round()
      assert.strictEqual(next.grants.length, 3)
      assert.deepStrictEqual(ids(next.grants).filter((run) => ids(grants).includes(run)), [])
    }))

  it.effect("X2 rounds: what a round was granted while its caller was gone is not lost", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { round } = yield* session(namespace)
      const gone = yield* Effect.forkChild(round({ waitMillis: 60_000 }), {
        startImmediately: true,
      })
      yield* passOf("100 millis")
      yield* Fiber.interrupt(gone)
      const run = yield* submitOne(specOf(namespace))
      const { grants } = yield* round({ isAgain: true })
      assert.deepStrictEqual(ids(grants), [run])
    }))

  it.effect("X3 reports: count once, and only with the current fence", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      yield* submitAll(times(4).map(() => specOf(namespace)))
      const { grants: [a, b, c, d] } = yield* round()
      const wrong = { run: b!.run, fence: Fence.make(b!.fence + 1) }
      const reports = [succeed(a!, "1e400"), succeed(wrong), retry(b!, 60_000)]
      assert.deepEqual(
        (yield* round({ reports })).settled,
        ["applied", "fenced", "applied"],
      )
      assert.deepEqual(
        (yield* round({ reports, isAgain: true })).settled,
        ["duplicate", "fenced", "duplicate"],
      )
      assert.deepEqual(
        yield* transport.settle(incarnation, [
          succeed(a!),
          { _tag: "GiveUp", run: c!.run, fence: c!.fence, failure: { ...failure, stack: "at\n" } },
          release(d!),
        ]),
        ["duplicate", "applied", "applied"],
      )
      assert.deepEqual(yield* transport.settle(incarnation, []), [])
      assert.deepInclude(yield* found(a!.run), { state: "Succeeded", result: "1e400" })
      assert.deepInclude(yield* found(b!.run), { state: "Scheduled", failure })
      assert.strictEqual((yield* found(c!.run)).failure?.stack, "at\n")
      yield* assertState(d!.run, "Ready")
    }))

  it.effect("X3 reports: a start is marked once, and refused with an old fence", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace, { isAtMostOnce: true })))
      const { grants: [a, b] } = yield* round()
      assert.isTrue(a!.isCareful)
      const marks = [a!, { run: b!.run, fence: Fence.make(b!.fence + 1) }, b!]
        .map(({ fence, run }) => ({ run, fence }))
      for (const _ of times(2)) {
        assert.deepEqual(yield* transport.start(incarnation, marks), [true, false, true])
      }
    }))

  it.effect("X4 patient: an answer without grants comes only after the wait", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { round } = yield* session(namespace)
      const waiting = yield* Effect.forkChild(round({ waitMillis: 600 }), {
        startImmediately: true,
      })
      yield* passOf("400 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* passOf("800 millis")
      assert.isDefined(waiting.pollUnsafe())
      assert.deepEqual((yield* Fiber.join(waiting)).grants, [])
    }))

  it.effect("X4 patient: a run that becomes ready meanwhile is granted soon", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { round } = yield* session(namespace)
      for (const _ of times(3)) {
        const waiting = yield* Effect.forkChild(round({ waitMillis: 9000 }), {
          startImmediately: true,
        })
        yield* passOf("150 millis")
        assert.isUndefined(waiting.pollUnsafe())
        const run = yield* submitOne(specOf(namespace))
        assert.deepStrictEqual(ids((yield* soon(waiting)).grants), [run])
      }
    }))

  it.effect("X4 patient: reports are settled before the wait, and others may call meanwhile", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      const gate = gateOf(namespace, 1)
      const [first] = yield* submitAll([specOf(namespace)])
      const { grants } = yield* round()
      const waiting = yield* Effect.forkChild(
        round({ waitMillis: 9000, reports: [succeed(grants[0]!)] }),
        { startImmediately: true },
      )
      yield* passOf("150 millis")
      yield* assertState(first!, "Succeeded")
      assert.strictEqual((yield* transport.beat(incarnation, nothingHeld))._tag, "Alive")
      const run = yield* submitOne(specOf(namespace, { gate }))
      yield* Storage.use(({ runs }) => runs.admit([gate.key]))
      const answer = yield* soon(waiting)
      assert.deepEqual(answer.settled, ["applied"])
      assert.deepEqual(ids(answer.grants), [run])
    }))

  it.effect("X4 patient: a place that a report gave back goes to the next run", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const { round } = yield* session(namespace)
      const gate = gateOf(namespace, 1)
      const made = yield* submitAll(times(3).map(() => specOf(namespace, { gate })))
      yield* Storage.use(({ runs }) => runs.admit([gate.key]))
      let reports: ReadonlyArray<Report> = []
      for (const run of made) {
        const waiting = yield* Effect.forkChild(round({ waitMillis: 9000, reports }), {
          startImmediately: true,
        })
        const { grants } = yield* soon(waiting)
        assert.deepEqual(ids(grants), [run])
        reports = grants.map((grant) => succeed(grant))
      }
    }))

  it.effect("X5 beats: keep alive, return what to stop, and say whether both agree", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace, 60_000)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* round()
      yield* elapse(Duration.seconds(50))
      assert.deepEqual(yield* transport.beat(incarnation, heldOf(grants)), {
        _tag: "Alive",
        revoked: [],
        isAgreed: true,
      })
      yield* elapse(Duration.seconds(50))
      const [a] = grants
      yield* cancelled(a!.run)
      assert.deepEqual(yield* transport.beat(incarnation, nothingHeld), {
        _tag: "Alive",
        revoked: [{ run: a!.run, fence: a!.fence }],
        isAgreed: false,
      })
      yield* elapse(Duration.seconds(61))
      assert.deepEqual(yield* transport.beat(incarnation, heldOf(grants)), { _tag: "Lost" })
    }))

  it.effect("X5 beats: revocations come as soon as there are any", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      yield* submitOne(specOf(namespace))
      const { grants: [grant] } = yield* round()
      const waiting = yield* Effect.forkChild(transport.revocations(incarnation), {
        startImmediately: true,
      })
      yield* passOf("150 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* cancelled(grant!.run)
      assert.deepEqual(yield* soon(waiting), [{ run: grant!.run, fence: grant!.fence }])
    }))

  it.effect("X5 beats: reconcile gives back what was never heard of", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants: [known, forgotten] } = yield* round()
      const rounds = [{ loop: 0, round: 1 }]
      const knowing = { run: known!.run, fence: known!.fence }
      assert.deepEqual(
        yield* transport.reconcile(incarnation, { grants: [knowing], rounds }),
        [],
      )
      yield* assertState(forgotten!.run, "Ready")
      yield* assertState(known!.run, "Running")
      const grants = [{ run: forgotten!.run, fence: forgotten!.fence }, knowing]
      assert.deepEqual(
        yield* transport.reconcile(incarnation, { grants, rounds }),
        [forgotten!.run],
      )
    }))

  it.effect("X8 checked: a policy is refused as where its task is made, and nothing is defined", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Storage
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation } = yield* session(namespace)
      const good = definitionOf(namespace, "good")
      const serving = (name: string, policy: unknown) =>
        transport.serve(incarnation, [
          good,
          new TaskDefinition({ ...definitionOf(namespace, name), policy: policy as Policy }),
        ])
      const refused = yield* Effect.flip(
        serving("early", { ...good.policy, alerts: [{ on: "failed", channel: "x" }] }),
      )
      assert(refused._tag === "Refused")
      assert.strictEqual(refused.field, "early.policy.alerts")
      assert.isAbove(refused.remedy.length, 10)
      assert.deepEqual(
        (yield* tasks.list(namespace)).map(({ definition: { name } }) => String(name)),
        [greet],
      )
      yield* transport.serve(incarnation, [good])
      assert.strictEqual((yield* tasks.list(namespace)).length, 2)
    }))

  it.effect("X7 permits: no more is granted than permitted, also when it is asked again", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const namespace = freshNamespace()
      const { round } = yield* session(namespace)
      const rateLimit = { limit: 3, perMillis: 900_000 }
      const regulation = { namespace, task: greet, rateLimit }
      // With nothing to grant, nothing is taken.
      assert.deepEqual((yield* round({ regulation })).grants, [])
      assert.strictEqual((yield* permits.take(regulation, 1)).count, 1)
      yield* submitAll(times(5).map(() => specOf(namespace)))
      const { grants } = yield* round({ regulation, limit: 1 })
      assert.strictEqual(grants.length, 1)
      assert.strictEqual((yield* round({ regulation })).grants.length, 1)
      assert.strictEqual((yield* round({ regulation })).grants.length, 0)
      yield* elapse(Duration.minutes(9))
      const late = yield* round({ regulation, limit: 1 })
      const again = yield* round({ regulation, limit: 1, isAgain: true })
      assert.deepEqual(ids(again.grants), ids(late.grants))
    }))

  it.effect("X10 looked: who looks is told when there is something, and is granted nothing", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const namespace = freshNamespace()
      const { round } = yield* session(namespace)
      const none = yield* round({ looks: true })
      assert.deepEqual([none.grants, none.isReady], [[], undefined])
      const looking = yield* Effect.forkChild(round({ looks: true, waitMillis: 9000 }), {
        startImmediately: true,
      })
      yield* passOf("150 millis")
      assert.isUndefined(looking.pollUnsafe())
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const found = yield* soon(looking)
      assert.deepEqual([found.grants, found.isReady], [[], true])
      const regulation = { namespace, task: greet, rateLimit: { limit: 1, perMillis: 900_000 } }
      for (const _ of times(2)) {
        assert.isTrue((yield* round({ looks: true, regulation })).isReady, "nothing is taken")
      }
      assert.strictEqual((yield* permits.take(regulation, 1)).count, 1)
      assert.isUndefined((yield* round({ looks: true, regulation })).isReady)
      const { grants } = yield* round()
      assert.strictEqual(grants.length, 2)
      const reports = grants.map((grant) => succeed(grant))
      assert.deepEqual((yield* round({ looks: true, reports })).settled, ["applied", "applied"])
    }))

  it.effect("X7 permits: a breaker hears of the calls of reports that are applied, once", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      const transport = yield* Transport
      const breaker = "gateway"
      const regulation = { namespace, task: greet, breaker }
      yield* submitAll(times(3).map(() => specOf(namespace)))
      const { grants } = yield* round({ regulation })
      const told = (at: number, isBad: boolean): Report => {
        const { epoch, ...held } = grants[at]!
        return { ...succeed(held), call: { namespace, breaker, epoch: epoch!, isBad, millis: 5 } }
      }
      yield* transport.settle(incarnation, [told(0, false)])
      yield* round({ reports: [told(1, true), told(0, true)] })
      yield* transport.settle(incarnation, [told(1, true), {
        ...told(2, true),
        fence: Fence.make(9),
      }])
      const { bad, calls } = Option.getOrThrow(yield* permits.find(namespace, breaker))
      assert.deepEqual([calls, bad], [2, 1])
    }))

  it.effect("X7 permits: the breaker of its key lets a run start, or says how long it waits", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      const transport = yield* Transport
      const breaker = "gateway"
      const rateLimit = { limit: 2, perMillis: 900_000 }
      const regulation = { namespace, task: greet, rateLimit }
      yield* permits.set(namespace, breaker, { ...usual, callsMin: 1, openMillis: 3_600_000 })
      const gate = (key: string) => ({
        ...gateOf(namespace, 1),
        key: Blocking.GateKey.make(`${namespace}:${greet}:${key}`),
      })
      yield* submitAll(["a", "b"].map((key) => specOf(namespace, { gate: gate(key) })))
      for (const key of ["a", "b"]) yield* admitAll(gate(key).key)
      const { grants: [a, b] } = yield* round({ regulation })
      const passage = yield* transport.pass(a!.run, breaker, regulation)
      if (passage._tag !== "Open") return assert.fail("it is closed")
      assert.strictEqual(passage.key, "a")
      const call = { namespace, breaker, key: "a", epoch: passage.epoch!, isBad: true, millis: 5 }
      yield* transport.settle(incarnation, [{ ...retry(a!), call }])
      const closed = yield* transport.pass(a!.run, breaker, regulation)
      if (closed._tag !== "Closed") return assert.fail("it is open")
      // So that an order by hand is soon heard.
      assert.isAtMost(closed.retryInMillis, 5000)
      assert.isAbove(closed.retryInMillis, 2000)
      assert.deepInclude(yield* transport.pass(b!.run, breaker, regulation), {
        _tag: "Open",
        key: "b",
      })
      // What was permitted for the start that is not, another may have.
      assert.strictEqual((yield* permits.take(regulation, 9)).count, 1)
    }))

  it.effect("X6 lost is final: who left, or was lost, is told so", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const namespace = freshNamespace()
      const left = yield* session(namespace)
      const silent = yield* session(namespace, 60_000)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* silent.round()
      yield* transport.leave(left.incarnation)
      yield* elapse(Duration.seconds(61))
      for (const { incarnation, round } of [left, silent]) {
        for (const _ of times(2)) {
          const lost = yield* Effect.flip(round())
          assert.deepInclude({ ...lost }, { _tag: "SessionLost", incarnation })
        }
        const served = yield* Effect.flip(transport.serve(incarnation, [definitionOf(namespace)]))
        assert.strictEqual(served._tag, "SessionLost")
        assert.deepEqual(yield* transport.beat(incarnation, nothingHeld), { _tag: "Lost" })
      }
      // What it held and nobody has freed yet, it may still settle.
      const settled = yield* transport.settle(silent.incarnation, grants.map((g) => succeed(g)))
      assert.isTrue(settled.every((answer) => answer === "applied" || answer === "fenced"))
    }))

  it.effect("X6 lost is final: who drains gets nothing new, and settles what it has", () =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      yield* submitOne(specOf(namespace))
      const { grants } = yield* round()
      yield* transport.drain(incarnation)
      yield* submitOne(specOf(namespace))
      const { grants: none, settled } = yield* round({ reports: [succeed(grants[0]!)] })
      assert.deepEqual({ none, settled }, { none: [], settled: ["applied"] })
    }))

  it.effect("X5 beats: they carry vitals there and sizes back, and conclusions are kept", () =>
    Effect.gen(function* () {
      const { executors } = yield* Storage
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      const sizes = { core: 2, maximum: 4, queueLength: 3, prefetchMillis: 100 }
      const vitals = { sizes, running: 1, queued: 2, stuck: 3, stalledMillis: 4 }
      yield* executors.resize(namespace, incarnation, sizes)
      assert.deepInclude(yield* transport.beat(incarnation, nothingHeld, vitals), { sizes })
      assert.deepEqual((yield* executors.list(namespace))[0]!.vitals, vitals)
      const [run] = yield* submitAll([specOf(namespace)])
      const { grants: [grant] } = yield* round()
      const conclusion = { state: "Failed", phase: "rollingBack", failure } as const
      const concluding = { run: run!, fence: grant!.fence, conclusion }
      const late = { ...concluding, fence: Fence.make(grant!.fence + 1) }
      assert.deepEqual(yield* transport.conclude(incarnation, [late, concluding]), [false, true])
      assert.strictEqual((yield* found(run!)).phase, "rollingBack")
      const kept = { ...release(grant!), checkpoint: "7", why: "Stopping" } as const
      assert.deepEqual(yield* transport.settle(incarnation, [kept]), ["applied"])
      const { runs } = yield* Storage
      const released = (yield* runs.events(run!)).find(({ kind }) => kind === "Released")
      assert.strictEqual(released?.detail, GivenBack.wordsOf("Stopping"))
      const { grants: [again] } = yield* round()
      assert.deepInclude(again, { conclusion, checkpoint: "7" })
    }))

  it.effect("X9 told: progress and lines arrive, once, and without what a terminal obeys", () =>
    Effect.gen(function* () {
      const { logs } = yield* Storage
      const transport = yield* Transport
      const namespace = freshNamespace()
      const { incarnation, round } = yield* session(namespace)
      yield* submitAll(times(2).map(() => specOf(namespace)))
      const { grants } = yield* round()
      const [a, b] = grants
      const line = { level: "Info" as const, agoMillis: 0 }
      const told = grants.map((grant) =>
        tell(grant, {
          progress: { sequence: 1, percent: 50, done: 1, total: 2, text: "größe 🎩" },
          lines: [
            { ...line, text: "\u001b[31mred\u001b[0m \ud83d" },
            { ...line, text: "", leftOut: 3 },
          ],
        })
      )
      for (const _ of times(2)) yield* transport.tell(incarnation, told)
      yield* transport.tell(incarnation, [])
      for (const { fence, run } of [a!, b!]) {
        const { lines } = yield* logs.read({ run, limit: 9 })
        assert.deepStrictEqual(
          lines.map(({ fence, leftOut, number, text }) => ({ fence, leftOut, number, text })),
          [
            { fence, leftOut: undefined, number: 1, text: "red \ufffd" },
            { fence, leftOut: 3, number: 2, text: "" },
          ],
        )
        const progress = Option.getOrThrow(yield* logs.progress(run))
        assert.deepInclude(progress, {
          fence,
          sequence: 1,
          percent: 50,
          done: 1,
          total: 2,
          text: "größe 🎩",
        })
      }
    }))

  it.effect("a world in which nothing fails: every run ends once, and is begun once", () =>
    Effect.gen(function* () {
      const { begun, made } = yield* world(yield* Transport, passOf)
      const again = [...begun.values()].filter((count) => count > 1)
      assert.deepEqual(again, [])
      assert.strictEqual(begun.size, made.reduce((sum, { attempts }) => sum + attempts, 0))
    }).pipe(Random.withSeed(0)))

  for (const seed of times(options.seeds ?? 6).map((n) => n + 1)) {
    it.effect(`a lossy world, SEED=${seed}: every run ends once`, () =>
      Effect.gen(function* () {
        const { tally, transport } = yield* LossyTransport.make(yield* Transport, options.faults)
        const { begun } = yield* world(transport, passOf)
        assert.deepEqual([...begun].filter(([, count]) => count > 1), [], "X2: begun once a grant")
        for (const [what, count] of Object.entries(tally)) {
          assert.isAbove(count, 0, `the world was too easy: no ${what}`)
        }
      }).pipe(Random.withSeed(seed)), 60_000)
  }
}

const runsOfWorld = 80

/**
 * Two executors carry runs out that succeed, are retried, given back, gated, careful and cancelled,
 * while a scheduler sweeps. Returns how often each grant was begun.
 */
const world = (
  transport: Transport["Service"],
  passOf: (duration: Duration.Input) => Effect.Effect<void>,
) =>
  Effect.gen(function* () {
    const { runs } = yield* Storage
    const random = yield* Random.Random
    const namespace = freshNamespace()
    const gate = gateOf(namespace, 2)
    const begun = new Map<string, number>()
    const wrong: Array<Cause.Cause<unknown>> = []
    const chance = (share: number) => random.nextDoubleUnsafe() < share

    const working = yield* Effect.forEach(
      times(2),
      () =>
        Effect.forkChild(
          executor({
            transport,
            namespace,
            begin: ({ fence, run }) => {
              const key = `${run}/${fence}`
              begun.set(key, (begun.get(key) ?? 0) + 1)
            },
            end: (grant) =>
              Effect.gen(function* () {
                yield* Effect.sleep(Duration.millis(1 + random.nextDoubleUnsafe() * 40))
                if (grant.attempt < 3 && chance(0.2)) return retry(grant)
                return succeed(grant, `${grant.fence}`)
              }),
          }).pipe(
            // Nobody joins it before its end, so what went wrong in it is told here.
            Effect.tapCause((cause) =>
              Effect.sync(() => {
                if (!Cause.hasInterruptsOnly(cause)) wrong.push(cause)
              })
            ),
          ),
        ),
    )
    const sweeping = yield* Effect.forkChild(
      Effect.gen(function* () {
        yield* runs.promote(100)
        yield* runs.recover(100)
        yield* runs.admit([gate.key])
        yield* Effect.sleep("50 millis")
      }).pipe(Effect.forever),
    )

    const all: Array<RunId> = []
    const asked = new Set<RunId>()
    const isOver = Effect.gen(function* () {
      const views = yield* runs.findMany(all)
      return views.every(({ state }) => isFinal(state))
    })
    for (const n of times(runsOfWorld)) {
      all.push(
        yield* submitOne(specOf(namespace, {
          gate: n % 4 === 0 ? gate : undefined,
          isAtMostOnce: n % 5 === 0,
          level: chance(0.2) ? 0 : 1,
          crashesMax: 100,
        })),
      )
      if (n % 10 === 9) {
        const run = all[n - 3]!
        asked.add(run)
        yield* cancelled(run)
      }
      if (n % 2 === 0) yield* passOf("40 millis")
    }
    for (let waited = 0; waited < 400 && !(yield* isOver); waited++) yield* passOf("50 millis")
    // Late copies of what was sent long ago still arrive, and must change nothing.
    const before = yield* runs.findMany(all)
    yield* passOf("300 millis")
    const after = yield* runs.findMany(all)
    assert.deepEqual(
      after.toSorted((a, b) => a.id - b.id),
      before.toSorted((a, b) => a.id - b.id),
    )
    yield* Fiber.interruptAll([...working, sweeping])

    assert.deepEqual(wrong.map(Cause.pretty), [], "the executors found nothing wrong")
    const stuck = after.filter(({ state }) => !isFinal(state))
    const reasons = yield* Effect.forEach(stuck, ({ id }) =>
      Effect.map(runs.why(id), Option.getOrUndefined))
    assert.deepEqual(reasons, [], "every run ends")
    for (const view of after) {
      if (view.state === "Cancelled") {
        assert.isTrue(asked.has(view.id))
      } else {
        assert.strictEqual(view.state, "Succeeded")
        // It ended with the last grant, and that one was begun.
        assert.strictEqual(view.result, `${view.fence}`)
        assert.isTrue(begun.has(`${view.id}/${view.fence}`))
      }
    }
    return { begun, made: after.map(({ attempt }) => ({ attempts: attempt })) }
  })

const ttlMillis = 4000

interface Carrying {
  readonly transport: Transport["Service"]
  readonly namespace: Namespace
  readonly begin: (grant: Grant) => void
  readonly end: (grant: Grant) => Effect.Effect<Report>
}

/** Joins, works until it is lost, and joins anew. */
const executor = ({ begin, end, namespace, transport }: Carrying) =>
  Effect.gen(function* () {
    const incarnation = yield* untilAnswered(() => transport.join(joiningOf(namespace, ttlMillis)))
    yield* untilAnswered(() => transport.serve(incarnation, [definitionOf(namespace)]))
    yield* live({ begin, end, namespace, transport }, incarnation)
  }).pipe(
    Effect.catchTag("SessionLost", () => Effect.void),
    Effect.forever,
  )

const live = (
  { begin, end, namespace, transport }: Carrying,
  incarnation: Incarnation,
): Effect.Effect<never, SessionLost> =>
  Effect.gen(function* () {
    const known = new Map<RunId, Grant>()
    const stopping = new Set<string>()
    const answered = new Map<number, number>()
    let finished: Array<Report> = []

    const carryOut = (grant: Grant) =>
      Effect.gen(function* () {
        const key = `${grant.run}/${grant.fence}`
        if (grant.isCareful) {
          const [mayRun] = yield* untilAnswered(() =>
            transport.start(incarnation, [{ run: grant.run, fence: grant.fence }])
          )
          if (!mayRun) {
            finished.push(abort(grant))
            return
          }
        }
        begin(grant)
        const report = yield* end(grant)
        finished.push(stopping.has(key) ? abort(grant) : report)
      })

    const loop = (number: number) =>
      Effect.gen(function* () {
        for (let round = 1;; round++) {
          const reports = finished
          finished = []
          const { grants, settled } = yield* untilAnswered((isAgain) =>
            transport.round({
              incarnation,
              loop: number,
              round,
              isAgain,
              lanes: [Lane.ofTask(namespace, greet)],
              limit: 3,
              reports,
              waitMillis: number === 0 && reports.length === 0 ? 100 : 0,
            })
          )
          assert.strictEqual(settled.length, reports.length)
          answered.set(number, round)
          for (const { run, fence } of reports) {
            if (known.get(run)?.fence === fence) known.delete(run)
          }
          for (const grant of grants) {
            assert.notStrictEqual(known.get(grant.run)?.fence, grant.fence, "granted twice")
            known.set(grant.run, grant)
            yield* Effect.forkChild(Effect.orDie(carryOut(grant)))
          }
          yield* Effect.sleep("10 millis")
        }
      })

    const beats = Effect.gen(function* () {
      for (;;) {
        yield* Effect.sleep(Duration.millis(ttlMillis / 10))
        const beaten = yield* untilAnswered(() =>
          transport.beat(incarnation, heldOf(known.values()))
        )
        if (beaten._tag === "Lost") return
        for (const { fence, run } of beaten.revoked) stopping.add(`${run}/${fence}`)
        if (beaten.isAgreed) continue
        const grants = [...known.values()].map(({ fence, run }) => ({ run, fence }))
        const rounds = [...answered].map(([loop, round]) => ({ loop, round }))
        const passed = yield* untilAnswered(() =>
          transport.reconcile(incarnation, { grants, rounds })
        )
        for (const { fence, run } of grants) {
          if (passed.includes(run) && known.get(run)?.fence === fence) known.delete(run)
        }
      }
    })

    const revocations = Effect.gen(function* () {
      for (;;) {
        for (
          const { fence, run } of yield* untilAnswered(() => transport.revocations(incarnation))
        ) {
          stopping.add(`${run}/${fence}`)
        }
        yield* Effect.sleep("50 millis")
      }
    })

    return yield* Effect.raceAllFirst([
      loop(0),
      loop(1),
      Effect.andThen(beats, Effect.never),
      revocations,
    ])
  })

/** Repeats a call while no answer comes. */
const untilAnswered = <A, E extends { readonly _tag: string }>(
  call: (isAgain: boolean) => Effect.Effect<A, E>,
  isAgain = false,
): Effect.Effect<A, Exclude<E, TransportUnavailable | { readonly _tag: "JoinRefused" }>> =>
  Effect.catch(
    call(isAgain),
    (error) =>
      error._tag === "TransportUnavailable"
        ? Effect.andThen(Effect.sleep("15 millis"), untilAnswered(call, true))
        : error._tag === "JoinRefused"
        ? Effect.die(error)
        : Effect.fail(error as Exclude<E, TransportUnavailable | { readonly _tag: "JoinRefused" }>),
  )
