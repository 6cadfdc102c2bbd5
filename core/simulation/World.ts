/**
 * A world in which the real engine runs: schedulers and executors as processes of their own, one
 * storage, bad ways between them, in virtual time, all drawn from a seed.
 *
 * In most seeds every scheduler holds every duty at once, which is the worst that ownership may do;
 * in the others one holds them, and the rest stand by.
 */
import {
  Clock,
  Context,
  Effect,
  Exit,
  Layer,
  Option,
  Random,
  Result,
  Schedule,
  Scheduler as Fibers,
  Scope,
} from "effect"
import { TestClock } from "effect/testing"
import * as Memory from "../../adapters/memory/mod.ts"
import type { MemoryState } from "../../adapters/memory/mod.ts"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Sqlite from "../../adapters/sqlite/mod.ts"
import { Calendar } from "../domain/Calendar.ts"
import { standard } from "../domain/Namespace.ts"
import * as Run from "../domain/Run.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import { Executor } from "../engine/Executor.ts"
import { Groups } from "../engine/Groups.ts"
import * as LocalOwnership from "../engine/LocalOwnership.ts"
import { Scheduler } from "../engine/Scheduler.ts"
import * as StandbyOwnership from "../engine/StandbyOwnership.ts"
import type { Judge } from "../engine/Tails.ts"
import * as Trigger from "../engine/Trigger.ts"
import { Triggers } from "../engine/Triggers.ts"
import { Lock } from "../services/Lock.ts"
import { Storage } from "../services/Storage.ts"
import { Transport } from "../services/Transport.ts"
import type { Wakeups } from "../services/Wakeups.ts"
import { Caller, type Program } from "./Caller.ts"
import { farLock, farSource, farStorage, farTransport, type Over } from "./far.ts"
import * as Kept from "./Kept.ts"
import { Ledger } from "./Ledger.ts"
import * as Network from "./Network.ts"
import { observe } from "./observe.ts"
import type { Outcome } from "./Outcome.ts"
import type { Plan } from "./Plan.ts"
import { Process } from "./Process.ts"
import { read, type Reading } from "./readings.ts"
import { Restless } from "./Restless.ts"
import { Table } from "./Table.ts"
import { SetClock } from "./SetClock.ts"
import {
  always,
  atRandom,
  breaker,
  breakerSettings,
  calendarName,
  followedTask,
  handlerOf,
  keyedBreaker,
  tasks,
  type Work,
} from "./tasks.ts"
import {
  backAt,
  calmAt,
  drainMillis,
  endsAt,
  healsAt,
  standbyMillis,
  startsAt,
  triggersUntil,
  ttlMillis,
} from "./times.ts"
import { toldAhead } from "./toldAhead.ts"
import { watched, watchedLeader, watchedLock } from "./watched.ts"
import { WitnessedState } from "./WitnessedState.ts"

/** How a planted mistake changes the storage. */
export type Mistake = (
  storage: Storage["Service"],
  state: MemoryState,
) => Storage["Service"]

/** What is wrong on purpose. */
export interface Plant {
  readonly storage?: Mistake
  /** What a scheduler asks of the storage; the scribe writes down what is asked so. */
  readonly planner?: (storage: Storage["Service"]) => Storage["Service"]
  readonly lock?: (lock: Lock["Service"]) => Lock["Service"]
  readonly executor?: (executor: Executor["Service"]) => Executor["Service"]
}

export type Technology = "memory" | "sqlite"

/** What is no part of the plan. */
export interface Setting {
  readonly technology: Technology
  /** Whether the fibers of its processes yield anywhere. */
  readonly isRestless: boolean
  /** Whether its storage is told of fires ahead. */
  readonly isToldAhead: boolean
}

export const run = Effect.fnUntraced(function* (
  plan: Plan,
  { isRestless, isToldAhead, technology }: Setting,
  plant: Plant,
) {
  const calm = yield* Fibers.Scheduler
  const clock = calmClock(yield* Clock.Clock, calm)
  const random = yield* Random.Random
  const now = () => clock.currentTimeMillisUnsafe()
  const ofStorage = new SetClock(clock)
  const ledger = new Ledger(now)
  // The storage has seen years of use, so that an instant is an instant and not a small number.
  const state = new WitnessedState({ finished: 100_000, records: 10_000 }, ledger)
  // Never closed: the programs in it end with the world, as by a power cut.
  const scope = yield* Scope.make()
  const kept = technology === "memory"
    ? yield* Effect.provideService(
      Layer.buildWithScope(Memory.layerOver(state), scope),
      Clock.Clock,
      ofStorage.clock,
    )
    : yield* Effect.provideService(
      Effect.orDie(
        Layer.buildWithScope(Sqlite.layer({ file: ":memory:" }), yield* Effect.scope),
      ),
      Clock.Clock,
      ofStorage.clock,
    )
  const table = new Table()
  const withTable = Storage.of({
    ...Context.get(kept, Storage),
    tables: () => table.source("rows"),
  })
  const told = isToldAhead ? toldAhead(withTable, ofStorage.clock) : withTable
  const storage = watched(plant.storage?.(told, state) ?? told, ledger)
  const lock = Context.get(kept, Lock)
  const shared = kept.pipe(
    Context.add(Storage, storage),
    Context.add(Lock, plant.lock?.(lock) ?? lock),
  )
  const asked = Context.add(shared, Storage, plant.planner?.(storage) ?? storage)
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
  /** Closes the program of each. */
  const closes: Array<Effect.Effect<void>> = []
  const schedulers: Array<Context.Context<Program>> = []
  const nameOf = (at: number) =>
    at < plan.schedulers ? `scheduler-${at}` : `executor-${at - plan.schedulers}`

  const work = atRandom((task, key) =>
    (task === "guarded" || task === plan.failing) &&
    plan.outages.some(({ at, key: of, millis }) =>
      of === key && startsAt + at <= now() && now() < startsAt + at + millis
    )
  )

  const spawn = Effect.fnUntraced(function* (at: number, generation: number) {
    const isScheduler = at < plan.schedulers
    const name = nameOf(at)
    const process = new Process(`${name}.${generation}`, clock, {
      offsetMillis: Math.round(((yield* Random.next) - 0.5) * 7_200_000),
      drift: 0.98 + (yield* Random.next) * 0.04,
    })
    processes[at] = process
    const way = Network.way(process, weather[at]!, clock, calm)
    const program = isScheduler
      ? schedulerProgram(
        asked.pipe(
          Context.add(Storage, watchedLeader(Context.get(asked, Storage), ledger, process.name)),
          Context.add(Lock, watchedLock(Context.get(asked, Lock), ledger, process.name)),
        ),
        way,
        plan,
        table,
      )
      : executorProgram(
        farTransport(relay, way),
        process,
        name,
        plan,
        plan.sides[at - plan.schedulers]!,
        work,
        ledger,
        plant.executor,
      )
    // A process that was killed is never closed; its fibers wait at the gate for ever.
    const life = yield* Scope.fork(scope)
    const inside = <A, E>(effect: Effect.Effect<A, E>) =>
      effect.pipe(
        Effect.provideService(Clock.Clock, process.clock),
        Effect.provideService(
          Fibers.Scheduler,
          isRestless ? new Restless(process, clock, calm, () => random.nextDoubleUnsafe()) : calm,
        ),
      )
    const built = Layer.buildWithScope(program, life).pipe(
      Effect.tap((context) =>
        Effect.sync(() => {
          if (isScheduler) schedulers[at] = context as Context.Context<Program>
        })
      ),
      inside,
    )
    closes[at] = inside(Scope.close(life, Exit.void))
    yield* Effect.forkIn(built, scope)
  })

  for (const name of [breaker, keyedBreaker]) {
    yield* Effect.orDie(storage.permits.set(standard, name, breakerSettings))
  }
  for (let at = 0; at < plan.schedulers + plan.executors; at++) yield* spawn(at, 0)

  const fault = ({ at, kind, millis, victim }: Plan["faults"][number], number: number) =>
    Effect.gen(function* () {
      const process = processes[victim]!
      ledger.write({ kind: "fault", what: kind, process: process.name, until: now() + millis })
      if (kind === "kill") {
        process.kill()
        yield* Effect.sleep(millis)
        yield* spawn(victim, number + 1)
      } else if (kind === "drain") {
        // Who is held up meanwhile is killed in the end, as by whoever has asked it to end.
        yield* Effect.forkIn(closes[victim]!, scope)
        yield* Effect.sleep(millis)
        process.kill()
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
  const caller = new Caller(schedulers, processes, ledger)
  for (const [number, each] of plan.submits.entries()) {
    yield* Effect.forkIn(
      Effect.delay(caller.submit(each, `request-${number}`), each.at),
      scope,
    )
  }

  for (const { at, holidays } of plan.calendars) {
    const keep = Effect.orDie(storage.calendars.put(calendarOf(holidays)))
    yield* at === 0 ? keep : Effect.forkIn(Effect.delay(keep, at), scope)
  }
  const from = now()
  const definitions = [
    ...plan.triggers.map((trigger, nth) => triggerOf(trigger, plan.lateness[nth]!)),
    follower,
    ...plan.permanent.map((name) =>
      triggerOf({ name, schedule: always }, { misfire: { _tag: "Once" } })
    ),
    ...(plan.tails.includes("tail-table") ? [tableTail] : []),
  ]
  for (const definition of definitions) yield* Effect.orDie(storage.triggers.put(definition))
  for (const [number, { at, fate, isKept, millis }] of plan.rows.entries()) {
    const write = Effect.gen(function* () {
      const end = table.write({ request: `row-${number}`, fate })
      yield* Effect.sleep(millis)
      end(isKept)
    })
    yield* Effect.forkIn(Effect.delay(write, at), scope)
  }

  const pauses: Array<Outcome["pauses"][number]> = []
  const order = Effect.fnUntraced(function* (each: Plan["orders"][number], number: number) {
    const name = TriggerName.make(each.trigger)
    const found = yield* storage.triggers.find(standard, name)
    // The program that tails may not have come to put it.
    if (Option.isNone(found)) return
    const view = found.value
    ledger.write({ kind: "fault", what: each.kind, process: name, until: now() })
    if (each.kind === "pause") {
      if (view.isPaused) return
      yield* storage.triggers.pause(standard, name, true)
      const from = now()
      yield* Effect.sleep(each.millis)
      pauses.push({ trigger: name, from, to: now() })
      yield* storage.triggers.pause(standard, name, false)
      return
    }
    yield* storage.triggers.put(
      new TriggerDefinition({
        ...view.definition,
        ...(each.kind === "schedule" && view.definition.schedule._tag !== "Tail"
          ? { schedule: each.schedule }
          : { payload: JSON.stringify({ key: name, request: `order-${number}` }) }),
      }),
    )
  })
  for (const [number, each] of plan.orders.entries()) {
    yield* Effect.forkIn(Effect.delay(Effect.orDie(order(each, number)), each.at), scope)
  }
  for (const [number, each] of plan.askings.entries()) {
    const until = () => Math.floor(ofStorage.said(now()))
    const ask = Effect.suspend(() => caller.askFor(each, `asking-${number}`, until))
    yield* Effect.forkIn(Effect.delay(ask, each.at), scope)
  }
  for (const { at, by, group, kind, millis } of plan.groupOrders) {
    const pause = (isPaused: boolean) => storage.permits.orderGroup(standard, group, isPaused)
    const order = kind === "cancel"
      ? caller.cancelGroup(by, group)
      : Effect.andThen(pause(true), Effect.delay(pause(false), millis))
    yield* Effect.forkIn(Effect.delay(Effect.orDie(order), at), scope)
  }
  for (const { at, millis, trigger } of plan.removals) {
    const name = TriggerName.make(trigger)
    const again = definitions.find((each) => each.name === name)!
    const removal = Effect.gen(function* () {
      yield* storage.triggers.remove(standard, name)
      if (millis === undefined) return
      yield* Effect.sleep(millis)
      yield* storage.triggers.put(again)
    })
    yield* Effect.forkIn(Effect.delay(Effect.orDie(removal), at), scope)
  }
  for (const { at, key, millis, to } of plan.holds) {
    const order = (to: "open" | "closed" | "auto") =>
      storage.permits.order(standard, keyedBreaker, to, undefined, key)
    const hold = Effect.andThen(order(to), Effect.delay(order("auto"), millis))
    yield* Effect.forkIn(Effect.delay(Effect.orDie(hold), at), scope)
  }
  for (const { aheadMillis, at } of plan.steps) {
    const set = Effect.sync(() => ofStorage.set(aheadMillis))
    yield* Effect.forkIn(Effect.delay(set, at), scope)
  }
  const readings: Array<Reading> = []
  yield* Effect.forkIn(read(storage, readings), scope)
  yield* Effect.forkIn(observe(storage, ledger, technology === "memory" ? backAt : 0), scope)

  yield* TestClock.adjust(healsAt)
  for (const each of weather) Object.assign(each, Network.calm)
  yield* TestClock.adjust(triggersUntil - healsAt)
  for (const name of [...plan.triggers.map(({ name }) => name), ...plan.permanent]) {
    yield* Effect.orDie(storage.triggers.pause(standard, TriggerName.make(name), true))
  }
  const step = 5000
  for (let at = triggersUntil; at < endsAt; at += step) {
    const open = yield* Effect.orDie(openOf(storage))
    if (open.length === 0 && (yield* Effect.orDie(isThrough(storage, plan, table)))) break
    for (const { id, state } of open) {
      if (state !== "Suspended") continue
      ledger.write({ kind: "ordered", order: "resume", run: id, answer: "sent", sentAt: now() })
      yield* Effect.ignore(storage.runs.resume(id))
    }
    yield* TestClock.adjust(step)
  }
  const faults = plan.faults.map(({ at, kind, millis, victim }) => ({
    what: kind,
    process: nameOf(victim),
    from: startsAt + at,
    until: startsAt + at + millis,
  }))
  const end = yield* Effect.orDie(Kept.read(storage, (said) => ofStorage.when(said)))
  const endedAt = now()
  const written = ledger.entries.length
  const wereRead = readings.length
  const set = ofStorage.steps.length
  const later: Array<Outcome["later"][number]> = []
  for (const days of plan.days ?? []) {
    yield* TestClock.adjust(1)
    ofStorage.set(ofStorage.said(now()) - now() + days * 86_400_000)
    yield* Effect.orDie(retireAll(storage))
    later.push(yield* Effect.orDie(Kept.left(storage, end)))
  }
  // The world goes on while the days go by, and nobody looks at what becomes of that.
  const unseen = ledger.cut(written)
  ofStorage.cut(set)
  return {
    ledger,
    kept: end,
    readings: readings.slice(0, wereRead),
    later,
    stirred: new Set(unseen.flatMap((entry) => entry.kind === "moved" ? [entry.run] : [])),
    // Those of the last moments may be left to the planner that comes next.
    judged: plan.triggers.map(({ name }) => ({
      trigger: name,
      // Slots come after the instant at which it was put.
      from: from + 1,
      until: ofStorage.latest(from, startsAt + triggersUntil) - 3000,
    })),
    permanent: plan.permanent,
    tailed: plan.tails.map((trigger) => ({ trigger, rows: table.rows })),
    pauses,
    clock: ofStorage,
    followed: followedTask.name,
    faults,
    schedulers: Array.from({ length: plan.schedulers }, (_, at) => nameOf(at)),
    calmFrom: startsAt + calmAt,
    endedAt,
  } satisfies Outcome
})

/** Who sleeps does not yield while the clock notes it: that would hold up all others. */
const calmClock = (clock: Clock.Clock, calm: Fibers.Scheduler): Clock.Clock => ({
  ...clock,
  sleep: (duration) => Effect.provideService(clock.sleep(duration), Fibers.Scheduler, calm),
})

const share = Effect.map(Random.next, (chance) => chance * 0.5)

/** What has not ended yet, or was not followed as it shall be. */
export const openOf = Effect.fnUntraced(function* (storage: Storage["Service"]) {
  const runs = yield* Kept.runsOf(storage)
  const followed = new Set(runs.values().map(({ after }) => after))
  return [...runs.values()].filter(({ id, shard, state, task }) =>
    !Run.isFinal(state) ||
    (task === followedTask.name && shard === undefined && !followed.has(id))
  )
})

/** A pass that was under way has passed some by, so another one goes over all there is. */
const retireAll = Effect.fnUntraced(function* ({ history }: Storage["Service"]) {
  for (let passes = 0; passes < 2;) if (!(yield* history.retire(100)).hasMore) passes++
})

/** Whether all rows have been taken. */
const isThrough = (storage: Storage["Service"], { tails }: Plan, table: Table) =>
  Effect.map(
    storage.triggers.tails({ namespace: standard }),
    (views) => views.filter(({ tail }) => tail.position === table.end).length === tails.length,
  )

const calendarOf = (holidays: ReadonlyArray<string>) =>
  new Calendar({ namespace: standard, name: calendarName, rest: [], holidays, workdays: [] })

const triggerOf = (
  { name, ...rule }: Plan["triggers"][number],
  lateness: Plan["lateness"][number],
) =>
  new TriggerDefinition({
    namespace: standard,
    name: TriggerName.make(name),
    task: tasks.plain.name,
    payload: JSON.stringify({ key: name, request: name }),
    ...rule,
    ...lateness,
  })

export const follower = new TriggerDefinition({
  namespace: standard,
  name: TriggerName.make("follower"),
  task: tasks.echo.name,
  schedule: Trigger.after(followedTask, { on: "any" }),
  payload: JSON.stringify({ key: "echo", request: "echo" }),
  misfire: { _tag: "Once" },
})

const wanted = { when: [{ at: "/isWanted", is: "equal", to: true }] } as const

const tableTail = new TriggerDefinition({
  namespace: standard,
  name: TriggerName.make("tail-table"),
  task: tasks.plain.name,
  schedule: Trigger.tailTable("rows", wanted),
  payload: "null",
  misfire: { _tag: "Once" },
})

/** Reads the table in its own program, until the trigger is put and for ever after. */
const programTail = (table: Table, way: Over) =>
  Layer.effectDiscard(Effect.gen(function* () {
    const { tail } = yield* Triggers
    const source = farSource(table.source("program"), way)
    const { schedule } = Trigger.tail(source, wanted)
    const { misfire, namespace, payload, task } = tableTail
    const input = { namespace, name: "tail-program", task, schedule, payload, misfire }
    const judge: Judge = (value) =>
      Effect.succeed(Result.succeed({ payload: JSON.stringify(value) }))
    yield* tail(input, source, judge).pipe(
      Effect.retry({ schedule: Schedule.spaced("1 second") }),
      Effect.forkScoped,
    )
  }))

/** A scheduler has its storage, and the lock of those who stand by, at the end of a way. */
const schedulerProgram = (
  shared: Context.Context<Storage | Wakeups | Lock>,
  way: Over,
  { isStandby, tails }: Plan,
  table: Table,
) => {
  const far = shared.pipe(
    Context.add(Storage, farStorage(Context.get(shared, Storage), way)),
    Context.add(Lock, farLock(Context.get(shared, Lock), way)),
  )
  return Layer.mergeAll(
    Scheduler.layerWith({ sweepInterval: "500 millis", dueInterval: "500 millis" }),
    tails.includes("tail-program")
      ? Layer.provideMerge(programTail(table, way), Triggers.layer)
      : Triggers.layer,
    Groups.layer,
  ).pipe(
    Layer.provide(
      isStandby
        ? StandbyOwnership.layer({ name: "world", ttl: standbyMillis })
        : LocalOwnership.layer,
    ),
    Layer.provide(Layer.succeedContext(far)),
  )
}

const executorProgram = (
  transport: Transport["Service"],
  process: Process,
  name: string,
  plan: Plan,
  side: string,
  work: Work,
  ledger: Ledger,
  plant: Plant["executor"],
) => {
  const executor = Executor.layerWith({
    name,
    concurrency: plan.concurrency,
    labels: { side },
    ttl: ttlMillis,
    drainTimeout: drainMillis,
  })
  const handlers = [...plan.tasks, "echo" as const]
    .map((task) => handlerOf(task, work, process, ledger))
  return Layer.mergeAll(handlers[0]!, ...handlers.slice(1)).pipe(
    Layer.provide(
      plant === undefined
        ? executor
        : Layer.provide(Layer.effect(Executor, Effect.map(Executor, plant)), executor),
    ),
    Layer.provide(Layer.succeed(Transport, transport)),
  )
}
