/** How runs will end, in PostgreSQL: R22 of `RunStorage`. */
import { Effect } from "effect"
import { type Conclusion, hooksLeft, isMark } from "../../core/domain/Conclusion.ts"
import { type Final, finals } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Concluding, RunStorage } from "../../core/services/RunStorage.ts"
import { numbers, type Pg, type Row, texts } from "./Pg.ts"
import { partsByRun } from "./parts.ts"
import { decodeFailure, encodeFailure, phases } from "./rows.ts"

/** All of it is absent when nothing was concluded. */
export interface ConclusionRow extends Row {
  readonly state: number | null
  readonly phase: number | null
  readonly result: string | null
  readonly failure: string | null
}

export const conclusionOf = (
  { failure, phase, result, state }: ConclusionRow,
): Conclusion | undefined =>
  state === null || phase === null ? undefined : {
    state: finals[state] as Conclusion["state"],
    phase: phases[phase]!,
    ...(result !== null && { result }),
    ...(failure !== null && { failure: decodeFailure(failure) }),
  }

export const make = (pg: Pg): Pick<RunStorage, "conclude"> => ({
  conclude: Effect.fnUntraced(function* (incarnation, conclusions) {
    const kept = new Set<Concluding>()
    for (const part of partsByRun(conclusions)) {
      const rows = yield* pg.query<{ run: RunId }>("claims", "conclude", conclude, [
        incarnation,
        numbers(part.map(({ run }) => run)),
        numbers(part.map(({ fence }) => fence)),
        numbers(part.map(({ conclusion: { state } }) => finals.indexOf(state satisfies Final))),
        numbers(part.map(({ conclusion: { phase } }) => phases.indexOf(phase))),
        texts(part.map(({ conclusion: { result } }) => result)),
        texts(
          part.map(({ conclusion: { failure } }) =>
            failure === undefined ? undefined : encodeFailure(failure)
          ),
        ),
      ])
      const runs = new Set(rows.map(({ run }) => run))
      for (const each of part) if (runs.has(each.run)) kept.add(each)
    }
    const refused = conclusions.filter((each) => isMark(each.conclusion) && !kept.has(each))
    if (refused.length > 0) {
      const rows = yield* pg.query<{ nth: number }>("claims", "hooks left", left, [
        numbers(refused.map(({ run }) => run)),
        numbers(refused.map(({ fence }) => fence)),
        hooksLeft,
      ])
      for (const { nth } of rows) kept.add(refused[nth - 1]!)
    }
    return conclusions.map((each) => kept.has(each))
  }),
})

const mark = phases.indexOf("handedOver")

/**
 * Marks that come again, and have become conclusions meanwhile. After `conclude`, and not with it: it
 * has waited for whoever made one of them.
 */
const left = `
  SELECT u.nth::int AS nth
  FROM unnest($1::bigint[], $2::int[]) WITH ORDINALITY AS u(run_id, fence, nth)
    CROSS JOIN LATERAL (
      SELECT FROM journal j
      WHERE j.run_id = u.run_id AND j.fence = u.fence AND j.detail = $3 LIMIT 1) j`

/**
 * The lease is locked: whoever frees it sees what was concluded. Late copies change nothing. What
 * is to stop ends once it is handed over, so of that no mark is made: nothing would be left to anybody.
 */
const conclude = `
  WITH ours AS MATERIALIZED (
    SELECT u.* FROM unnest($2::bigint[], $3::int[], $4::smallint[], $5::smallint[], $6::text[],
        $7::text[]) AS u(run_id, fence, state, phase, result, failure)
      CROSS JOIN LATERAL (
        SELECT FROM lease l
        WHERE l.incarnation = $1 AND l.run_id = u.run_id AND l.fence = u.fence
          AND (u.phase <> ${mark} OR NOT l.is_cancelling AND NOT EXISTS (
            SELECT FROM conclusion c WHERE c.run_id = u.run_id AND c.phase <> ${mark}))
        FOR UPDATE) l),
  kept AS (
    INSERT INTO conclusion (run_id, fence, state, phase, result, failure)
    SELECT run_id, fence, state, phase, result, failure FROM ours ORDER BY run_id
    ON CONFLICT ON CONSTRAINT one_conclusion DO UPDATE SET fence = excluded.fence,
      state = excluded.state, phase = excluded.phase, result = excluded.result,
      failure = excluded.failure
    WHERE excluded.fence > conclusion.fence OR conclusion.phase = ${mark}
      OR excluded.phase >= conclusion.phase),
  begun AS (DELETE FROM deadline d USING ours o WHERE d.run_id = o.run_id)
  SELECT run_id::float8 AS run FROM ours`
