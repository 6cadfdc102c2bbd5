/** The paths of the engine, each as something that is asked of it, and how that must end. */
import { Clock, Effect, Option, Schedule } from "effect"
import { standard } from "../../domain/Namespace.ts"
import { isFinal, type StateName } from "../../domain/Run.ts"
import type { RunId } from "../../domain/RunId.ts"
import { TriggerDefinition, TriggerName } from "../../domain/Trigger.ts"
import type { Scheduler } from "../../engine/Scheduler.ts"
import type { Storage } from "../../services/Storage.ts"
import type { Caller } from "../Caller.ts"
import type { Ledger } from "../Ledger.ts"
import type { Submit } from "../Plan.ts"
import { briefMillis, shardsByHand, type TaskName, tasks, type Work } from "../tasks.ts"

/** What a path has at hand. */
export interface Hand {
  readonly caller: Caller
  /** Without a way to it: to look, and to prepare. */
  readonly storage: Storage["Service"]
  readonly ledger: Ledger
  /** Each slot of this trigger up to then must have its record. */
  readonly judge: (trigger: string, from: number, until: number) => void
  /** From here on every call is a point of the path. */
  readonly begin: Effect.Effect<void>
}

export interface Path {
  readonly name: string
  readonly tasks: ReadonlyArray<TaskName>
  readonly work?: (ledger: Ledger) => Work
  readonly walk: (hand: Hand) => Effect.Effect<void, unknown>
  /** What is asked for, and how it may end; `undefined` where there may be no run of it. */
  readonly ends: Readonly<Record<string, ReadonlyArray<StateName | undefined>>>
  /** Calls that it is made of. */
  readonly calls: ReadonlyArray<string>
  /** It has so many points at least. */
  readonly points: number
  /** Which of its calls are hit; all unless named. */
  readonly isPoint?: (operation: string) => boolean
  /** Whether its storage is told of fires ahead (T18). */
  readonly isToldAhead?: true
  /** All that is asked for takes so long by itself. */
  readonly takesMillis: number
  /** The work of a run that is begun again takes so long. */
  readonly workMillis: number
}

/** The hooks of the task that has some take so long. */
const hooksMillis = 2 * briefMillis
const brieflyMillis = 150

export const briefly: Work = () => Effect.sleep(brieflyMillis)

const submit = ({ caller }: Hand, task: TaskName, request: string, more: Partial<Submit> = {}) =>
  Effect.map(
    caller.send({
      at: 0,
      task,
      key: "key",
      level: 1,
      delayMillis: 0,
      isKeyed: true,
      isReused: false,
      order: undefined,
      by: 0,
      ...more,
    }, request),
    Option.map(({ run }) => run),
  )

const submitted = (...given: Parameters<typeof submit>) =>
  Effect.map(submit(...given), Option.getOrThrow)

const stateOf = ({ storage }: Hand, run: RunId) =>
  Effect.map(storage.runs.find(run), (found) => Option.getOrThrow(found).state)

/** Gives the order until it is answered, or the run has ended. */
const ordered = Effect.fnUntraced(function* (
  hand: Hand,
  order: "suspend" | "resume" | "notify",
  run: RunId,
  command: (scheduler: Scheduler["Service"]) => Effect.Effect<string, unknown>,
) {
  for (;;) {
    const answer = yield* hand.caller.order(order, run, 0, command)
    if (Option.isSome(answer) || isFinal(yield* stateOf(hand, run))) return
    yield* Effect.sleep("300 millis")
  }
})

const isStarted = ({ ledger }: Hand, run: RunId) =>
  Effect.gen(function* () {
    while (!ledger.of("started").some((each) => each.run === run)) yield* Effect.sleep("20 millis")
  })

const delayMillis = 300

const submitPath: Path = {
  name: "submit",
  tasks: ["plain"],
  walk: Effect.fnUntraced(function* (hand: Hand) {
    yield* hand.begin
    yield* submit(hand, "plain", "keyed")
    yield* submit(hand, "plain", "unkeyed", { isKeyed: false })
    yield* submit(hand, "plain", "delayed", { delayMillis })
  }),
  ends: { keyed: ["Succeeded"], unkeyed: ["Succeeded", undefined], delayed: ["Succeeded"] },
  calls: ["runs.submit", "runs.promote"],
  points: 28,
  takesMillis: delayMillis + brieflyMillis,
  workMillis: brieflyMillis,
}

const admitPath: Path = {
  name: "admit",
  tasks: ["fifo", "discard", "turn"],
  walk: Effect.fnUntraced(function* (hand: Hand) {
    yield* hand.begin
    yield* submit(hand, "fifo", "first")
    yield* submit(hand, "fifo", "second")
    yield* submit(hand, "discard", "busy")
    yield* submit(hand, "discard", "discarded")
    yield* submit(hand, "turn", "placed")
  }),
  ends: {
    first: ["Succeeded"],
    second: ["Succeeded"],
    busy: ["Succeeded"],
    // If the one before it has ended meanwhile.
    discarded: ["Discarded", "Succeeded"],
    placed: ["Succeeded"],
  },
  calls: ["runs.submit", "runs.admit", "placements.waiting", "placements.place", "executors.list"],
  points: 75,
  // The first, the second, and what follows it.
  takesMillis: 3 * brieflyMillis,
  workMillis: brieflyMillis,
}

const claimPath: Path = {
  name: "claim",
  tasks: ["plain", "once", "few"],
  walk: Effect.fnUntraced(function* (hand: Hand) {
    yield* hand.begin
    yield* submit(hand, "plain", "plain")
    yield* submit(hand, "once", "once")
    yield* submit(hand, "few", "permitted")
  }),
  ends: {
    plain: ["Succeeded"],
    // Nobody starts it again that may have been started.
    once: ["Succeeded", "Failed"],
    permitted: ["Succeeded"],
  },
  calls: [
    "transport.round",
    "runs.claim",
    "transport.start",
    "runs.start",
    "runs.depth",
    "permits.take",
  ],
  points: 35,
  takesMillis: brieflyMillis,
  workMillis: brieflyMillis,
}

const settlePath: Path = {
  name: "settle",
  tasks: ["plain", "tidy", "risky"],
  walk: Effect.fnUntraced(function* (hand: Hand) {
    const plain = yield* submitted(hand, "plain", "plain")
    yield* submit(hand, "tidy", "hooks")
    yield* submit(hand, "risky", "told of")
    yield* isStarted(hand, plain)
    yield* hand.begin
  }),
  ends: { plain: ["Succeeded"], hooks: ["Succeeded"], "told of": ["Succeeded"] },
  calls: ["transport.round", "runs.claim", "transport.conclude", "runs.conclude", "permits.hear"],
  points: 35,
  takesMillis: brieflyMillis + hooksMillis,
  workMillis: brieflyMillis + hooksMillis,
}

const lastMillis = 2500

const firePath: Path = {
  name: "fire",
  tasks: ["fifo"],
  walk: Effect.fnUntraced(function* (hand: Hand) {
    const now = yield* Clock.currentTimeMillis
    const { cursor } = yield* hand.storage.triggers.put(
      new TriggerDefinition({
        namespace: standard,
        name: TriggerName.make("slots"),
        task: tasks.fifo.name,
        schedule: { _tag: "Every", millis: 1000, end: now + lastMillis },
        payload: JSON.stringify({ key: "key", request: "slots" }),
        blockingKey: "key",
        misfire: { _tag: "All", max: 1000 },
      }),
    )
    hand.judge("slots", cursor!, now + lastMillis)
    yield* hand.begin
    yield* Effect.sleep(lastMillis)
  }),
  ends: { slots: ["Succeeded"], echo: ["Succeeded"] },
  calls: [
    "triggers.due",
    "triggers.fire",
    "runs.admit",
    "outbox.take",
    "triggers.find",
    "triggers.follow",
  ],
  points: 76,
  takesMillis: lastMillis,
  workMillis: brieflyMillis,
}

/** By a storage that is told of fires ahead: only what has a part in them is hit. */
const firePathAhead: Path = {
  ...firePath,
  name: "fire, told ahead",
  isPoint: (operation) => /^(now$|runs\.admit$|triggers\.)/.test(operation),
  calls: ["triggers.due", "triggers.fire"],
  points: 1,
  isToldAhead: true,
}

const flakyMillis = 100

const retryPath: Path = {
  name: "retry",
  tasks: ["plain"],
  work: (ledger) =>
    Effect.fnUntraced(function* (_, __, { id }) {
      yield* Effect.sleep(flakyMillis)
      const failures = ledger.of("ended").filter(({ how, run }) => run === id && how === "failed")
      if (failures.length < 2) return yield* Effect.die(new Error("not yet"))
    }),
  walk: Effect.fnUntraced(function* (hand: Hand) {
    const run = yield* submitted(hand, "plain", "flaky")
    yield* isStarted(hand, run)
    yield* hand.begin
  }),
  ends: { flaky: ["Succeeded"] },
  calls: ["transport.round", "runs.claim", "runs.promote"],
  points: 34,
  // Three times, and what lies between them with its jitter.
  takesMillis: 3 * flakyMillis + 1.2 * (300 + 600),
  workMillis: flakyMillis,
}

/** The children of one that is cut by hand. */
const sharded = (hand: Hand, request: string) => {
  const { name, policy } = tasks.plain
  return Effect.retry(
    Effect.suspend(() => {
      hand.ledger.write({
        kind: "sent",
        request,
        task: name,
        delayMillis: 0,
        isKeyed: true,
        isOther: false,
      })
      return hand.caller.call(0, (scheduler) =>
        scheduler.submitSharded(
          { task: name, policy, payload: JSON.stringify({ key: "key", request }) },
          { count: shardsByHand, atOnce: 2 },
          { idempotencyKey: request },
        ))
    }),
    { times: 20, schedule: Schedule.spaced("300 millis") },
  )
}

const fanInPath: Path = {
  name: "fan-in",
  tasks: ["plain", "cut", "everywhere"],
  walk: Effect.fnUntraced(function* (hand: Hand) {
    yield* hand.begin
    yield* sharded(hand, "by hand")
    yield* submit(hand, "cut", "by routing")
    yield* submit(hand, "everywhere", "everywhere")
  }),
  ends: {
    "by hand": ["Succeeded"],
    "by routing": ["Succeeded"],
    // The executor that it was for may be gone for good.
    everywhere: ["Succeeded", "Failed"],
  },
  calls: ["runs.submitFamily", "runs.admit", "placements.place", "runs.claim"],
  points: 65,
  // Of three shards two at once, and of nine runs four.
  takesMillis: 3 * brieflyMillis,
  workMillis: brieflyMillis,
}

const halfMillis = 1000
const restMillis = 100
const lookMillis = 100

const resumePath: Path = {
  name: "resume",
  tasks: ["tidy", "handed"],
  work: () =>
    Effect.fnUntraced(function* (task, _, run) {
      if (task === "handed") return yield* run.handOver("30 seconds")
      if (run.checkpoint === undefined) {
        yield* Effect.orDie(run.keep("half"))
        yield* Effect.sleep(halfMillis)
      }
      yield* Effect.sleep(restMillis)
    }),
  walk: Effect.fnUntraced(function* (hand: Hand) {
    const run = yield* submitted(hand, "tidy", "put down")
    yield* isStarted(hand, run)
    yield* hand.begin
    yield* ordered(hand, "suspend", run, (scheduler) => scheduler.suspend(run))
    // An order that was late may put it down again.
    for (
      let state = yield* stateOf(hand, run);
      !isFinal(state);
      state = yield* stateOf(hand, run)
    ) {
      if (state === "Suspended") {
        yield* ordered(hand, "resume", run, (scheduler) => scheduler.resume(run))
      }
      yield* Effect.sleep(lookMillis)
    }
    const handed = yield* submitted(hand, "handed", "handed over")
    yield* isStarted(hand, handed)
    yield* ordered(
      hand,
      "notify",
      handed,
      (scheduler) => scheduler.notify(handed, { _tag: "Succeeded", result: "{}" }),
    )
  }),
  ends: { "put down": ["Succeeded"], "handed over": ["Succeeded"] },
  calls: [
    "runs.suspend",
    "transport.revocations",
    "runs.resume",
    "runs.notify",
    "transport.round",
  ],
  points: 29,
  // Somebody looks twice, and what is left of the first is done.
  takesMillis: 2 * lookMillis + restMillis + hooksMillis,
  workMillis: halfMillis + restMillis + hooksMillis,
}

export const paths: ReadonlyArray<Path> = [
  submitPath,
  admitPath,
  claimPath,
  settlePath,
  firePath,
  firePathAhead,
  retryPath,
  fanInPath,
  resumePath,
]
