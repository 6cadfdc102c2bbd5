/**
 * R12: random commands are given to the adapter, a model follows with `Run.advance`, and after
 * every command both must show the same state, attempt, crashes and fence of every run. In the end
 * the history of each run must lead there too (R28), and the outbox has told of each end that the model has
 * seen, and of no other (B1).
 *
 * Parents are not among the runs; how they end is derived from the states of others (R18).
 *
 * The clock of the model ticks in whole minutes and every run is due at half a minute, so a clock
 * that runs on while the test does makes no difference.
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, Random, Result } from "effect"
import type { Gate } from "../../domain/Blocking.ts"
import * as Blocking from "../../domain/Blocking.ts"
import type { Incarnation } from "../../domain/Executor.ts"
import { handedOver } from "../../domain/Conclusion.ts"
import type { Fence } from "../../domain/Lease.ts"
import { type Level, levels } from "../../domain/Lane.ts"
import * as Run from "../../domain/Run.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { OutboxEvent } from "../../services/OutboxStorage.ts"
import type { Report, RunSpec } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import { listening } from "../OutboxStorageContract.ts"
import { assertReplayed } from "../replayed.ts"
import {
  abort,
  admitAll,
  cancelled,
  type Elapse,
  expireAll,
  failure,
  freshNamespace,
  gateOf,
  giveUp,
  type Hand,
  handOver,
  type Held,
  joined,
  notified,
  oneOf,
  type Options,
  promoteAll,
  putDown,
  recoverAll,
  release,
  resumed,
  retry,
  revived,
  rolledBack,
  specOf,
  submitAll,
  succeed,
  suspended,
  type Tests,
  timeOut,
  times,
  ttl,
} from "../world.ts"

const commandsPerSequence = 60
const minute = 60_000

export const laws = <R>(
  it: Tests<Storage | R>,
  elapse: Elapse<R>,
  options: Options & { readonly sequences?: number; readonly seed?: number },
): void => {
  const first = options.seed ?? 1
  for (const seed of times(options.sequences ?? 12).map((n) => first + n)) {
    it.effect(`R12 agreement: every change is one of Run.advance, SEED=${seed}`, () =>
      sequence(elapse).pipe(Random.withSeed(seed)))
  }
  for (const seed of times(options.sequences ?? 12).map((n) => first + 100 + n)) {
    it.effect(`R28 history: replayed, it leads to the state a run is in, SEED=${seed}`, () =>
      Effect.flatMap(sequence(elapse), ({ replayed }) => replayed).pipe(Random.withSeed(seed)))
  }
}

interface Modelled {
  readonly run: RunId
  readonly spec: RunSpec
  state: Run.RunState
  /** In the model's minutes. */
  dueAt: number
  holder: Incarnation | undefined
  /** The fence of the report that was settled last. */
  settled: Fence | undefined
  /** In the model's minutes, while it matters. */
  deadlineAt: number | undefined
  awaitsUntil: number | undefined
  isNotified: boolean
  concluded: "Succeeded" | "Failed" | "TimedOut" | "Cancelled" | undefined
  /** The fence with which it was marked as handed over. */
  marked: Fence | undefined
  /** It was handed over, and nobody has concluded anything of it since it is known how it ends. */
  isFinishing: boolean
  /** Somebody has asked that it be rolled back, and its holder has said nothing else since. */
  isAsked: boolean
  /** What reports may still come, rightly or wrongly. */
  readonly grants: Array<Held & { readonly incarnation: Incarnation }>
}

const sequence = <R>(elapse: Elapse<R>) =>
  Effect.gen(function* () {
    const world = yield* makeWorld(elapse)
    const trail: Array<string> = []
    for (const _ of times(commandsPerSequence)) {
      const command = yield* oneOf(world.commands)
      trail.push(command.name)
      yield* command.run.pipe(
        Effect.andThen(world.compare),
        Effect.catchCause((cause) =>
          Effect.andThen(
            Effect.logError(`after ${trail.join(", ")}`),
            Effect.failCause(cause),
          )
        ),
      )
    }
    yield* world.compareTold
    return world
  })

const makeWorld = <R>(elapse: Elapse<R>) =>
  Effect.gen(function* () {
    const { runs } = yield* Storage
    const namespace = freshNamespace()
    const known = new Map<RunId, Modelled>()
    /** Of all runs, in the order in which they ended. */
    const ends: Array<string> = []
    const { all: allTold } = yield* listening(namespace)
    const heard: Array<OutboxEvent> = []
    /** Of those that have succeeded. */
    const untold = new Set<RunId>()
    const hear = Effect.map(allTold, (events) => {
      heard.push(...events)
      untold.clear()
    })
    const hands: Array<Hand> = yield* Effect.all(times(3).map(() => joined(namespace)))
    const gates: ReadonlyArray<Gate> = [
      gateOf(namespace, 1),
      gateOf(namespace, 2),
      gateOf(namespace, 1, "discard"),
    ]
    let now = 0

    const advance = (each: Modelled, event: Run.RunEvent): boolean => {
      const next = Run.advance(each.state, event)
      if (Result.isFailure(next)) return false
      each.state = next.success
      const { _tag, attempt, fence } = each.state
      if (Run.isFinal(_tag)) ends.push(`${each.run} ${_tag} ${attempt} ${fence}`)
      if (_tag === "Succeeded") untold.add(each.run)
      return true
    }
    const inState = (...names: ReadonlyArray<Run.StateName>): ReadonlyArray<Modelled> =>
      [...known.values()].filter(({ state }) => names.includes(state._tag))
    const holdersOf = (gate: Gate): number =>
      [...known.values()].filter(({ spec, state }) =>
        spec.gate?.key === gate.key && Run.holdsPlace(state, gate.places)
      ).length
    const chance = (share: number) => Effect.map(Random.next, (drawn) => drawn < share)

    const submit = Effect.gen(function* () {
      const specs: Array<RunSpec> = []
      for (const _ of times(yield* oneOf([1, 1, 2, 3]))) {
        const isLater = yield* chance(0.3)
        specs.push(specOf(namespace, {
          level: yield* oneOf<Level>(levels),
          gate: (yield* chance(0.5)) ? yield* oneOf(gates) : undefined,
          delayMillis: isLater ? minute / 2 + minute * (yield* oneOf([0, 1, 2])) : 0,
          isAtMostOnce: yield* chance(0.3),
          crashesMax: yield* oneOf([0, 1, 3]),
          deadlineMillis: (yield* chance(0.3))
            ? minute / 2 + minute * (yield* oneOf([0, 1, 3]))
            : undefined,
        }))
      }
      for (const [at, run] of (yield* submitAll(specs)).entries()) {
        const spec = specs[at]!
        const state = Run.submitted({
          isDueLater: spec.delayMillis > 0,
          isGated: spec.gate !== undefined,
          isAtMostOnce: spec.isAtMostOnce,
          hasDeadline: spec.deadlineMillis !== undefined,
        })
        known.set(run, {
          run,
          spec,
          state,
          dueAt: now + spec.delayMillis,
          holder: undefined,
          settled: undefined,
          deadlineAt: spec.deadlineMillis === undefined ? undefined : now + spec.deadlineMillis,
          awaitsUntil: undefined,
          isNotified: false,
          concluded: undefined,
          marked: undefined,
          isFinishing: false,
          isAsked: false,
          grants: [],
        })
      }
    })

    const admit = Effect.gen(function* () {
      const gate = yield* oneOf(gates)
      for (const { run, state } of yield* admitAll(gate.key)) {
        const each = known.get(run)!
        const decision = Blocking.decide(gate, holdersOf(gate))
        assert.strictEqual(state, decision === "admit" ? "Ready" : "Discarded")
        assert.notStrictEqual(decision, "wait")
        assert.isTrue(advance(each, { _tag: decision === "admit" ? "Admit" : "Discard" }))
      }
      const isWaiting = inState("Blocked").some(({ spec }) => spec.gate?.key === gate.key)
      if (isWaiting) assert.strictEqual(Blocking.decide(gate, holdersOf(gate)), "wait")
    })

    const claim = Effect.gen(function* () {
      const hand = yield* oneOf(hands)
      const limit = yield* oneOf([1, 2, 5])
      const reports = (yield* chance(0.5)) ? yield* someReports(hand) : []
      const expected = reports.map((report) => settled(hand, report))
      const wanted = Math.min(limit, inState("Ready").length)
      const answer = yield* hand.claim(limit, { reports })
      assertSettled(answer.settled, expected)
      assert.strictEqual(answer.grants.length, wanted, "as many as are ready and wanted")
      for (const grant of answer.grants) {
        const each = known.get(grant.run)!
        assert.isTrue(advance(each, { _tag: "Claim" }), `${each.state._tag} was granted`)
        const { attempt, crashes, fence, isCareful } = each.state
        assert.deepInclude(grant, { attempt, crashes, fence, isCareful })
        each.holder = hand.incarnation
        each.grants.push({ run: grant.run, fence: grant.fence, incarnation: hand.incarnation })
      }
    })

    /** Grants of now or before, mostly with the right fence and of the right holder. */
    const someGrant = Effect.gen(function* () {
      const running = inState("Running")
      const from = running.length > 0 && (yield* chance(0.8)) ? running : [...known.values()]
      const grants = from.flatMap(({ grants }) => grants)
      return grants.length === 0 ? undefined : yield* oneOf(grants)
    })

    const someReport = Effect.gen(function* () {
      const grant = yield* someGrant
      if (grant === undefined) return undefined
      const kind = yield* oneOf([
        succeed,
        retry,
        retry,
        retryLater,
        giveUp,
        timeOut,
        release,
        abort,
        putDown,
        handOver,
        handOverForAWhile,
      ])
      const isWrong = yield* chance(0.1)
      return {
        incarnation: grant.incarnation,
        report: kind(isWrong ? { ...grant, fence: (grant.fence + 1) as Fence } : grant),
      }
    })

    const someReports = (hand: Hand) =>
      Effect.map(
        Effect.all(times(3).map(() => someReport)),
        (drawn) =>
          drawn.flatMap((each) => each?.incarnation === hand.incarnation ? [each.report] : []),
      )

    /** What the answer to a report may be, once the model has taken it. */
    const settled = (hand: { readonly incarnation: Incarnation }, report: Report) => {
      const each = known.get(report.run)!
      const { run: _, ...event } = report
      const hasBegun = each.state._tag === "Running" && each.state.isStartMarked
      if (
        each.state._tag === "Running" && each.holder === hand.incarnation && advance(each, event)
      ) {
        each.settled = report.fence
        if (report._tag === "Retry") each.dueAt = now + report.delayMillis
        if (report._tag === "Yield" || report._tag === "Release" && hasBegun) {
          each.deadlineAt = undefined
        }
        if (report._tag === "Await") {
          each.awaitsUntil = report.timeoutMillis && now + report.timeoutMillis
        }
        return ["applied"]
      }
      if (each.settled !== report.fence) {
        // An older one that settled is a duplicate as well, but not every store remembers.
        return each.grants.some(({ fence }) => fence === report.fence) &&
            report.fence < each.state.fence
          ? ["fenced", "duplicate"]
          : ["fenced"]
      }
      // It may have come from another than who settled.
      return each.state.fence === report.fence && each.holder === hand.incarnation
        ? ["duplicate"]
        : ["fenced", "duplicate"]
    }

    const assertSettled = (
      answers: ReadonlyArray<string>,
      expected: ReadonlyArray<ReadonlyArray<string>>,
    ) => {
      assert.strictEqual(answers.length, expected.length)
      for (const [at, answer] of answers.entries()) {
        assert.include(expected[at], answer as never, `of report ${at}`)
      }
    }

    const settle = Effect.gen(function* () {
      const drawn = yield* someReport
      if (drawn === undefined) return
      const { incarnation, report } = drawn
      const answer = yield* runs.settle(incarnation, [report])
      assertSettled(answer.settled, [settled({ incarnation }, report)])
    })

    const start = Effect.gen(function* () {
      const grant = yield* someGrant
      if (grant === undefined) return
      const each = known.get(grant.run)!
      const mayRun = each.state._tag === "Running" && !each.state.isCancelling &&
        !each.state.isSuspending &&
        each.holder === grant.incarnation && advance(each, { _tag: "Start", fence: grant.fence })
      const { fence, incarnation, run } = grant
      assert.deepEqual(yield* runs.start(incarnation, [{ run, fence }]), [mayRun])
    })

    const conclude = Effect.gen(function* () {
      const grant = yield* someGrant
      if (grant === undefined) return
      const each = known.get(grant.run)!
      const isHeld = each.state._tag === "Running" && each.state.fence === grant.fence &&
        each.holder === grant.incarnation
      const state = yield* oneOf(["Succeeded", "Failed"] as const)
      const conclusion = {
        state,
        phase: "cleaning",
        ...(state === "Failed" && { failure }),
      } as const
      const { fence, incarnation, run } = grant
      assert.deepEqual(yield* runs.conclude(incarnation, [{ run, fence, conclusion }]), [isHeld])
      if (!isHeld) return
      each.deadlineAt = undefined
      each.concluded = state
      each.marked = undefined
      each.isFinishing = false
      each.isAsked = false
    })

    const mark = Effect.gen(function* () {
      const grant = yield* someGrant
      if (grant === undefined) return
      const each = known.get(grant.run)!
      const isTaken = each.state._tag === "Running" && each.state.fence === grant.fence &&
        each.holder === grant.incarnation && !each.state.isCancelling &&
        each.concluded === undefined
      const { fence, incarnation, run } = grant
      const marking = { run, fence, conclusion: handedOver }
      assert.deepEqual(yield* runs.conclude(incarnation, [marking]), [isTaken])
      if (!isTaken) return
      each.deadlineAt = undefined
      each.marked = fence
    })

    const hasHooksLeft = ({ marked, state }: Modelled) =>
      (state._tag === "Running" || state._tag === "Awaiting") && state.fence === marked

    const finish = (
      each: Modelled,
      event: Run.RunEvent,
      concluded: NonNullable<Modelled["concluded"]>,
    ) => {
      assert.isTrue(advance(each, { ...event, isLeft: true } as Run.RunEvent))
      each.marked = undefined
      each.concluded = concluded
      each.isFinishing = true
      each.deadlineAt = undefined
      each.awaitsUntil = undefined
    }

    const cancel = Effect.gen(function* () {
      if (known.size === 0) return
      const each = yield* oneOf([...known.values()])
      const { _tag } = each.state
      const isOpen = !Run.isFinal(_tag) && _tag !== "Suspended" && _tag !== "Awaiting"
      if (each.isFinishing && isOpen) {
        return assert.strictEqual((yield* cancelled(each.run)).answer, "requested")
      }
      if (hasHooksLeft(each)) {
        finish(each, { _tag: "Cancel" }, "Cancelled")
        return assert.strictEqual((yield* cancelled(each.run)).answer, "requested")
      }
      const isTaken = advance(each, { _tag: "Cancel" })
      const { answer } = yield* cancelled(each.run)
      const wanted = !isTaken ? "ended" : each.state._tag === "Running" ? "requested" : "confirmed"
      assert.strictEqual(answer, wanted)
    })

    /** Mostly one in these states, sometimes any. */
    const someIn = Effect.fnUntraced(function* (...names: ReadonlyArray<Run.StateName>) {
      const preferred = inState(...names)
      const isPreferred = preferred.length > 0 && (yield* chance(0.8))
      return known.size === 0
        ? undefined
        : yield* oneOf(isPreferred ? preferred : [...known.values()])
    })

    const suspend = Effect.gen(function* () {
      const each = yield* someIn("Scheduled", "Blocked", "Ready", "Running")
      if (each === undefined) return
      const before = each.state._tag
      const isTaken = advance(each, { _tag: "Suspend" })
      const { answer } = yield* suspended(each.run)
      const wanted = Run.isFinal(before)
        ? "ended"
        : isTaken && before === "Running"
        ? "requested"
        : isTaken || before === "Suspended"
        ? "confirmed"
        : "refused"
      assert.strictEqual(answer, wanted)
    })

    const resume = Effect.gen(function* () {
      const each = yield* someIn("Suspended")
      if (each === undefined) return
      const isSuspending = each.state._tag === "Running" && each.state.isSuspending
      const isFinal = Run.isFinal(each.state._tag)
      const isDue = each.dueAt <= now
      advance(each, { _tag: "Resume", isDue, places: each.spec.gate?.places ?? 0 })
      const { answer } = yield* resumed(each.run)
      assert.strictEqual(answer, isFinal ? "ended" : isSuspending ? "refused" : "confirmed")
    })

    const notify = Effect.gen(function* () {
      const each = yield* someIn("Awaiting", "Running")
      if (each === undefined) return
      const isSuccess = yield* chance(0.5)
      const isFinal = Run.isFinal(each.state._tag)
      const wasNotified = each.isNotified
      const isKnown = isFinal ||
        (each.concluded !== undefined && each.state._tag !== "Awaiting")
      const isLeft = hasHooksLeft(each)
      if (isLeft) finish(each, { _tag: "Notify", isSuccess }, isSuccess ? "Succeeded" : "Failed")
      const isTaken = isLeft || !isKnown && advance(each, { _tag: "Notify", isSuccess })
      if (isTaken) each.isNotified = true
      const { answer } = yield* notified(
        each.run,
        isSuccess ? { _tag: "Succeeded" } : { _tag: "Failed", failure },
      )
      const ended = wasNotified ? "duplicate" : "ended"
      assert.strictEqual(answer, isTaken ? "applied" : isKnown ? ended : "refused")
    })

    const revive = Effect.gen(function* () {
      const each = yield* someIn("Failed", "TimedOut", "Quarantined")
      if (each === undefined) return
      const isFinal = Run.isFinal(each.state._tag)
      const isTaken = advance(each, { _tag: "Revive", isGated: each.spec.gate !== undefined })
      if (isTaken) {
        each.marked = undefined
        each.isFinishing = false
        each.isNotified = false
        each.concluded = undefined
        each.isAsked = false
      }
      const { answer } = yield* revived(each.run)
      assert.strictEqual(answer, isTaken || !isFinal ? "confirmed" : "refused")
    })

    const rollback = Effect.gen(function* () {
      const each = yield* someIn("Succeeded", "Failed", "TimedOut", "Cancelled", "Quarantined")
      if (each === undefined) return
      if (yield* chance(0.7)) yield* hear
      const isUntold = untold.has(each.run)
      const { _tag } = each.state
      const { answer } = yield* rolledBack(each.run, { by: "Ada", note: "it was wrong" })
      if (!Run.isFinal(_tag)) {
        return assert.strictEqual(answer, each.isAsked ? "confirmed" : "refused")
      }
      if (_tag === "Succeeded" && isUntold) return assert.strictEqual(answer, "untold")
      const isTaken = advance(each, { _tag: "RollBack", isGated: each.spec.gate !== undefined })
      assert.strictEqual(answer, isTaken ? "confirmed" : "unbegun")
      if (!isTaken) return
      each.isNotified = false
      each.marked = undefined
      each.isFinishing = false
      each.concluded = "Failed"
      each.isAsked = true
    })

    /** Any sweep may end what is too late, so it is ended before both are compared. */
    const expire = Effect.gen(function* () {
      yield* expireAll
      for (const each of known.values()) {
        if (each.deadlineAt !== undefined && each.deadlineAt <= now) {
          each.deadlineAt = undefined
          if (each.state._tag !== "Awaiting") advance(each, { _tag: "Expire" })
        }
        const { awaitsUntil, state } = each
        if (state._tag === "Awaiting" && awaitsUntil !== undefined && awaitsUntil <= now) {
          if (hasHooksLeft(each)) finish(each, { _tag: "Expire" }, "TimedOut")
          else advance(each, { _tag: "Expire" })
        }
      }
    })

    /** Any sweep may move what is due, so it is moved before both are compared. */
    const promote = Effect.gen(function* () {
      yield* promoteAll
      for (const each of inState("Scheduled")) {
        if (each.dueAt <= now) advance(each, { _tag: "Due" })
      }
    })

    const later = Effect.gen(function* () {
      yield* elapse(Duration.millis(minute))
      now += minute
      for (const hand of hands) yield* hand.beat
    })

    const lose = (gone: Hand) =>
      Effect.gen(function* () {
        const { states } = yield* recoverAll
        for (const each of inState("Running")) {
          if (each.holder !== gone.incarnation) continue
          const { crashesMax, isAtMostOnce } = each.spec
          const { concluded } = each
          each.marked = undefined
          const event = { _tag: "Lose" as const, crashesMax, isAtMostOnce }
          assert.isTrue(advance(each, concluded === undefined ? event : { ...event, concluded }))
          const freedAs = states.get(each.run)
          if (freedAs !== undefined) assert.strictEqual(freedAs, each.state._tag)
        }
        hands.splice(hands.indexOf(gone), 1, yield* joined(namespace))
      })

    const leave = Effect.gen(function* () {
      const gone = yield* oneOf(hands)
      yield* gone.leave
      yield* lose(gone)
    })

    /** One falls silent, the others beat. */
    const silence = Effect.gen(function* () {
      const gone = yield* oneOf(hands)
      for (const _ of times(2)) {
        yield* elapse(Duration.times(ttl, 2 / 3))
        now += Duration.toMillis(ttl) * 2 / 3
        for (const hand of hands) if (hand !== gone) yield* hand.beat
      }
      yield* lose(gone)
    })

    const compare = Effect.gen(function* () {
      yield* expire
      yield* promote
      const views = yield* runs.findMany([...known.keys()])
      assert.strictEqual(views.length, known.size, "every run is known")
      for (const view of views) {
        const { attempt, crashes, fence, id, state } = view
        const modelled = known.get(id)!.state
        assert.deepStrictEqual(
          { id, state, attempt, crashes, fence },
          {
            id,
            state: modelled._tag,
            attempt: modelled.attempt,
            crashes: modelled.crashes,
            fence: modelled.fence,
          },
        )
        const { holder } = known.get(id)!
        if (state === "Running") assert.strictEqual(view.executor?.incarnation, holder)
      }
    })

    const compareTold = Effect.map(hear, () => {
      const told = heard.map(({ attempt, fence, run, state }) =>
        `${run} ${state} ${attempt} ${fence}`
      )
      assert.sameMembers(told, ends)
      assert.strictEqual(told.length, ends.length)
    })

    const replayed = Effect.gen(function* () {
      for (const { run, spec } of known.values()) yield* assertReplayed(run, spec)
    })

    const often = <A>(count: number, command: A) => times(count).map(() => command)
    return {
      compare,
      compareTold,
      replayed,
      commands: [
        ...often(4, { name: "submit", run: submit }),
        ...often(4, { name: "admit", run: admit }),
        ...often(6, { name: "claim", run: claim }),
        ...often(8, { name: "settle", run: settle }),
        ...often(3, { name: "start", run: start }),
        { name: "conclude", run: conclude },
        ...often(2, { name: "mark", run: mark }),
        ...often(2, { name: "cancel", run: cancel }),
        ...often(3, { name: "suspend", run: suspend }),
        ...often(4, { name: "resume", run: resume }),
        ...often(2, { name: "notify", run: notify }),
        ...often(2, { name: "revive", run: revive }),
        ...often(2, { name: "rollback", run: rollback }),
        ...often(3, { name: "later", run: later }),
        { name: "leave", run: leave },
        { name: "silence", run: silence },
      ],
    }
  })

const handOverForAWhile = (held: Held): Report => handOver(held, minute / 2)
const retryLater = (held: Held): Report => retry(held, minute / 2)
