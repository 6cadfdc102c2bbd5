/** Settles what executors report, successes that are kept with a state and all other ends among it. */
import { Effect } from "effect"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as GivenBack from "../../core/domain/GivenBack.ts"
import type { Claimed, Report, Settled } from "../../core/services/RunStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { partsByRun } from "./parts.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"
import { encodeFailure, ownLane, patience, rankOf } from "./rows.ts"

type Settlement = Omit<Claimed, "grants">

export type PgSettle = ReturnType<typeof make>

export const make = (pg: Pg, hints: PgHints) => {
  /** Settles, then says of reports that changed nothing what became of them. */
  const settle = Effect.fnUntraced(function* (
    incarnation: Incarnation,
    reports: ReadonlyArray<Report>,
  ): Effect.fn.Return<Settlement, StorageUnavailable> {
    const freed = new Set<GateKey>()
    const settled = new Map<number, Settled>()
    // A run may be named twice, with different fences; each part names it once.
    for (
      const part of partsByRun(reports.map((report, index) => ({ run: report.run, report, index })))
    ) {
      const of = part.toSorted((a, b) => a.run - b.run).map(({ report }) => report)
      const hasMore = of.some(needsMore)
      const hasStates = of.some((report) => keptOf(report) !== undefined)
      const rows = yield* pg.query<
        { run: number; lane: number | null; gate: GateKey | null; told: number }
      >(
        "claims",
        "settle",
        hasStates ? settleAndKeepAll : hasMore ? settleAndKeep : settleAny,
        [
          incarnation,
          numbers(of.map(({ run }) => run)),
          ...settleParams(of),
          patience,
          ...(hasStates
            ? [
              texts(of.map((each) => keptOf(each)?.key)),
              texts(of.map((each) => keptOf(each)?.state)),
            ]
            : []),
        ],
      )
      for (const { gate } of rows) if (gate !== null) freed.add(gate)
      if (rows.some(({ told }) => told > 0)) hints.give(["o"])
      hints.giveDue(of.flatMap((report) => "delayMillis" in report ? [report.delayMillis] : []))
      hints.give(new Set(rows.flatMap(({ lane }) => lane === null ? [] : [`l${lane}` as const])))
      const applied = new Set(rows.map(({ run }) => run))
      for (const { index, run } of part) if (applied.has(run)) settled.set(index, "applied")
    }
    const others = reports.flatMap((_, index) => settled.has(index) ? [] : [index])
    if (others.length > 0) {
      const answers = yield* judgeLate(incarnation, others.map((index) => reports[index]!))
      for (const [nth, index] of others.entries()) settled.set(index, answers[nth]!)
    }
    return { settled: reports.map((_, index) => settled.get(index)!), freed: [...freed] }
  })

  /** What was settled before with the same fence is a duplicate; any other report is noted. */
  const judgeLate = Effect.fnUntraced(function* (
    incarnation: Incarnation,
    reports: ReadonlyArray<Report>,
  ) {
    const rows = yield* pg.query<{ nth: number }>("writes", "settle", judgeSettled, [
      numbers(reports.map(({ run }) => run)),
      numbers(reports.map(({ fence }) => fence)),
      texts(reports.map(({ _tag, fence }) => `${_tag} with fence ${fence}`)),
      incarnation,
    ])
    const duplicates = new Set(rows.map(({ nth }) => nth))
    return reports.map((_, index): Settled => duplicates.has(index) ? "duplicate" : "fenced")
  })

  return { settle, judgeLate }
}

const needsMore = (report: Report): boolean =>
  report._tag === "Yield" || report._tag === "Postpone" || report._tag === "Release"

/** The one statement has no place for states. */
export const isPlainSuccess = (report: Report): boolean =>
  report._tag === "Succeed" && report.kept === undefined

const keptOf = (report: Report) => report._tag === "Succeed" ? report.kept : undefined

export const results = (reports: ReadonlyArray<Report>) =>
  reports.some((report) => resultOf(report) !== undefined)
    ? texts(reports.map(resultOf))
    : texts([])

const resultOf = (report: Report): string | undefined =>
  report._tag === "Succeed"
    ? report.result
    : report._tag === "Yield" || report._tag === "Release"
    ? report.checkpoint
    : undefined

const kinds = [
  "Succeed",
  "Retry",
  "GiveUp",
  "TimeOut",
  "Release",
  "Abort",
  "Yield",
  "Await",
  "Discard",
  "Postpone",
] as const

const settleParams = (reports: ReadonlyArray<Report>) => [
  numbers(reports.map(({ fence }) => fence)),
  numbers(reports.map(({ _tag }) => kinds.indexOf(_tag))),
  results(reports),
  texts(reports.map(failureOf)),
  numbers(reports.map(delayOf)),
]

/** Of what is given back, why. */
const failureOf = (report: Report): string | undefined =>
  report._tag === "Release"
    ? GivenBack.wordsOf(report.why)
    : "failure" in report && report.failure !== undefined
    ? encodeFailure(report.failure)
    : undefined

/** Until it is due again, or has timed out; never is `-1`. */
const delayOf = (report: Report): number =>
  report._tag === "Retry" || report._tag === "Postpone"
    ? Math.ceil(report.delayMillis)
    : report._tag === "Await"
    ? Math.ceil(report.timeoutMillis ?? -1)
    : 0

/**
 * Tells of the ends in `ended`, whose codes are `state`. A child tells nothing. Only an executor whose
 * row says that somebody is subscribed comes here, so nobody else pays for a look at `run`.
 */
export const tell = (ended: string, at: string, state: string, failure: string) => `
    INSERT INTO outbox (run_id, at, subscription, partition, consumer, state, fence, attempt, failure)
    SELECT e.run_id, ${at}, s.id, s.partition, s.consumer, ${state}, e.fence, e.attempt, ${failure}
    FROM ${ended} e CROSS JOIN LATERAL (SELECT task FROM run WHERE id = e.run_id OFFSET 0) r
    CROSS JOIN LATERAL (SELECT * FROM subscription WHERE task = r.task OFFSET 0) s
    WHERE s.states & (1 << (${state})) <> 0
      AND NOT EXISTS (SELECT FROM child c WHERE c.run_id = e.run_id)`

/**
 * Running + Succeed → Succeeded, and unless it is cancelling: + Retry → Scheduled, + GiveUp →
 * Failed, + TimeOut → TimedOut, + Release → Ready, + Postpone → Scheduled, + Yield → Suspended,
 * + Await → Awaiting, + Discard → Discarded; in all other cases → Cancelled. One suspending + Retry,
 * + Release, + Postpone → Suspended.
 */
const finalOfKind = "CASE kind WHEN 0 THEN 0 WHEN 2 THEN 1 WHEN 3 THEN 2 WHEN 8 THEN 4 ELSE 3 END"
const endKinds = "0, 2, 3, 5, 8"

const settleText = (more: string): string => `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  x AS (
    DELETE FROM lease
    WHERE incarnation = $1 AND run_id = ANY ($2::bigint[])
      AND fence = ($3::int[])[width_bucket(run_id, $2::bigint[])]
    RETURNING *),
  y AS MATERIALIZED (
    SELECT x.*, ${
  ownLane("x")
} AS own_lane, ms, ($5::text[])[nth] AS result, CASE WHEN said <> 4 THEN ($6::text[])[nth] END AS failure,
      CASE said WHEN 4 THEN ($6::text[])[nth] END AS why, ($7::bigint[])[nth] AS delay, said,
      CASE WHEN is_cancelling AND said <> 0 THEN 5
        WHEN is_suspending AND said IN (1, 4, 9) THEN 6 ELSE said END AS kind
    FROM now, x CROSS JOIN LATERAL (SELECT width_bucket(run_id, $2::bigint[]) AS nth OFFSET 0) w
      CROSS JOIN LATERAL (SELECT ($4::int[])[nth] AS said OFFSET 0) k),
  o AS (
    INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt, crashes,
      is_reported, result, failure)
    SELECT run_id, ms, claimed_at, $1, fence,
      ${finalOfKind},
      attempt - (kind = 8)::int, crashes, true, CASE said WHEN 0 THEN result END, failure
    FROM y WHERE kind IN (${endKinds})),
  told AS (${
  tell(
    `(SELECT run_id, fence, ms, failure, attempt - (kind = 8)::int AS attempt, ${finalOfKind} AS state
      FROM y WHERE kind IN (${endKinds}) AND (SELECT is_watched FROM executor WHERE incarnation = $1))`,
    "ms",
    "e.state",
    "e.failure",
  )
}
    RETURNING id),
  p AS (
    INSERT INTO parked (run_id, since, awaits_until, claimed_at, lane, incarnation, fence, level,
      attempt, crashes, kind, is_careful, gate)
    SELECT run_id, ms, CASE WHEN kind = 7 AND delay >= 0 THEN ms + delay END,
      CASE kind WHEN 7 THEN claimed_at END, own_lane, $1, fence, level,
      attempt - (said IN (4, 6, 9))::int, crashes, kind - 6, is_careful,
      CASE WHEN kind = 7 OR gate IS NULL THEN gate
        ELSE (SELECT y.gate FROM run WHERE id = y.run_id AND gate_places <= 1) END
    FROM y WHERE kind IN (6, 7)),${more}
  s AS (
    INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
    SELECT ms + delay, run_id, own_lane, fence, level, attempt - (kind = 9)::int, crashes, is_careful,
      gate
    FROM y WHERE kind IN (1, 9)),
  q AS (
    INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
    SELECT own_lane, level, ${
  rankOf("y", "ms", {
    // What has begun has no deadline any more.
    attempt: "CASE WHEN result IS NULL AND NOT is_start_marked THEN y.attempt - 1 END",
    of: "($8::bigint[])",
  })
}, run_id, attempt - 1, crashes, fence, is_careful, gate
    FROM y WHERE kind = 4),
  j AS (
    INSERT INTO journal (run_id, at, claimed_at, incarnation, fence, attempt, kind, detail, failure)
    SELECT run_id, ms, CASE WHEN kind <> 7 THEN claimed_at END, $1, fence, attempt,
      CASE said WHEN 1 THEN 'Retried' WHEN 4 THEN 'Released' WHEN 6 THEN 'Yielded'
        WHEN 9 THEN 'Postponed' ELSE 'Awaited' END,
      why, failure
    FROM y WHERE kind IN (1, 4, 6, 7, 9))
  SELECT run_id::float8 AS run, CASE kind WHEN 4 THEN own_lane END AS lane,
    (SELECT count(*)::int FROM told) AS told,
    CASE WHEN gate IS NOT NULL AND kind NOT IN (1, 4, 7, 9)
      THEN (SELECT gate FROM run WHERE id = run_id AND (kind <> 6 OR gate_places > 1)) END AS gate
  FROM y`

const settleAny = settleText("")

/** The next grant that is postponed takes the place of the one before it in the journal (R30). */
const forgetPostponed = `
  f AS (DELETE FROM journal g USING journal p
    WHERE p.run_id = ANY (ARRAY(SELECT run_id FROM y WHERE said = 9 AND kind <> 5))
      AND p.kind = 'Postponed' AND g.run_id = p.run_id AND g.fence = p.fence
      AND g.kind IN ('Started', 'Postponed')),`

/**
 * What was put down has begun, and so has what was given back after its start was marked, or with something
 * kept: it is never too late to go on.
 */
const keepCheckpoints = `
  k AS (
    INSERT INTO checkpoint (run_id, value)
    SELECT run_id, result FROM y
    WHERE (kind = 6 AND said = 6 OR kind IN (4, 6) AND said = 4) AND result IS NOT NULL
    ON CONFLICT ON CONSTRAINT one_checkpoint DO UPDATE SET value = excluded.value),
  t AS (DELETE FROM deadline WHERE run_id = ANY (ARRAY(SELECT run_id FROM y
    WHERE said = 6 OR said = 4 AND (is_start_marked OR result IS NOT NULL)))),`

const settleAndKeep = settleText(keepCheckpoints + forgetPostponed)

const settleAndKeepAll = settleText(`${keepCheckpoints}${forgetPostponed}
  m AS MATERIALIZED (
    SELECT DISTINCT ON (r.task, key) r.task, key, value
    FROM y CROSS JOIN LATERAL (SELECT width_bucket(y.run_id, $2::bigint[]) AS nth OFFSET 0) w
      CROSS JOIN LATERAL (SELECT ($9::text[])[nth] AS key, ($10::text[])[nth] AS value OFFSET 0) v
      CROSS JOIN LATERAL (SELECT task FROM run WHERE id = y.run_id OFFSET 0) r
    WHERE kind = 0 AND key IS NOT NULL ORDER BY r.task, key, y.run_id DESC),
  n AS (
    INSERT INTO state (task, key, value) SELECT task, key, value FROM m WHERE value IS NOT NULL
    ON CONFLICT ON CONSTRAINT one_state_per_key DO UPDATE SET value = excluded.value),
  g AS (
    DELETE FROM state s USING m WHERE m.value IS NULL AND s.task = m.task AND s.key = m.key),`)

/** Late reports beyond are not noted, lest a mad holder fill the disk. */
const journalMax = 1000

const judgeSettled = `
  WITH u AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[]) WITH ORDINALITY
      AS u(run_id, fence, said, nth)),
  known AS MATERIALIZED (
    SELECT nth FROM u WHERE EXISTS (
      SELECT FROM outcome o WHERE o.run_id = u.run_id AND o.fence = u.fence AND o.is_reported
        AND o.incarnation = $4
    ) OR EXISTS (
      SELECT FROM journal j WHERE j.run_id = u.run_id AND j.fence = u.fence
        AND j.kind IN ('Retried', 'Released', 'Postponed', 'Yielded', 'Awaited', 'Revived')
        AND (j.detail IS NULL OR j.kind = 'Released' AND j.detail <> '${GivenBack.unknown}'))),
  noted AS (
    INSERT INTO journal (run_id, at, fence, attempt, kind, detail)
    SELECT u.run_id, clock(), u.fence, 0, 'LateReport', u.said FROM u
    WHERE NOT EXISTS (SELECT FROM known k WHERE k.nth = u.nth)
      AND EXISTS (SELECT FROM run WHERE id = u.run_id)
      AND (SELECT count(*) FROM journal j WHERE j.run_id = u.run_id) < ${journalMax})
  SELECT nth::int - 1 AS nth FROM known`
