/**
 * Belfry itself, all of it: an executor over the direct transport, payloads decoded by their
 * schema, fences, attempts and history kept. Lanes are tasks.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Sqlite from "../../adapters/sqlite/mod.ts"
import * as Postgres from "../../adapters/postgres/mod.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import { ExecutorName } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { standard } from "../../core/domain/Namespace.ts"
import { TaskName } from "../../core/domain/Task.ts"
import * as Waiting from "../../core/domain/Waiting.ts"
import { Executor, type ExecutorOptions } from "../../core/engine/Executor.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as Task from "../../core/engine/Task.ts"
import * as Trigger from "../../core/engine/Trigger.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import type { Grant, RunSpec } from "../../core/services/RunStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { Wakeups } from "../../core/services/Wakeups.ts"
import {
  batches,
  type Bells,
  type Beside,
  keyOf,
  laneOf,
  levelOf,
  type Load,
  payloadOf,
  type Place,
  type Prepared,
  type System,
} from "../System.ts"
import { Witness } from "../Witness.ts"

type Stored = Layer.Layer<Storage | Wakeups, unknown>

const payload = { n: Schema.Int, key: Schema.Int, pad: Schema.String }

const blockingOf = ({ blocking }: Load): Blocking.Blocking | undefined => {
  if (blocking === undefined) return undefined
  return blocking.policy === "fifo" ? Blocking.fifo : Blocking.concurrent(blocking.places)
}

const taskOf = (lane: number, load: Load) => {
  const name = `bench/lane-${lane}`
  const blocking = blockingOf(load)
  return blocking === undefined
    ? Task.make(name, { payload })
    : Task.make(name, { payload, policy: { blocking, blockingKey: ({ key }) => `${key}` } })
}

type Named = Pick<Task.Task, "name" | "policy">

const specOf = (n: number, load: Load, tasks: ReadonlyArray<Named>): RunSpec => {
  const { name, policy } = tasks[laneOf(n, load)]!
  return {
    namespace: standard,
    task: name,
    payload: JSON.stringify(payloadOf(n, load)),
    ...Waiting.place(standard, name, policy, `${keyOf(n, load)}`),
    level: levelOf(n, load) as Lane.Level,
    delayMillis: 0,
    idempotencyKey: undefined,
    isAtMostOnce: false,
    crashesMax: policy.crashesMax,
  }
}

const handlers = (load: Load, witness: Witness) => {
  const [first, ...others] = Array.from(
    { length: load.lanes },
    (_, lane) =>
      taskOf(lane, load).toLayer((job) =>
        load.blocking === undefined
          ? Effect.sync(() => {
            witness.begin(job)
            witness.end(job)
          })
          // Yields once, or an overlap within a key could not be seen.
          : Effect.sync(() => witness.begin(job)).pipe(
            Effect.andThen(Effect.yieldNow),
            Effect.andThen(Effect.sync(() => witness.end(job))),
          )
      ),
  )
  return Layer.mergeAll(first!, ...others)
}

/** Runs that stay where they are: due in a week, or behind a run of a task that nobody serves. */
const standing = ({ blocked, future }: Beside): ReadonlyArray<RunSpec> => {
  const load: Load = { jobs: future + blocked, lanes: 1, levels: 1 }
  const served = specOf(0, load, [taskOf(0, load)])
  const task = TaskName.make("bench/unserved")
  const lane = Lane.ofTask(standard, task)
  const gateOf = (n: number) =>
    Blocking.gate(standard, task, Blocking.fifo, `${n % Math.ceil(blocked / 100)}`)
  return [
    ...Array.from({ length: future }, () => ({ ...served, delayMillis: 7 * 86_400_000 })),
    ...Array.from({ length: blocked }, (_, n) => ({ ...served, task, lane, gate: gateOf(n) })),
  ]
}

const bell = Task.make("bench/bell", { payload: { n: Schema.Int } })

const rules: Readonly<Record<Bells["rule"], string>> = {
  minute: "* * * * *",
  second: "* * * * * *",
  asleep: "0 0 29 2 *",
}

const keep = Effect.fnUntraced(function* ({ rule, triggers: count }: Bells) {
  const triggers = yield* Triggers
  yield* Effect.forEach(
    Array.from({ length: count }, (_, n) => n),
    (n) =>
      triggers.put({
        namespace: standard,
        name: `bell-${n}`,
        task: bell.name,
        schedule: Trigger.cron(rules[rule]),
        payload: JSON.stringify({ n }),
      }),
    { concurrency: 64, discard: true },
  )
})

const prepare = (storedIn: (place: Place) => Stored, options: ExecutorOptions): System["prepare"] =>
  Effect.fnUntraced(function* (place) {
    const context = yield* Layer.build(storedIn(place))
    const { executors, runs } = Context.get(context, Storage)
    const stored = Layer.succeedContext(context)
    let filled: Load = { jobs: 0, lanes: 1, levels: 1 }
    const submit = (specs: ReadonlyArray<RunSpec>) => {
      const gates = new Set(specs.flatMap(({ gate }) => gate === undefined ? [] : [gate.key]))
      return Effect.andThen(runs.submit(specs), runs.admit([...gates]))
    }
    const fill = (load: Load) => {
      filled = load
      const tasks = Array.from({ length: load.lanes }, (_, lane) => taskOf(lane, load))
      return Effect.forEach(
        batches(load, 1000),
        (batch) => submit(batch.map((n) => specOf(n, load, tasks))),
        { discard: true },
      )
    }
    const drain = (witness: Witness) =>
      Effect.asVoid(Layer.build(
        handlers(filled, witness).pipe(
          Layer.provideMerge(Executor.layerWith(options)),
          Layer.provide(Direct.layer),
          Layer.provideMerge(Scheduler.layer),
          Layer.provide(LocalOwnership.layer),
          Layer.provide(stored),
        ),
      ))
    /** What carries runs out, and what fires them. */
    const engine = Layer.mergeAll(
      Triggers.layer,
      Executor.layerWith(options).pipe(
        Layer.provide(Direct.layer),
        Layer.provideMerge(Scheduler.layer),
      ),
    ).pipe(Layer.provide(LocalOwnership.layer), Layer.provide(stored))
    return {
      fill,
      drain,
      ring: Effect.fnUntraced(function* (bells, rung) {
        const ringing = bell.toLayer(({ n }) => Effect.sync(() => rung(n)))
        const built = yield* Layer.build(Layer.provideMerge(ringing, engine))
        yield* Effect.provide(keep(bells), built)
      }),
      surround: Effect.fnUntraced(function* (beside: Beside) {
        const finished: Load = { jobs: beside.finished, lanes: 1, levels: 1 }
        if (finished.jobs > 0) {
          const witness = new Witness(finished)
          yield* fill(finished)
          yield* Effect.scoped(Effect.andThen(drain(witness), Effect.promise(() => witness.done)))
        }
        const specs = standing(beside)
        for (let from = 0; from < specs.length; from += 1000) {
          yield* submit(specs.slice(from, from + 1000))
        }
      }),
      taking: Effect.fnUntraced(function* (count: number) {
        const load: Load = { jobs: count, lanes: 1, levels: 1 }
        const incarnation = yield* executors.join({
          namespace: standard,
          name: ExecutorName.make("bench"),
          capacity: count,
          labels: {},
          ttlMillis: 3_600_000,
        })
        let round = 0
        let taken: ReadonlyArray<Grant> = []
        return {
          take: Effect.gen(function* () {
            const claimed = yield* runs.claim({
              incarnation,
              loop: 0,
              round: ++round,
              isAgain: false,
              lanes: [Lane.ofTask(standard, taskOf(0, load).name)],
              limit: count,
              reports: [],
            })
            if (claimed === "Lost" || claimed.grants.length < count) {
              return yield* Effect.fail(new Error(`of ${count} jobs it was not granted all`))
            }
            taken = claimed.grants
          }),
          putBack: Effect.suspend(() =>
            runs.settle(
              incarnation,
              taken.map(({ fence, run }) => ({ _tag: "Succeed", run, fence })),
            )
          ).pipe(Effect.andThen(fill(load))),
        }
      }),
      unfinished: Effect.gen(function* () {
        for (let lane = 0; lane < filled.lanes; lane++) {
          const { name: task } = taskOf(lane, filled)
          const states = ["Ready", "Running"] as const
          const left = yield* runs.list({ namespace: standard, task, states, limit: 1 })
          if (left.length > 0) return true
        }
        return false
      }),
    } satisfies Prepared
  })

const inSqlite = ({ folder }: Place): Stored => Sqlite.layer({ file: join(folder, "bench.sqlite") })

const inPostgres = ({ databaseUrl }: Place): Stored =>
  Postgres.layerMigrated({ url: Redacted.make(databaseUrl) })

const version = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
).version as string

const common = { name: "belfry", version, refuses: () => undefined } as const

export const belfry: ReadonlyArray<System> = [
  {
    ...common,
    settings: "best",
    store: "postgres",
    note: "concurrency 100",
    prepare: prepare(inPostgres, { concurrency: 100 }),
  },
  { ...common, settings: "defaults", store: "postgres", prepare: prepare(inPostgres, {}) },
  {
    ...common,
    settings: "sqlite",
    store: "sqlite",
    note: "one file, full fsync, concurrency 100",
    prepare: prepare(inSqlite, { concurrency: 100 }),
  },
]
