/** Where columns meet the fields of the domain, and nowhere else. */
import { DateTime, Schema } from "effect"
import * as Asked from "../../core/domain/Asked.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import { Calendar } from "../../core/domain/Calendar.ts"
import {
  capacityOf,
  type ExecutorName,
  type ExecutorView,
  type Holder,
  type Incarnation,
  type Standing,
  type Vitals,
} from "../../core/domain/Executor.ts"
import * as Change from "../../core/domain/Change.ts"
import { shown } from "../../core/domain/Conclusion.ts"
import * as History from "../../core/domain/History.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { type Final, finals, type StateName } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { Failure, type Placed, type RunHappening, type RunView } from "../../core/domain/RunView.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import { TriggerDefinition, type TriggerId, type TriggerName } from "../../core/domain/Trigger.ts"
import type { SlotRecord, TriggerVersion, TriggerView } from "../../core/services/TriggerStorage.ts"
import { numbers } from "./Pg.ts"

/** As a parameter: how long each level lets better ones go first. */
export const patience = numbers(Lane.levels.map((level) => Lane.patienceMillis[level]))

/** The column `outcome.state` numbers the final states in this order. */
export const stateOf = (code: number): Final => finals[code]!
export const codeOf = (state: Final): number => finals.indexOf(state)

/**
 * The lane in which a run waits that comes back from an executor: that of its own, as it may have been
 * placed. Only a run with a gate can have been.
 */
export const ownLane = (row: string): string =>
  `CASE WHEN ${row}.gate IS NULL THEN ${row}.lane
     ELSE (SELECT r.lane FROM run r WHERE r.id = ${row}.run_id) END`

const standings: ReadonlyArray<Standing> = ["live", "draining", "left", "lost"]
export const standingOf = (code: number): Standing => standings[code]!
export const standingCodeOf = (standing: Standing): number => standings.indexOf(standing)

const outcomes: ReadonlyArray<SlotRecord["outcome"]> = ["fired", "skipped", "coalesced"]
export const outcomeOf = (code: number): SlotRecord["outcome"] => outcomes[code]!
export const outcomeCodeOf = (outcome: SlotRecord["outcome"]): number => outcomes.indexOf(outcome)

/** The reason of a stretch whose records have left by their age. It is not listed. */
export const used = "used"
/** How `RunStorage.recover` tells of a run that was put down. */
export const suspendedCode = -1

const FailureJson = Schema.fromJsonString(Failure)
export const encodeFailure = Schema.encodeSync(FailureJson)
export const decodeFailure = Schema.decodeSync(FailureJson)

const DefinitionJson = Schema.fromJsonString(TriggerDefinition)
export const encodeTrigger = Schema.encodeSync(DefinitionJson)
export const decodeTrigger = Schema.decodeSync(DefinitionJson)

const CalendarJson = Schema.fromJsonString(Calendar)
export const encodeCalendar = Schema.encodeSync(CalendarJson)
export const decodeCalendar = Schema.decodeSync(CalendarJson)

const at = (millis: number): DateTime.Utc => DateTime.makeUnsafe(millis)

/** The level by which the run `r` takes its turn: an operator may have set one. */
export const levelNow = "coalesce((SELECT s.level FROM level_set s WHERE s.run_id = r.id), r.level)"

/**
 * The row of the run `r` in `ready`, if it is there: one that is new and not gated stands where its due
 * time says, or its deadline; any other is found by its id.
 */
export const readyRow = (columns: string, condition = "true"): string => `
    SELECT ${columns} FROM ready WHERE ${condition} AND lane = r.lane AND level = ${levelNow}
      AND rank = r.due_at + ('${patience}'::bigint[])[${levelNow} + 1] AND run_id = r.id
    UNION ALL
    SELECT ${columns} FROM ready WHERE ${condition} AND lane = r.lane AND level = ${levelNow}
      AND rank IN ((SELECT d.expires_at FROM deadline d WHERE d.run_id = r.id),
        r.due_at + ${Lane.longestMillis}) AND run_id = r.id
    UNION ALL
    SELECT ${columns} FROM ready WHERE ${condition} AND run_id = r.id
      AND (fence > 0 OR gate IS NOT NULL)
    LIMIT 1`

/**
 * The rank of the run `x`, ready since `readyAt`, by `patience`: see `Lane.rank`. It has had so many
 * attempts. Of a run that is not careful no deadline is looked for.
 */
export const rankOf = (
  x: string,
  readyAt: string,
  { attempt = `${x}.attempt`, level = `${x}.level`, of = `('${patience}'::bigint[])` } = {},
): string =>
  `coalesce(CASE WHEN ${x}.is_careful AND ${attempt} = 0
      THEN rank_in_time(${x}.run_id, ${level}, ${readyAt}, ${of}) END,
        ${readyAt} + ${of}[${level} + 1])`

/**
 * One row per run of `$1`, in one snapshot. A run that stands nowhere else is ready. In brief, neither payload
 * nor result is read.
 */
export const runViews = (which: string, isBrief = false): string => `
  SELECT r.id::float8 AS id, n.name AS namespace, t.name AS task, l.name AS lane,
    ${levelNow} AS level, r.level AS submitted_level,
    ${isBrief ? "'null'::text" : "r.payload"} AS payload,
    (SELECT s.changes FROM level_set s WHERE s.run_id = r.id) AS changes,
    (SELECT d.expires_at FROM deadline d WHERE d.run_id = r.id)::float8 AS deadline_at,
    r.idempotency_key, r.gate, g.name AS trigger, r.slot::float8 AS slot,
    r.created_at::float8 AS created_at, coalesce(s.due_at, r.due_at)::float8 AS due_at,
    coalesce(o.attempt, x.attempt, s.attempt, q.attempt, p.attempt, b.attempt, 0) AS attempt,
    coalesce(o.crashes, x.crashes, s.crashes, q.crashes, p.crashes, b.crashes, 0) AS crashes,
    coalesce(o.fence, x.fence, s.fence, q.fence, p.fence, b.fence, 0) AS fence,
    o.state AS outcome, x.run_id IS NOT NULL AS is_running, s.run_id IS NOT NULL AS is_scheduled,
    b.run_id IS NOT NULL AS is_blocked, x.is_cancelling, x.is_suspending,
    ${isBrief ? "NULL::text" : "o.result"} AS result,
    p.kind::int AS parked, p.since::float8 AS since, p.awaits_until::float8 AS awaits_until,
    CASE WHEN x.run_id IS NOT NULL
      THEN (SELECT c.phase FROM conclusion c WHERE c.run_id = r.id) END AS phase,
    k.parent::float8 AS parent, k.nth, k.count AS siblings,
    CASE WHEN r.trigger IS NOT NULL THEN (SELECT f.after FROM followed f
      WHERE f.run_id = r.id)::float8 END AS after,
    (SELECT CASE j.kind WHEN '${Asked.kind}' THEN coalesce(j.detail, '') END FROM journal j
      WHERE j.run_id = r.id ORDER BY j.id LIMIT 1) AS asked,
    d.placement, d.at::float8 AS placed_at,
    -- One that is cancelled after a failed attempt still says how that one failed.
    CASE WHEN o.state <> ${codeOf("Cancelled")} OR o.failure IS NOT NULL THEN o.failure
      WHEN coalesce(o.fence, x.fence, s.fence, q.fence, p.fence, b.fence) > 0 THEN (SELECT j.failure FROM journal j
        WHERE j.run_id = r.id AND j.failure IS NOT NULL ORDER BY j.id DESC LIMIT 1) END AS failure,
    coalesce(o.claimed_at, x.claimed_at, p.claimed_at)::float8 AS claimed_at,
    o.finished_at::float8 AS finished_at, e.incarnation, e.name AS executor
  FROM (${which}) w
  JOIN run r ON r.id = w.id
  JOIN task t ON t.id = r.task
  JOIN namespace n ON n.id = t.namespace
  JOIN lane l ON l.id = r.lane
  LEFT JOIN outcome o ON o.run_id = r.id
  LEFT JOIN LATERAL (
    SELECT * FROM lease
    WHERE o.run_id IS NULL AND incarnation = ANY ((SELECT holding())::int[]) AND run_id = r.id) x
    ON true
  LEFT JOIN scheduled s ON s.run_id = r.id
  LEFT JOIN blocked b ON b.run_id = r.id
  LEFT JOIN parked p ON p.run_id = r.id
  LEFT JOIN child k ON k.run_id = r.id
  LEFT JOIN placed d ON d.run_id = r.id
  LEFT JOIN LATERAL (
${readyRow("attempt, crashes, fence")}) q ON true
  LEFT JOIN trigger g ON g.id = r.trigger
  LEFT JOIN executor e ON e.incarnation = coalesce(o.incarnation, x.incarnation, p.incarnation)`

export interface RunRow {
  readonly [column: string]: unknown
  readonly id: number
  readonly namespace: Namespace
  readonly task: TaskName
  readonly lane: Lane.Lane
  readonly level: Lane.Level
  readonly submitted_level: Lane.Level
  readonly changes: number | null
  /** It may have begun, or ended. */
  readonly deadline_at: number | null
  readonly payload: string
  readonly idempotency_key: string | null
  readonly gate: GateKey | null
  readonly trigger: TriggerName | null
  readonly slot: number | null
  readonly created_at: number
  readonly due_at: number
  readonly attempt: number
  readonly crashes: number
  readonly fence: number
  readonly outcome: number | null
  readonly is_running: boolean
  readonly is_scheduled: boolean
  readonly is_blocked: boolean
  readonly is_cancelling: boolean | null
  readonly is_suspending: boolean | null
  /** 0 suspended, 1 handed over, 2 a parent. */
  readonly parked: number | null
  readonly since: number | null
  readonly awaits_until: number | null
  /** Of a running one, once its outcome is known: as the index in `phases`. */
  readonly phase: number | null
  readonly parent: RunId | null
  readonly nth: number | null
  readonly siblings: number | null
  readonly after: RunId | null
  readonly asked: string | null
  readonly placement: string | null
  readonly placed_at: number | null
  readonly result: string | null
  readonly failure: string | null
  readonly claimed_at: number | null
  readonly finished_at: number | null
  readonly incarnation: Incarnation | null
  readonly executor: ExecutorName | null
}

/** How far a run is that has an outcome and is still held, as `conclusion` numbers it. */
export const phases = ["rollingBack", "cleaning", "handedOver", "finishing"] as const

export const stateOfRow = (row: RunRow): StateName =>
  row.outcome !== null
    ? stateOf(row.outcome)
    : row.is_running
    ? "Running"
    : row.is_scheduled
    ? "Scheduled"
    : row.is_blocked
    ? "Blocked"
    : row.parked !== null
    ? (row.parked === 0 ? "Suspended" : "Awaiting")
    : "Ready"

const phaseOf = ({ phase }: RunRow) => {
  const seen = phase === null ? undefined : shown(phases[phase])
  return seen === undefined ? {} : { phase: seen }
}

const waits: ReadonlyArray<StateName> = ["Scheduled", "Blocked", "Ready", "Suspended"]

export const runView = (row: RunRow): RunView => ({
  id: row.id as RunId,
  namespace: row.namespace,
  task: row.task,
  state: stateOfRow(row),
  attempt: row.attempt,
  crashes: row.crashes,
  fence: row.fence as Fence,
  lane: row.lane,
  level: row.level,
  ...(row.level !== row.submitted_level && { submittedLevel: row.submitted_level }),
  ...(row.deadline_at !== null && row.fence === 0 && waits.includes(stateOfRow(row)) && {
    deadlineAt: at(row.deadline_at),
  }),
  ...(row.changes !== null && { revision: Change.firstRevision + row.changes }),
  payload: row.payload,
  createdAt: at(row.created_at),
  dueAt: at(row.due_at),
  ...(row.result !== null && { result: row.result }),
  ...(row.failure !== null && { failure: decodeFailure(row.failure) }),
  ...(row.idempotency_key !== null && { idempotencyKey: row.idempotency_key }),
  ...(row.gate !== null && { gate: row.gate }),
  ...(row.trigger !== null && { trigger: row.trigger }),
  ...(row.slot !== null && { slot: at(row.slot) }),
  ...(row.parked === null && holderOf(row)),
  ...(row.claimed_at !== null && { claimedAt: at(row.claimed_at) }),
  ...(row.finished_at !== null && { finishedAt: at(row.finished_at) }),
  ...(row.is_cancelling === true && { isCancelling: true }),
  ...(row.is_suspending === true && { isSuspending: true }),
  ...phaseOf(row),
  ...(row.parent !== null && {
    shard: { parent: row.parent, index: row.nth!, count: row.siblings! },
  }),
  ...(row.after !== null && { after: row.after }),
  ...(row.asked !== null && { asked: Asked.ofText(row.asked) }),
  ...(row.placement !== null && {
    placed: { ...JSON.parse(row.placement) as Placed, at: at(row.placed_at!) },
  }),
})

export interface JournalRow {
  readonly [column: string]: unknown
  readonly at: number
  readonly claimed_at: number | null
  readonly kind: string
  readonly attempt: number
  readonly fence: number
  readonly detail: string | null
  readonly failure: string | null
  readonly incarnation: Incarnation | null
  readonly executor: ExecutorName | null
  readonly asked_by: string | null
}

const holderOf = (
  { executor, incarnation }: Pick<JournalRow, "executor" | "incarnation">,
): { readonly executor?: Holder } =>
  incarnation === null || executor === null ? {} : { executor: { incarnation, name: executor } }

const messageOf = (failure: string | null) =>
  failure === null ? undefined : decodeFailure(failure).message

/** The entry of the end of a run names its grant, and so does that of its revival: one tells of it. */
export const grantsOnce = <R extends Pick<JournalRow, "claimed_at" | "fence" | "kind">>(
  journal: ReadonlyArray<R>,
): ReadonlyArray<R> => {
  const told = new Set(journal.filter(({ kind }) => kind === "Claimed").map(({ fence }) => fence))
  return journal.map((row) => {
    if (row.claimed_at === null) return row
    if (told.has(row.fence)) return { ...row, claimed_at: null }
    told.add(row.fence)
    return row
  })
}

/** What happened to a run: its submit, its journal, its grants, its end. */
export const happenings = (
  run: RunRow,
  journal: ReadonlyArray<JournalRow>,
): ReadonlyArray<RunHappening> => {
  const endDetail = messageOf(run.failure)
  const end = run.finished_at === null ? undefined : {
    at: run.finished_at,
    kind: stateOfRow(run),
    ...(endDetail !== undefined && { detail: endDetail }),
  }
  return History.of(
    {
      createdAt: run.created_at,
      attempt: run.attempt,
      fence: run.fence as Fence,
      claimedAt: run.claimed_at ?? undefined,
      executor: holderOf(run).executor,
      end,
    },
    grantsOnce(journal).flatMap(entriesOf),
  )
}

/** A grant that a row tells of is an entry of its own. */
const entriesOf = (row: JournalRow): ReadonlyArray<History.Entry> => {
  const { asked_by: by, at, attempt, claimed_at, kind } = row
  const fence = row.fence as Fence
  const detail = row.detail ?? messageOf(row.failure)
  return [
    ...(claimed_at === null ? [] : [{ at: claimed_at, kind: "Claimed", attempt, fence }]),
    {
      at,
      kind,
      attempt,
      fence,
      ...(detail !== undefined && { detail }),
      ...(by !== null && { by }),
      ...holderOf(row),
    },
  ]
}

export interface ExecutorRow {
  readonly [column: string]: unknown
  readonly incarnation: Incarnation
  readonly name: ExecutorName
  readonly standing: number
  readonly capacity: number
  readonly labels: string
  readonly resources: string
  readonly tasks: ReadonlyArray<TaskName>
  readonly held: number
  readonly vitals: string | null
  readonly joined_at: number
  readonly beat_at: number
}

export const executorView = (namespace: Namespace, row: ExecutorRow): ExecutorView => {
  const vitals = row.vitals === null ? undefined : JSON.parse(row.vitals) as Vitals
  return {
    incarnation: row.incarnation,
    namespace,
    name: row.name,
    standing: standingOf(row.standing),
    capacity: capacityOf(row.capacity, vitals),
    labels: JSON.parse(row.labels) as Readonly<Record<string, string>>,
    resources: JSON.parse(row.resources) as Readonly<Record<string, number>>,
    tasks: row.tasks,
    held: row.held,
    ...(vitals !== undefined && { vitals }),
    joinedAt: at(row.joined_at),
    beatAt: at(row.beat_at),
  }
}

export interface TriggerRow {
  readonly [column: string]: unknown
  readonly id: TriggerId
  readonly definition: string
  readonly revision: number
  readonly is_paused: boolean
  readonly cursor: number | null
}

export const triggerColumns = "id, definition, revision, is_paused, cursor::float8 AS cursor"

export const triggerView = (row: TriggerRow): TriggerView => ({
  id: row.id,
  definition: decodeTrigger(row.definition),
  revision: row.revision,
  isPaused: row.is_paused,
  ...(row.cursor !== null && { cursor: row.cursor }),
})

export interface SlotRow {
  readonly [column: string]: unknown
  readonly slot: number
  readonly through: number
  readonly outcome: number
  readonly run: RunId | null
  readonly reason: string | null
  readonly running: RunId | null
  readonly lateness: number
  readonly revision: number | null
  readonly kind: number | null
  readonly request: string | null
  readonly asked_by: string | null
}

/** The column `asked.kind` numbers them in this order. */
export const askedKinds = ["manual", "backfill"] as const

export const slotRecord = (row: SlotRow): SlotRecord => ({
  slot: row.slot,
  through: row.through,
  outcome: outcomes[row.outcome]!,
  latenessMillis: row.lateness,
  ...(row.run !== null && { run: row.run }),
  ...(row.reason !== null && { reason: row.reason }),
  ...(row.running !== null && { running: row.running }),
  ...(row.revision !== null && { revision: row.revision }),
  ...(row.kind !== null && {
    asked: {
      kind: askedKinds[row.kind]!,
      request: row.request!,
      ...(row.asked_by !== null && { by: row.asked_by }),
    },
  }),
})

export interface VersionRow {
  readonly [column: string]: unknown
  readonly revision: number
  readonly since: number
  readonly definition: string | null
  readonly calendar: string | null
}

export const triggerVersion = ({ definition, revision, since }: VersionRow): TriggerVersion => ({
  revision,
  since,
  ...(definition !== null && { definition: decodeTrigger(definition) }),
})
