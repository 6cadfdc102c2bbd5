/**
 * Export from PostgreSQL, and import into it: see `TransferStorage` for the laws.
 *
 * An export is one transaction that reads, and sees what was committed when it began. An import is
 * one that holds off everybody else who would write, so that nothing comes in beside it. Rows go over
 * as JSON, a page at a time, and each table gets its own in one statement.
 */
import { Effect, Option, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import type { ExecutorName, Holder, Incarnation } from "../../core/domain/Executor.ts"
import type { Fence, LockKey } from "../../core/domain/Lease.ts"
import type { Level } from "../../core/domain/Lane.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import { finals } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Placed } from "../../core/domain/RunView.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import {
  type Counts,
  type Note,
  type Of,
  type Place,
  type StateRecord,
} from "../../core/domain/StateRecord.ts"
import * as Tailing from "../../core/domain/Tailing.ts"
import { TaskDefinition, type TaskName } from "../../core/domain/Task.ts"
import { contradictory, counted, notEmpty } from "../../core/domain/Transfer.ts"
import * as Outbox from "../../core/domain/Outbox.ts"
import * as Touching from "../../core/domain/Touching.ts"
import * as Trigger from "../../core/domain/Trigger.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { pageMax, type TransferStorage } from "../../core/services/TransferStorage.ts"
import { gateOf, placesOf } from "./PgAdmission.ts"
import { conclusionOf, type ConclusionRow } from "./PgConclusions.ts"
import { type Ask, isRefusedForGood, numbers, type Pg, type Row, texts } from "./Pg.ts"
import { tailColumns } from "./PgTailing.ts"
import {
  askedKinds,
  codeOf,
  decodeCalendar,
  decodeFailure,
  encodeCalendar,
  encodeFailure,
  encodeTrigger,
  grantsOnce,
  levelNow,
  outcomeCodeOf,
  outcomeOf,
  phases,
  rankOf,
  readyRow,
  standingCodeOf,
  standingOf,
  stateOf,
  triggerVersion,
  triggerView,
  used,
  type VersionRow,
} from "./rows.ts"

const TaskJson = Schema.fromJsonString(TaskDefinition)
const encodeTask = Schema.encodeSync(TaskJson)
const decodeTask = Schema.decodeSync(TaskJson)

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

// --- Export

const exported = (ask: Ask): Stream.Stream<StateRecord, StorageUnavailable> => {
  const paged = <R extends Row>(
    select: string,
    first: ReadonlyArray<string>,
    placeOf: (row: R) => ReadonlyArray<string>,
    recordsOf: (rows: ReadonlyArray<R>) => Effect.Effect<
      ReadonlyArray<StateRecord>,
      StorageUnavailable
    >,
  ) =>
    Stream.paginate(
      first,
      Effect.fnUntraced(function* (after: ReadonlyArray<string>) {
        const rows = yield* ask<R>(select, [...after, pageMax])
        const next = rows.length < pageMax ? Option.none() : Option.some(placeOf(rows.at(-1)!))
        return [yield* recordsOf(rows), next] as const
      }),
    )
  const each = <R extends Row>(recordOf: (row: R) => StateRecord) => (rows: ReadonlyArray<R>) =>
    Effect.sync(() => rows.map(recordOf))

  return Stream.fromIterableEffect(
    Effect.map(ask<Omit<Of<"Marks">, "_tag">>(selectMarks), ([row]) => [
      { _tag: "Marks" as const, ...row! },
    ]),
  ).pipe(
    Stream.concat(paged(selectTasks, ["0"], ({ id }: DefinedRow) => [`${id}`], each(taskOf))),
    Stream.concat(
      paged(
        selectCalendars,
        ["0", ""],
        ({ name, namespace }: CalendarRow) => [`${namespace}`, name],
        each(calendarOf),
      ),
    ),
    Stream.concat(
      paged(
        selectExecutors,
        ["0"],
        ({ incarnation }: ExecutorRow) => [`${incarnation}`],
        each(executorOf),
      ),
    ),
    Stream.concat(
      paged(
        selectTriggers,
        ["0"],
        ({ id }: TriggerRow & Tailing.Row) => [`${id}`],
        each(triggerOf),
      ),
    ),
    Stream.concat(
      paged(
        selectSlots,
        ["0", `${Number.MIN_SAFE_INTEGER}`],
        ({ slot, trigger }: SlotRow) => [`${trigger}`, `${slot}`],
        each(slotOf),
      ),
    ),
    Stream.concat(
      paged(
        selectVersions,
        ["0", "0"],
        ({ revision, trigger }: TransferredVersion) => [`${trigger}`, `${revision}`],
        each(versionOf),
      ),
    ),
    Stream.concat(
      paged(
        selectAsked,
        ["0", "0", ""],
        ({ key, kind, trigger }: AskedRow) => [`${trigger}`, `${kind}`, key],
        each(askedOf),
      ),
    ),
    Stream.concat(
      paged(
        selectRuns,
        ["0"],
        ({ id }: RunRow) => [`${id}`],
        Effect.fnUntraced(function* (rows) {
          const journal = Map.groupBy(
            yield* ask<NoteRow>(selectNotes, [numbers(rows.map(({ id }) => id))]),
            ({ run }) => run,
          )
          return rows.map((row) => runOf(row, journal.get(row.id) ?? []))
        }),
      ),
    ),
    Stream.concat(
      paged(
        selectStates,
        ["0", ""],
        (row: StateRow) => [`${row.of}`, row.key],
        each(stateRecordOf),
      ),
    ),
    Stream.concat(
      paged(
        selectPermits,
        ["0", "", ""],
        (row: PermitRow) => [`${row.of}`, row.kind, row.name],
        each(permitOf),
      ),
    ),
    Stream.concat(paged(selectLocks, [""], ({ key }: LockRow) => [key], each(lockOf))),
  )
}

/** Sequences are no part of a snapshot: what they say is higher, if anything. */
const selectMarks = `
  SELECT (SELECT last_value FROM run_id)::float8 AS run,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence('trigger', 'id')::regclass), 0)::float8
      AS trigger,
    coalesce(pg_sequence_last_value(
      pg_get_serial_sequence('executor', 'incarnation')::regclass), 0)::float8 AS incarnation`

interface DefinedRow extends Row {
  readonly id: number
  readonly definition: string
  readonly revision: number
}

const selectTasks = `
  SELECT id, definition, revision FROM task
  WHERE id > $1::int AND definition IS NOT NULL ORDER BY id LIMIT $2`

const taskOf = ({ definition, revision }: DefinedRow): Of<"Task"> => ({
  _tag: "Task",
  definition: decodeTask(definition),
  revision,
})

interface CalendarRow extends Row {
  readonly namespace: number
  readonly name: string
  readonly definition: string
  readonly revision: number
}

const selectCalendars = `
  SELECT namespace, name, definition, revision FROM calendar
  WHERE (namespace, name) > ($1::int, $2) ORDER BY namespace, name LIMIT $3`

const calendarOf = ({ definition, revision }: CalendarRow): Of<"Calendar"> => ({
  _tag: "Calendar",
  calendar: decodeCalendar(definition),
  revision,
})

interface ExecutorRow extends Row {
  readonly incarnation: Incarnation
  readonly namespace: Namespace
  readonly name: ExecutorName
  readonly standing: number
  readonly capacity: number
  readonly labels: string
  readonly resources: string
  readonly tasks: ReadonlyArray<TaskName>
  readonly ttl: number
  readonly joined_at: number
  readonly beat_at: number
}

const selectExecutors = `
  SELECT e.incarnation, n.name AS namespace, e.name, e.capacity, e.labels, e.resources, e.tasks,
    e.ttl, e.joined_at::float8 AS joined_at, e.beat_at::float8 AS beat_at,
    CASE WHEN standing < 2 AND beat_at + ttl <= clock() THEN 3 ELSE standing END::int AS standing
  FROM executor e JOIN namespace n ON n.id = e.namespace
  WHERE e.incarnation > $1::int ORDER BY e.incarnation LIMIT $2`

const executorOf = (row: ExecutorRow): Of<"Executor"> => ({
  _tag: "Executor",
  incarnation: row.incarnation,
  namespace: row.namespace,
  name: row.name,
  standing: standingOf(row.standing),
  capacity: row.capacity,
  labels: JSON.parse(row.labels) as Record<string, string>,
  resources: JSON.parse(row.resources) as Record<string, number>,
  tasks: row.tasks,
  ttlMillis: row.ttl,
  joinedAt: row.joined_at,
  beatAt: row.beat_at,
})

interface TriggerRow extends Row {
  readonly id: Trigger.TriggerId
  readonly definition: string
  readonly revision: number
  readonly is_paused: boolean
  readonly is_removed: boolean
  readonly cursor: number | null
  readonly source: string | null
}

const selectTriggers = `
  SELECT id, definition, revision, is_paused, is_removed,
    CASE WHEN NOT is_removed THEN cursor END::float8 AS cursor, source, ${tailColumns}
  FROM trigger LEFT JOIN tail ON tail.trigger = id WHERE id > $1::int ORDER BY id LIMIT $2`

const triggerOf = (row: TriggerRow & Tailing.Row): Of<"Trigger"> => ({
  _tag: "Trigger",
  ...triggerView(row),
  isRemoved: row.is_removed,
  ...(row.source !== null && { tail: { ...Tailing.ofRow(row), source: row.source } }),
})

interface SlotRow extends Row {
  readonly trigger: Trigger.TriggerId
  readonly slot: number
  readonly through: number
  readonly outcome: number
  readonly run: RunId | null
  readonly reason: string | null
  readonly running: RunId | null
  readonly lateness: number
  readonly revision: number | null
}

const selectSlots = `
  SELECT trigger, s.slot::float8 AS slot, through::float8 AS through, outcome::int AS outcome,
    run_id::float8 AS run, reason, lateness::float8 AS lateness,
    running::float8 AS running, revision
  FROM slot s WHERE (trigger, s.slot) > ($1::int, $2::bigint) ORDER BY trigger, s.slot LIMIT $3`

const slotOf = (row: SlotRow): Of<"Slot"> => ({
  _tag: "Slot",
  trigger: row.trigger,
  slot: row.slot,
  through: row.through,
  outcome: row.reason === used ? "used" : outcomeOf(row.outcome),
  ...(row.run !== null && { run: row.run }),
  ...(row.reason !== null && row.reason !== used && { reason: row.reason }),
  ...(row.running !== null && { running: row.running }),
  latenessMillis: row.lateness,
  ...(row.revision !== null && { revision: row.revision }),
})

interface TransferredVersion extends VersionRow {
  readonly trigger: Trigger.TriggerId
}

const selectVersions = `
  SELECT trigger, revision, since::float8 AS since, definition, calendar FROM trigger_version
  WHERE (trigger, revision) > ($1::int, $2::int) ORDER BY trigger, revision LIMIT $3`

const versionOf = (row: TransferredVersion): Of<"TriggerVersion"> => ({
  _tag: "TriggerVersion",
  trigger: row.trigger,
  ...triggerVersion(row),
  ...(row.calendar !== null && { calendar: decodeCalendar(row.calendar) }),
})

interface AskedRow extends Row {
  readonly trigger: Trigger.TriggerId
  readonly kind: number
  readonly key: string
  readonly request: string
  readonly asked_by: string | null
  readonly slot: number
  readonly at: number
  readonly run: RunId
  readonly revision: number
}

const selectAsked = `
  SELECT trigger, kind::int AS kind, key, request, asked_by, a.slot::float8 AS slot,
    at::float8 AS at, run_id::float8 AS run, revision
  FROM asked a WHERE (trigger, kind, key) > ($1::int, $2::smallint, $3)
  ORDER BY trigger, kind, key LIMIT $4`

const askedOf = (row: AskedRow): Of<"Asked"> => ({
  _tag: "Asked",
  trigger: row.trigger,
  kind: askedKinds[row.kind]!,
  request: row.request,
  ...(row.asked_by !== null && { by: row.asked_by }),
  slot: row.slot,
  at: row.at,
  run: row.run,
  revision: row.revision,
})

/** A row of a table as JSON: its columns, with numbers as they are. */
interface Standing {
  readonly attempt: number
  readonly crashes: number
  readonly fence: Fence
  readonly is_careful: boolean
}
interface Granted {
  readonly incarnation: Incarnation | null
  readonly claimed_at: number | null
}
interface LeaseRow extends Standing {
  readonly incarnation: Incarnation
  readonly claimed_at: number
  readonly loop: number
  readonly round: number
  readonly is_start_marked: boolean
  readonly is_cancelling: boolean
  readonly is_suspending: boolean
}
interface ParkedRow extends Standing, Granted {
  readonly kind: number
  readonly since: number
  readonly awaits_until: number | null
  readonly gate: string | null
}
interface OutcomeRow extends Omit<Standing, "is_careful">, Granted {
  readonly state: number
  readonly finished_at: number
  readonly is_reported: boolean
  readonly result: string | null
  readonly failure: string | null
}

interface RunRow extends Row {
  readonly id: RunId
  readonly namespace: Namespace
  readonly task: TaskName
  readonly lane: Of<"Run">["lane"]
  readonly level: Level
  readonly payload: string
  readonly created_at: number
  readonly due_at: number
  readonly is_at_most_once: boolean
  readonly crashes_max: number
  readonly gate: string | null
  readonly gate_places: number
  readonly is_gate_discarding: boolean
  readonly idempotency_key: string | null
  readonly digest_bytes: number | null
  readonly trigger: Trigger.TriggerName | null
  readonly slot: number | null
  readonly parent: RunId | null
  readonly nth: number
  readonly siblings: number
  readonly level_set: Level | null
  readonly changes: number | null
  readonly deadline_at: number | null
  readonly checkpoint: string | null
  readonly conclusion: string | null
  readonly bound_to: Incarnation | null
  readonly placement: string | null
  readonly placed_at: number | null
  readonly outcome: string | null
  readonly lease: string | null
  readonly scheduled: string | null
  readonly blocked: string | null
  readonly parked: string | null
  readonly ready: string | null
}

/** A lease is found by those who hold anything, and a ready run as `runViews` finds it. */
const selectRuns = `
  SELECT r.id::float8 AS id, n.name AS namespace, t.name AS task, l.name AS lane,
    r.level::int AS level, r.payload, r.created_at::float8 AS created_at,
    r.due_at::float8 AS due_at, r.is_at_most_once, r.crashes_max::int AS crashes_max, r.gate,
    r.gate_places, r.is_gate_discarding, r.idempotency_key, octet_length(i.digest) AS digest_bytes,
    g.name AS trigger, r.slot::float8 AS slot, k.parent::float8 AS parent, k.nth,
    k.count AS siblings, CASE WHEN y.level <> r.level THEN y.level::int END AS level_set, y.changes, d.expires_at::float8 AS deadline_at, c.value AS checkpoint,
    (SELECT row_to_json(z)::text FROM conclusion z WHERE z.run_id = r.id) AS conclusion,
    e.bound_to, e.placement, e.at::float8 AS placed_at,
    row_to_json(o)::text AS outcome, row_to_json(x)::text AS lease,
    row_to_json(s)::text AS scheduled, row_to_json(b)::text AS blocked,
    row_to_json(p)::text AS parked, row_to_json(q)::text AS ready
  FROM (SELECT * FROM run WHERE id > $1::bigint ORDER BY id LIMIT $2) r
  JOIN task t ON t.id = r.task
  JOIN namespace n ON n.id = t.namespace
  JOIN lane l ON l.id = r.lane
  LEFT JOIN idempotency i ON i.run_id = r.id
  LEFT JOIN trigger g ON g.id = r.trigger
  LEFT JOIN child k ON k.run_id = r.id
  LEFT JOIN level_set y ON y.run_id = r.id
  LEFT JOIN deadline d ON d.run_id = r.id
  LEFT JOIN checkpoint c ON c.run_id = r.id
  LEFT JOIN placed e ON e.run_id = r.id
  LEFT JOIN outcome o ON o.run_id = r.id
  LEFT JOIN LATERAL (
    SELECT * FROM lease
    WHERE o.run_id IS NULL AND incarnation = ANY ((SELECT holding())::int[]) AND run_id = r.id) x
    ON true
  LEFT JOIN scheduled s ON s.run_id = r.id
  LEFT JOIN blocked b ON b.run_id = r.id
  LEFT JOIN parked p ON p.run_id = r.id
  LEFT JOIN LATERAL (
${readyRow("*", "o.run_id IS NULL")}) q ON true
  ORDER BY r.id`

interface NoteRow extends Row {
  readonly run: RunId
  readonly at: number
  readonly claimed_at: number | null
  readonly kind: string
  readonly attempt: number
  readonly fence: Fence
  readonly detail: string | null
  readonly failure: string | null
  readonly incarnation: Holder["incarnation"] | null
  readonly executor: Holder["name"]
  readonly asked_by: string | null
}

const selectNotes = `
  SELECT j.run_id::float8 AS run, j.at::float8 AS at, j.claimed_at::float8 AS claimed_at, j.kind,
    j.attempt::int AS attempt, j.fence, j.detail, j.failure, j.asked_by,
    e.incarnation, e.name AS executor
  FROM journal j LEFT JOIN executor e ON e.incarnation = j.incarnation
  WHERE j.run_id = ANY ($1::bigint[]) ORDER BY j.run_id, j.id`

const runOf = (row: RunRow, journal: ReadonlyArray<NoteRow>): Of<"Run"> => ({
  _tag: "Run",
  id: row.id,
  namespace: row.namespace,
  task: row.task,
  lane: row.lane,
  level: row.level,
  payload: row.payload,
  createdAt: row.created_at,
  delayMillis: row.due_at - row.created_at,
  isAtMostOnce: row.is_at_most_once,
  crashesMax: row.crashes_max,
  ...(row.gate !== null && {
    gate: gateOf(row.gate as Blocking.GateKey, row.gate_places, row.is_gate_discarding),
  }),
  ...(row.idempotency_key !== null && { idempotencyKey: row.idempotency_key }),
  ...(row.digest_bytes !== null && { keyedBy: row.digest_bytes === 32 ? "text" : "json" }),
  ...(row.trigger !== null && { trigger: row.trigger }),
  ...(row.slot !== null && { slot: row.slot }),
  ...(row.parent !== null && {
    shard: { parent: row.parent, index: row.nth, count: row.siblings },
  }),
  ...(row.level_set !== null && { levelSet: row.level_set }),
  ...(row.changes !== null && { changes: row.changes }),
  ...(row.deadline_at !== null && { deadlineAt: row.deadline_at }),
  ...(row.checkpoint !== null && { checkpoint: row.checkpoint }),
  ...(row.conclusion !== null && {
    conclusion: conclusionOf(JSON.parse(row.conclusion) as ConclusionRow)!,
  }),
  ...(row.bound_to !== null && { boundTo: row.bound_to }),
  ...(row.placement !== null && {
    placed: { ...JSON.parse(row.placement) as Placed, at: row.placed_at! },
  }),
  place: placeOf(row, journal),
  journal: grantsOnce(journal).flatMap(notesOf),
})

/** A grant that an entry tells of is an entry of its own elsewhere. */
const notesOf = (row: NoteRow): ReadonlyArray<Note> => {
  const { at, attempt, claimed_at, detail, fence, kind } = row
  const failure = row.failure === null ? undefined : decodeFailure(row.failure)
  const said = detail ?? failure?.message
  const { asked_by: by, executor: name, incarnation } = row
  const executor = incarnation === null ? {} : { executor: { incarnation, name } }
  const isTold = claimed_at === null
  return [
    ...(isTold ? [] : [{ at: claimed_at, kind: "Claimed", attempt, fence, ...executor }]),
    {
      at,
      kind,
      attempt,
      fence,
      ...(said !== undefined && { detail: said }),
      ...(failure !== undefined && { failure }),
      ...(isTold && executor),
      ...(by !== null && { by }),
    },
  ]
}

/** By these the holder's report is known when it comes again, unless they say otherwise. */
const reports = ["Retried", "Released", "Postponed", "Yielded", "Awaited", "Revived"]

const settledOf = (outcome: OutcomeRow | undefined, journal: ReadonlyArray<NoteRow>): Fence =>
  Math.max(
    outcome?.is_reported === true ? outcome.fence : 0,
    ...journal.filter(({ detail, kind }) => detail === null && reports.includes(kind))
      .map(({ fence }) => fence),
  ) as Fence

const rowIn = <A>(text: string | null): A | undefined =>
  text === null ? undefined : JSON.parse(text) as A

const placeOf = (run: RunRow, journal: ReadonlyArray<NoteRow>): Place => {
  const outcome = rowIn<OutcomeRow>(run.outcome)
  const settled = settledOf(outcome, journal)
  const courseOf = ({ attempt, crashes, fence }: Omit<Standing, "is_careful">) => ({
    attempt,
    crashes,
    fence,
    settled,
  })
  const waitingOf = (row: Standing) => ({ ...courseOf(row), isCareful: row.is_careful })
  if (outcome !== undefined) {
    return {
      _tag: "Ended",
      ...courseOf(outcome),
      ...grantedOf(outcome),
      state: stateOf(outcome.state),
      finishedAt: outcome.finished_at,
      ...(outcome.result !== null && { result: outcome.result }),
      ...(outcome.failure !== null && { failure: decodeFailure(outcome.failure) }),
    }
  }
  const lease = rowIn<LeaseRow>(run.lease)
  if (lease !== undefined) {
    return {
      _tag: "Running",
      ...waitingOf(lease),
      incarnation: lease.incarnation,
      claimedAt: lease.claimed_at,
      loop: lease.loop,
      round: lease.round,
      isStartMarked: lease.is_start_marked,
      isCancelling: lease.is_cancelling,
      isSuspending: lease.is_suspending,
    }
  }
  const scheduled = rowIn<Standing & { due_at: number }>(run.scheduled)
  if (scheduled !== undefined) {
    return { _tag: "Scheduled", ...waitingOf(scheduled), dueAt: scheduled.due_at }
  }
  const blocked = rowIn<Standing & Blocking.Place & { level: Level }>(run.blocked)
  if (blocked !== undefined) {
    const { rank, turn } = blocked
    const isByAge = rank === Blocking.rankByAge(blocked)
    return { _tag: "Blocked", ...waitingOf(blocked), turn, ...(!isByAge && { rank }) }
  }
  const parked = rowIn<ParkedRow>(run.parked)
  if (parked === undefined) {
    const ready = rowIn<Standing & { rank: number }>(run.ready)!
    return { _tag: "Ready", ...waitingOf(ready), rank: ready.rank }
  }
  return parked.kind === 0
    ? {
      _tag: "Suspended",
      ...waitingOf(parked),
      hasPlace: parked.gate !== null,
      since: parked.since,
    }
    : {
      _tag: "Awaiting",
      ...waitingOf(parked),
      ...grantedOf(parked),
      isParent: parked.kind === 2,
      ...(parked.awaits_until !== null && { awaitsUntil: parked.awaits_until }),
    }
}

const grantedOf = ({ claimed_at, incarnation }: Granted) => ({
  ...(incarnation !== null && { incarnation }),
  ...(claimed_at !== null && { claimedAt: claimed_at }),
})

interface StateRow extends Row, Omit<Of<"State">, "_tag"> {
  readonly of: number
}

const selectStates = `
  SELECT s.task AS of, n.name AS namespace, t.name AS task, s.key, s.value
  FROM state s JOIN task t ON t.id = s.task JOIN namespace n ON n.id = t.namespace
  WHERE (s.task, s.key) > ($1::int, $2) ORDER BY s.task, s.key LIMIT $3`

const stateRecordOf = ({ key, namespace, task, value }: StateRow): Of<"State"> => ({
  _tag: "State",
  namespace,
  task,
  key,
  value,
})

interface PermitRow extends Row, Omit<Of<"Permit">, "_tag"> {
  readonly of: number
}

/** An empty cell is one that nothing was kept in yet. */
const selectPermits = `
  SELECT p.namespace AS of, n.name AS namespace, p.kind, p.name, p.cell
  FROM permit p JOIN namespace n ON n.id = p.namespace
  WHERE (p.namespace, p.kind, p.name) > ($1::int, $2, $3) AND p.cell <> ''
  ORDER BY p.namespace, p.kind, p.name LIMIT $4`

const permitOf = ({ cell, kind, name, namespace }: PermitRow): Of<"Permit"> => ({
  _tag: "Permit",
  namespace,
  kind,
  name,
  cell,
})

interface LockRow extends Row {
  readonly key: LockKey
  readonly holder: string
  readonly fence: Fence
  readonly ends_in: number
}

const selectLocks = `
  SELECT key, holder, fence::float8 AS fence,
    greatest(0, expires_at - clock())::float8 AS ends_in
  FROM lock WHERE key > $1 ORDER BY key LIMIT $2`

const lockOf = ({ ends_in, fence, holder, key }: LockRow): Of<"Lock"> => ({
  _tag: "Lock",
  key,
  holder,
  fence,
  endsInMillis: ends_in,
})

// --- Import

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
  const of = <Tag extends StateRecord["_tag"]>(_tag: Tag) => stretch as ReadonlyArray<Of<Tag>>
  switch (stretch[0]!._tag) {
    case "Marks":
      return Effect.forEach(of("Marks"), (marks) => setMarks(ask, marks), { discard: true })
    case "Task":
      return addTasks(ask, of("Task"))
    case "Calendar":
      return addCalendars(ask, of("Calendar"))
    case "Executor":
      return addExecutors(ask, of("Executor"))
    case "Trigger":
      return addTriggers(ask, of("Trigger"))
    case "Slot":
      return insert(ask, "slot", slotColumns, of("Slot").map(slotRow))
    case "TriggerVersion":
      return insert(
        ask,
        "trigger_version",
        {
          trigger: "int",
          revision: "int",
          since: "bigint",
          definition: "text",
          calendar: "text",
        },
        of("TriggerVersion").map(({ calendar, definition, revision, since, trigger }) => ({
          trigger,
          revision,
          since,
          definition: definition && encodeTrigger(definition),
          calendar: calendar && encodeCalendar(calendar),
        })),
      )
    case "Asked":
      return insert(
        ask,
        "asked",
        {
          trigger: "int",
          kind: "smallint",
          key: "text",
          slot: "bigint",
          run_id: "bigint",
          revision: "int",
          at: "bigint",
          request: "text",
          asked_by: "text",
        },
        of("Asked").map(({ at, by, kind, request, revision, run, slot, trigger }) => ({
          trigger,
          kind: askedKinds.indexOf(kind),
          key: kind === "manual" ? request : `${slot}`,
          slot,
          run_id: run,
          revision,
          at,
          request,
          asked_by: by,
        })),
      )
    case "Run":
      return addRuns(ask, of("Run"))
    case "State":
      return addStates(ask, of("State"))
    case "Permit":
      return addPermits(ask, of("Permit"))
    case "Lock":
      return insert(
        ask,
        "lock",
        { key: "text", holder: "text", fence: "bigint" },
        of("Lock").map(({ endsInMillis, fence, holder, key }) => ({
          key,
          holder,
          fence,
          ends_in: endsInMillis,
        })),
        { more: { ends_in: "bigint" }, also: { expires_at: "clock() + x.ends_in" } },
      )
  }
}

type Columns = Readonly<Record<string, string>>

/** Rows of a table, in order. `also`: columns by what they are made of, which may take `more`. */
const insert = (
  ask: Ask,
  table: string,
  columns: Columns,
  rows: ReadonlyArray<Readonly<Record<string, unknown>>>,
  options: {
    readonly more?: Columns
    readonly also?: Columns
    readonly from?: string
    readonly isNumbered?: boolean
  } = {},
): Effect.Effect<void, StorageUnavailable> => {
  if (rows.length === 0) return Effect.void
  const { also = {}, from = "", isNumbered = false, more = {} } = options
  const given = Object.entries({ ...columns, ...more }).map(([name, type]) => `"${name}" ${type}`)
  const names = [...Object.keys(columns), ...Object.keys(also)].map((name) => `"${name}"`)
  const values = [...Object.keys(columns).map((name) => `x."${name}"`), ...Object.values(also)]
  return Effect.asVoid(ask(
    `INSERT INTO ${table} (${names.join(", ")}) ${isNumbered ? "OVERRIDING SYSTEM VALUE" : ""}
     SELECT ${values.join(", ")} FROM json_to_recordset($1::json) AS x(${
      given.join(", ")
    }) ${from}`,
    [JSON.stringify(rows)],
  ))
}

/** Names are numbered before the rows that refer to them. */
const addNamespaces = (ask: Ask, names: ReadonlyArray<string>) =>
  ask("INSERT INTO namespace (name) SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING", [
    texts(names),
  ])

const ofNamespace = "JOIN namespace n ON n.name = x.namespace_name"

const setMarks = (ask: Ask, { incarnation, run, trigger }: Of<"Marks">) =>
  Effect.asVoid(Effect.andThen(
    ask("SELECT setval('run_id', greatest($1::bigint, last_value))::text FROM run_id", [`${run}`]),
    ask(
      `SELECT setval(pg_get_serial_sequence('trigger', 'id'), greatest($1::bigint, 1), $1 > 0)::text,
         setval(pg_get_serial_sequence('executor', 'incarnation'), greatest($2::bigint, 1), $2 > 0)::text`,
      [`${trigger}`, `${incarnation}`],
    ),
  ))

const addTasks = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Task">>) {
  yield* addNamespaces(ask, all.map(({ definition }) => definition.namespace))
  yield* insert(
    ask,
    "task",
    { name: "text", revision: "int", definition: "text" },
    all.map(({ definition, revision }) => ({
      namespace_name: definition.namespace,
      name: definition.name,
      revision,
      definition: encodeTask(definition),
    })),
    {
      more: { namespace_name: "text" },
      also: { namespace: "n.id" },
      from: `${ofNamespace} WHERE true ON CONFLICT ON CONSTRAINT one_id_per_task DO UPDATE
        SET revision = excluded.revision, definition = excluded.definition`,
    },
  )
})

const addCalendars = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Calendar">>) {
  yield* addNamespaces(ask, all.map(({ calendar }) => calendar.namespace))
  yield* insert(
    ask,
    "calendar",
    { name: "text", revision: "int", definition: "text" },
    all.map(({ calendar, revision }) => ({
      namespace_name: calendar.namespace,
      name: calendar.name,
      revision,
      definition: encodeCalendar(calendar),
    })),
    { more: { namespace_name: "text" }, also: { namespace: "n.id" }, from: ofNamespace },
  )
})

const addExecutors = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Executor">>) {
  yield* addNamespaces(ask, all.map(({ namespace }) => namespace))
  yield* insert(
    ask,
    "executor",
    {
      incarnation: "int",
      beat_at: "bigint",
      joined_at: "bigint",
      ttl: "int",
      capacity: "int",
      standing: "smallint",
      name: "text",
      labels: "text",
      resources: "text",
      tasks: "text[]",
    },
    all.map((record) => ({
      namespace_name: record.namespace,
      incarnation: record.incarnation,
      beat_at: record.beatAt,
      joined_at: record.joinedAt,
      ttl: record.ttlMillis,
      capacity: record.capacity,
      standing: standingCodeOf(record.standing),
      name: record.name,
      labels: JSON.stringify(record.labels),
      resources: JSON.stringify(record.resources),
      tasks: record.tasks,
    })),
    {
      more: { namespace_name: "text" },
      also: { namespace: "n.id" },
      from: ofNamespace,
      isNumbered: true,
    },
  )
})

const addTriggers = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Trigger">>) {
  yield* addNamespaces(ask, all.map(({ definition }) => definition.namespace))
  yield* insert(
    ask,
    "trigger",
    {
      id: "int",
      name: "text",
      cursor: "bigint",
      revision: "int",
      partition: "smallint",
      is_paused: "boolean",
      is_removed: "boolean",
      definition: "text",
      calendar: "text",
      is_permanent: "boolean",
    },
    all.map(({ cursor, definition, id, isPaused, isRemoved, revision }) => ({
      namespace_name: definition.namespace,
      id,
      name: definition.name,
      cursor,
      revision,
      partition: Trigger.partitionOf(definition.namespace, definition.name),
      is_paused: isPaused,
      is_removed: isRemoved,
      definition: encodeTrigger(definition),
      calendar: Trigger.calendarOf(definition.schedule),
      is_permanent: definition.schedule._tag === "Permanent",
    })),
    {
      more: { namespace_name: "text" },
      also: { namespace: "n.id" },
      from: ofNamespace,
      isNumbered: true,
    },
  )
  yield* insert(
    ask,
    "tail",
    {
      trigger: "int",
      source: "text",
      position: "text",
      fired: "bigint",
      passed: "bigint",
      skipped: "bigint",
      moved_at: "bigint",
      up_to: "bigint",
      failure: "text",
      failing_since: "bigint",
    },
    all.flatMap(({ id, tail }) =>
      tail === undefined ? [] : [{ trigger: id, source: tail.source, ...Tailing.rowOf(tail) }]
    ),
  )
})

const addStates = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"State">>) {
  yield* addNamespaces(ask, all.map(({ namespace }) => namespace))
  // Nobody may have defined it, and its runs may have left.
  yield* ask(
    `INSERT INTO task (namespace, name)
     SELECT DISTINCT n.id, u.task FROM unnest($1::text[], $2::text[]) AS u(namespace, task)
     JOIN namespace n ON n.name = u.namespace ON CONFLICT DO NOTHING`,
    [texts(all.map(({ namespace }) => namespace)), texts(all.map(({ task }) => task))],
  )
  yield* insert(
    ask,
    "state",
    { key: "text", value: "text" },
    all.map(({ key, namespace, task, value }) => ({
      namespace_name: namespace,
      task_name: task,
      key,
      value,
    })),
    {
      more: { namespace_name: "text", task_name: "text" },
      also: { task: "t.id" },
      from: `${ofNamespace} JOIN task t ON t.namespace = n.id AND t.name = x.task_name`,
    },
  )
})

const addPermits = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Permit">>) {
  yield* addNamespaces(ask, all.map(({ namespace }) => namespace))
  yield* insert(
    ask,
    "permit",
    { kind: "text", name: "text", cell: "text" },
    all.map(({ cell, kind, name, namespace }) => ({ namespace_name: namespace, kind, name, cell })),
    {
      more: { namespace_name: "text" },
      also: { namespace: "n.id", revision: "1" },
      from: ofNamespace,
    },
  )
})

const slotColumns = {
  trigger: "int",
  slot: "bigint",
  through: "bigint",
  outcome: "smallint",
  run_id: "bigint",
  reason: "text",
  lateness: "bigint",
  revision: "int",
  running: "bigint",
}

const slotRow = (record: Of<"Slot">) => ({
  trigger: record.trigger,
  slot: record.slot,
  through: record.through,
  outcome: outcomeCodeOf(record.outcome === "used" ? "skipped" : record.outcome),
  run_id: record.run,
  reason: record.outcome === "used" ? used : record.reason,
  lateness: record.latenessMillis,
  revision: record.revision,
  running: record.running,
})

const addRuns = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Run">>) {
  yield* addNamespaces(ask, all.map(({ namespace }) => namespace))
  yield* ask(
    `INSERT INTO task (namespace, name) SELECT DISTINCT n.id, u.task
     FROM unnest($1::text[], $2::text[]) AS u(namespace, task) JOIN namespace n ON n.name = u.namespace
     ON CONFLICT DO NOTHING`,
    [texts(all.map(({ namespace }) => namespace)), texts(all.map(({ task }) => task))],
  )
  yield* ask(
    "INSERT INTO lane (name) SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING",
    [texts(all.map(({ lane }) => lane))],
  )
  yield* insert(ask, "run", runColumns, all.map(runRow), {
    more: {
      namespace_name: "text",
      task_name: "text",
      lane_name: "text",
      trigger_name: "text",
    },
    also: { task: "t.id", lane: "l.id", trigger: "g.id" },
    from: `${ofNamespace}
      JOIN task t ON t.namespace = n.id AND t.name = x.task_name
      JOIN lane l ON l.name = x.lane_name
      LEFT JOIN trigger g ON g.namespace = n.id AND g.name = x.trigger_name`,
  })
  yield* insert(
    ask,
    "idempotency",
    { key: "text", run_id: "bigint" },
    all.flatMap(({ id, idempotencyKey, keyedBy, namespace, payload, task }) =>
      keyedBy === undefined ? [] : [{
        namespace_name: namespace,
        key: idempotencyKey,
        run_id: id,
        digest: digestOf(keyedBy, task, payload),
      }]
    ),
    {
      more: { namespace_name: "text", digest: "text" },
      also: { namespace: "n.id", digest: "decode(x.digest, 'hex')" },
      from: ofNamespace,
    },
  )
  yield* insert(
    ask,
    "child",
    { parent: "bigint", run_id: "bigint", nth: "int", count: "int" },
    all.flatMap(({ id, shard }) =>
      shard === undefined
        ? []
        : [{ parent: shard.parent, run_id: id, nth: shard.index, count: shard.count }]
    ),
  )
  yield* insert(
    ask,
    "level_set",
    { run_id: "bigint", level: "smallint", changes: "int" },
    all.flatMap(({ changes, id, level, levelSet }) =>
      levelSet === undefined && changes === undefined
        ? []
        : [{ run_id: id, level: levelSet ?? level, changes: changes ?? 1 }]
    ),
  )
  yield* insert(
    ask,
    "deadline",
    { run_id: "bigint", expires_at: "bigint" },
    all.flatMap(({ deadlineAt, id }) =>
      deadlineAt === undefined ? [] : [{ run_id: id, expires_at: deadlineAt }]
    ),
  )
  yield* insert(
    ask,
    "checkpoint",
    { run_id: "bigint", value: "text" },
    all.flatMap(({ checkpoint, id }) =>
      checkpoint === undefined ? [] : [{ run_id: id, value: checkpoint }]
    ),
  )
  yield* insert(
    ask,
    "conclusion",
    {
      run_id: "bigint",
      fence: "int",
      state: "smallint",
      phase: "smallint",
      result: "text",
      failure: "text",
    },
    all.flatMap(({ conclusion, id, place }) =>
      conclusion === undefined ? [] : [{
        run_id: id,
        fence: place.fence,
        state: finals.indexOf(conclusion.state),
        phase: phases.indexOf(conclusion.phase),
        result: conclusion.result,
        failure: conclusion.failure && encodeFailure(conclusion.failure),
      }]
    ),
  )
  yield* insert(
    ask,
    "placed",
    { run_id: "bigint", at: "bigint", bound_to: "int", placement: "text" },
    all.flatMap(({ boundTo, id, placed }) => {
      if (boundTo === undefined && placed === undefined) return []
      const { at, ...placement } = placed ?? {}
      return [{
        run_id: id,
        at,
        bound_to: boundTo,
        placement: placed && JSON.stringify(placement),
      }]
    }),
  )
  yield* addTouching(
    ask,
    all.flatMap(({ gate }) => gate !== undefined && Touching.isGate(gate.key) ? [gate.key] : []),
  )
  yield* insert(ask, "journal", journalColumns, all.flatMap(journalRows))
  const standing = (tag: Place["_tag"]) => all.filter(({ place }) => place._tag === tag)
  yield* insert(ask, "outcome", outcomeColumns, standing("Ended").map(placeRow))
  yield* insert(ask, "lease", leaseColumns, standing("Running").map(placeRow), {
    also: { lane: "r.lane", level: levelNow, gate: "gate_id(r.gate)" },
    from: ofRun,
  })
  yield* insert(
    ask,
    "scheduled",
    { ...waitingColumns, due_at: "bigint" },
    standing("Scheduled").map(placeRow),
    { also: { lane: "r.lane", level: levelNow, gate: "gate_id(r.gate)" }, from: ofRun },
  )
  yield* insert(
    ask,
    "blocked",
    { ...waitingColumns, turn: "bigint", by_deadline: "bigint" },
    standing("Blocked").map(placeRow),
    {
      also: {
        lane: "r.lane",
        level: levelNow,
        gate: "gate_id(r.gate)",
        places: "r.gate_places",
        is_discarding: "r.is_gate_discarding",
      },
      from: ofRun,
    },
  )
  // A new run that is not gated is found by the rank that follows from its due time and deadline.
  yield* insert(ask, "ready", waitingColumns, standing("Ready").map(placeRow), {
    more: { rank: "bigint" },
    also: {
      lane: "r.lane",
      level: levelNow,
      gate: "gate_id(r.gate)",
      rank: `CASE WHEN x.fence = 0 AND r.gate IS NULL
        THEN ${rankOf("x", "r.due_at", { level: levelNow })} ELSE x.rank END`,
    },
    from: ofRun,
  })
  yield* insert(
    ask,
    "parked",
    parkedColumns,
    [...standing("Awaiting"), ...standing("Suspended")].map(placeRow),
    {
      more: { has_place: "boolean" },
      also: {
        lane: "r.lane",
        level: levelNow,
        gate: "CASE WHEN x.has_place THEN gate_id(r.gate) END",
      },
      from: ofRun,
    },
  )
})

/** What the runs of a gate touch follows from its key, and is looked up by who has it. */
const addTouching = (ask: Ask, gates: ReadonlyArray<Blocking.GateKey>) => {
  const things = [...new Set(gates)].flatMap((gate) => {
    const { namespace, touches } = Touching.touchesOf(gate)
    return Object.entries(touches).map(([thing, how]) => ({ gate, namespace, thing, how }))
  })
  return things.length === 0 ? Effect.void : ask(
    `INSERT INTO touching (gate, namespace, thing, is_exclusive)
     SELECT gate_id(u.gate), u.namespace, u.thing, u.how = 'exclusive'
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS u(gate, namespace, thing, how)
     ON CONFLICT DO NOTHING`,
    [
      texts(things.map(({ gate }) => gate)),
      texts(things.map(({ namespace }) => namespace)),
      texts(things.map(({ thing }) => thing)),
      texts(things.map(({ how }) => how)),
    ],
  )
}

const ofRun = "JOIN run r ON r.id = x.run_id"

const runColumns = {
  id: "bigint",
  created_at: "bigint",
  due_at: "bigint",
  slot: "bigint",
  gate_places: "int",
  level: "smallint",
  crashes_max: "smallint",
  is_at_most_once: "boolean",
  is_gate_discarding: "boolean",
  payload: "text",
  idempotency_key: "text",
  gate: "text",
}

const runRow = (record: Of<"Run">) => ({
  namespace_name: record.namespace,
  task_name: record.task,
  lane_name: record.lane,
  trigger_name: record.trigger,
  id: record.id,
  created_at: record.createdAt,
  due_at: record.createdAt + record.delayMillis,
  slot: record.slot,
  gate_places: record.gate && placesOf(record.gate),
  level: record.level,
  crashes_max: record.crashesMax,
  is_at_most_once: record.isAtMostOnce,
  is_gate_discarding: record.gate && record.gate.whenFull === "discard",
  payload: record.payload,
  idempotency_key: record.idempotencyKey,
  gate: record.gate?.key,
})

/** As `PgSubmit` makes it of what is compared as text, and `submit` in SQL of what is as JSON. */
const digestOf = (keyedBy: "text" | "json", task: string, payload: string): string =>
  keyedBy === "text"
    ? createHash("sha256").update(`${task}\0${payload}`).digest("hex")
    : `00${createHash("sha256").update(`${task}\x01${payload}`).digest("hex")}`

const journalColumns = {
  run_id: "bigint",
  at: "bigint",
  fence: "int",
  attempt: "smallint",
  kind: "text",
  detail: "text",
  failure: "text",
  incarnation: "int",
  asked_by: "text",
}

/** What a report has left says no more than its failure does: by that it is known. */
const journalRows = ({ id, journal, place }: Of<"Run">) =>
  journal.map(({ at, attempt, by, detail, executor, failure, fence, kind }) => {
    const isOfReport = reports.includes(kind) && fence <= place.settled &&
      (kind !== "Revived" || fence === place.settled)
    return {
      run_id: id,
      at,
      fence,
      attempt,
      kind,
      detail: isOfReport && detail === failure?.message ? null : detail,
      failure: failure && encodeFailure(failure),
      incarnation: executor?.incarnation,
      asked_by: by,
    }
  })

const courseColumns = {
  run_id: "bigint",
  fence: "int",
  attempt: "smallint",
  crashes: "smallint",
}
const waitingColumns = { ...courseColumns, is_careful: "boolean" }
const leaseColumns = {
  ...waitingColumns,
  claimed_at: "bigint",
  incarnation: "int",
  round: "int",
  loop: "smallint",
  is_start_marked: "boolean",
  is_cancelling: "boolean",
  is_suspending: "boolean",
}
const parkedColumns = {
  ...waitingColumns,
  since: "bigint",
  awaits_until: "bigint",
  claimed_at: "bigint",
  incarnation: "int",
  kind: "smallint",
}
const outcomeColumns = {
  ...courseColumns,
  finished_at: "bigint",
  claimed_at: "bigint",
  incarnation: "int",
  state: "smallint",
  is_reported: "boolean",
  result: "text",
  failure: "text",
}

/** Where a run stands, as the columns of that table. */
const placeRow = ({ createdAt, id, place }: Of<"Run">): Readonly<Record<string, unknown>> => {
  const { attempt, crashes, fence, settled } = place
  const course = { run_id: id, attempt, crashes, fence }
  if (place._tag === "Ended") {
    return {
      ...course,
      finished_at: place.finishedAt,
      claimed_at: place.claimedAt,
      incarnation: place.incarnation,
      state: codeOf(place.state),
      is_reported: settled === fence && fence > 0,
      result: place.result,
      failure: place.failure && encodeFailure(place.failure),
    }
  }
  const waiting = { ...course, is_careful: place.isCareful }
  switch (place._tag) {
    case "Scheduled":
      return { ...waiting, due_at: place.dueAt }
    case "Blocked":
      return { ...waiting, turn: place.turn, by_deadline: place.rank }
    case "Ready":
      return { ...waiting, rank: place.rank }
    case "Running":
      return {
        ...waiting,
        claimed_at: place.claimedAt,
        incarnation: place.incarnation,
        round: place.round,
        loop: place.loop,
        is_start_marked: place.isStartMarked,
        is_cancelling: place.isCancelling,
        is_suspending: place.isSuspending,
      }
    case "Awaiting":
      return {
        ...waiting,
        since: place.claimedAt ?? createdAt,
        awaits_until: place.awaitsUntil,
        claimed_at: place.claimedAt,
        incarnation: place.incarnation,
        kind: place.isParent ? 2 : 1,
        has_place: true,
      }
    case "Suspended":
      return {
        ...waiting,
        since: place.since,
        kind: 0,
        has_place: place.hasPlace,
      }
  }
}
