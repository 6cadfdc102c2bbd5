/**
 * A small world for one path of the engine: a server, which is a scheduler and the relay beside it, an
 * executor that reaches it, and somebody outside. All of it goes by the same clock and nothing is
 * drawn, so the calls of a path are the same whenever it is walked, up to the one that is hit.
 *
 * Whoever dies is back soon. Then all is well, and everything has to end as it should.
 */
import { Clock, Context, Duration, Effect, Exit, Layer, Logger, Random, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../../adapters/direct/mod.ts"
import * as Memory from "../../../adapters/memory/mod.ts"
import { Executor } from "../../engine/Executor.ts"
import * as LocalOwnership from "../../engine/LocalOwnership.ts"
import { Groups } from "../../engine/Groups.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { Storage } from "../../services/Storage.ts"
import { Transport } from "../../services/Transport.ts"
import { Caller, type Program } from "../Caller.ts"
import { farStorage, farTransport, type Over } from "../far.ts"
import { check } from "../invariants/mod.ts"
import * as Kept from "../Kept.ts"
import { Ledger } from "../Ledger.ts"
import type { Outcome } from "../Outcome.ts"
import { Process } from "../Process.ts"
import { followedTask, handlerOf } from "../tasks.ts"
import { read, type Reading } from "../readings.ts"
import { SetClock } from "../SetClock.ts"
import { startsAt } from "../times.ts"
import { toldAhead } from "../toldAhead.ts"
import { watched } from "../watched.ts"
import { WitnessedState } from "../WitnessedState.ts"
import { follower, type Mistake, openOf } from "../World.ts"
import { briefly, type Hand, type Path } from "./paths.ts"
import {
  backMillis,
  type Hit,
  latenessMax,
  refusedMillis,
  sweepMillis,
  ttlMillis,
} from "./lateness.ts"
import { type Aim, Points, tripMillis } from "./Points.ts"

/** Longer than anything that is under way can come late. */
const quietMillis = 4000
/** The last moment: everything but a fault in the product has ended long before. */
const mostMillis = 90_000

/** What was wrong with how the path has ended. */
export const wrongOf = (path: Path, walked: Walked, untouched: Walked): ReadonlyArray<string> => {
  const { outcome } = walked
  const wrong = check(outcome).violations.map(({ invariant, what }) => `${invariant}: ${what}`)
  const byRequest = Map.groupBy(outcome.kept.runs.values(), Kept.requestOf)
  const sent = new Set(outcome.ledger.of("sent").map(({ request }) => request))
  for (const [request, ends] of Object.entries(path.ends)) {
    const runs = byRequest.get(request) ?? []
    for (const { id, state } of runs) {
      if (!ends.includes(state)) wrong.push(`run ${id} of "${request}" is ${state}`)
    }
    const wholes = runs.filter(({ shard }) => shard === undefined).length
    const isRight = wholes === 1 || wholes === 0 && ends.includes(undefined)
    if (sent.has(request) && !isRight) wrong.push(`"${request}" is ${wholes} runs`)
  }
  if (!walked.endedAt.has(all)) wrong.push("it never came to its end")
  return [...wrong, ...lateOf(path, walked, untouched)]
}

/** What has ended too late, of what has. */
const lateOf = (
  path: Path,
  { endedAt, hit }: Walked,
  untouched: Walked,
): ReadonlyArray<string> => {
  const calls = untouched.operations.length
  return [...endedAt].flatMap(([what, at]) => {
    const since = hit === undefined ? untouched.beganAt : untouched.endedAt.get(what)
    if (since === undefined) return []
    const most = hit === undefined
      ? path.takesMillis + calls * tripMillis
      : latenessMax({ path, calls, ...hit }, what)
    return at - since <= most ? [] : [`${what} took ${at - since} ms longer, of at most ${most}`]
  })
}

/** Beside the requests, what whoever asked for them has to wait for. */
const all = "all that was asked"

/** When each request has ended, and when whoever asked had all answers, as far as they have. */
const endsOf = (
  runs: Outcome["kept"]["runs"],
  walkedAt: number | undefined,
): ReadonlyMap<string, number> => {
  const byRequest = Map.groupBy(runs.values(), Kept.requestOf)
  return new Map([
    ...(walkedAt === undefined ? [] : [[all, walkedAt] as const]),
    ...[...byRequest].flatMap(([request, runs]): ReadonlyArray<[string, number]> =>
      runs.every(({ finishedAt }) => finishedAt !== undefined)
        ? [[request, Math.max(...runs.map(({ finishedAt }) => Kept.millis(finishedAt!)))]]
        : []
    ),
  ])
}

export interface Walked {
  readonly outcome: Outcome
  /** The calls of the path, by their names. */
  readonly operations: ReadonlyArray<string>
  /** The one that was hit. */
  readonly hit: Omit<Hit, "path" | "calls"> | undefined
  readonly beganAt: number
  /** By what was asked for. */
  readonly endedAt: ReadonlyMap<string, number>
}

/** What is wrong on purpose. */
export interface Plant {
  readonly storage?: Mistake
  /** What a server makes of its way to the storage; anew whenever it starts. */
  readonly server?: (storage: Storage["Service"], now: () => number) => Storage["Service"]
  /** What an executor makes of its way to the server. */
  readonly executor?: (transport: Transport["Service"]) => Transport["Service"]
}

export const walk = (path: Path, aim?: Aim, plant: Plant = {}) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(startsAt)
    return yield* world(path, aim, plant)
  }).pipe(
    Effect.scoped,
    Random.withSeed(path.name),
    Effect.provide(Layer.merge(TestClock.layer({ warningDelay: "1 hour" }), Logger.layer([]))),
  )

/** Somebody whose connection ends with the server, as that of a process that has died does. */
class Connected extends Caller {
  private readonly servers: ReadonlyArray<Process>

  constructor(
    schedulers: ReadonlyArray<Context.Context<Program>>,
    servers: ReadonlyArray<Process>,
    ledger: Ledger,
  ) {
    super(schedulers, servers, ledger)
    this.servers = servers
  }

  override call<A, E>(
    by: number,
    command: (scheduler: Scheduler["Service"]) => Effect.Effect<A, E>,
  ) {
    const cut = Effect.suspend(() => this.servers[by]!.died.await)
    return Effect.raceFirst(
      super.call(by, command),
      Effect.andThen(cut, Effect.fail("not up yet" as const)),
    )
  }
}

const world = Effect.fnUntraced(function* (path: Path, aim: Aim | undefined, plant: Plant) {
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const ofStorage = new SetClock(clock)
  const ledger = new Ledger(now)
  const state = new WitnessedState({ finished: 10_000, records: 10_000 }, ledger)
  const scope = yield* Scope.make()
  const memory = yield* Layer.buildWithScope(Memory.layerOver(state), scope)
  const kept = Context.get(memory, Storage)
  const told = path.isToldAhead === true ? toldAhead(kept, clock) : kept
  let isTakenAgain = false
  const { outbox } = told
  const taking: Storage["Service"] = {
    ...told,
    outbox: {
      ...outbox,
      take: (request) =>
        Effect.tap(outbox.take(request), (events) =>
          Effect.sync(() => {
            isTakenAgain ||= events.some(({ hand }) => hand > 1)
          })),
    },
  }
  const storage = watched(plant.storage?.(taking, state) ?? taking, ledger)
  const points = new Points(clock, aim)
  const processes: Array<Process> = []
  const schedulers: Array<Context.Context<Program>> = []
  let relay: { readonly transport: Transport["Service"]; readonly process: Process } | undefined

  const exact = { offsetMillis: 0, drift: 1 }
  /** Starts it, and starts it again when it has died. */
  const keep = (
    name: string,
    start: (process: Process) => Effect.Effect<unknown, unknown, Scope.Scope>,
  ) => {
    const live = (generation: number): Effect.Effect<void> =>
      Effect.gen(function* () {
        const process = new Process(`${name}.${generation}`, clock, exact)
        yield* Effect.forkIn(
          Effect.provideService(
            Scope.provide(start(process), scope),
            Clock.Clock,
            process.clock,
          ),
          scope,
        )
        yield* process.died.await
        yield* clock.sleep(Duration.millis(backMillis))
        yield* live(generation + 1)
      })
    return Effect.forkIn(live(0), scope)
  }

  yield* keep("server", (process) => {
    const far = farStorage(storage, points.way(process))
    const shared = Context.add(memory, Storage, plant.server?.(far, now) ?? far)
    const program = Layer.mergeAll(
      Scheduler.layerWith({ sweepInterval: sweepMillis, dueInterval: sweepMillis }),
      Triggers.layer,
      Groups.layer,
      Direct.layer,
    ).pipe(
      Layer.provide(LocalOwnership.layer),
      Layer.provide(Layer.succeedContext(shared)),
    )
    return Effect.map(Layer.build(program), (context) => {
      processes[0] = process
      schedulers[0] = context
      relay = { transport: Context.get(context, Transport), process }
    })
  })

  /** What the executor reaches: the server of now. Its death cuts the calls to it off. */
  const toServer: Over = (_, call, unavailable) =>
    Effect.suspend(() => {
      const server = relay
      if (server === undefined || server.process.isKilled) {
        return Effect.andThen(clock.sleep(Duration.millis(refusedMillis)), unavailable)
      }
      return Effect.raceFirst(call, Effect.andThen(server.process.died.await, unavailable))
    })
  yield* Effect.orDie(storage.triggers.put(follower))
  yield* TestClock.adjust(50)
  const ofNow = Object.fromEntries(
    Object.keys(relay!.transport).map((operation) => [
      operation,
      (...given: ReadonlyArray<unknown>) =>
        Effect.suspend(() =>
          (relay!.transport as unknown as Record<
            string,
            (...given: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>
          >)[operation]!(...given)
        ),
    ]),
  ) as unknown as Transport["Service"]
  yield* keep("executor", (process) => {
    const handlers = [...path.tasks, "echo" as const]
      .map((task) => handlerOf(task, path.work?.(ledger) ?? briefly, process, ledger))
    const far = farTransport(farTransport(ofNow, toServer), points.way(process))
    const transport = plant.executor?.(far) ?? far
    const program = Layer.mergeAll(handlers[0]!, ...handlers.slice(1)).pipe(
      Layer.provide(Executor.layerWith({ name: "executor", concurrency: 4, ttl: ttlMillis })),
      Layer.provide(Layer.succeed(Transport, transport)),
    )
    return Layer.build(program)
  })
  // Both have settled in.
  yield* TestClock.adjust(300)

  const judged: Array<Outcome["judged"][number]> = []
  const hand: Hand = {
    caller: new Connected(schedulers, processes, ledger),
    storage,
    ledger,
    judge: (trigger, from, until) => void judged.push({ trigger, from, until }),
    begin: Effect.sync(() => points.open()),
  }
  const readings: Array<Reading> = []
  yield* Effect.forkIn(read(storage, readings), scope)
  const beganAt = now()
  let walkedAt: number | undefined
  const walking = yield* Effect.forkIn(
    Effect.tap(path.walk(hand), () => Effect.sync(() => void (walkedAt = now()))),
    scope,
  )
  const step = 250
  let quiet = 0
  let count = 0
  for (let at = 0; at < mostMillis && quiet < quietMillis; at += step) {
    yield* TestClock.adjust(step)
    const isDone = walking.pollUnsafe() !== undefined && (yield* openOf(storage)).length === 0
    quiet = isDone ? quiet + step : 0
    if (quiet <= step) count = points.operations.length
  }
  const exit = walking.pollUnsafe()
  if (exit !== undefined && Exit.isFailure(exit)) yield* Effect.die(exit)
  const outcome: Outcome = {
    later: [],
    stirred: new Set(),
    ledger,
    kept: yield* Kept.read(storage, (said) => said),
    readings,
    judged,
    tailed: [],
    permanent: [],
    pauses: [],
    clock: ofStorage,
    followed: followedTask.name,
    schedulers: [],
    faults: [],
    calmFrom: Infinity,
    endedAt: now(),
  }
  return {
    outcome,
    operations: points.operations.slice(0, count),
    hit: aim === undefined || points.hit === undefined
      ? undefined
      : { operation: points.hit, fault: aim.fault, isTakenAgain },
    beganAt,
    endedAt: endsOf(outcome.kept.runs, walkedAt),
  } satisfies Walked
})
