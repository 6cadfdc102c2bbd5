/** Triggers and slots in PostgreSQL: see `TriggerStorage` for the laws. */
import { Effect, Equal, Option } from "effect"
import { type CalendarName, unknown as unknownCalendar } from "../../core/domain/Calendar.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Fired, Firing, TriggerStorage } from "../../core/services/TriggerStorage.ts"
import { numbers, numbersOrNull, type Pg } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"
import type { PgNames } from "./PgNames.ts"
import {
  decodeCalendar,
  encodeTrigger,
  outcomeCodeOf,
  patience,
  slotRecord,
  type SlotRow,
  triggerColumns,
  type TriggerRow,
  triggerView,
  used,
} from "./rows.ts"
import { columns, isReady } from "./specs.ts"

interface FiredRow {
  readonly [column: string]: unknown
  readonly item: number
  readonly verdict: 0 | 1 | 2 | 3 | 4
  readonly run: RunId | null
  readonly millis: number | null
}

/** Lists, and the cursor that `due` sorts by, are bounded by what a planner takes in one go. */
const fireMax = 1000

export const make = (pg: Pg, names: PgNames, hints: PgHints): TriggerStorage => {
  /** The trigger of this name, removed or not, the calendar of `calendar` or its own, the clock. */
  const look = Effect.fnUntraced(function* (
    namespace: number,
    name: Trigger.TriggerName,
    calendar: CalendarName | undefined,
  ) {
    const [row] = yield* pg.query<
      Partial<TriggerRow> & {
        readonly now: number
        readonly is_removed: boolean | null
        readonly calendar_definition: string | null
        readonly calendar_revision: number | null
      }
    >(
      "writes",
      "trigger",
      `SELECT clock()::float8 AS now, ${triggerColumns}, is_removed, calendar_definition,
         calendar_revision
       FROM (VALUES (1)) one LEFT JOIN trigger ON namespace = $1 AND name = $2
       LEFT JOIN (SELECT namespace AS of, name AS called, definition AS calendar_definition,
         revision AS calendar_revision FROM calendar) c
         ON c.of = $1 AND c.called = coalesce($3::text, trigger.calendar)`,
      [namespace, name, calendar ?? null],
    )
    const { calendar_definition, calendar_revision, is_removed, now } = row!
    return {
      now,
      known: row!.id === null ? undefined : row as TriggerRow,
      isRemoved: is_removed === true,
      calendar: calendar_definition === null ? undefined : decodeCalendar(calendar_definition),
      calendarRevision: calendar_revision,
    }
  })

  const put: (
    definition: Trigger.TriggerDefinition,
  ) => Effect.Effect<ReturnType<typeof triggerView>, Refused | StorageUnavailable> = Effect
    .fnUntraced(
      function* (wanted) {
        const namespace = yield* names.namespace(wanted.namespace)
        const named = Trigger.calendarOf(wanted.schedule)
        const { calendar, calendarRevision, isRemoved, known, now } = yield* look(
          namespace,
          wanted.name,
          named,
        )
        if (named !== undefined && calendar === undefined) return yield* unknownCalendar(named)
        const before = known === undefined ? undefined : triggerView(known)
        const definition = Trigger.anchored(wanted, isRemoved ? undefined : before?.definition, now)
        if (before !== undefined && !isRemoved && Equal.equals(before.definition, definition)) {
          return before
        }
        const cursor = Trigger.slotAfter(definition.schedule, now, calendar)
        // The calendar is locked, and still the one the cursor was found by, or nothing is done.
        const rows = yield* pg.query<TriggerRow>(
          "writes",
          "put",
          `WITH named AS MATERIALIZED (
           SELECT FROM calendar WHERE namespace = $1 AND name = $8::text AND revision = $9::int
           FOR SHARE)
         INSERT INTO trigger (namespace, name, cursor, revision, partition, definition, calendar)
         SELECT $1::int, $2::text, $3::bigint, 1, $4::smallint, $5::text, $8::text
         WHERE $8::text IS NULL OR EXISTS (SELECT FROM named)
         ON CONFLICT ON CONSTRAINT one_id_per_trigger DO UPDATE SET cursor = excluded.cursor,
           revision = trigger.revision + 1, definition = excluded.definition, is_removed = false,
           is_paused = trigger.is_paused AND NOT trigger.is_removed, calendar = excluded.calendar
         WHERE trigger.revision = $6 AND trigger.is_removed = $7
         RETURNING ${triggerColumns}`,
          [
            namespace,
            wanted.name,
            cursor === undefined ? null : `${cursor}`,
            Trigger.partitionOf(wanted.namespace, wanted.name),
            encodeTrigger(definition),
            before?.revision ?? 0,
            isRemoved,
            named ?? null,
            calendarRevision,
          ],
        )
        // Someone else has put it, or its calendar, meanwhile.
        if (rows[0] === undefined) return yield* put(wanted)
        hints.give(["t"])
        return triggerView(rows[0])
      },
    )

  const pause: TriggerStorage["pause"] = Effect.fnUntraced(function* (namespace, name, isPaused) {
    const of = yield* names.namespace(namespace)
    const { calendar, isRemoved, known, now } = yield* look(of, name, undefined)
    if (known === undefined || isRemoved) return Option.none()
    if (known.is_paused === isPaused) return Option.some(triggerView(known))
    const { definition, revision } = triggerView(known)
    const cursor = Trigger.slotAfter(definition.schedule, now, calendar)
    const rows = yield* pg.query<TriggerRow>(
      "writes",
      "pause",
      `UPDATE trigger SET is_paused = $2, cursor = CASE WHEN $2 THEN cursor ELSE $3::bigint END
       WHERE id = $1 AND revision = $4 AND is_paused <> $2 AND NOT is_removed
       RETURNING ${triggerColumns}`,
      [known.id, isPaused, cursor === undefined ? null : `${cursor}`, revision],
    )
    if (rows[0] === undefined) return yield* pause(namespace, name, isPaused)
    hints.give(["t"])
    return Option.some(triggerView(rows[0]))
  })

  const fireOnce = Effect.fnUntraced(function* (items: ReadonlyArray<Firing>) {
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
    return new Map(rows.map((row) => [row.item, answer(row, items[row.item]!)]))
  })

  return {
    put,
    remove: Effect.fnUntraced(function* (namespace, name) {
      const of = yield* names.namespace(namespace)
      const rows = yield* pg.query(
        "writes",
        "remove",
        `UPDATE trigger SET is_removed = true, cursor = NULL
         WHERE namespace = $1 AND name = $2 AND NOT is_removed RETURNING id`,
        [of, name],
      )
      return rows.length > 0
    }),
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
    list: (namespace: Namespace) =>
      Effect.map(
        pg.query<TriggerRow>(
          "reads",
          "list",
          `SELECT ${triggerColumns} FROM trigger WHERE NOT is_removed
             AND namespace = (SELECT id FROM namespace WHERE name = $1) ORDER BY name COLLATE "C"`,
          [namespace],
        ),
        (rows) => rows.map(triggerView),
      ),
    due: Effect.fnUntraced(function* (partitions, withinMillis, limit) {
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
      return {
        now: rows[0]!.now,
        triggers: rows.filter(({ id }) => id !== null).map(triggerView),
      }
    }),
    fire: Effect.fnUntraced(function* (items) {
      const answers = new Map<number, Fired>()
      for (const part of parts(items)) {
        const fired = yield* fireOnce(part.map((index) => items[index]!))
        for (const [nth, index] of part.entries()) answers.set(index, fired.get(nth)!)
      }
      return items.map((_, index) => answers.get(index)!)
    }),
    records: (trigger, limit) =>
      Effect.map(
        pg.query<SlotRow>(
          "reads",
          "records",
          `SELECT slot::float8 AS slot, through::float8 AS through, outcome, run_id::float8 AS run,
             reason, lateness::float8 AS lateness
           FROM slot WHERE trigger = $1 AND reason IS DISTINCT FROM '${used}'
           ORDER BY slot.slot DESC LIMIT $2`,
          [trigger, limit],
        ),
        (rows) => rows.map(slotRecord),
      ),
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
        AND cursor < (SELECT ms FROM now) + $2 ORDER BY cursor LIMIT $3) d
    ORDER BY d.cursor, d.id LIMIT $3)
  SELECT ms::float8 AS now, id, definition, revision, is_paused, cursor::float8 AS cursor
  FROM now LEFT JOIN due ON true ORDER BY due.cursor, id`

const fireText = (name: string, more = "") => `
  SELECT item, verdict, run::float8 AS run, millis::float8 AS millis FROM ${name}(
    $1::int[], $2::int[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::bigint[],
    $8::int[], $9::int[], $10::smallint[], $11::text[], $12::boolean[], $13::smallint[],
    $14::bigint[], $15::text[], $16::int[], $17::boolean[], '${patience}'::bigint[]${more})`

const fireAll = fireText("fire")
const fireAllInTime = fireText("fire_in_time", ", $18::bigint[]")
