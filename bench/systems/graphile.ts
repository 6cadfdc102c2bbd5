/**
 * graphile-worker: the fastest peer on PostgreSQL. Lanes are task identifiers, levels are
 * priorities, a fifo key is a named queue. It deletes finished jobs, so it keeps no history.
 */
import { Effect } from "effect"
import {
  Logger,
  parseCronItems,
  run,
  runMigrations,
  type RunnerOptions,
  type TaskList,
} from "graphile-worker"
import pg from "pg"
import {
  batches,
  type Bells,
  keyOf,
  laneOf,
  levelOf,
  type Load,
  type Payload,
  payloadOf,
  type Prepared,
  type System,
} from "../System.ts"
import type { Witness } from "../Witness.ts"
import { peerVersion } from "./versions.ts"

type Preset = NonNullable<RunnerOptions["preset"]>

/** The settings of its own performance page. */
const best: Preset = {
  worker: {
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
}

/**
 * With named queues the local queue is a loss: a fetch returns at most one job of a queue, which
 * looks like the end of the work and is followed by a wait of `pollInterval`.
 */
const bestForQueues: Preset = {
  worker: { concurrentJobs: 24, maxPoolSize: 25, pollInterval: 5 },
}

const silent = new Logger(() => () => {})

const promise = <A>(run: () => PromiseLike<A>) => Effect.tryPromise({ try: run, catch: (e) => e })

/** One handler per lane. It yields once, or an overlap within a key could not be seen. */
const handlers = (witness: Witness, load: Load): TaskList => {
  const handler = load.blocking === undefined
    ? (payload: unknown) => {
      witness.begin(payload as Payload)
      witness.end(payload as Payload)
    }
    : async (payload: unknown) => {
      witness.begin(payload as Payload)
      await null
      witness.end(payload as Payload)
    }
  return Object.fromEntries(
    Array.from({ length: load.lanes }, (_, lane) => [`lane_${lane}`, handler]),
  )
}

const matches: Readonly<Record<Bells["rule"], string>> = {
  minute: "* * * * *",
  second: "",
  asleep: "0 0 29 2 *",
}

const cronItems = ({ rule, triggers }: Bells) =>
  parseCronItems(Array.from({ length: triggers }, (_, n) => ({
    task: "bell",
    match: matches[rule],
    identifier: `bell_${n}`,
    payload: { n },
  })))

const prepare = (presetFor: (load: Load) => Preset): System["prepare"] =>
  Effect.fnUntraced(function* ({ databaseUrl }) {
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 })
        pool.on(
          "error",
          (error) => process.stderr.write(`graphile-worker: ${error.message}\n`),
        )
        pool.on("connect", (client) => void client.on("error", () => {}))
        return pool
      }),
      (pool) => Effect.promise(() => pool.end()),
    )
    yield* promise(() => runMigrations({ pgPool: pool, logger: silent }))
    let filled: Load = { jobs: 0, lanes: 1, levels: 1 }
    return {
      fill: (load) => {
        filled = load
        return Effect.forEach(
          batches(load),
          (batch) =>
            promise(() =>
              pool.query(
                `SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
                 SELECT json_populate_recordset(null::graphile_worker.job_spec, $1::json)))`,
                [JSON.stringify(batch.map((n) => ({
                  identifier: `lane_${laneOf(n, load)}`,
                  payload: payloadOf(n, load),
                  priority: levelOf(n, load),
                  queue_name: load.blocking === undefined ? null : `key_${keyOf(n, load)}`,
                })))],
              )
            ),
          { discard: true },
        )
      },
      drain: (witness) =>
        Effect.asVoid(Effect.acquireRelease(
          promise(() =>
            run({
              connectionString: databaseUrl,
              preset: presetFor(filled),
              taskList: handlers(witness, filled),
              noHandleSignals: true,
              parsedCronItems: [],
              logger: silent,
            })
          ),
          (runner) => Effect.promise(() => runner.stop()),
        )),
      ring: (bells, rung) =>
        bells.rule === "second"
          ? Effect.fail(new Error("graphile-worker fires each minute at most"))
          : Effect.asVoid(Effect.acquireRelease(
            promise(() =>
              run({
                connectionString: databaseUrl,
                preset: presetFor(filled),
                taskList: { bell: (payload) => rung((payload as { readonly n: number }).n) },
                noHandleSignals: true,
                parsedCronItems: cronItems(bells),
                logger: silent,
              })
            ),
            (runner) => Effect.promise(() => runner.stop()),
          )),
      unfinished: Effect.map(
        promise(() =>
          pool.query(
            "SELECT EXISTS (SELECT 1 FROM graphile_worker._private_jobs) AS unfinished",
          )
        ),
        ({ rows }) => rows[0].unfinished,
      ),
    } satisfies Prepared
  })

const refuses = ({ blocking }: Load) =>
  blocking?.policy === "concurrent"
    ? "graphile-worker has no limit per key; `concurrentJobs` bounds one process"
    : undefined

const common = {
  name: "graphile-worker",
  version: peerVersion("graphile-worker"),
  store: "postgres",
  refuses,
} as const

export const graphile: ReadonlyArray<System> = [
  {
    ...common,
    settings: "best",
    note: "deletes finished jobs (no history); fifo = named queues, without the local queue",
    prepare: prepare((load) => load.blocking === undefined ? best : bestForQueues),
  },
  {
    ...common,
    settings: "defaults",
    note: "one job at a time, one transaction each way",
    jobsAtMost: 5_000,
    prepare: prepare(() => ({})),
  },
]
