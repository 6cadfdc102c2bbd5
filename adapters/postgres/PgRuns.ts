/** Runs in PostgreSQL: see `RunStorage` for the laws, `PgSubmit` and `PgClaim` for the hot path. */
import { DateTime, Effect, Option, type Scope } from "effect"
import * as Asked from "../../core/domain/Asked.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Labels } from "../../core/domain/Labels.ts"
import { finals, isFinal, type StateName } from "../../core/domain/Run.ts"
import * as Rollback from "../../core/domain/Rollback.ts"
import * as RunId from "../../core/domain/RunId.ts"
import { type Reason, tooLate, unnotified, unserved } from "../../core/domain/RunView.ts"
import * as Share from "../../core/domain/Share.ts"
import * as Touching from "../../core/domain/Touching.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type {
  FamilySubmitted,
  RunQuery,
  RunSpec,
  RunStorage,
} from "../../core/services/RunStorage.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import * as PgAdmission from "./PgAdmission.ts"
import * as PgClaim from "./PgClaim.ts"
import * as PgConclusions from "./PgConclusions.ts"
import type { PgClock } from "./PgClock.ts"
import * as PgEndings from "./PgEndings.ts"
import type { PgFloors } from "./PgFloors.ts"
import type { PgHints, Topic } from "./PgHints.ts"
import * as PgIdle from "./PgIdle.ts"
import type { Look, PgLooks } from "./PgLooks.ts"
import type { PgNames } from "./PgNames.ts"
import * as PgSubmit from "./PgSubmit.ts"
import {
  decodeFailure,
  encodeFailure,
  happenings,
  type JournalRow,
  ownLane,
  patience,
  rankOf,
  readyRow,
  type RunRow,
  runView,
  runViews,
  stateOf,
  stateOfRow,
  suspendedCode,
} from "./rows.ts"
import { columns, delays } from "./specs.ts"

const countMax = 10_000
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
      gate: GateKey | null
    }>(
      "writes",
      "cancel",
      `SELECT c.answer, c.holders, c.is_parent, (SELECT gate FROM run WHERE id = $1::bigint) AS gate
       FROM cancel($1::bigint, ${patienceArray}, $2) c`,
      [`${run}`, by ?? null],
    )
    if (row === undefined || row.answer === null) return Option.none()
    const { answer, gate, holders, is_parent } = row
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
    order("notify", "notify_run($1::bigint, $2, $3, $4, $5)", run, [
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
    const rows = yield* pg.query<{ run: RunId.RunId; state: number; gate: GateKey | null }>(
      "writes",
      "expire",
      `SELECT run::float8 AS run, state, gate_key AS gate
       FROM expire($1, ${patienceArray}, $2, $3)`,
      [limit, encodeFailure(tooLate), encodeFailure(unnotified)],
    )
    return {
      runs: rows.map(({ run, state }) => ({ run, state: stateOf(state) })),
      freed: [...new Set(rows.flatMap(({ gate }) => gate === null ? [] : [gate]))],
    }
  })

  const { claim: claimNext, settle } = PgClaim.make(
    pg,
    names,
    hints,
    floors,
    PgIdle.make(looks),
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
    find: (run) => Effect.map(findMany([run]), ([view]) => Option.fromNullishOr(view)),
    findMany,
    list,
    depth,
    state: keptState,
    counts,
    events,
    why,
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

const childViews = (isBrief: boolean) =>
  runViews(
    "SELECT run_id AS id FROM child WHERE parent = $1::bigint AND run_id < $2::bigint",
    isBrief,
  ) + " ORDER BY r.id DESC"

const selectLeft = `
  SELECT run_id::float8 AS run FROM child c WHERE parent = $1::bigint
    AND (SELECT o.run_id FROM outcome o WHERE o.run_id = c.run_id) IS NULL ORDER BY nth`

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
    SELECT own_lane, level, ${rankOf("x", "ms", { attempt: "x.attempt - 1" })}, run_id, attempt - 1,
      crashes, fence, is_careful, gate FROM x, now WHERE NOT is_cancelling AND NOT is_suspending),
  p AS (
    INSERT INTO parked (run_id, since, lane, fence, level, attempt, crashes, kind, is_careful, gate)
    SELECT run_id, ms, own_lane, fence, level, attempt - 1, crashes, 0, is_careful,
      CASE WHEN gate IS NOT NULL
        THEN (SELECT x.gate FROM run WHERE id = x.run_id AND gate_places <= 1) END
    FROM x, now WHERE NOT is_cancelling AND is_suspending),
  j AS (
    INSERT INTO journal (run_id, at, claimed_at, incarnation, fence, attempt, kind, detail)
    SELECT run_id, ms, claimed_at, $1, fence, attempt, 'Released', 'its holder does not know of it'
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
