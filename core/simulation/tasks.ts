/** The tasks of the simulated world, one for each policy, and the handlers that carry them out. */
import { Effect, Exit, Random, Schema } from "effect"
import * as Blocking from "../domain/Blocking.ts"
import { CalendarName } from "../domain/Calendar.ts"
import * as Breaker from "../domain/Breaker.ts"
import { standard } from "../domain/Namespace.ts"
import type { Failure } from "../domain/RunView.ts"
import type { Permanent } from "../domain/Permanent.ts"
import type { Policy } from "../domain/Policy.ts"
import * as Group from "../domain/Group.ts"
import * as Retry from "../domain/Retry.ts"
import * as Share from "../domain/Share.ts"
import * as Waiting from "../domain/Waiting.ts"
import * as Actor from "../engine/Actor.ts"
import { CurrentRun } from "../engine/CurrentRun.ts"
import type { Ended } from "../engine/Handler.ts"
import * as Task from "../engine/Task.ts"
import type { HookName, Ledger } from "./Ledger.ts"
import type { Process } from "./Process.ts"

const payload = { key: Schema.String, request: Schema.String }
const success = Schema.Struct({ fence: Schema.Int })
const retry = Retry.exponential({ attempts: 3, delayMillis: 300 })
const byKey = { blockingKey: ({ key }: { readonly key: string }) => key }

export const breaker = "weak"
/** Of each key by itself. */
export const keyedBreaker = "gateway"
export const breakerSettings: Breaker.Settings = {
  ...Breaker.usual,
  callsMin: 3,
  badInARow: 3,
  windowMillis: 10_000,
  openMillis: 3000,
  probes: 1,
  probeMillis: 2000,
}

/** How long something outside has for a run that was handed over to it. */
const handedMillis = 8000
/** And for one that has borrowed something. */
export const lentMillis = 4000

const gang = Group.make("gang", { limit: 2 })

export const tasks = {
  plain: Task.make("plain", { payload, success, policy: { retry } }),
  fifo: Task.make("fifo", {
    payload,
    success,
    policy: { retry, blocking: Blocking.fifo, ...byKey, retention: "7 days" },
  }),
  discard: Task.make("discard", { payload, success, policy: { blocking: Blocking.discard } }),
  pair: Task.make("pair", { payload, success, policy: { blocking: Blocking.concurrent(2) } }),
  once: Task.make("once", { payload, success, policy: { delivery: "at-most-once" } }),
  /** Follows each run of the task that is followed, however that ends. */
  echo: Task.make("echo", { payload, success, policy: { retry } }),
  replace: Task.make("replace", {
    payload,
    success,
    policy: { retry, blocking: Blocking.replace, ...byKey },
  }),
  turn: Task.make("turn", { payload, success, policy: { retry, routing: { _tag: "RoundRobin" } } }),
  loaded: Task.make("loaded", {
    payload,
    success,
    policy: { retry, routing: { _tag: "LeastLoaded" }, blocking: Blocking.latest, ...byKey },
  }),
  alone: Task.make("alone", { payload, success, policy: { touches: { thing: "exclusive" } } }),
  timed: Task.make("timed", { payload, success, policy: { timeout: "2 seconds" } }),
  /** Is lost at its first crash, and may be revived. */
  fragile: Task.make("fragile", { payload, success, policy: { crashesMax: 0 } }),
  picky: Task.make("picky", { payload, success, policy: { retry, selector: "side = north" } }),
  risky: Task.make("risky", { payload, success, policy: { retry, breaker } }),
  few: Task.make("few", {
    payload,
    success,
    policy: { retry, rateLimit: { limit: 2, perMillis: 1000, burst: 2 } },
  }),
  /** Its runs wait ready, and at a gate of their key. */
  narrow: Task.make("narrow", {
    payload,
    success,
    policy: { retry, backlog: { high: 2 }, blocking: Blocking.fifo, ...byKey },
  }),
  /** Cut into shards by its routing. */
  cut: Task.make("cut", {
    payload,
    success,
    policy: { retry, routing: { _tag: "Sharded", count: 3 }, retention: "365 days" },
  }),
  everywhere: Task.make("everywhere", {
    payload,
    success,
    policy: { routing: { _tag: "Broadcast" } },
  }),
  /** Has hooks, and something to go on with when it was put down. */
  tidy: Task.make("tidy", { payload, success, policy: { retry } }),
  handed: Task.make("handed", { payload, success, policy: { retry } }),
  /** What a run of it borrows is in use until that comes to an end to which it was handed over. */
  lent: Task.make("lent", {
    payload,
    success,
    policy: { retry, crashesMax: 1, blocking: Blocking.fifo, ...byKey },
  }),
  /** One of its runs at a time in each executor, and of the next two. */
  solo: Task.make("solo", {
    payload,
    success,
    policy: { retry, blocking: Blocking.fifo, blockingScope: "executor" },
  }),
  duo: Task.make("duo", {
    payload,
    success,
    policy: { retry, blocking: Blocking.concurrent(2), blockingScope: "executor" },
  }),
  /** What it calls is another for each key. */
  guarded: Task.make("guarded", {
    payload,
    success,
    policy: {
      retry,
      breaker: { name: keyedBreaker, by: "key" },
      blocking: Blocking.concurrent(2),
      ...byKey,
    },
  }),
  /** Its keys have two places in common. */
  shared: Task.make("shared", {
    payload,
    success,
    policy: { retry, blocking: Blocking.fair(2, { "key-0": 3 }), ...byKey },
  }),
  /** Of one group, which has two places, and may be paused. */
  gang: Task.make("gang", { payload, success, policy: { retry, group: gang } }),
  mob: Task.make("mob", { payload, success, policy: { retry, group: gang } }),
  /** Of another, which has as many places as there are. */
  band: Task.make("band", {
    payload,
    success,
    policy: { retry, level: 2, group: Group.make("band") },
  }),
  /** Messages of an actor, which counts those of each key. */
  counter: Task.make("counter", {
    payload,
    success,
    policy: { retry, blocking: Blocking.fifo, ...byKey },
  }),
  /** What it did can be undone. */
  booked: Task.make("booked", { payload, success, policy: { retry } }),
  /** Is of no use later. */
  timely: Task.make("timely", { payload, success, policy: { retry, deadlineMillis: 1500 } }),
}
export type TaskName = keyof typeof tasks

/** Of what is cut by whoever submits it. */
export const shardsByHand = 3

/** The rule of a trigger of which one run is always alive. */
export const always: Permanent = {
  _tag: "Permanent",
  delayMillis: 300,
  growth: 2,
  delayMaxMillis: 2000,
  steadyMillis: 1000,
}

/** Which days are free, for triggers. */
export const calendarName = CalendarName.make("days")

export const followedTask = tasks.fifo

export const policyOf = (task: string): Policy => tasks[task as TaskName].policy

/** Of payloads. */
export const keys = ["key-0", "key-1"] as const

const keyed: ReadonlySet<TaskName> = new Set([
  "fifo",
  "replace",
  "loaded",
  "guarded",
  "shared",
  "counter",
  "lent",
])

/** The key by which runs of the task block each other. */
export const keyOf = (task: TaskName, key: string): string | undefined =>
  keyed.has(task) ? key : undefined

/** The runs of these pass one after the other, for each key. */
export const queues: ReadonlySet<string> = new Set(["fifo", "counter"])

/** The state of an actor after one more message: having come so far, it forgets and begins anew. */
export const counted = (state: number): number | undefined => state < 4 ? state + 1 : undefined

const counter = Actor.make(tasks.counter.name, {
  state: Schema.Int,
  initial: 0,
  messages: { count: { payload, success: Schema.Int } },
  policy: { retry },
})

/** What is submitted of a task, as JSON text. */
export const payloadOf = (task: TaskName, key: string, request: string): string =>
  JSON.stringify({
    key,
    request,
    ...(task === "counter" && { message: "count", body: { key, request } }),
  })

/** By the payload that every simulated task has. */
export const keyIn = ({ payload }: { readonly payload: string }): string =>
  (JSON.parse(payload) as { readonly key: string }).key

/** What the run shares with those that it may have to wait for. */
const gateOf = (task: TaskName, key: string, process: Process) => {
  if (policyOf(task).blockingScope === "executor") return `${task} in ${process.name}`
  const { gate } = Waiting.place(standard, tasks[task].name, tasks[task].policy, keyOf(task, key))
  // One that is always open is there for those who place.
  if (gate === undefined || gate.places >= 1000) return undefined
  return Share.isGate(gate.key) ? Share.poolOf(gate.key) : gate.key
}

/** What a handler does; it may fail by dying. */
export type Work = (
  task: TaskName,
  request: string,
  run: CurrentRun["Service"],
) => Effect.Effect<void>

/** Works for a while, and fails now and then, or for as long as what it calls for its key is down. */
export const atRandom = (isDown: (task: TaskName, key: string) => boolean): Work =>
  Effect.fnUntraced(function* (task, _, run) {
    const share = task === "risky" ? 0.5 : 0.1
    const longest = task === "timed" ? 5000 : 3000
    if (task === "tidy") yield* Effect.orDie(run.keep(String(run.fence)))
    const working = Effect.sleep((yield* Random.next) ** 3 * longest)
    yield* talkative.has(task) ? Effect.raceFirst(working, talk(run)) : working
    if ((yield* Random.next) < (isDown(task, keyIn(run)) ? 1 : share)) {
      return yield* Effect.die(new Error("bad luck"))
    }
    if (task === "handed") return yield* run.handOver(handedMillis)
    if (task === "lent") return yield* run.handOver(lentMillis)
  })

/** The runs of these say how far they have come, and something for their log. */
const talkative: ReadonlySet<TaskName> = new Set(["pair", "tidy"])

/** Each word names the grant under which it was said. */
const talk = ({ fence, progress, say }: CurrentRun["Service"]) =>
  Effect.gen(function* () {
    for (;;) {
      yield* progress({ text: String(fence) })
      say("Info", String(fence))
      yield* Effect.sleep("200 millis")
    }
  })

/** Does its work, and writes down what happened to it. */
const handler = (task: TaskName, work: Work, process: Process, ledger: Ledger) =>
(
  { key, request }: { readonly key: string; readonly request: string },
) =>
  Effect.suspend(() => {
    let begun: CurrentRun["Service"] | undefined
    const carriedOut = Effect.gen(function* () {
      const current = yield* CurrentRun
      const { attempt, fence, id: run, slot } = current
      ledger.write({
        kind: "started",
        process: process.name,
        task,
        gate: gateOf(task, key, process),
        run,
        fence,
        attempt,
        slot,
      })
      begun = current
      yield* work(task, request, current)
      return { fence }
    })
    // It is there before anything has begun, so that an end is written down wherever it is stopped.
    return Effect.onExit(carriedOut, (exit) =>
      Effect.sync(() => {
        if (begun === undefined || process.isKilled) return
        const how = Exit.isSuccess(exit)
          ? "succeeded"
          : Exit.hasInterrupts(exit)
          ? "interrupted"
          : "failed"
        ledger.write({ kind: "ended", run: begun.id, fence: begun.fence, how })
      }))
  })

/** Of a hook. */
export const briefMillis = 20

const brief = () => Effect.sleep(briefMillis)

/** Undoes what was done, if that does not fail, and writes down that it was asked to. */
const undo = (process: Process, ledger: Ledger) =>
  Effect.fnUntraced(function* (_: unknown, failure: Failure) {
    if (failure.tag !== "RollbackAsked") return
    const { fence, id: run } = yield* CurrentRun
    ledger.write({ kind: "undoing", process: process.name, run, fence })
    yield* Effect.sleep((yield* Random.next) ** 2 * 2000)
    if ((yield* Random.next) < 0.2) return yield* Effect.die(new Error("bad luck"))
    if (!process.isKilled) ledger.write({ kind: "undone", run, fence })
  })

/** A hook of what has borrowed something: it takes up to so long, fails now and then, and is written down. */
const lending = (process: Process, ledger: Ledger) => {
  const hook = Effect.fnUntraced(function* (
    what: HookName,
    millis: number,
    ended?: Ended["state"],
  ) {
    const { fence, id: run } = yield* CurrentRun
    ledger.write({
      kind: "hooked",
      process: process.name,
      what,
      run,
      fence,
      ...(ended !== undefined && { ended }),
    })
    yield* Effect.sleep((yield* Random.next) ** 2 * millis)
    // That it has failed stands in the log, where each line names its grant.
    if ((yield* Random.next) < 0.1) return yield* Effect.die(new Error(String(fence)))
  })
  return {
    prepare: () => hook("prepare", briefMillis),
    rollback: () => hook("rollback", 600),
    clean: (_: unknown, { state }: Ended) => hook("clean", 800, state),
    summary: (_: unknown, { state }: Ended) => hook("summary", briefMillis, state),
  }
}

export const handlerOf = (task: TaskName, work: Work, process: Process, ledger: Ledger) => {
  const carryOut = handler(task, work, process, ledger)
  if (task === "booked") return tasks.booked.toLayer(carryOut, { rollback: undo(process, ledger) })
  if (task === "lent") return tasks.lent.toLayer(carryOut, lending(process, ledger))
  if (task === "counter") {
    return counter.toLayer({
      count: Effect.fnUntraced(function* (state, message) {
        const { fence, id: run } = yield* CurrentRun
        ledger.write({ kind: "read", run, fence, state })
        yield* carryOut(message)
        return [counted(state), state] as const
      }),
    })
  }
  return task === "tidy"
    ? tasks.tidy.toLayer(carryOut, { prepare: brief, clean: brief })
    : tasks[task].toLayer(carryOut)
}
