/**
 * A world in which the real engine runs: schedulers and executors as processes of their own, one
 * storage, bad ways between them, in virtual time, all drawn from a seed.
 *
 * Every scheduler holds every duty at once, which is the worst that ownership may do.
 */
import {
  Clock,
  Context,
  Effect,
  Exit,
  Layer,
  Option,
  Random,
  Schedule,
  Schema,
  Scope,
} from "effect"
import { TestClock } from "effect/testing"
import * as Memory from "../../adapters/memory/mod.ts"
import { MemoryState } from "../../adapters/memory/mod.ts"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Blocking from "../domain/Blocking.ts"
import * as Run from "../domain/Run.ts"
import * as Retry from "../domain/Retry.ts"
import { standard } from "../domain/Namespace.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import * as Waiting from "../domain/Waiting.ts"
import { CurrentRun } from "../engine/CurrentRun.ts"
import { Executor } from "../engine/Executor.ts"
import * as LocalOwnership from "../engine/LocalOwnership.ts"
import { Scheduler } from "../engine/Scheduler.ts"
import * as Task from "../engine/Task.ts"
import * as Trigger from "../engine/Trigger.ts"
import { Triggers } from "../engine/Triggers.ts"
import { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { Transport, TransportUnavailable } from "../services/Transport.ts"
import { Wakeups } from "../services/Wakeups.ts"
import { Ledger } from "./Ledger.ts"
import * as Network from "./Network.ts"
import {
  endsAt,
  healsAt,
  type Plan,
  type Submit,
  taskKinds,
  triggersUntil,
  ttlMillis,
} from "./Plan.ts"
import { Process } from "./Process.ts"
import { watched } from "./watched.ts"

/** How a planted mistake changes the storage. */
export type Mistake = (
  storage: Storage["Service"],
  state: MemoryState,
) => Storage["Service"]

export interface Outcome {
  readonly ledger: Ledger
  readonly state: MemoryState
  readonly plan: Plan
  /** Where each trigger's slots begin. */
  readonly activated: ReadonlyMap<string, number>
  /** From the acknowledgement of a pause to the order to go on. */
  readonly pauses: ReadonlyArray<{
    readonly trigger: string
    readonly from: number
    readonly to: number
  }>
}

const payload = { key: Schema.String, request: Schema.String }
const success = Schema.Struct({ fence: Schema.Int })
const retry = Retry.exponential({ attempts: 3, delayMillis: 300 })

export const tasks = {
  plain: Task.make("plain", { payload, success, policy: { retry } }),
  fifo: Task.make("fifo", {
    payload,
    success,
    policy: { retry, blocking: Blocking.fifo, blockingKey: ({ key }) => key },
  }),
  discard: Task.make("discard", { payload, success, policy: { blocking: Blocking.discard } }),
  pair: Task.make("pair", { payload, success, policy: { blocking: Blocking.concurrent(2) } }),
  once: Task.make("once", { payload, success, policy: { delivery: "at-most-once" } }),
  /** Follows each run of the task that is followed, however that ends. */
  echo: Task.make("echo", { payload, success, policy: { retry } }),
  replace: Task.make("replace", {
    payload,
    success,
    policy: { retry, blocking: Blocking.replace, blockingKey: ({ key }) => key },
  }),
  turn: Task.make("turn", { payload, success, policy: { retry, routing: { _tag: "RoundRobin" } } }),
  loaded: Task.make("loaded", {
    payload,
    success,
    policy: {
      retry,
      routing: { _tag: "LeastLoaded" },
      blocking: Blocking.latest,
      blockingKey: ({ key }) => key,
    },
  }),
  alone: Task.make("alone", { payload, success, policy: { touches: { thing: "exclusive" } } }),
}

export const followedTask = tasks.fifo

export const run = Effect.fnUntraced(function* (plan: Plan, mistake: Mistake) {
  const clock = yield* Clock.Clock
  // The storage has seen years of use, so that an instant is an instant and not a small number.
  const ledger = new Ledger(() => clock.currentTimeMillisUnsafe())
  const state = new MemoryState({ finished: 100_000, records: 10_000 })
  // Never closed: the programs in it end with the world, as by a power cut.
  const scope = yield* Scope.make()
  const memory = yield* Layer.buildWithScope(Memory.layerOver(state), scope)
  const storage = watched(mistake(Context.get(memory, Storage), state), state, ledger)
  const shared = Context.add(memory, Storage, storage)
  const relay = Context.get(
    yield* Layer.buildWithScope(
      Direct.layer.pipe(Layer.provide(Layer.succeedContext(shared))),
      scope,
    ),
    Transport,
  )
  const weather = Array.from(
    { length: plan.schedulers + plan.executors },
    (): Network.Weather => ({ ...Network.calm }),
  )
  const processes: Array<Process> = []
  const schedulers: Array<Context.Context<Scheduler>> = []

  const spawn = Effect.fnUntraced(function* (at: number, generation: number) {
    const isScheduler = at < plan.schedulers
    const name = isScheduler ? `scheduler-${at}` : `executor-${at - plan.schedulers}`
    const process = new Process(`${name}.${generation}`, clock, {
      offsetMillis: Math.round(((yield* Random.next) - 0.5) * 7_200_000),
      drift: 0.98 + (yield* Random.next) * 0.04,
    })
    processes[at] = process
    const way = Network.way(process, weather[at]!, clock)
    const program = isScheduler
      ? schedulerProgram(shared, way)
      : executorProgram(relay, way, process, name, plan.concurrency, ledger)
    // A process that was killed is never closed; its fibers wait at the gate for ever.
    const life = yield* Scope.fork(scope)
    const built = Layer.buildWithScope(program, life).pipe(
      Effect.tap((context) =>
        Effect.sync(() => {
          if (isScheduler) schedulers[at] = context as Context.Context<Scheduler>
        })
      ),
      Effect.provideService(Clock.Clock, process.clock),
    )
    yield* Effect.forkIn(built, scope)
  })

  for (let at = 0; at < plan.schedulers + plan.executors; at++) yield* spawn(at, 0)

  const fault = ({ at, kind, millis, victim }: Plan["faults"][number], number: number) =>
    Effect.gen(function* () {
      const process = processes[victim]!
      ledger.write({ kind: "fault", what: kind, process: process.name })
      if (kind === "kill") {
        process.kill()
        yield* Effect.sleep(millis)
        yield* spawn(victim, number + 1)
      } else if (kind === "pause") {
        yield* process.pause(millis)
      } else {
        Object.assign(weather[victim]!, {
          lostRequests: yield* share,
          lostAnswers: yield* share,
          doubled: yield* share,
          delayMillis: 2000 * (yield* share),
        })
        yield* Effect.sleep(millis)
        Object.assign(weather[victim]!, Network.calm)
      }
    }).pipe(Effect.delay(at), Effect.forkIn(scope))

  for (const [number, each] of plan.faults.entries()) yield* fault(each, number)
  for (const [number, each] of plan.submits.entries()) {
    yield* Effect.forkIn(
      Effect.delay(submit(each, `request-${number}`, schedulers, processes, ledger), each.at),
      scope,
    )
  }

  const activated = new Map<string, number>()
  for (const { name, schedule } of plan.triggers) {
    const view = yield* Effect.orDie(storage.triggers.put(
      triggerOf(name, schedule),
    ))
    activated.set(name, view.cursor!)
  }
  yield* Effect.orDie(storage.triggers.put(follower))

  const pauses: Array<Outcome["pauses"][number]> = []
  const now = () => clock.currentTimeMillisUnsafe()
  const order = Effect.fnUntraced(function* (each: Plan["orders"][number], number: number) {
    const { name } = plan.triggers[each.trigger]!
    const view = [...state.triggers.values()]
      .find(({ view: { definition } }) => definition.name === name)!.view
    ledger.write({ kind: "fault", what: each.kind, process: name })
    if (each.kind === "pause") {
      if (view.isPaused) return
      yield* storage.triggers.pause(standard, view.definition.name, true)
      const from = now()
      yield* Effect.sleep(each.millis)
      pauses.push({ trigger: name, from, to: now() })
      return yield* storage.triggers.pause(standard, view.definition.name, false)
    }
    const wanted = new TriggerDefinition({
      ...view.definition,
      ...(each.kind === "schedule"
        ? { schedule: each.schedule }
        : { payload: JSON.stringify({ key: name, request: `order-${number}` }) }),
    })
    yield* storage.triggers.put(wanted)
  })
  for (const [number, each] of plan.orders.entries()) {
    yield* Effect.forkIn(Effect.delay(Effect.orDie(order(each, number)), each.at), scope)
  }

  yield* TestClock.adjust(healsAt)
  for (const each of weather) Object.assign(each, Network.calm)
  yield* TestClock.adjust(triggersUntil - healsAt)
  for (const { name } of plan.triggers) {
    yield* Effect.orDie(storage.triggers.pause(standard, name as never, true))
  }
  const step = 5000
  for (let now = triggersUntil; now < endsAt; now += step) {
    yield* TestClock.adjust(step)
    const haveEnded = [...state.runs.values()].every(({ state: { _tag } }) => Run.isFinal(_tag))
    if (haveEnded && state.outbox.told.size === 0) break
  }
  return { ledger, state, plan, activated, pauses } satisfies Outcome
})

const share = Effect.map(Random.next, (chance) => chance * 0.5)

const triggerOf = (name: string, schedule: Plan["triggers"][number]["schedule"]) =>
  new TriggerDefinition({
    namespace: standard,
    name: TriggerName.make(name),
    task: tasks.plain.name,
    schedule,
    payload: JSON.stringify({ key: name, request: name }),
    misfire: { _tag: "All", max: 1000 },
  })

const follower = new TriggerDefinition({
  namespace: standard,
  name: TriggerName.make("follower"),
  task: tasks.echo.name,
  schedule: Trigger.after(followedTask, { on: "any" }),
  payload: JSON.stringify({ key: "echo", request: "echo" }),
  misfire: { _tag: "Once" },
})

/** A scheduler has its storage at the end of a way, and every duty. */
const schedulerProgram = (shared: Context.Context<Storage | Wakeups>, way: Network.Way) => {
  const storage = Context.get(shared, Storage)
  const unavailable = (operation: string) =>
    Effect.fail(new StorageUnavailable({ storage: "simulated", operation, cause: "no answer" }))
  const far = <G extends object>(group: G): G => overAll(group, way, unavailable)
  const farStorage = Storage.of({
    technology: storage.technology,
    tasks: far(storage.tasks),
    calendars: far(storage.calendars),
    triggers: far(storage.triggers),
    runs: far(storage.runs),
    placements: far(storage.placements),
    executors: far(storage.executors),
    outbox: far(storage.outbox),
    logs: far(storage.logs),
    history: far(storage.history),
    transfer: storage.transfer,
    permits: far(storage.permits),
    audit: {
      ...far(storage.audit),
      place: way.over(storage.audit.place, unavailable("place")),
    },
    now: way.over(storage.now, unavailable("now")),
  })
  return Layer.mergeAll(
    Scheduler.layerWith({ sweepInterval: "500 millis", dueInterval: "500 millis" }),
    Triggers.layer,
  ).pipe(
    Layer.provide(LocalOwnership.layer),
    Layer.provide(Layer.succeedContext(Context.add(shared, Storage, farStorage))),
  )
}

const executorProgram = (
  relay: Transport["Service"],
  way: Network.Way,
  process: Process,
  name: string,
  concurrency: number,
  ledger: Ledger,
) => {
  const transport = overAll(
    relay,
    way,
    (operation) => Effect.fail(new TransportUnavailable({ operation, cause: "no answer" })),
  )
  const kinds = [...taskKinds, "echo"] as const
  const handlers = kinds.map((kind) => tasks[kind].toLayer(handler(kind, process, ledger)))
  return Layer.mergeAll(handlers[0]!, ...handlers.slice(1)).pipe(
    Layer.provide(Executor.layerWith({ name, concurrency, ttl: ttlMillis })),
    Layer.provide(Layer.succeed(Transport, transport)),
  )
}

/** The key by which runs of the task block each other. */
const keyOf = (kind: keyof typeof tasks, key: string): string | undefined =>
  kind === "fifo" || kind === "replace" || kind === "loaded" ? key : undefined

/** Works for a while, fails now and then, and writes down what it does. */
const handler = (kind: keyof typeof tasks, process: Process, ledger: Ledger) =>
  Effect.fnUntraced(function* ({ key }: { readonly key: string }) {
    const { attempt, fence, id: run, slot } = yield* CurrentRun
    ledger.write({
      kind: "started",
      process: process.name,
      task: kind,
      gate: kind === "turn" ? undefined : Waiting.place(
        standard,
        tasks[kind].name,
        tasks[kind].policy,
        keyOf(kind, key),
      ).gate?.key,
      run,
      fence,
      attempt,
      slot,
    })
    const ended = (how: "succeeded" | "failed" | "interrupted") =>
      Effect.sync(() => {
        if (!process.isKilled) ledger.write({ kind: "ended", run, fence, how })
      })
    const work = Effect.gen(function* () {
      yield* Effect.sleep((yield* Random.next) ** 3 * 3000)
      if ((yield* Random.next) < 0.1) return yield* Effect.die(new Error("bad luck"))
    })
    yield* work.pipe(Effect.onExit((exit) =>
      ended(
        Exit.isSuccess(exit) ? "succeeded" : Exit.hasInterrupts(exit) ? "interrupted" : "failed",
      )
    ))
    return { fence }
  })

/** Submits through one of the schedulers, as a caller that waits for the acknowledgement. */
const submit = Effect.fnUntraced(function* (
  each: Submit,
  request: string,
  schedulers: ReadonlyArray<Context.Context<Scheduler>>,
  processes: ReadonlyArray<Process>,
  ledger: Ledger,
) {
  const task = tasks[each.task]
  const attempt = Effect.gen(function* () {
    const process = processes[each.by]!
    const context = schedulers[each.by]
    if (context === undefined) return yield* Effect.fail("not up yet" as const)
    return yield* Context.get(context, Scheduler).submit({
      task: task.name,
      payload: JSON.stringify({ key: each.key, request }),
      policy: task.policy,
      blockingKey: keyOf(each.task, each.key),
    }, {
      delay: each.delayMillis,
      ...(each.isKeyed && { idempotencyKey: request }),
    }).pipe(
      Effect.provideService(Clock.Clock, process.clock),
      Effect.tap(({ run, state }) =>
        Effect.sync(() =>
          ledger.write({ kind: "acknowledged", run, state, request, task: each.task })
        )
      ),
      // A caller gives a dead server up.
      Effect.timeout("5 seconds"),
    )
  })
  const accepted = yield* Effect.option(
    each.isKeyed
      ? Effect.retry(attempt, { times: 10, schedule: Schedule.spaced("300 millis") })
      : attempt,
  )
  if (Option.isNone(accepted) || !each.isCancelled) return
  yield* Effect.sleep((yield* Random.next) * 3000)
  const context = schedulers[each.by]
  if (context === undefined) return
  const { run } = accepted.value
  const answer = yield* Effect.option(
    Context.get(context, Scheduler).cancel(run).pipe(Effect.timeout("5 seconds")),
  )
  if (Option.isSome(answer)) ledger.write({ kind: "cancelled", run, answer: answer.value })
})

/** Every call of a service, made over the way. */
const overAll = <S extends object, E>(
  service: S,
  way: Network.Way,
  unavailable: (operation: string) => Effect.Effect<never, E>,
): S =>
  Object.fromEntries(
    Object.entries(service).map(([name, call]) => [
      name,
      (...args: Array<unknown>) =>
        way.over(
          (call as (...args: Array<unknown>) => Effect.Effect<unknown, unknown>)(...args),
          unavailable(name),
        ),
    ]),
  ) as S
