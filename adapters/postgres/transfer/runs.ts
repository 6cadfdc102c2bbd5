/** Runs: where each stands, and its history, as they are transferred. */
import { Effect } from "effect"
import { createHash } from "node:crypto"
import type { Holder, Incarnation } from "../../../core/domain/Executor.ts"
import * as GivenBack from "../../../core/domain/GivenBack.ts"
import type { Fence } from "../../../core/domain/Lease.ts"
import type { Level } from "../../../core/domain/Lane.ts"
import type { Namespace } from "../../../core/domain/Namespace.ts"
import { finals } from "../../../core/domain/Run.ts"
import type { RunId } from "../../../core/domain/RunId.ts"
import type { Placed } from "../../../core/domain/RunView.ts"
import * as Blocking from "../../../core/domain/Blocking.ts"
import type { Note, Of, Place } from "../../../core/domain/StateRecord.ts"
import type { TaskName } from "../../../core/domain/Task.ts"
import * as Touching from "../../../core/domain/Touching.ts"
import * as Trigger from "../../../core/domain/Trigger.ts"
import { gateOf, placesOf } from "../PgAdmission.ts"
import { conclusionOf, type ConclusionRow } from "../PgConclusions.ts"
import { type Ask, numbers, type Row, texts } from "../Pg.ts"
import {
  codeOf,
  decodeFailure,
  encodeFailure,
  grantsOnce,
  levelNow,
  phases,
  rankOf,
  readyRow,
  stateOf,
} from "../rows.ts"
import { addNamespaces, insert, ofNamespace } from "./insert.ts"
import { sort } from "./Sort.ts"

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

const isReport = ({ detail, kind }: NoteRow): boolean =>
  kind === "Released" ? detail !== GivenBack.unknown : detail === null && reports.includes(kind)

const settledOf = (outcome: OutcomeRow | undefined, journal: ReadonlyArray<NoteRow>): Fence =>
  Math.max(
    outcome?.is_reported === true ? outcome.fence : 0,
    ...journal.filter(isReport)
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

const add = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Run">>) {
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

export const runs = sort<"Run", RunRow>({
  select: selectRuns,
  first: ["0"],
  placeOf: ({ id }) => [`${id}`],
  recordsOf: Effect.fnUntraced(function* (rows, ask) {
    const journal = Map.groupBy(
      yield* ask<NoteRow>(selectNotes, [numbers(rows.map(({ id }) => id))]),
      ({ run }) => run,
    )
    return rows.map((row) => runOf(row, journal.get(row.id) ?? []))
  }),
  add,
})
