/** Runs as others see them, in PostgreSQL: the questions of `RunStorage`. */
import { DateTime, Effect, Option } from "effect"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Labels } from "../../core/domain/Labels.ts"
import { finals, isFinal, type StateName } from "../../core/domain/Run.ts"
import type * as RunId from "../../core/domain/RunId.ts"
import { type Reason, unserved } from "../../core/domain/RunView.ts"
import * as Share from "../../core/domain/Share.ts"
import * as Touching from "../../core/domain/Touching.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { RunQuery, RunStorage } from "../../core/services/RunStorage.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import * as PgAdmission from "./PgAdmission.ts"
import {
  decodeFailure,
  happenings,
  type JournalRow,
  readyRow,
  type RunRow,
  runView,
  runViews,
} from "./rows.ts"

const countMax = 10_000

export const make = (
  pg: Pg,
): Pick<
  RunStorage,
  "find" | "findMany" | "list" | "depth" | "backlog" | "state" | "counts" | "events" | "why"
> => {
  const findMany: RunStorage["findMany"] = (runs) =>
    runs.length === 0 ? Effect.succeed([]) : Effect.map(
      pg.query<RunRow>("reads", "find", viewsOfIds, [numbers([...new Set(runs)])]),
      (rows) => rows.map(runView),
    )

  const rowOf = (run: RunId.RunId): Effect.Effect<RunRow | undefined, StorageUnavailable> =>
    Effect.map(
      pg.query<RunRow>("reads", "find", viewsOfIds, [numbers([run])]),
      ([row]) => row,
    )

  const list: RunStorage["list"] = (query) => {
    if (query.states?.length === 0) return Effect.succeed([])
    return query.parent !== undefined ? childrenOf(query, query.parent) : Effect.map(
      pg.query<RunRow>(
        "reads",
        "list",
        runViews(selectionOf(query), query.isBrief) + " ORDER BY r.id DESC",
        [
          query.namespace,
          query.limit,
          `${query.before ?? Number.MAX_SAFE_INTEGER}`,
          ...(query.task === undefined ? [] : [query.task]),
        ],
      ),
      (rows) => rows.map(runView),
    )
  }

  const keptState: RunStorage["state"] = (namespace, task, key) =>
    Effect.map(
      pg.query<{ readonly value: string }>("writes", "state", selectState, [namespace, task, key]),
      ([row]) => Option.map(Option.fromNullishOr(row), ({ value }) => value),
    )

  const depth: RunStorage["depth"] = (lanes, atMost) =>
    Effect.map(
      pg.query<{ readonly depth: number }>("reads", "depth", selectDepth, [texts(lanes), atMost]),
      ([row]) => row!.depth,
    )

  const backlog: RunStorage["backlog"] = (lanes, atMost) =>
    Effect.map(
      pg.query<{ readonly waiting: number }>(
        "reads",
        "backlog",
        "SELECT waiting_in($1::text[], $2) AS waiting",
        [texts(lanes), atMost],
      ),
      ([row]) => row!.waiting,
    )

  /** They are few, so the other conditions are looked at one by one. */
  const childrenOf = (
    { before, isBrief, limit, namespace, states, task }: RunQuery,
    parent: RunId.RunId,
  ) =>
    Effect.map(
      pg.query<RunRow>("reads", "list", childViews(isBrief === true), [
        `${parent}`,
        `${before ?? Number.MAX_SAFE_INTEGER}`,
      ]),
      (rows) =>
        rows.map(runView).filter((view) =>
          view.namespace === namespace && (task === undefined || view.task === task) &&
          (states === undefined || states.includes(view.state))
        ).slice(0, limit),
    )

  const counts: RunStorage["counts"] = (namespace, tasks) =>
    Effect.map(
      pg.query<{ state: StateName; count: number }>(
        "reads",
        "counts",
        tasks === undefined ? countStates : countStatesOfTasks,
        tasks === undefined ? [namespace] : [namespace, texts(tasks)],
      ),
      (rows) =>
        Object.fromEntries(
          rows.filter(({ count }) => count > 0).map(({ count, state }) => [state, count]),
        ),
    )

  const events: RunStorage["events"] = Effect.fnUntraced(function* (run) {
    const journal = yield* pg.query<JournalRow>("reads", "events", selectJournal, [`${run}`])
    const row = yield* rowOf(run)
    return row === undefined ? [] : happenings(row, journal)
  })

  const why: RunStorage["why"] = Effect.fnUntraced(function* (run) {
    const row = yield* rowOf(run)
    if (row === undefined) return Option.none()
    const view = runView(row)
    const failure = row.failure === null ? {} : { failure: decodeFailure(row.failure) }
    if (isFinal(view.state)) {
      return Option.some<Reason>({ _tag: "Ended", state: view.state, ...failure })
    }
    switch (view.state) {
      case "Scheduled":
        return Option.some<Reason>({ _tag: "DueLater", at: view.dueAt, ...failure })
      case "Running": {
        const { incarnation, name } = view.executor!
        const isCancelling = view.isCancelling === true
        return Option.some<Reason>({
          _tag: "Held",
          incarnation,
          name,
          isCancelling,
          ...(view.isSuspending === true && { isSuspending: true }),
        })
      }
      case "Suspended":
        return Option.some<Reason>({
          _tag: "Suspended",
          since: DateTime.makeUnsafe(row.since!),
        })
      case "Awaiting":
        return Option.some(yield* whyAwaiting(row))
      case "Blocked":
        return Option.some(yield* whyBlocked(run, view.gate!))
      default:
        return Option.some(yield* whyReady(row))
    }
  })

  const whyAwaiting = Effect.fnUntraced(function* ({ awaits_until, id, parked }: RunRow) {
    if (parked !== 2) {
      return {
        _tag: "Awaits",
        ...(awaits_until !== null && { until: DateTime.makeUnsafe(awaits_until) }),
      } as Reason
    }
    const rows = yield* pg.query<{ run: RunId.RunId }>("reads", "why", selectLeft, [`${id}`])
    const children = rows.slice(0, 10).map(({ run }) => run)
    return { _tag: "AwaitsChildren", left: rows.length, children } as Reason
  })

  const whyBlocked = Effect.fnUntraced(function* (run: RunId.RunId, gate: GateKey) {
    if (Touching.isGate(gate)) return yield* PgAdmission.whyTouching(pg, run, gate)
    const [row] = yield* pg.query<{
      holders: ReadonlyArray<number>
      held: number
      places: number
      is_discarding: boolean
      ahead: number
    }>("reads", "why", selectGate, [gate, `${run}`, Share.isGate(gate)])
    // It has moved on since it was looked at.
    if (row === undefined) return { _tag: "GateOpen", gate } satisfies Reason as Reason
    const { ahead, held, holders, is_discarding, places } = row
    const it = PgAdmission.gateOf(gate, places, is_discarding)
    if (Blocking.decide(it, held) === "admit") {
      return { _tag: "GateOpen", gate } satisfies Reason as Reason
    }
    return { _tag: "GateFull", gate, holders: holders as Array<RunId.RunId>, ahead } as Reason
  })

  const whyReady = Effect.fnUntraced(function* (run: RunRow) {
    const [row] = yield* pg.query<{
      serving: ReadonlyArray<string>
      lane: Lane.Lane | null
      ahead: number
    }>(
      "reads",
      "why",
      selectAhead,
      [`${run.id}`, run.namespace, run.task],
    )
    const serving = row!.serving.map((labels) => JSON.parse(labels) as Labels)
    const { task } = run
    const lane = row!.lane ?? run.lane
    if (Lane.isUnplaced(lane)) return { _tag: "Unplaced", task, passedOver: [] } as Reason
    const reason: Reason = unserved(task, lane, serving) ??
      { _tag: "Waiting", lane, ahead: row!.ahead }
    return reason
  })

  return {
    find: (run) => Effect.map(findMany([run]), ([view]) => Option.fromNullishOr(view)),
    findMany,
    list,
    depth,
    backlog,
    state: keptState,
    counts,
    events,
    why,
  }
}

const childViews = (isBrief: boolean) =>
  runViews(
    "SELECT run_id AS id FROM child WHERE parent = $1::bigint AND run_id < $2::bigint",
    isBrief,
  ) + " ORDER BY r.id DESC"

const selectLeft = `
  SELECT run_id::float8 AS run FROM child c WHERE parent = $1::bigint
    AND (SELECT o.run_id FROM outcome o WHERE o.run_id = c.run_id) IS NULL ORDER BY nth`

const viewsOfIds = runViews("SELECT unnest($1::bigint[]) AS id")

const selectJournal = `
  SELECT j.at::float8 AS at, j.claimed_at::float8 AS claimed_at, j.kind, j.attempt, j.fence, j.detail,
    j.failure, j.asked_by, e.incarnation, e.name AS executor
  FROM journal j LEFT JOIN executor e ON e.incarnation = j.incarnation
  WHERE j.run_id = $1::bigint ORDER BY j.id LIMIT 10000`

const selectState = `
  SELECT value FROM state WHERE key = $3 AND task = (
    SELECT t.id FROM task t JOIN namespace n ON n.id = t.namespace WHERE n.name = $1 AND t.name = $2)`

const selectDepth = `
  SELECT coalesce(sum(d.depth), 0)::float8 AS depth
  FROM lane l CROSS JOIN LATERAL (
    SELECT count(*) AS depth FROM (SELECT FROM ready r WHERE r.lane = l.id LIMIT $2) AS counted) AS d
  WHERE l.name = ANY ($1::text[])`

/** Without its selector, or the executor that it is of. */
const laneOfTask = "split_part(translate(name, '?', '@'), '@', 1)"

/**
 * The ids of a list, each state, of which there are some, from the table whose rows are in it. `$1` namespace, `$2` limit, `$3`
 * before, `$4` task.
 */
const selectionOf = ({ states, task }: RunQuery): string => {
  const tasks = `SELECT t.id FROM task t JOIN namespace n ON n.id = t.namespace
    WHERE n.name = $1${task === undefined ? "" : " AND t.name = $4"}`
  // Task by task from an index, so that a small namespace is as quick as a large one.
  const latest = (condition: string) =>
    `SELECT h.id FROM (${tasks}) k CROSS JOIN LATERAL (
       SELECT id FROM run WHERE run.task = k.id AND -id > -($3::bigint) ${condition}
       ORDER BY -id LIMIT $2) h`
  // By lane, not by the run's task: a join with `run` has been seen to walk all of history backwards
  // for a handful of ready runs.
  const lanes = `SELECT id FROM lane WHERE starts_with(name, $1 || ':')
    ${task === undefined ? "" : `AND ${laneOfTask} = $1 || ':' || $4`}`
  const standing = (table: string, condition = "") =>
    `SELECT h.run_id AS id FROM ${table} h
     WHERE h.lane = ANY (ARRAY(${lanes})) AND h.run_id < $3::bigint
       ${condition}
     ORDER BY h.run_id DESC LIMIT $2`
  const ended = (state: StateName) =>
    `SELECT h.run_id AS id FROM outcome h JOIN run ON run.id = h.run_id
     WHERE run.task IN (${tasks}) AND h.run_id < $3::bigint
       AND h.state = ${finals.indexOf(state as (typeof finals)[number])} AND h.state <> 0
     ORDER BY h.run_id DESC LIMIT $2`
  const from = (state: StateName): string => {
    switch (state) {
      case "Scheduled":
        return standing("scheduled")
      case "Blocked":
        return standing("blocked")
      case "Ready":
        return standing("ready")
      case "Running":
        return standing("lease")
      case "Suspended":
        return standing("parked", "AND h.kind = 0")
      case "Awaiting":
        return standing("parked", "AND h.kind > 0")
      case "Succeeded":
        return latest("AND EXISTS (SELECT FROM outcome o WHERE o.run_id = run.id AND o.state = 0)")
      default:
        return ended(state)
    }
  }
  const parts = states === undefined ? [latest("")] : [...new Set(states)].map(from)
  return `SELECT id FROM (${parts.map((part) => `(${part})`).join(" UNION ALL ")}) u
    ORDER BY id DESC LIMIT $2`
}

const countOf = (state: StateName, from: string) => `
  SELECT '${state}' AS state, (SELECT count(*)::int FROM (
    SELECT FROM ${from} LIMIT ${countMax + 1}) counted) AS count`

const standingIn = (table: string) => `${table} h WHERE h.lane = ANY (ARRAY(SELECT id FROM lanes))`

const endedAs = (code: number) =>
  `outcome h JOIN run ON run.id = h.run_id
   WHERE run.task = ANY (ARRAY(SELECT id FROM tasks)) AND h.state = ${code}`

/** Up to a bound they are counted; beyond, the successes are estimated from all outcomes. */
const counting = (ofTasks: string, ofLanes: string) => `
  WITH tasks AS MATERIALIZED (
    SELECT t.id FROM task t JOIN namespace n ON n.id = t.namespace WHERE n.name = $1 ${ofTasks}),
  lanes AS MATERIALIZED (SELECT id FROM lane WHERE starts_with(name, $1 || ':') ${ofLanes})
  ${
  [
    countOf("Scheduled", standingIn("scheduled")),
    countOf("Blocked", standingIn("blocked")),
    countOf("Ready", standingIn("ready")),
    countOf("Running", standingIn("lease")),
    countOf("Suspended", `${standingIn("parked")} AND h.kind = 0`),
    countOf("Awaiting", `${standingIn("parked")} AND h.kind > 0`),
    ...finals.map((state, code) => countOf(state, endedAs(code))),
  ].join(" UNION ALL ")
}`

const countStates = counting("", "")
const countStatesOfTasks = counting(
  "AND t.name = ANY ($2::text[])",
  `AND ${laneOfTask} = ANY (ARRAY(SELECT $1 || ':' || unnest($2::text[])))`,
)

/** Of a pool, all that hold its places. */
const within = "gate BETWEEN (SELECT low FROM gates) AND (SELECT high FROM gates)"

const selectGate = `
  WITH it AS (SELECT * FROM blocked WHERE run_id = $2::bigint),
  gates AS MATERIALIZED (
    SELECT CASE WHEN $3::boolean THEN share_from(gate_id($1)) ELSE gate_id($1) END AS low,
      CASE WHEN $3::boolean THEN share_to(gate_id($1)) ELSE gate_id($1) END AS high),
  holding AS MATERIALIZED (
    SELECT run_id FROM ready WHERE ${within} UNION ALL
    SELECT run_id FROM lease WHERE ${within} UNION ALL
    SELECT run_id FROM parked WHERE ${within} UNION ALL
    SELECT run_id FROM scheduled WHERE ${within} AND fence > 0)
  SELECT places, is_discarding, (SELECT count(*)::int FROM holding) AS held,
    ARRAY(SELECT run_id::float8 FROM holding ORDER BY run_id LIMIT 10) AS holders,
    (SELECT count(*)::int FROM blocked b
      WHERE b.gate = it.gate AND (b.rank, b.turn) < (it.rank, it.turn)) AS ahead
  FROM it`

/** How many go first, by `Lane.order`, counted to a bound. */
const selectAhead = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  it AS (
    SELECT q.lane, q.level, q.rank, q.run_id FROM run r JOIN LATERAL (
${readyRow("*")}) q ON true
    WHERE r.id = $1::bigint)
  SELECT ARRAY(
      SELECT DISTINCT e.labels FROM executor e JOIN namespace n ON n.id = e.namespace
      WHERE n.name = $2 AND e.standing = 0 AND e.beat_at + e.ttl > ms AND $3 = ANY (e.tasks)
    ) AS serving,
    (SELECT name FROM lane WHERE id = (SELECT lane FROM it)) AS lane,
    (SELECT count(*)::int FROM (
      SELECT FROM it JOIN ready o ON o.lane = it.lane
      WHERE (o.rank > ms, CASE WHEN o.rank > ms THEN o.level ELSE 0 END, o.rank, o.run_id)
          < (it.rank > ms, CASE WHEN it.rank > ms THEN it.level ELSE 0 END, it.rank, it.run_id)
      LIMIT ${countMax + 1}) counted) AS ahead
  FROM now`
