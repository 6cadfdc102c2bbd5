/**
 * What leaves PostgreSQL by its age: see `HistoryStorage` for the laws.
 *
 * No index tells what is old, since each run would pay for it. A pass walks the runs of each task
 * instead, from the earliest until they are too young, a bounded number per statement, and each
 * process remembers where it is. Of triggers there may be many more than of tasks, and most of them
 * asleep; so it remembers as well when the first of their records may leave (`Leaving`). With 100,000
 * triggers a pass takes two hundred statements, each minute it was most of what an idle server did.
 */
import { Effect } from "effect"
import * as Leaving from "../../core/domain/Leaving.ts"
import * as Retention from "../../core/domain/Retention.ts"
import type { HistoryStorage } from "../../core/services/HistoryStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Pg, Row } from "./Pg.ts"
import * as Following from "./PgFollowing.ts"
import { outcomeCodeOf, used } from "./rows.ts"

/** One call makes so many statements at most for each sort of thing. */
const statementsMax = 50
/** One statement looks at so many rows. */
const window = 1000

/** What one statement did, and where the next one begins; absent at the end of a pass. */
interface Done<Place> {
  readonly count: number
  readonly next: Place | undefined
}

export const make = (pg: Pg): HistoryStorage => {
  /** Goes on where it ended the last time, statement by statement. */
  const pass = <Place>(
    step: (from: Place | undefined, limit: number) => Effect.Effect<
      Done<Place>,
      StorageUnavailable
    >,
  ) => {
    let place: Place | undefined
    return Effect.fnUntraced(function* (limit: number) {
      let count = 0
      for (let statements = 0; statements < statementsMax && count < limit; statements++) {
        const done = yield* step(place, limit - count)
        place = done.next
        count += done.count
        if (place === undefined) break
      }
      return { count, hasMore: place !== undefined }
    })
  }

  const query = <R extends Row>(text: string, params: ReadonlyArray<unknown>) =>
    Effect.map(pg.query<R>("writes", "retire", text, params), ([row]) => row)

  const retireRuns = pass<{ readonly task: number; readonly run: number }>(
    Effect.fnUntraced(function* (from = { task: 0, run: 0 }, limit) {
      const task = yield* query<Holder>(nextTask, [from.task, `${from.run}`, ...ages])
      if (task!.id === null) {
        return {
          count: 0,
          next: task!.last === null ? undefined : { task: task!.last + 1, run: 0 },
        }
      }
      const after = task!.id === from.task ? from.run : 0
      const row = yield* query<{ count: number; last: number | null }>(retireRunsOfTask, [
        task!.id,
        `${after}`,
        `${ageOf(task!.retention)}`,
        limit,
        ...ages,
      ])
      const { count, last } = row!
      const next = last === null ? { task: task!.id + 1, run: 0 } : { task: task!.id, run: last }
      return { count, next }
    }),
  )

  const retireKeys = pass<number>(Effect.fnUntraced(function* (from = 0, limit) {
    const row = yield* query<{ count: number; last: number | null }>(retireKeysAfter, [
      `${from}`,
      `${Retention.keyMillis}`,
      limit,
    ])
    return { count: row!.count, next: row!.last ?? undefined }
  }))

  const retireRecords = (nextHolder: string, retireOf: string) => {
    let rest: Leaving.Rest | undefined
    let seen: Leaving.Pass | undefined
    return pass<number>(Effect.fnUntraced(function* (from, limit) {
      if (from === undefined || seen === undefined) {
        const beginning = (yield* query<Beginning>(selectBeginning, []))!
        if (Leaving.isResting(rest, beginning)) return { count: 0, next: undefined }
        seen = Leaving.begin(beginning)
      }
      const trigger = yield* query<TriggerHolder>(nextHolder, [from ?? 0, ...ages])
      const { id, last, retention, soonest } = trigger!
      seen = { ...seen, soonest: Math.min(seen.soonest, soonest ?? Infinity) }
      if (id === null) {
        if (last === null) rest = Leaving.restAfter(seen)
        return { count: 0, next: last === null ? undefined : last + 1 }
      }
      const row = yield* query<{ count: number }>(retireOf, [id, `${ageOf(retention)}`, limit])
      const { count } = row!
      seen = { ...seen, taken: seen.taken + count }
      // The trigger may have more.
      return { count, next: count === Math.min(limit, window) ? id : id + 1 }
    }))
  }
  const retireSlots = retireRecords(
    nextTrigger(`
      SELECT through + lateness FROM slot
      WHERE trigger = g.id AND reason IS DISTINCT FROM '${used}' ORDER BY slot.slot LIMIT 1`),
    retireSlotsOfTrigger,
  )
  const retireFollowed = retireRecords(
    nextTrigger(Following.earliestRecord("g.id")),
    Following.retireRecords(window),
  )

  const retireAsked = Effect.fnUntraced(function* (limit: number) {
    const row = yield* query<{ count: number }>(retireAskedOfAge, [limit, ...ages])
    return row!.count
  })

  return {
    retire: Effect.fnUntraced(function* (limit) {
      const runs = yield* retireRuns(limit)
      const keys = yield* retireKeys(limit)
      const slots = yield* retireSlots(limit)
      const left = limit - slots.count
      const asked = yield* retireAsked(left)
      const followed = yield* retireFollowed(limit)
      return {
        runs: runs.count,
        keys: keys.count,
        slots: slots.count + asked + followed.count,
        hasMore: asked === left || [runs, keys, slots, followed].some(({ hasMore }) => hasMore),
      }
    }),
  }
}

const ageOf = (retention: Retention.Retention | null): number =>
  Retention.millis[retention ?? Retention.usual]

/** A task or trigger that may let go of something; without an id, none of those up to the last. */
interface Holder {
  readonly [column: string]: unknown
  readonly id: number | null
  readonly retention: Retention.Retention | null
  readonly last: number | null
}

interface Beginning extends Row, Leaving.Beginning {}

const selectBeginning = `
  SELECT clock()::float8 AS now,
    (SELECT coalesce(sum(revision), 0)::float8 FROM task) AS revisions`

interface TriggerHolder extends Holder {
  /** When the first of what it has seen may leave, or sooner. */
  readonly soonest: number | null
}

const retentionIn = "t.definition::json #>> '{policy,retention}'"
const retentionOf = `${retentionIn} AS retention`

/** The ages of the classes, as parameters; `ageIn` chooses among them from the first on. */
const ages = Retention.Retention.literals.map((retention) => `${Retention.millis[retention]}`)
const ageIn = (first: number, retention = "retention") =>
  `CASE coalesce(${retention}, '${Retention.usual}') ${
    Retention.Retention.literals.map((retention, at) =>
      `WHEN '${retention}' THEN $${first + at}::bigint`
    ).join(" ")
  } END`

const ageMin = Retention.leastMillis

/** `$1` from this task on, `$2` after this run of it. */
const nextTask = `
  WITH page AS MATERIALIZED (
    SELECT t.id, ${retentionOf} FROM task t WHERE t.id >= $1 ORDER BY t.id LIMIT ${window})
  SELECT old.id, old.retention, (SELECT max(id) FROM page) AS last
  FROM (VALUES (1)) one LEFT JOIN LATERAL (
    SELECT id, retention FROM page WHERE clock() - ${ageIn(3)} >= (
      SELECT created_at FROM run
      WHERE task = page.id AND -id < -(CASE page.id WHEN $1 THEN $2::bigint ELSE 0 END)
      ORDER BY -id DESC LIMIT 1)
    ORDER BY id LIMIT 1) old ON true`

/**
 * `$1` task, `$2` after this run, `$3` their age, `$4` limit. `last` is the run to go on after, if
 * there may be more that are old enough.
 *
 * A child is passed over, since it leaves with its parent. Of a family all outcomes are locked before
 * anything is deleted: one that somebody revives meanwhile is not there any more, and keeps all of it.
 * A run alone needs no lock before, since its outcome is deleted or is not; it is looked at beforehand
 * only where those that stay could use up the limit. Look-ups among all of history are scalar, as no
 * plan can make of them a join with it; and nothing is joined with another set of a thousand, which has
 * been seen to compare each with each. For tests that look at its plan.
 */
export const retireRunsOfTask = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  seen AS MATERIALIZED (
    SELECT id, created_at FROM run WHERE task = $1 AND -id < -($2::bigint)
    ORDER BY -id DESC LIMIT ${window}),
  old AS MATERIALIZED (
    SELECT id,
      1 + coalesce((SELECT count FROM child c WHERE c.parent = seen.id LIMIT 1), 0) AS size
    FROM seen, now WHERE created_at <= ms - $3::bigint
      AND ($4::int >= ${window}
        OR (SELECT o.finished_at FROM outcome o WHERE o.run_id = seen.id) <= ms - $3::bigint)
      AND (SELECT parent FROM child c WHERE c.run_id = seen.id) IS NULL),
  over AS MATERIALIZED (
    SELECT id, size
    FROM (SELECT id, size, sum(size) OVER (ORDER BY id) - size AS before FROM old) o
    WHERE before < $4::int),
  member AS MATERIALIZED (
    SELECT over.id AS head, over.id AS run_id FROM over WHERE over.size > 1
    UNION ALL SELECT over.id, c.run_id FROM over
      CROSS JOIN LATERAL (SELECT run_id FROM child WHERE parent = over.id OFFSET 0) c
      WHERE over.size > 1),
  held AS MATERIALIZED (
    SELECT run_id, finished_at FROM outcome
    WHERE run_id = ANY (ARRAY(SELECT run_id FROM member)) FOR UPDATE SKIP LOCKED),
  aged AS MATERIALIZED (
    SELECT member.head, member.run_id, held.finished_at, (SELECT ${retentionOf} FROM task t
      WHERE t.id = (SELECT r.task FROM run r WHERE r.id = member.run_id)) AS retention
    FROM member LEFT JOIN held ON held.run_id = member.run_id),
  of_families AS MATERIALIZED (
    SELECT run_id FROM (
      SELECT run_id, bool_and(coalesce(finished_at <= ms - ${ageIn(5)}, false))
        OVER (PARTITION BY head) AS may_leave
      FROM aged, now) judged WHERE may_leave),
  ended_together AS (
    DELETE FROM outcome WHERE run_id = ANY (ARRAY(SELECT run_id FROM of_families)) RETURNING run_id),
  ended_alone AS (
    DELETE FROM outcome WHERE run_id = ANY (ARRAY(SELECT id FROM over WHERE size = 1))
      AND finished_at <= (SELECT ms FROM now) - $3::bigint RETURNING run_id),
  gone AS MATERIALIZED (
    SELECT run_id FROM ended_alone UNION ALL SELECT run_id FROM ended_together),
  ${
  [
    "idempotency",
    "journal",
    "level_set",
    "deadline",
    "checkpoint",
    "conclusion",
    "progress",
    "log",
    "child",
    "placed",
  ].map((table) =>
    `of_${table} AS (DELETE FROM ${table} WHERE run_id = ANY (ARRAY(SELECT run_id FROM gone))),`
  ).join("\n  ")
}
  ${Following.missing},
  of_run AS (DELETE FROM run WHERE id = ANY (ARRAY(SELECT run_id FROM gone)))
  SELECT (SELECT count(*)::int FROM gone) AS count,
    CASE
      WHEN (SELECT sum(size) FROM over) >= $4::int THEN (SELECT max(id) FROM over)
      WHEN (SELECT count(*) FROM seen) = ${window}
        AND (SELECT max(created_at) FROM seen) <= (SELECT ms FROM now) - $3::bigint
        THEN (SELECT max(id) FROM seen)
    END::float8 AS last`

/** `$1` after this run, `$2` their age, `$3` limit. */
const retireKeysAfter = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  seen AS MATERIALIZED (
    SELECT k.run_id, r.created_at,
      EXISTS (SELECT FROM outcome o WHERE o.run_id = k.run_id) AS has_ended
    FROM (SELECT run_id FROM idempotency WHERE run_id > $1::bigint
      ORDER BY run_id LIMIT ${window}) k
    JOIN LATERAL (SELECT created_at FROM run WHERE id = k.run_id OFFSET 0) r ON true),
  over AS MATERIALIZED (
    SELECT run_id FROM seen, now WHERE has_ended AND created_at <= ms - $2::bigint
    ORDER BY run_id LIMIT $3),
  keys AS (
    DELETE FROM idempotency WHERE run_id = ANY (ARRAY(SELECT run_id FROM over)) RETURNING run_id)
  SELECT (SELECT count(*)::int FROM keys) AS count,
    CASE
      WHEN (SELECT count(*) FROM over) >= $3 THEN (SELECT max(run_id) FROM over)
      WHEN (SELECT count(*) FROM seen) = ${window}
        AND (SELECT max(created_at) FROM seen) <= (SELECT ms FROM now) - $2::bigint
        THEN (SELECT max(run_id) FROM seen)
    END::float8 AS last`

/** `$1` limit. */
const retireAskedOfAge = `
  WITH old AS MATERIALIZED (
    SELECT a.trigger, a.kind, a.key FROM asked a
    JOIN LATERAL (SELECT * FROM trigger WHERE id = a.trigger OFFSET 0) g ON true
    LEFT JOIN task t ON t.namespace = g.namespace AND t.name = g.definition::json ->> 'task'
    WHERE a.at <= (SELECT clock()) - ${ageMin}
      AND a.at <= (SELECT clock()) - ${ageIn(2, retentionIn)}
    ORDER BY a.at LIMIT $1),
  gone AS (
    DELETE FROM asked a USING old
    WHERE a.trigger = old.trigger AND a.kind = old.kind AND a.key = old.key RETURNING 1)
  SELECT count(*)::int AS count FROM gone`

/**
 * `$1` from this trigger on. `earliest` tells when the earliest of the records of `g` was written. Which
 * class they are of is only asked where it matters: that takes five times as long as the rest.
 */
const nextTrigger = (earliest: string) => `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  page AS MATERIALIZED (
    SELECT g.id, (${earliest}) AS earliest FROM trigger g
    WHERE g.id >= $1 ORDER BY g.id LIMIT ${window}),
  holder AS MATERIALIZED (
    SELECT page.id, of_task.retention,
      earliest + CASE WHEN earliest > ms - ${ageMin} THEN ${ageMin}
        ELSE ${ageIn(2)} END AS leaves_at
    FROM now CROSS JOIN page LEFT JOIN LATERAL (
      SELECT ${retentionOf} FROM trigger g
      JOIN task t ON t.namespace = g.namespace AND t.name = g.definition::json ->> 'task'
      WHERE g.id = page.id AND page.earliest <= ms - ${ageMin}) of_task ON true
    WHERE earliest IS NOT NULL)
  SELECT old.id, old.retention, (SELECT max(id) FROM page) AS last,
    (SELECT min(leaves_at) FROM holder)::float8 AS soonest
  FROM (VALUES (1)) one LEFT JOIN LATERAL (
    SELECT id, retention FROM holder WHERE leaves_at <= (SELECT ms FROM now)
    ORDER BY id LIMIT 1) old ON true`

/**
 * `$1` trigger, `$2` their age, `$3` limit. The first record becomes the stretch of all that have
 * left, so that no slot of it can fire again.
 */
const retireSlotsOfTrigger = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  seen AS MATERIALIZED (
    SELECT slot, through, through + lateness > ms - $2::bigint AS is_young,
      reason IS NOT DISTINCT FROM '${used}' AS is_used
    FROM now, (SELECT * FROM slot WHERE trigger = $1 ORDER BY slot.slot
      LIMIT least($3, ${window}) + 1) s),
  over AS MATERIALIZED (
    SELECT slot, through, is_used FROM seen
    WHERE NOT EXISTS (SELECT FROM seen y WHERE y.is_young AND y.slot <= seen.slot)
    ORDER BY slot
    LIMIT least($3, ${window}) + (SELECT count(*) FILTER (WHERE is_used) FROM seen)),
  gone AS (
    DELETE FROM slot WHERE trigger = $1 AND slot.slot = ANY (ARRAY(
      SELECT slot FROM over WHERE slot > (SELECT min(slot) FROM over))) RETURNING slot.slot),
  stretch AS (
    UPDATE slot SET through = greatest(through, (SELECT max(through) FROM over)),
      outcome = ${outcomeCodeOf("skipped")}, run_id = NULL, reason = '${used}', lateness = 0
    WHERE trigger = $1 AND slot.slot = (SELECT min(slot) FROM over)
      AND EXISTS (SELECT FROM over WHERE NOT is_used)
    RETURNING slot.slot)
  SELECT (SELECT count(*)::int FROM over WHERE NOT is_used) AS count`
