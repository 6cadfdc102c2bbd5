/**
 * pg-boss: lanes are queues, levels are priorities (its larger numbers go first). A fifo key is a
 * `singletonKey` under the policy `key_strict_fifo`, `concurrent(n)` is its `groupConcurrency`.
 */
import { Effect } from "effect"
import { type JobInsert, PgBoss, type WorkOptions } from "pg-boss"
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

const promise = <A>(run: () => PromiseLike<A>) => Effect.tryPromise({ try: run, catch: (e) => e })

const queueOf = (lane: number) => `lane-${lane}`

const hex = (n: number) => n.toString(16).padStart(12, "0")

const jobOf = (n: number, load: Load): JobInsert => ({
  data: payloadOf(n, load),
  priority: load.levels - levelOf(n, load),
  // Jobs of one insert share their time of creation, and then the id decides the order.
  ...load.blocking?.policy === "fifo"
    ? { id: `00000000-0000-7000-8000-${hex(n)}`, singletonKey: `key-${keyOf(n, load)}` }
    : {},
  ...load.blocking?.policy === "concurrent" ? { group: { id: `key-${keyOf(n, load)}` } } : {},
})

/** Under a blocking policy a batch is never larger than what the keys let run at once. */
const optionsFor = (load: Load): WorkOptions => {
  const { blocking } = load
  const best = { burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
  if (blocking === undefined) {
    return {
      ...best,
      batchSize: 1_000,
      localConcurrency: load.lanes === 1 ? 3 : 1,
    }
  }
  const places = blocking.policy === "fifo" ? 1 : blocking.places
  return {
    ...best,
    batchSize: Math.min(1_000, blocking.keys * places),
    ...blocking.policy === "concurrent" ? { groupConcurrency: places } : {},
  }
}

/**
 * Bursting is refused to batches of one, and ends with a batch that is not full. A worker under a
 * blocking policy therefore notifies itself after each batch, or it would sleep half a second.
 */
const work = (boss: PgBoss, lane: number, load: Load, witness: Witness) => {
  let worker = ""
  return promise(async () =>
    worker = await boss.work(
      queueOf(lane),
      optionsFor(load),
      async (jobs: ReadonlyArray<{ readonly data: Payload }>) => {
        for (const { data } of jobs) witness.begin(data)
        await null
        for (const { data } of jobs) witness.end(data)
        if (load.blocking !== undefined) boss.notifyWorker(worker)
      },
    )
  )
}

/** A process of it that keeps time, as tightly as it lets itself be set. */
const timekeeper = (databaseUrl: string) =>
  Effect.acquireRelease(
    promise(async () => {
      const boss = new PgBoss({
        connectionString: databaseUrl,
        supervise: false,
        cronMonitorIntervalSeconds: 1,
        cronWorkerIntervalSeconds: 1,
      })
      boss.on("error", (error) => process.stderr.write(`pg-boss: ${error.message}\n`))
      return await boss.start()
    }),
    (boss) => Effect.promise(() => boss.stop({ graceful: false, close: true })),
  )

const ring = Effect.fnUntraced(
  function* (databaseUrl: string, { rule, triggers }: Bells, rung: (n: number) => void) {
    if (rule === "second") {
      return yield* Effect.fail(new Error("pg-boss fires each minute at most"))
    }
    const boss = yield* timekeeper(databaseUrl)
    yield* promise(() => boss.createQueue("bells"))
    yield* promise(() =>
      boss.work(
        "bells",
        { batchSize: 1_000, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
        (jobs: ReadonlyArray<{ readonly data: { readonly n: number } }>) => {
          for (const { data } of jobs) rung(data.n)
          return Promise.resolve()
        },
      )
    )
    const cron = rule === "minute" ? "* * * * *" : "0 0 29 2 *"
    yield* Effect.forEach(
      Array.from({ length: triggers }, (_, n) => n),
      (n) => promise(() => boss.schedule("bells", cron, { n }, { key: `bell-${n}` })),
      { concurrency: 8, discard: true },
    )
  },
)

const prepare: System["prepare"] = Effect.fnUntraced(
  function* ({ databaseUrl }) {
    const boss = yield* Effect.acquireRelease(
      promise(async () => {
        const boss = new PgBoss({
          connectionString: databaseUrl,
          schedule: false,
          supervise: false,
        })
        boss.on(
          "error",
          (error) => process.stderr.write(`pg-boss: ${error.message}\n`),
        )
        return await boss.start()
      }),
      (boss) => Effect.promise(() => boss.stop({ graceful: false, close: true })),
    )
    let filled: Load = { jobs: 0, lanes: 1, levels: 1 }
    const lanes = () => Array.from({ length: filled.lanes }, (_, lane) => lane)
    return {
      fill: Effect.fnUntraced(function* (load) {
        filled = load
        const policy = load.blocking?.policy === "fifo" ? { policy: "key_strict_fifo" } : {}
        for (const lane of lanes()) {
          yield* promise(() => boss.createQueue(queueOf(lane), policy))
        }
        for (const batch of batches(load, 16_000)) {
          for (const lane of lanes()) {
            const jobs = batch.filter((n) => laneOf(n, load) === lane)
            for (let i = 0; i < jobs.length; i += 1_000) {
              yield* promise(() =>
                boss.insert(
                  queueOf(lane),
                  jobs.slice(i, i + 1_000).map((n) => jobOf(n, load)),
                )
              )
            }
          }
        }
      }),
      drain: (witness) =>
        Effect.forEach(lanes(), (lane) =>
          Effect.acquireRelease(
            work(boss, lane, filled, witness),
            () => Effect.promise(() => boss.offWork(queueOf(lane), { wait: false })),
          ), { discard: true }),
      ring: (bells, rung) => ring(databaseUrl, bells, rung),
      unfinished: Effect.map(
        promise(() =>
          boss.getDb().executeSql(
            "SELECT EXISTS (SELECT 1 FROM pgboss.job WHERE state < 'completed') AS unfinished",
          )
        ),
        ({ rows }) => rows[0].unfinished,
      ),
    } satisfies Prepared
  },
)

export const pgboss: ReadonlyArray<System> = [{
  name: "pg-boss",
  version: peerVersion("pg-boss"),
  settings: "best",
  store: "postgres",
  note: "its defaults take one job every two seconds and are not run; schedule and supervise off",
  refuses: () => undefined,
  prepare,
}]
