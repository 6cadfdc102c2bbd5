/** Runs in PostgreSQL: see `RunStorage` for the laws, `PgSubmit`, `PgClaim` and `PgSettle` for the hot path. */
import { Effect, Option, type Scope } from "effect"
import * as Asked from "../../core/domain/Asked.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as GivenBack from "../../core/domain/GivenBack.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { finals } from "../../core/domain/Run.ts"
import * as Rollback from "../../core/domain/Rollback.ts"
import * as RunId from "../../core/domain/RunId.ts"
import { tooLate, unnotified } from "../../core/domain/RunView.ts"
import * as Share from "../../core/domain/Share.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { FamilySubmitted, RunSpec, RunStorage } from "../../core/services/RunStorage.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import * as PgAdmission from "./PgAdmission.ts"
import * as PgClaim from "./PgClaim.ts"
import * as PgConclusions from "./PgConclusions.ts"
import type { PgClock } from "./PgClock.ts"
import * as PgEndings from "./PgEndings.ts"
import type { PgFloors } from "./PgFloors.ts"
import * as PgGrants from "./PgGrants.ts"
import type { PgHints, Topic } from "./PgHints.ts"
import * as PgIdle from "./PgIdle.ts"
import type { Look, PgLooks } from "./PgLooks.ts"
import type { PgNames } from "./PgNames.ts"
import * as PgRunViews from "./PgRunViews.ts"
import * as PgSettle from "./PgSettle.ts"
import * as PgSubmit from "./PgSubmit.ts"
import * as PgWarm from "./PgWarm.ts"
import {
  encodeFailure,
  ownLane,
  patience,
  rankOf,
  type RunRow,
  stateOf,
  stateOfRow,
  suspendedCode,
} from "./rows.ts"
import { columns, delays } from "./specs.ts"

const patienceArray = `'${patience}'::bigint[]`

export const make = Effect.fnUntraced(function* (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
  clock: PgClock,
  floors: PgFloors,
  looks: PgLooks,
  onClaimed: () => void,
): Effect.fn.Return<RunStorage, never, Scope.Scope> {
  const submit = yield* PgSubmit.make(pg, names, hints)

  const hintLanes = (lanes: ReadonlyArray<number | null>) =>
    hints.give(new Set(lanes.flatMap((lane): Array<Topic> => lane === null ? [] : [`l${lane}`])))

  const admit = PgAdmission.make(pg, hints)

  const submitFamily: RunStorage["submitFamily"] = Effect.fnUntraced(
    function* ({ children, parent, places }): Effect.fn.Return<
      FamilySubmitted,
      StorageUnavailable
    > {
      const of = yield* columns(names, [parent])
      const [namespace] = yield* names.namespaceNumbers([parent.namespace])
      const { deadlines, plain, special } = yield* columns(names, children)
      const rows = yield* pg.query<{ run: RunId.RunId; nth: number; is_new: boolean }>(
        "writes",
        "submitFamily",
        insertFamily,
        [
          of.tasks[0],
          of.lanes[0],
          parent.level,
          parent.payload,
          namespace,
          parent.idempotencyKey ?? null,
          PgSubmit.digestOf(parent),
          FanIn.prefix,
          places,
          ...plain,
          special[0],
          deadlines,
          of.asked(),
        ],
        parent.idempotencyKey !== undefined,
      )
      hints.giveDue(delays(children))
      const first = rows.find(({ nth }) => nth === -1)
      // The key expired between the two statements, and is free again.
      if (first === undefined) return yield* submitFamily({ children, parent, places })
      const { is_new, run } = first
      const gate = FanIn.gate(run, places).key
      if (!is_new) return yield* knownFamily(parent, namespace!, gate)
      const made = rows.filter(({ nth }) => nth >= 0).sort((a, b) => a.nth - b.nth)
      return {
        _tag: "Submitted",
        run,
        state: "Awaiting",
        isNew: true,
        children: made.map((child) => child.run),
        gate,
      }
    },
  )

  const knownFamily = Effect.fnUntraced(
    function* (spec: RunSpec, namespace: number, gate: GateKey) {
      const [row] = yield* pg.query<RunRow & { digest: string }>(
        "writes",
        "submitFamily",
        PgSubmit.selectKnown,
        [numbers([namespace]), texts([spec.idempotencyKey]), texts([spec.payload])],
      )
      const run = row!.id as RunId.RunId
      const known: FamilySubmitted = row!.digest === PgSubmit.digestOf(spec)
        ? { _tag: "Submitted", run, state: stateOfRow(row!), isNew: false, children: [], gate }
        : { _tag: "Conflict", run }
      return known
    },
  )

  let nextGate = beforeAllGates
  const openGatesAfter = Effect.fnUntraced(function* (from: string, limit: number) {
    const rows = yield* pg.query<{ gate: GateKey | null; last: string | null }>(
      "writes",
      "openGates",
      selectOpenGates,
      [limit, FanIn.prefix, from, gatesBatch],
    )
    const open = rows.flatMap(({ gate }) => gate === null ? [] : [gate]).slice(0, limit)
    // When there are more, those come next.
    if (open.length === limit) return { open, next: from }
    return { open, next: rows.find(({ last }) => last !== null)?.last ?? undefined }
  })

  const openGates: RunStorage["openGates"] = Effect.fnUntraced(function* (limit) {
    const from = nextGate
    const { next, open } = yield* openGatesAfter(from, limit)
    nextGate = next ?? beforeAllGates
    if (next !== undefined || from === beforeAllGates) return open
    // Past the last gate: from the first again.
    const more = yield* openGatesAfter(beforeAllGates, limit)
    nextGate = more.next ?? beforeAllGates
    return [...new Set([...open, ...more.open])].slice(0, limit)
  })

  const start: RunStorage["start"] = Effect.fnUntraced(function* (incarnation, marks) {
    if (marks.length === 0) return []
    const sorted = marks.toSorted((a, b) => a.run - b.run)
    const endings = marks.flatMap(({ ending }) => ending ?? [])
    const rows = yield* pg.query<{ run: number; fence: number }>(
      "claims",
      "start",
      endings.length === 0 ? startMarked : startAndLeave,
      [
        incarnation,
        numbers(sorted.map(({ run }) => run)),
        numbers(sorted.map(({ fence }) => fence)),
        ...(endings.length === 0 ? [] : PgEndings.columnsOf(endings)),
      ],
    )
    const started = new Set(rows.map(({ fence, run }) => `${run} ${fence}`))
    return marks.map(({ fence, run }) => started.has(`${run} ${fence}`))
  })

  const reconcile: RunStorage["reconcile"] = Effect.fnUntraced(
    function* (incarnation, { grants, rounds }) {
      const rows = yield* pg.query<{ passed: RunId.RunId | null; lane: number | null }>(
        "writes",
        "reconcile",
        reconcileHeld,
        [
          incarnation,
          numbers(grants.map(({ run }) => run)),
          numbers(grants.map(({ fence }) => fence)),
          numbers(rounds.map(({ loop }) => loop)),
          numbers(rounds.map(({ round }) => round)),
        ],
      )
      hintLanes(rows.map(({ lane }) => lane))
      return { passed: rows.flatMap(({ passed }) => passed === null ? [] : [passed]) }
    },
  )

  /** When something is due, as far as is known. */
  let dueAt = Infinity
  const promote: RunStorage["promote"] = Effect.fnUntraced(function* (limit) {
    // Mostly nothing is due, and to look costs a fifth of moving nothing.
    if (performance.now() < dueAt) {
      const { next_in } = yield* looks<{ next_in: number | null }>(nextDue)
      const nextInMillis = next_in ?? undefined
      if (nextInMillis === undefined || nextInMillis > 0) {
        dueAt = performance.now() + (nextInMillis ?? Infinity)
        return { promoted: 0, gates: [...hints.takeGates()], unplaced: [], nextInMillis }
      }
    }
    const [row] = yield* pg.query<{
      promoted: number
      gates: ReadonlyArray<GateKey> | null
      lanes: ReadonlyArray<number> | null
      unplaced: ReadonlyArray<Lane.Lane>
      next_in: number | null
      earliest: number | null
    }>("writes", "promote", promoteDue, [limit])
    const { earliest, gates, lanes, next_in, promoted, unplaced } = row!
    const nextInMillis = promoted === limit && limit > 0 ? 0 : next_in ?? undefined
    dueAt = performance.now() + (nextInMillis ?? Infinity)
    if (earliest !== null) floors.landed(lanes ?? [], earliest)
    hintLanes(lanes ?? [])
    return {
      promoted,
      // What was submitted by SQL is not admitted by who submitted it, so it is here.
      gates: [...new Set([...(gates ?? []), ...hints.takeGates()])],
      unplaced,
      nextInMillis,
    }
  })

  const cancel: RunStorage["cancel"] = Effect.fnUntraced(function* (run, by) {
    const [row] = yield* pg.query<{
      answer: "confirmed" | "requested" | "ended" | null
      holders: ReadonlyArray<Incarnation>
      is_parent: boolean
      lanes: ReadonlyArray<number>
      gate: GateKey | null
    }>(
      "writes",
      "cancel",
      `SELECT c.answer, c.holders, c.is_parent, c.lanes, (SELECT gate FROM run WHERE id = $1::bigint) AS gate
       FROM cancel($1::bigint, ${patienceArray}, $2) c`,
      [`${run}`, by ?? null],
    )
    if (row === undefined || row.answer === null) return Option.none()
    const { answer, gate, holders, is_parent, lanes } = row
    if (lanes.length > 0) {
      floors.landed(lanes)
      hintLanes(lanes)
    }
    hints.give(new Set(holders.map((holder) => `e${holder}` as const)))
    const freed = answer === "confirmed" && gate !== null ? [gate] : []
    return Option.some({ answer, freed: is_parent ? [FanIn.gate(run, 1).key] : freed })
  })

  /** One order to one run: what the function answers, and its gate if a place of it was freed. */
  const order = Effect.fnUntraced(function* <A extends string>(
    operation: string,
    call: string,
    run: RunId.RunId,
    params: ReadonlyArray<unknown> = [],
  ) {
    const [row] = yield* pg.query<{
      answer: A | null
      is_freed: boolean | null
      gate: GateKey | null
      holder?: Incarnation | null
      lane_id?: number | null
    }>(
      "writes",
      operation,
      `SELECT c.*, (SELECT gate FROM run WHERE id = $1::bigint) AS gate FROM ${call} c`,
      [`${run}`, ...params],
    )
    if (row === undefined || row.answer === null) return Option.none()
    const { answer, gate, holder, is_freed, lane_id } = row
    if (holder !== null && holder !== undefined) hints.give([`e${holder}`])
    if (lane_id !== null && lane_id !== undefined) floors.landed([lane_id])
    hintLanes([lane_id ?? null])
    return Option.some({ answer, freed: is_freed === true && gate !== null ? [gate] : [] })
  })

  const suspend: RunStorage["suspend"] = (run, by) =>
    order("suspend", `suspend($1::bigint, ${patienceArray}, $2)`, run, [by ?? null])

  const resume: RunStorage["resume"] = (run, by) =>
    Effect.tap(
      order("resume", resumeAndTell, run, [`${pg.schema}_submit`, by ?? null]),
      // It may be scheduled again, as it was.
      () => Effect.sync(() => hints.give(["d"])),
    )

  const change: RunStorage["change"] = (run, { by, deadlineMillis, level, revision }) =>
    order("change", changeAndTell, run, [
      `${pg.schema}_submit`,
      level ?? null,
      deadlineMillis !== undefined,
      deadlineMillis == null ? null : `${Math.ceil(deadlineMillis)}`,
      revision ?? null,
      by ?? null,
    ])

  const notify: RunStorage["notify"] = (run, notice, by) =>
    order("notify", `notify_run($1::bigint, $2, $3, $4, $5, ${patienceArray})`, run, [
      notice._tag === "Succeeded",
      notice._tag === "Succeeded" ? notice.result ?? null : null,
      notice._tag === "Failed" ? encodeFailure(notice.failure) : null,
      by ?? null,
    ])

  /** What lets a run go on that has ended. */
  const onward = Effect.fnUntraced(function* <A extends string>(
    operation: string,
    call: string,
    run: RunId.RunId,
    params: ReadonlyArray<unknown>,
  ) {
    const [row] = yield* pg.query<{
      answer: A | null
      gates: ReadonlyArray<GateKey>
      lanes: ReadonlyArray<number>
    }>("writes", operation, `SELECT * FROM ${call}`, [`${run}`, FanIn.prefix, ...params])
    if (row === undefined || row.answer === null) return Option.none()
    hintLanes(row.lanes)
    return Option.some({ answer: row.answer, freed: [...new Set(row.gates)] })
  })

  const revive: RunStorage["revive"] = (run, by) =>
    onward("revive", `revive($1::bigint, ${patienceArray}, $2, $3)`, run, [by ?? null])

  const rollback: RunStorage["rollback"] = (run, demand = {}) => {
    const asked = Rollback.asked(demand)
    return onward("rollback", `roll_back($1::bigint, ${patienceArray}, $2, $3, $4, $5, $6)`, run, [
      demand.by ?? null,
      demand.note ?? null,
      encodeFailure(asked),
      // Only the storage knows what it had succeeded with.
      encodeFailure(Rollback.conclusion(asked, undefined).failure!),
    ])
  }

  const expire: RunStorage["expire"] = Effect.fnUntraced(function* (limit) {
    const rows = yield* pg.query<{
      run: RunId.RunId
      /** Empty of one that is ready, for its hooks. */
      state: number | null
      gate: GateKey | null
      lane_id: number | null
    }>(
      "writes",
      "expire",
      `SELECT run::float8 AS run, state, gate_key AS gate, lane_id
       FROM expire($1, ${patienceArray}, $2, $3)`,
      [limit, encodeFailure(tooLate), encodeFailure(unnotified)],
    )
    const lanes = rows.flatMap(({ lane_id }) => lane_id ?? [])
    if (lanes.length > 0) {
      floors.landed(lanes)
      hintLanes(lanes)
    }
    return {
      runs: rows.map(({ run, state }) => ({
        run,
        state: state === null ? "Ready" : stateOf(state),
      })),
      freed: [...new Set(rows.flatMap(({ gate }) => gate === null ? [] : [gate]))],
    }
  })

  const settling = PgSettle.make(pg, hints)
  const { settle } = settling
  const claimNext = PgClaim.make(
    pg,
    names,
    hints,
    floors,
    PgIdle.make(looks),
    yield* PgWarm.make(pg),
    settling,
    PgGrants.make(pg, names),
    onClaimed,
  )
  const { conclude } = PgConclusions.make(pg)
  const { endOverdue } = PgEndings.make(pg, looks, clock, settle)

  // A claim that is refused has done nothing, so it may be given again.
  const claim: RunStorage["claim"] = (request) =>
    clock.unlessStepped(claimNext(request), (answer) => answer === "Lost")

  const isQuiet: RunStorage["isQuiet"] = Effect.map(
    clock.expecting((expectation) =>
      Effect.map(
        looks<{ is_expected: boolean; is_quiet: boolean }>({
          name: "isQuiet",
          columns: quiet,
          params: () => [...expectation, ...idsOfMilli],
        }),
        ({ is_expected, is_quiet }) => is_expected ? is_quiet : undefined,
      )
    ),
    (isQuiet) => isQuiet ?? false,
  )

  const recover: RunStorage["recover"] = Effect.fnUntraced(function* (limit) {
    const rows = (yield* clock.expecting((expectation) =>
      Effect.map(
        pg.query<RecoveredRow>("writes", "recover", recoverUnlessStepped, [limit, ...expectation]),
        (rows) => rows.some(({ kind }) => kind === 2) ? undefined : rows,
      )
    )) ?? []
    yield* pg.query(
      "writes",
      "recover",
      `WITH gone AS (DELETE FROM waiter WHERE expires_at < clock())
       SELECT advance_run_ids($1::bigint, $2::bigint)::text`,
      idsOfMilli,
    )
    const runs = rows.filter(({ kind }) => kind === 1)
    hintLanes(runs.map(({ lane, state }) => state === null ? lane : null))
    return {
      lost: rows.flatMap(({ id, kind }) => kind === 0 ? [id as Incarnation] : []),
      runs: runs.map(({ id, state }) => ({
        run: id as RunId.RunId,
        state: state === null
          ? "Ready" as const
          : state === suspendedCode
          ? "Suspended" as const
          : stateOf(state),
      })),
      freed: [...new Set(runs.flatMap(({ gate }) => gate === null ? [] : [gate]))],
    }
  })

  return {
    submit,
    submitFamily,
    admit,
    openGates,
    claim,
    settle,
    start,
    conclude,
    reconcile,
    promote,
    cancel,
    suspend,
    resume,
    change,
    notify,
    revive,
    rollback,
    isQuiet,
    expire,
    endOverdue,
    recover,
    ...PgRunViews.make(pg),
  }
})

interface RecoveredRow {
  readonly [column: string]: unknown
  /** 0: an incarnation found lost, 1: a run freed, 2: nothing was done, as the clock was set. */
  readonly kind: number
  readonly id: number
  readonly state: number | null
  readonly lane: number | null
  readonly gate: GateKey | null
}

/** It may stand below the floors of every process: see `PgFloors`. */
const resumeAndTell = `(
  SELECT r.*, CASE WHEN r.lane_id IS NOT NULL THEN pg_notify($2, 'l' || r.lane_id)::text END AS told
  FROM resume($1::bigint, ${patienceArray}, $3) r)`

/** So may this one. */
const changeAndTell = `(
  SELECT r.*, CASE WHEN r.lane_id IS NOT NULL THEN pg_notify($2, 'l' || r.lane_id)::text END AS told
  FROM change_run($1::bigint, $3::smallint, $4::boolean, $5::bigint, $6::int, ${patienceArray},
    '{${Lane.levels.map((level) => Lane.wordOf[level]).join(",")}}'::text[], $7) r)`

/** How `advance_run_ids` counts. */
const idsOfMilli = [`${RunId.floor(0)}`, `${RunId.floor(1) - RunId.floor(0)}`]

/** Also when nothing is to be recovered, ids of runs go on with the time. */
const quiet = (first: number) => `
  abs(steady_clock() - $${first}::bigint) <= $${first + 1}::bigint AS is_expected,
    NOT EXISTS (SELECT FROM blocked)
      AND NOT EXISTS (SELECT FROM parked WHERE kind = 2)
      AND NOT EXISTS (SELECT FROM parked WHERE awaits_until <= (SELECT ms FROM now))
      AND NOT EXISTS (SELECT FROM deadline WHERE expires_at <= (SELECT ms FROM now))
      AND NOT EXISTS (SELECT FROM ending
        WHERE at <= (SELECT ms - total + 1000 FROM now, clock_step))
      AND NOT EXISTS (SELECT FROM executor
        WHERE standing < 2 AND beat_at + ttl <= (SELECT ms FROM now))
      AND NOT EXISTS (SELECT FROM unnest(holding()) h WHERE NOT EXISTS (
        SELECT FROM executor e WHERE e.incarnation = h AND e.standing < 2))
      AND NOT EXISTS (SELECT FROM lane l WHERE l.executor = 0
        AND EXISTS (SELECT FROM ready q WHERE q.lane = l.id))
      AND NOT EXISTS (SELECT FROM lane l LEFT JOIN executor e ON e.incarnation = l.executor
        WHERE l.executor > 0
          AND (e.standing = 0 AND e.beat_at + e.ttl > (SELECT ms FROM now)) IS NOT TRUE)
      AND NOT EXISTS (SELECT FROM waiter WHERE expires_at < (SELECT ms FROM now)) AS is_quiet,
    advance_run_ids($${first + 2}::bigint, $${first + 3}::bigint)::text AS advanced`

/** The function is called for the row of `now`, if it passes: so its argument depends on it. */
const recoverUnlessStepped = `
  WITH now AS MATERIALIZED (SELECT abs(steady_clock() - $2::bigint) <= $3::bigint AS is_expected)
  SELECT kind, id::float8 AS id, state, lane_id AS lane, gate_key AS gate
  FROM now CROSS JOIN LATERAL recover(CASE WHEN is_expected THEN $1::int END, ${patienceArray})
  WHERE is_expected
  UNION ALL SELECT 2, 0, NULL, NULL, NULL FROM now WHERE NOT is_expected`

/** As `holders`, which costs forty microseconds a gate when it is called as a function. */
const held = (gate: string) =>
  `(${
    ["ready", "lease", "parked"].map((table) =>
      `(SELECT count(*) FROM ${table} h WHERE h.gate = ${gate})`
    ).join(" + ")
  } + (SELECT count(*) FROM scheduled h WHERE h.gate = ${gate} AND h.fence > 0))`

/**
 * Those of the next so many gates with waiting runs, by their index, that are open; and those of
 * parents without a child that has not ended. Scalar queries, since no plan can make of them a join
 * with all of history. The last row has the last gate looked at, unless that was the last there is.
 */
const selectOpenGates = `
  WITH RECURSIVE waiting AS (
    (SELECT gate, run_id, places, is_discarding, 1 AS nth FROM blocked
      WHERE gate > $3::uuid ORDER BY gate, rank, turn LIMIT 1)
    UNION ALL
    SELECT n.*, w.nth + 1 FROM waiting w CROSS JOIN LATERAL (
      SELECT gate, run_id, places, is_discarding FROM blocked
      WHERE gate > w.gate ORDER BY gate, rank, turn LIMIT 1) n
    WHERE w.nth < $4::int),
  pools AS (
    (SELECT pool FROM share ORDER BY pool LIMIT 1)
    UNION ALL
    SELECT n.pool FROM pools p CROSS JOIN LATERAL (
      SELECT pool FROM share WHERE pool > p.pool ORDER BY pool LIMIT 1) n)
  (SELECT $2 || p.run_id AS gate, NULL::text AS last FROM parked p WHERE p.kind = 2 AND (
    SELECT c.run_id FROM child c WHERE c.parent = p.run_id
      AND (SELECT o.run_id FROM outcome o WHERE o.run_id = c.run_id) IS NULL LIMIT 1) IS NULL
    LIMIT $1)
  UNION ALL
  (SELECT (SELECT gate FROM run WHERE id = w.run_id), NULL FROM waiting w
    -- The gates of a pool are decided about together, once it knows of them. What is cheap to tell
    -- comes first: most gates are full.
    WHERE CASE WHEN w.is_discarding OR w.places < 0 OR ${held("w.gate")} < w.places
        OR starts_with((SELECT gate FROM run WHERE id = w.run_id), '${Share.prefix}')
      THEN (SELECT s.gate FROM share s WHERE s.gate = w.gate) IS NULL ELSE false END LIMIT $1)
  UNION ALL
  (SELECT (SELECT gate FROM run WHERE id = b.run_id), NULL FROM pools p CROSS JOIN LATERAL (
      SELECT run_id, places FROM blocked WHERE gate BETWEEN p.pool AND share_to(p.pool)
      ORDER BY gate, rank, turn LIMIT 1) b
    WHERE share_holders(p.pool) < b.places LIMIT $1)
  UNION ALL
  SELECT NULL, gate::text FROM waiting WHERE nth = $4::int`

/** `openGates` looks at so many gates, and at the next ones when it is called again. */
const gatesBatch = 1000
const beforeAllGates = "00000000-0000-0000-0000-000000000000"

const insertFamily = `
  WITH f AS MATERIALIZED (SELECT * FROM submit_family($1::int, $2::int, $3::smallint, $4,
    $5::int, $6, $7, $8, $9::int, $10::int[], $11::int[], $12::smallint[], $13::text[],
    $14::boolean[], $15::smallint[], $16::bigint[], $17::bigint[])),
  j AS (
    INSERT INTO journal (run_id, at, fence, attempt, kind, detail)
    SELECT run, clock(), 0, 0, '${Asked.kind}', ($18::text[])[1] FROM f
    WHERE nth = -1 AND is_new AND ($18::text[])[1] IS NOT NULL)
  SELECT run::float8 AS run, nth, is_new FROM f`

/**
 * Running + Start → Running, marked; not when it is asked to stop, or to be put down, or when it is too late:
 * then a sweep lets it expire.
 */
const startWith = (...more: ReadonlyArray<string>) => `
  WITH x AS MATERIALIZED (
    SELECT run_id, fence, attempt, is_start_marked FROM lease
    WHERE incarnation = $1 AND run_id = ANY ($2::bigint[])
      AND NOT is_cancelling AND NOT is_suspending
      AND fence = ($3::int[])[width_bucket(run_id, $2::bigint[])]
      AND (is_start_marked OR attempt > 1 OR NOT EXISTS (
        SELECT FROM deadline d WHERE d.run_id = lease.run_id AND d.expires_at <= clock()))
    FOR UPDATE),
  u AS (
    UPDATE lease l SET is_start_marked = true FROM x
    WHERE l.incarnation = $1 AND l.run_id = x.run_id AND NOT x.is_start_marked),
  j AS (
    INSERT INTO journal (run_id, at, fence, attempt, kind)
    SELECT run_id, clock(), fence, attempt, 'Started' FROM x WHERE NOT is_start_marked)
  ${more.map((part) => `,${part}`).join("")}
  SELECT run_id::float8 AS run, fence FROM x`
const startMarked = startWith()
const startAndLeave = startWith(PgEndings.keep(4))

/** As Running + Release, for what its holder was told of and does not know. */
const reconcileHeld = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  x AS (
    DELETE FROM lease l WHERE incarnation = $1
      AND round <= ($5::int[])[array_position($4::int[], loop::int)]
      AND NOT EXISTS (SELECT FROM unnest($2::bigint[], $3::int[]) AS k(run_id, fence)
        WHERE k.run_id = l.run_id AND k.fence = l.fence)
    RETURNING *, ${ownLane("l")} AS own_lane),
  o AS (
    INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt, crashes,
      is_reported)
    SELECT run_id, ms, claimed_at, incarnation, fence, ${finals.indexOf("Cancelled")}, attempt,
      crashes, false FROM x, now WHERE is_cancelling),
  q AS (
    INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
    SELECT own_lane, level, ${
  rankOf("x", "ms", { attempt: "CASE WHEN NOT is_start_marked THEN x.attempt - 1 END" })
}, run_id, attempt - 1,
      crashes, fence, is_careful, gate FROM x, now WHERE NOT is_cancelling AND NOT is_suspending),
  p AS (
    INSERT INTO parked (run_id, since, lane, fence, level, attempt, crashes, kind, is_careful, gate)
    SELECT run_id, ms, own_lane, fence, level, attempt - 1, crashes, 0, is_careful,
      CASE WHEN gate IS NOT NULL
        THEN (SELECT x.gate FROM run WHERE id = x.run_id AND gate_places <= 1) END
    FROM x, now WHERE NOT is_cancelling AND is_suspending),
  t AS (DELETE FROM deadline WHERE run_id = ANY (ARRAY(
    SELECT run_id FROM x WHERE is_start_marked))),
  j AS (
    INSERT INTO journal (run_id, at, claimed_at, incarnation, fence, attempt, kind, detail)
    SELECT run_id, ms, claimed_at, $1, fence, attempt, 'Released', '${GivenBack.unknown}'
    FROM x, now)
  SELECT NULL::float8 AS passed, own_lane AS lane FROM x WHERE NOT is_cancelling AND NOT is_suspending
  UNION ALL
  SELECT k.run_id::float8, NULL FROM unnest($2::bigint[], $3::int[]) AS k(run_id, fence)
  WHERE NOT EXISTS (SELECT FROM lease l
    WHERE l.run_id = k.run_id AND l.fence = k.fence AND l.incarnation = $1)`

const nextDue: Look = {
  name: "promote",
  columns: () =>
    `((SELECT due_at FROM scheduled ORDER BY due_at LIMIT 1) - (SELECT ms FROM now))::float8 AS next_in`,
  params: () => [],
}

/** Scheduled + Due → Blocked when it is gated and was never granted, else Ready. */
const promoteDue = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  x AS (
    DELETE FROM scheduled WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM scheduled WHERE due_at <= (SELECT ms FROM now)
      ORDER BY due_at, run_id LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING *),
  q AS (
    INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
    SELECT lane, level, ${rankOf("x", "due_at")}, run_id, attempt, crashes, fence,
      is_careful, gate FROM x WHERE gate IS NULL OR fence > 0),
  b AS (
    -- Its turn at the gate begins now, not when it was submitted.
    INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding,
      by_deadline)
    SELECT x.gate, x.turn, run_id, x.lane, r.gate_places, x.level, is_careful, r.is_gate_discarding,
      CASE WHEN is_careful THEN (
        SELECT rank_at_gate(r.task, x.level, x.turn, d.expires_at, r.gate_places)
        FROM deadline d WHERE d.run_id = x.run_id) END
    FROM (SELECT x.*, nextval('run_id') AS turn FROM (
      SELECT * FROM x WHERE gate IS NOT NULL AND fence = 0 ORDER BY due_at, run_id) x) x
    CROSS JOIN LATERAL (SELECT * FROM run WHERE id = x.run_id OFFSET 0) r)
  SELECT (SELECT count(*)::int FROM x) AS promoted,
    (SELECT array_agg(DISTINCT (SELECT gate FROM run WHERE id = x.run_id)) FROM x
      WHERE gate IS NOT NULL AND fence = 0) AS gates,
    (SELECT array_agg(DISTINCT lane) FROM x WHERE gate IS NULL OR fence > 0) AS lanes,
    ARRAY(SELECT l.name FROM lane l WHERE l.executor = 0
      AND l.id IN (SELECT lane FROM x WHERE gate IS NOT NULL AND fence > 0)) AS unplaced,
    (SELECT min(due_at) FROM x)::float8 AS earliest,
    ((SELECT due_at FROM scheduled WHERE due_at > (SELECT ms FROM now) ORDER BY due_at LIMIT 1)
      - (SELECT ms FROM now))::float8 AS next_in`
