/** Triggers and slots in PostgreSQL: see `TriggerStorage` for the laws. */
import { Effect, Equal, Option } from "effect"
import { type CalendarName, unknown as unknownCalendar } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Permanent from "../../core/domain/Permanent.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import * as Turn from "../../core/domain/Turn.ts"
import {
  type Asked,
  type Fired,
  type Firing,
  listedMax,
  type Stopped,
  TriggerChanged,
  type TriggerPage,
  type TriggerStorage,
  versionsMax,
} from "../../core/services/TriggerStorage.ts"
import { isRecorded, numbers, numbersOrNull, type Pg, texts, wasSetBack } from "./Pg.ts"
import * as Following from "./PgFollowing.ts"
import type { PgHints } from "./PgHints.ts"
import type { Look, PgLooks } from "./PgLooks.ts"
import type { PgNames } from "./PgNames.ts"
import * as Tailing from "./PgTailing.ts"
import {
  askedKinds,
  decodeCalendar,
  encodeTrigger,
  outcomeCodeOf,
  patience,
  slotRecord,
  type SlotRow,
  triggerColumns,
  type TriggerRow,
  triggerVersion,
  triggerView,
  used,
  type VersionRow,
} from "./rows.ts"
import { columns, delays, isPlain, isReady } from "./specs.ts"

interface FiredRow {
  readonly [column: string]: unknown
  readonly item: number
  readonly verdict: 0 | 1 | 2 | 3 | 4
  readonly run: RunId | null
  readonly millis: number | null
}

interface NextRow {
  readonly [column: string]: unknown
  readonly item: number
  readonly run: RunId
  readonly millis: number
}

/**
 * To fire a thousand takes a quarter of this, and for so long whoever would turn one of them is kept waiting
 * at most, and a connection for writes is in use.
 */
const aheadMillis = 250

/** Lists, and the cursor that `due` sorts by, are bounded by what a planner takes in one go. */
const fireMax = 1000

export const make = (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
  looks: PgLooks,
): TriggerStorage => {
  /** The last call found some, so the next one may as well. */
  let hasDue = false

  /**
   * The trigger of this name, removed or not, with its calendar and its last record; the calendar
   * that is `wanted`; the clock.
   */
  const look = Effect.fnUntraced(function* (
    namespace: number,
    name: Trigger.TriggerName,
    wanted: CalendarName | undefined,
  ) {
    const [row] = yield* pg.query<
      Partial<TriggerRow> & {
        readonly now: number
        readonly is_removed: boolean | null
        readonly recorded: number | null
        readonly since: number | null
        readonly own_calendar: string | null
        readonly wanted_calendar: string | null
        readonly wanted_revision: number | null
      }
    >(
      "writes",
      "trigger",
      `SELECT clock()::float8 AS now, ${triggerColumns}, is_removed, own_calendar, wanted_calendar,
         wanted_revision,
         (SELECT through::float8 FROM slot WHERE slot.trigger = trigger.id
           ORDER BY slot.slot DESC LIMIT 1) AS recorded,
         (SELECT since::float8 FROM trigger_version v WHERE v.trigger = trigger.id
           ORDER BY v.revision DESC LIMIT 1) AS since
       FROM (VALUES (1)) one LEFT JOIN trigger ON namespace = $1 AND name = $2
       LEFT JOIN (SELECT namespace AS of, name AS called, definition AS own_calendar FROM calendar) c
         ON c.of = $1 AND c.called = trigger.calendar
       LEFT JOIN (SELECT namespace AS of, name AS called, definition AS wanted_calendar,
         revision AS wanted_revision FROM calendar) w ON w.of = $1 AND w.called = $3::text`,
      [namespace, name, wanted ?? null],
    )
    const { is_removed, now, own_calendar, recorded, since, wanted_calendar, wanted_revision } =
      row!
    const known = row!.id === null ? undefined : row as TriggerRow
    const view = known && triggerView(known)
    return {
      now,
      view,
      isRemoved: is_removed === true,
      recorded: recorded ?? undefined,
      standing: view && is_removed !== true
        ? {
          schedule: view.definition.schedule,
          calendar: own_calendar === null ? undefined : decodeCalendar(own_calendar),
          cursor: view.cursor,
          isPaused: view.isPaused,
          since: since ?? undefined,
        }
        : undefined,
      calendar: wanted_calendar === null ? undefined : decodeCalendar(wanted_calendar),
      calendarText: wanted_calendar,
      calendarRevision: wanted_revision,
    }
  })

  /** Of the statements below: `closed` keeps the record of a turn, and `turned` the version. */
  const closing = (now: number, closed: Turn.Closed | undefined) => [
    closed === undefined ? null : `${closed.from}`,
    closed === undefined ? null : `${closed.through}`,
    closed?.reason ?? null,
    closed === undefined ? null : `${now - closed.through}`,
  ]

  const put: TriggerStorage["put"] = Effect.fnUntraced(function* (wanted, revision) {
    const namespace = yield* names.namespace(wanted.namespace)
    const named = Trigger.calendarOf(wanted.schedule)
    const found = yield* look(namespace, wanted.name, named)
    const { calendar, isRemoved, now, recorded, standing, view } = found
    const before = isRemoved ? undefined : view
    const present = before?.revision ?? 0
    if (revision !== undefined && revision !== present) {
      return yield* new TriggerChanged({ name: wanted.name, revision: present })
    }
    if (named !== undefined && calendar === undefined) return yield* unknownCalendar(named)
    const definition = Trigger.anchored(wanted, before?.definition, now)
    if (before !== undefined && Equal.equals(before.definition, definition)) return before
    const { closed, cursor, since } = Turn.edited(
      standing,
      { schedule: definition.schedule, calendar },
      now,
      recorded,
    )
    const attaching = yield* Following.attaching(names, definition, before?.definition, 18)
    // The calendar is locked, and still the one the cursor was found by, or nothing is done.
    const rows = yield* pg.query<TriggerRow>("writes", "put", putTrigger(attaching.columns), [
      namespace,
      wanted.name,
      cursor === undefined ? null : `${cursor}`,
      Trigger.partitionOf(wanted.namespace, wanted.name),
      encodeTrigger(definition),
      view?.revision ?? 0,
      isRemoved,
      named ?? null,
      found.calendarRevision,
      view?.cursor === undefined ? null : `${view.cursor}`,
      definition.schedule._tag === "Permanent",
      `${since}`,
      found.calendarText,
      ...closing(now, closed),
      ...attaching.params,
    ])
    // Someone else has put it, or its calendar, meanwhile, or it has fired.
    if (rows[0] === undefined) return yield* put(wanted, revision)
    hints.give(["t"])
    return triggerView(rows[0])
  })

  const remove: TriggerStorage["remove"] = Effect.fnUntraced(function* (namespace, name) {
    const of = yield* names.namespace(namespace)
    const { now, standing, view } = yield* look(of, name, undefined)
    if (standing === undefined) return false
    const { closed, since } = Turn.removed(standing, now)
    const rows = yield* pg.query("writes", "remove", removeTrigger, [
      view!.id,
      view!.revision,
      standing.cursor === undefined ? null : `${standing.cursor}`,
      standing.isPaused,
      `${since}`,
      ...closing(now, closed),
    ])
    return rows[0] === undefined ? yield* remove(namespace, name) : true
  })

  const pause: TriggerStorage["pause"] = Effect.fnUntraced(function* (namespace, name, isPaused) {
    const of = yield* names.namespace(namespace)
    const { now, recorded, standing, view } = yield* look(of, name, undefined)
    if (standing === undefined) return Option.none()
    if (standing.isPaused === isPaused) return Option.some(view!)
    const { closed, cursor } = isPaused
      ? { closed: undefined, cursor: standing.cursor }
      : Turn.resumed(standing, now, recorded)
    const rows = yield* pg.query<TriggerRow>("writes", "pause", pauseTrigger, [
      view!.id,
      isPaused,
      cursor === undefined ? null : `${cursor}`,
      view!.revision,
      standing.cursor === undefined ? null : `${standing.cursor}`,
      ...closing(now, closed),
    ])
    if (rows[0] === undefined) return yield* pause(namespace, name, isPaused)
    hints.give(["t"])
    return Option.some(triggerView(rows[0]))
  })

  /** Those of the items that are plain and still what their triggers wait for; see `fire_ahead`. */
  const fireNext = Effect.fnUntraced(function* (items: ReadonlyArray<Firing>) {
    const answers = new Map<number, Fired>()
    const indexes = items.flatMap((item, index) => isNext(item) ? [index] : [])
    if (indexes.length === 0) return answers
    // Whoever else fires takes the rows in the same order.
    indexes.sort((a, b) => items[a]!.trigger - items[b]!.trigger)
    const of = indexes.map((index) => items[index]!)
    const { lanes, plain } = yield* columns(names, of.map(({ fire }) => fire!.spec))
    const rows = yield* pg.query<NextRow>("writes", "fire", fireAllNext, [
      numbers(of.map(({ trigger }) => trigger)),
      numbers(of.map(({ revision }) => revision)),
      numbersOrNull(of.map(({ fire }) => fire!.slot)),
      numbersOrNull(of.map(({ next }) => next)),
      ...plain,
      aheadMillis,
    ]).pipe(
      Effect.catchIf((error) => isRecorded(error) || wasSetBack(error), () => Effect.succeed([])),
    )
    const ready = new Set<number>()
    for (const { item, millis, run } of rows) {
      ready.add(lanes[item]!)
      answers.set(indexes[item]!, { _tag: "Fired", run, latenessMillis: millis })
    }
    hints.give([...ready].map((lane) => `l${lane}` as const))
    return answers
  })

  const fireAny = Effect.fnUntraced(function* (items: ReadonlyArray<Firing>) {
    const specs = items.map(({ fire }) => fire?.spec)
    const { deadlines, lanes, plain, special } = yield* columns(names, specs)
    const isInTime = specs.some((spec) => spec?.deadlineMillis !== undefined)
    const fire = isInTime ? fireAllInTime : fireAll
    const rows = yield* pg.query<FiredRow>("writes", "fire", fire, [
      numbers(items.map(({ trigger }) => trigger)),
      numbers(items.map(({ revision }) => revision)),
      numbersOrNull(items.map(({ passed }) => passed?.from)),
      numbersOrNull(items.map(({ passed }) => passed?.through)),
      numbersOrNull(items.map(({ passed }) => passed && outcomeCodeOf(passed.outcome))),
      numbersOrNull(items.map(({ fire }) => fire?.slot)),
      numbersOrNull(items.map(({ next }) => next)),
      numbers(items.map(({ fire }) => whileRunnings.indexOf(fire?.whileRunning ?? "allow"))),
      ...plain,
      ...special,
      ...(isInTime ? [deadlines] : []),
    ])
    hints.give(
      new Set(rows.flatMap(({ item, run }) => {
        const spec = specs[item]
        return run !== null && spec !== undefined && isReady(spec)
          ? [`l${lanes[item]!}` as const]
          : []
      })),
    )
    hints.giveDue(delays(specs))
    return new Map(rows.map((row) => [row.item, answer(row, items[row.item]!)]))
  })

  /** What is neither plain nor due yet waits here for its instant. */
  const fireOthers = Effect.fnUntraced(function* (items: ReadonlyArray<Firing>) {
    const answers = yield* fireAny(items)
    const early = [...answers].filter(([, answer]) => isAhead(answer))
    if (early.length === 0) return answers
    const remaining = early.map(([, answer]) => isAhead(answer) ? answer.remainingMillis : 0)
    yield* Effect.sleep(Math.max(...remaining))
    const later = yield* fireAny(early.map(([index]) => items[index]!))
    for (const [nth, [index]] of early.entries()) answers.set(index, later.get(nth)!)
    return answers
  })

  return {
    put,
    remove,
    pause,
    find: (namespace, name) =>
      Effect.map(
        pg.query<TriggerRow>(
          "reads",
          "find",
          `SELECT ${triggerColumns} FROM trigger WHERE NOT is_removed AND name = $2
             AND namespace = (SELECT id FROM namespace WHERE name = $1)`,
          [namespace, name],
        ),
        ([row]) => Option.map(Option.fromNullishOr(row), triggerView),
      ),
    list: (namespace: Namespace, { after = "", limit = listedMax }: TriggerPage = {}) =>
      Effect.map(
        pg.query<TriggerRow>(
          "reads",
          "list",
          `SELECT ${triggerColumns} FROM trigger WHERE NOT is_removed
             AND namespace = (SELECT id FROM namespace WHERE name = $1) AND name COLLATE "C" > $2
           ORDER BY name COLLATE "C" LIMIT $3`,
          [namespace, after, Math.max(0, Math.min(limit, listedMax))],
        ),
        (rows) => rows.map(triggerView),
      ),
    due: Effect.fnUntraced(function* (partitions, withinMillis, limit) {
      if (!hasDue) {
        const { due_now, first } = yield* looks<{ due_now: number; first: number | null }>(
          firstOf(partitions),
        )
        if (first === null || first >= due_now + withinMillis) return { now: due_now, triggers: [] }
      }
      const rows = yield* pg.query<TriggerRow & { readonly now: number }>(
        "writes",
        "due",
        selectDue,
        [
          numbers(partitions),
          withinMillis,
          limit,
        ],
      )
      const triggers = rows.filter(({ id }) => id !== null).map(triggerView)
      hasDue = triggers.length > 0
      return { now: rows[0]!.now, triggers }
    }),
    aheadMillis,
    fire: Effect.fnUntraced(function* (items) {
      const answers = new Map<number, Fired>()
      for (const part of parts(items)) {
        const fired = yield* fireNext(part.map((index) => items[index]!))
        for (const [nth, answer] of fired) answers.set(part[nth]!, answer)
        const others = part.filter((index) => !answers.has(index))
        if (others.length === 0) continue
        const judged = yield* fireOthers(others.map((index) => items[index]!))
        for (const [nth, index] of others.entries()) answers.set(index, judged.get(nth)!)
      }
      return items.map((_, index) => answers.get(index)!)
    }),
    follow: Following.follow(pg, names, hints),
    tail: Tailing.tail(pg, names, hints),
    tails: Tailing.tails(pg, looks),
    records: Effect.fnUntraced(function* (trigger, limit) {
      const followed = yield* Following.records(pg, trigger, limit)
      const rows = yield* pg.query<SlotRow>("reads", "records", selectRecords, [trigger, limit])
      const tailed = yield* Tailing.records(pg, trigger, limit)
      return [...followed, ...tailed, ...rows.map(slotRecord)].sort((a, b) => b.slot - a.slot)
        .slice(0, limit)
    }),
    recordOf: Effect.fnUntraced(function* (run) {
      const followed = yield* Following.recordOf(pg, run)
      if (followed !== undefined) return Option.some(followed)
      const [row] = yield* pg.query<SlotRow>("reads", "records", selectRecord, [`${run}`])
      if (row !== undefined) return Option.some(slotRecord(row))
      return Option.fromNullishOr(yield* Tailing.recordOf(pg, run))
    }),
    ask: Effect.fnUntraced(function* (items, isDry) {
      const specs = items.map(({ spec }) => spec)
      const { deadlines, lanes, plain, special } = yield* columns(names, specs)
      const isInTime = specs.some(({ deadlineMillis }) => deadlineMillis !== undefined)
      const ask = isInTime ? askAllInTime : askAll
      const rows = yield* pg.query<AskedRow>("writes", "ask", ask, [
        items[0]?.trigger ?? 0,
        numbers(items.map(({ revision }) => revision)),
        numbers(items.map(({ kind }) => askedKinds.indexOf(kind))),
        texts(items.map(({ request }) => request)),
        texts(items.map(({ by }) => by)),
        numbersOrNull(items.map(({ slot }) => slot)),
        ...plain,
        ...special,
        isDry,
        ...(isInTime ? [deadlines] : []),
      ])
      hints.give(
        new Set(
          rows.filter(({ item, run, verdict }) =>
            verdict === 0 && run !== null && isReady(specs[item]!)
          )
            .map(({ item }) => `l${lanes[item]!}` as const),
        ),
      )
      if (!isDry) hints.giveDue(delays(specs))
      const answers = new Map(rows.map((row) => [row.item, asked(row)]))
      return items.map((_, index) => answers.get(index)!)
    }),
    asked: (trigger, request, limit) =>
      Effect.map(
        pg.query<{ readonly run: RunId }>(
          "reads",
          "asked",
          `SELECT run_id::float8 AS run FROM asked
           WHERE trigger = $1 AND kind = ${askedKinds.indexOf("backfill")} AND request = $2
           ORDER BY slot LIMIT $3`,
          [trigger, request, limit],
        ),
        (rows) => rows.map(({ run }) => run),
      ),
    versions: (trigger, limit) =>
      Effect.map(
        pg.query<VersionRow>(
          "reads",
          "versions",
          `SELECT revision, since::float8 AS since, definition, NULL AS calendar
           FROM trigger_version WHERE trigger = $1 ORDER BY revision DESC LIMIT $2`,
          [trigger, limit],
        ),
        (rows) => rows.map(triggerVersion),
      ),
    stopped: Effect.fnUntraced(function* (partitions, limit, after) {
      if (after === undefined) {
        const { has_permanent, stopped_now } = yield* looks<
          { has_permanent: boolean; stopped_now: number }
        >(anyPermanent(partitions))
        if (!has_permanent) return { now: stopped_now, triggers: [] }
      }
      const rows = yield* pg.query<
        TriggerRow & {
          readonly now: number
          readonly slots: ReadonlyArray<number>
          readonly lived: ReadonlyArray<number>
          readonly ended_at: number | null
        }
      >("writes", "stopped", selectStopped, [
        numbers(partitions),
        limit,
        after ?? 0,
      ])
      return {
        now: rows[0]!.now,
        triggers: rows.filter(({ id }) => id !== null).map((row): Stopped => ({
          view: triggerView(row),
          lives: row.slots.map((slot, at) => ({ slot, livedMillis: row.lived[at]! })),
          endedAt: row.ended_at ?? row.slots[0] ?? 0,
        })),
      }
    }),
  }
}

const whileRunnings: ReadonlyArray<Trigger.WhileRunning> = ["allow", "skip", "fail"]

interface AskedRow {
  readonly [column: string]: unknown
  readonly item: number
  readonly verdict: 0 | 3 | 4 | 5
  readonly run: RunId | null
}

const asked = ({ run, verdict }: AskedRow): Asked => {
  switch (verdict) {
    case 0:
      return run === null ? { _tag: "Dry" } : { _tag: "Fired", run }
    case 3:
      return { _tag: "Already", run: run ?? undefined }
    case 4:
      return { _tag: "Stale" }
    case 5:
      return { _tag: "Pending" }
  }
}

const answer = ({ millis, run, verdict }: FiredRow, item: Firing): Fired => {
  switch (verdict) {
    case 0:
      if (item.fire === undefined) return { _tag: "Recorded" }
      return run === null ? { _tag: "Already" } : { _tag: "Fired", run, latenessMillis: millis! }
    case 1:
      return { _tag: "Recorded" }
    case 2:
      return { _tag: "NotDue", remainingMillis: millis! }
    case 3:
      return { _tag: "Already" }
    case 4:
      return { _tag: "Stale" }
  }
}

const isAhead = (answer: Fired): answer is Extract<Fired, { readonly _tag: "NotDue" }> =>
  answer._tag === "NotDue" && answer.remainingMillis <= aheadMillis

/** One slot, with which nothing else is recorded, and a run that is ready at once. */
const isNext = ({ fire, passed }: Firing): boolean =>
  passed === undefined && fire !== undefined && isPlain(fire.spec) &&
  (fire.whileRunning ?? "allow") === "allow"

/** The indexes of the items, in parts that name no trigger twice and are not too large. */
const parts = (items: ReadonlyArray<Firing>): ReadonlyArray<ReadonlyArray<number>> => {
  const made: Array<Array<number>> = []
  const next = new Map<Trigger.TriggerId, number>()
  for (const [index, { trigger }] of items.entries()) {
    let part = next.get(trigger) ?? 0
    while ((made[part] ??= []).length === fireMax) part++
    made[part]!.push(index)
    next.set(trigger, part + 1)
  }
  return made
}

/** A row with the clock, also when nothing is due. */
const selectDue = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  due AS (
    SELECT d.* FROM unnest($1::smallint[]) AS p(partition) CROSS JOIN LATERAL (
      SELECT * FROM trigger t WHERE t.partition = p.partition AND NOT is_paused AND NOT is_removed
        AND NOT is_permanent AND cursor < (SELECT ms FROM now) + $2 ORDER BY cursor LIMIT $3) d
    ORDER BY d.cursor, d.id LIMIT $3)
  SELECT ms::float8 AS now, id, definition, revision, is_paused, cursor::float8 AS cursor
  FROM now LEFT JOIN due ON true ORDER BY due.cursor, id`

/** The cursor of the first that is due next, read from the index for each partition. */
const firstOf = (partitions: ReadonlyArray<number>): Look => ({
  name: "due",
  columns: (first) => `
    (SELECT ms FROM now)::float8 AS due_now,
    (SELECT min(d.cursor) FROM unnest($${first}::smallint[]) AS p(partition) CROSS JOIN LATERAL (
      SELECT cursor FROM trigger t WHERE t.partition = p.partition AND NOT is_paused
        AND NOT is_removed AND NOT is_permanent AND cursor IS NOT NULL
      ORDER BY cursor LIMIT 1) d)::float8 AS first`,
  params: () => [numbers(partitions)],
})

const anyPermanent = (partitions: ReadonlyArray<number>): Look => ({
  name: "stopped",
  columns: (first) => `
    (SELECT ms FROM now)::float8 AS stopped_now,
    EXISTS (SELECT FROM trigger t WHERE t.is_permanent AND NOT t.is_paused AND NOT t.is_removed
      AND t.partition = ANY ($${first}::smallint[])) AS has_permanent`,
  params: () => [numbers(partitions)],
})

/**
 * The last step of what turns a trigger: the record of what was due, from $n on, see `closing`, by
 * the version that it was due by.
 */
const closedOf = (changed: string, first: number, revision: string) =>
  `closed AS (
    INSERT INTO slot (trigger, slot, through, outcome, reason, lateness, revision)
    SELECT id, $${first}::bigint, $${first + 1}::bigint, ${outcomeCodeOf("skipped")},
      $${first + 2}::text, $${first + 3}::bigint, ${revision}::int
    FROM ${changed} WHERE $${first}::bigint IS NOT NULL)`

/** `columns` are returned besides: see `Following.attaching`. */
const putTrigger = (columns: string) => `
  WITH named AS MATERIALIZED (
    SELECT FROM calendar WHERE namespace = $1 AND name = $8::text AND revision = $9::int FOR SHARE),
  changed AS (
    INSERT INTO trigger (namespace, name, cursor, revision, partition, definition, calendar,
      is_permanent)
    SELECT $1::int, $2::text, $3::bigint, 1, $4::smallint, $5::text, $8::text, $11::boolean
    WHERE $8::text IS NULL OR EXISTS (SELECT FROM named)
    ON CONFLICT ON CONSTRAINT one_id_per_trigger DO UPDATE SET cursor = excluded.cursor,
      revision = trigger.revision + 1, definition = excluded.definition, is_removed = false,
      is_paused = trigger.is_paused AND NOT trigger.is_removed, calendar = excluded.calendar,
      is_permanent = excluded.is_permanent
    WHERE trigger.revision = $6 AND trigger.is_removed = $7
      AND trigger.cursor IS NOT DISTINCT FROM $10::bigint
    RETURNING *),
  ${closedOf("changed", 14, "$6")},
  turned AS (
    INSERT INTO trigger_version (trigger, revision, since, definition, calendar)
    SELECT id, revision, $12::bigint, definition, $13::text FROM changed),
  forgotten AS (
    DELETE FROM trigger_version v USING changed
    WHERE v.trigger = changed.id AND v.revision <= changed.revision - ${versionsMax})
  SELECT ${triggerColumns}${columns} FROM changed`

const removeTrigger = `
  WITH changed AS (
    UPDATE trigger SET is_removed = true, cursor = NULL, revision = revision + 1
    WHERE id = $1 AND revision = $2 AND cursor IS NOT DISTINCT FROM $3::bigint
      AND is_paused = $4 AND NOT is_removed
    RETURNING *),
  ${closedOf("changed", 6, "$2")},
  turned AS (
    INSERT INTO trigger_version (trigger, revision, since)
    SELECT id, revision, $5::bigint FROM changed)
  SELECT id, ${Following.detaching} FROM changed`

const pauseTrigger = `
  WITH changed AS (
    UPDATE trigger SET is_paused = $2, cursor = $3::bigint
    WHERE id = $1 AND revision = $4 AND is_paused <> $2 AND NOT is_removed
      AND cursor IS NOT DISTINCT FROM $5::bigint
    RETURNING *),
  ${closedOf("changed", 6, "$4")}
  SELECT ${triggerColumns} FROM changed`

const selectRecords = `
  SELECT * FROM (
    (SELECT slot::float8 AS slot, through::float8 AS through, outcome::int AS outcome,
      run_id::float8 AS run, reason, running::float8 AS running, lateness::float8 AS lateness,
      revision, NULL::int AS kind, NULL::text AS request, NULL::text AS asked_by
    FROM slot WHERE trigger = $1 AND reason IS DISTINCT FROM '${used}'
    ORDER BY slot.slot DESC LIMIT $2)
    UNION ALL
    (SELECT slot::float8, slot::float8, 0, run_id::float8, NULL, NULL, (at - slot)::float8, revision,
      kind::int, request, asked_by
    FROM asked WHERE trigger = $1 ORDER BY asked.slot DESC LIMIT $2)) found
  ORDER BY slot DESC LIMIT $2`

/** What was asked for now has the instant at which its run was made. */
const selectRecord = `
  SELECT s.slot::float8 AS slot, s.through::float8 AS through, s.outcome::int AS outcome,
    s.run_id::float8 AS run, s.reason, s.running::float8 AS running, s.lateness::float8 AS lateness,
    s.revision, NULL::int AS kind, NULL::text AS request, NULL::text AS asked_by
  FROM run r JOIN slot s ON s.trigger = r.trigger AND s.slot = r.slot AND s.run_id = r.id
  WHERE r.id = $1::bigint AND s.outcome = 0
  UNION ALL
  SELECT a.slot::float8, a.slot::float8, 0, a.run_id::float8, NULL, NULL, (a.at - a.slot)::float8,
    a.revision, a.kind::int, a.request, a.asked_by
  FROM run r JOIN asked a ON a.trigger = r.trigger
    AND a.slot = coalesce(r.slot, r.created_at) AND a.run_id = r.id
  WHERE r.id = $1::bigint`

/** A row with the clock, also when none has stopped. */
const selectStopped = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  stopped AS (
    SELECT t.*, latest.slots, latest.lived, latest.ended_at
    FROM trigger t
    CROSS JOIN LATERAL (
      SELECT coalesce(array_agg(s.slot::float8 ORDER BY s.slot DESC), '{}') AS slots,
        bool_or(is_under_way(s.run_id)) AS is_under_way,
        coalesce(array_agg(coalesce(o.finished_at - o.claimed_at, 0)::float8
          ORDER BY s.slot DESC), '{}') AS lived,
        (array_agg(o.finished_at::float8 ORDER BY s.slot DESC))[1] AS ended_at
      FROM (SELECT slot, run_id FROM slot WHERE trigger = t.id AND run_id IS NOT NULL
        ORDER BY slot.slot DESC LIMIT ${Permanent.remembered}) s
      LEFT JOIN outcome o ON o.run_id = s.run_id) latest
    WHERE t.is_permanent AND NOT t.is_paused AND NOT t.is_removed
      AND t.partition = ANY ($1::smallint[]) AND t.id > $3::int
      AND latest.is_under_way IS NOT TRUE
    ORDER BY t.id LIMIT $2)
  SELECT ms::float8 AS now, id, definition, revision, is_paused, cursor::float8 AS cursor, slots,
    lived, ended_at
  FROM now LEFT JOIN stopped ON true ORDER BY id`

const askText = (name: string, more = "") => `
  SELECT item, verdict, run::float8 AS run FROM ${name}(
    $1::int, $2::int[], $3::smallint[], $4::text[], $5::text[], $6::bigint[], $7::int[], $8::int[],
    $9::smallint[], $10::text[], $11::boolean[], $12::smallint[], $13::bigint[], $14::text[],
    $15::int[], $16::boolean[], $17::boolean, '${patience}'::bigint[]${more})`

const askAll = askText("ask")
const askAllInTime = askText("ask_in_time", ", $18::bigint[]")

const fireAllNext = `
  SELECT item, run::float8 AS run, millis::float8 AS millis FROM fire_ahead(
    $1::int[], $2::int[], $3::bigint[], $4::bigint[], $5::int[], $6::int[], $7::smallint[],
    $8::text[], $9::boolean[], $10::smallint[], '${patience}'::bigint[], $11::bigint)`

const fireText = (name: string, more = "") => `
  SELECT item, verdict, run::float8 AS run, millis::float8 AS millis FROM ${name}(
    $1::int[], $2::int[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::bigint[],
    $8::smallint[], $9::int[], $10::int[], $11::smallint[], $12::text[], $13::boolean[],
    $14::smallint[], $15::bigint[], $16::text[], $17::int[], $18::boolean[],
    '${patience}'::bigint[]${more})`

const fireAll = fireText("fire_slots")
const fireAllInTime = fireText("fire_in_time", ", $19::bigint[]")
