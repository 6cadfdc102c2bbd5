/**
 * Export from PostgreSQL, and import into it: see `TransferStorage` for the laws.
 *
 * An export is one transaction that reads, and sees what was committed when it began. An import is
 * one that holds off everybody else who would write, so that nothing comes in beside it. Rows go over
 * as JSON, a page at a time, and each table gets its own in one statement.
 */
import { Effect, Stream } from "effect"
import type { Refused } from "../../core/domain/Refused.ts"
import { finals } from "../../core/domain/Run.ts"
import type { Counts, Of, StateRecord } from "../../core/domain/StateRecord.ts"
import { contradictory, counted, notEmpty } from "../../core/domain/Transfer.ts"
import * as Outbox from "../../core/domain/Outbox.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { pageMax, type TransferStorage } from "../../core/services/TransferStorage.ts"
import { type Ask, isRefusedForGood, type Pg, texts } from "./Pg.ts"
import { tasks } from "./transfer/tasks.ts"
import { calendars } from "./transfer/calendars.ts"
import { executors } from "./transfer/executors.ts"
import { triggers } from "./transfer/triggers.ts"
import { slots } from "./transfer/slots.ts"
import { versions } from "./transfer/versions.ts"
import { asked } from "./transfer/asked.ts"
import { runs } from "./transfer/runs.ts"
import { states } from "./transfer/states.ts"
import { permits } from "./transfer/permits.ts"
import { locks } from "./transfer/locks.ts"
import type { Sort } from "./transfer/Sort.ts"

export const make = (pg: Pg): TransferStorage => ({
  export: Stream.unwrap(
    Effect.map(
      Effect.tap(
        pg.transaction("reads", "export", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        (ask) => Effect.forEach(pinned, (setting) => ask(`SET LOCAL ${setting}`)),
      ),
      exported,
    ),
  ),
  import: (records) =>
    Effect.scoped(Effect.gen(function* () {
      const ask = yield* pg.transaction("writes", "import", "BEGIN")
      yield* ask("SET LOCAL idle_in_transaction_session_timeout = 0")
      yield* ask(`LOCK TABLE ${transferred.join(", ")} IN EXCLUSIVE MODE`)
      const [kept] = yield* ask<{ readonly kept: string | null }>(firstKept)
      if (kept!.kept !== null) return yield* notEmpty(`${kept!.kept}s`)
      let counts: Counts = {}
      yield* Stream.runForEachArray(records, (some) => {
        counts = counted(counts, some)
        return Effect.catch(
          Effect.forEach(stretches(some), (stretch) => imported(ask, stretch), { discard: true }),
          notTaken,
        )
      })
      // Not before, lest what has ended long ago be told of.
      yield* ask(nameFollowed)
      yield* ask(subscribeTriggers, [texts(finals)])
      // Who was here has a whole ttl from now.
      yield* ask("UPDATE executor SET beat_at = clock() WHERE standing < 2")
      yield* ask("COMMIT")
      return counts
    })),
})

const following = `
  SELECT g.id, g.namespace, g.name, g.partition, g.definition::json -> 'schedule' AS schedule
  FROM trigger g
  WHERE NOT g.is_removed AND g.definition::json #>> '{schedule,_tag}' = 'After'`

const nameFollowed = `
  INSERT INTO task (namespace, name) SELECT DISTINCT f.namespace, f.schedule ->> 'task'
  FROM (${following}) f ON CONFLICT DO NOTHING`

/** As their definitions say; `$1` are the ends in their order. */
const subscribeTriggers = `
  SELECT subscribe(f.namespace, '${Outbox.triggers}', f.name, f.partition,
    (SELECT k.id FROM task k WHERE k.namespace = f.namespace AND k.name = f.schedule ->> 'task'),
    (SELECT bit_or(1 << array_position($1::text[], e) - 1)
      FROM json_array_elements_text(f.schedule -> 'on') e), f.id)
  FROM (${following}) f`

/** A broken constraint tells of the records, not of us. */
const notTaken = (error: StorageUnavailable): Effect.Effect<never, Refused | StorageUnavailable> =>
  Effect.fail(isRefusedForGood(error) ? contradictory((error.cause as Error).message) : error)

/** As claims have it: plans are made for tables of any size, whatever their statistics say. */
const pinned = [
  "enable_seqscan = off",
  "enable_bitmapscan = off",
  "enable_hashjoin = off",
  "enable_mergejoin = off",
  "jit = off",
  "idle_in_transaction_session_timeout = 0",
]

const transferred = ["run", "task", "calendar", "trigger", "executor", "state", "permit", "lock"]

const firstKept = `SELECT CASE
  ${
  transferred.map((table) =>
    `WHEN EXISTS (SELECT FROM ${table}${
      table === "task" ? " WHERE definition IS NOT NULL" : ""
    }) THEN '${table}'`
  ).join(" ")
} END AS kept`

/** What follows refers to what is before it. */
const sorts: Readonly<Record<Exclude<StateRecord["_tag"], "Marks">, Sort>> = {
  Task: tasks,
  Calendar: calendars,
  Executor: executors,
  Trigger: triggers,
  Slot: slots,
  TriggerVersion: versions,
  Asked: asked,
  Run: runs,
  State: states,
  Permit: permits,
  Lock: locks,
}

const exported = (ask: Ask): Stream.Stream<StateRecord, StorageUnavailable> =>
  Object.values(sorts).reduce(
    (before, sort) => Stream.concat(before, sort.exported(ask)),
    Stream.fromIterableEffect(
      Effect.map(
        ask<Omit<Of<"Marks">, "_tag">>(selectMarks),
        ([row]): ReadonlyArray<StateRecord> => [
          { _tag: "Marks", ...row! },
        ],
      ),
    ),
  )

/** Sequences are no part of a snapshot: what they say is higher, if anything. */
const selectMarks = `
  SELECT (SELECT last_value FROM run_id)::float8 AS run,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence('trigger', 'id')::regclass), 0)::float8
      AS trigger,
    coalesce(pg_sequence_last_value(
      pg_get_serial_sequence('executor', 'incarnation')::regclass), 0)::float8 AS incarnation`

const setMarks = (ask: Ask, { incarnation, run, trigger }: Of<"Marks">) =>
  Effect.asVoid(Effect.andThen(
    ask("SELECT setval('run_id', greatest($1::bigint, last_value))::text FROM run_id", [`${run}`]),
    ask(
      `SELECT setval(pg_get_serial_sequence('trigger', 'id'), greatest($1::bigint, 1), $1 > 0)::text,
         setval(pg_get_serial_sequence('executor', 'incarnation'), greatest($2::bigint, 1), $2 > 0)::text`,
      [`${trigger}`, `${incarnation}`],
    ),
  ))

/** Records of one sort that follow each other, so many at a time. */
const stretches = (
  records: ReadonlyArray<StateRecord>,
): ReadonlyArray<ReadonlyArray<StateRecord>> => {
  const all: Array<Array<StateRecord>> = []
  for (const record of records) {
    const last = all.at(-1)
    if (last?.[0]?._tag === record._tag && last.length < pageMax) last.push(record)
    else all.push([record])
  }
  return all
}

const imported = (
  ask: Ask,
  stretch: ReadonlyArray<StateRecord>,
): Effect.Effect<void, StorageUnavailable> => {
  const { _tag } = stretch[0]!
  return _tag === "Marks"
    ? Effect.forEach(stretch as ReadonlyArray<Of<"Marks">>, (marks) => setMarks(ask, marks), {
      discard: true,
    })
    : sorts[_tag].add(ask, stretch)
}
