/** What PostgreSQL decides at gates, from rows: see R8, R20 and R21 of `RunStorage`. */
import { Effect } from "effect"
import { hash } from "node:crypto"
import type { Gate, GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import type { Lane } from "../../core/domain/Lane.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Reason } from "../../core/domain/RunView.ts"
import * as Share from "../../core/domain/Share.ts"
import * as Touching from "../../core/domain/Touching.ts"
import type { Admission, RunStorage } from "../../core/services/RunStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { booleans, numbers, type Pg, type Row, texts } from "./Pg.ts"
import type { PgHints, Topic } from "./PgHints.ts"
import { patience, stateOf } from "./rows.ts"

/** A decision is cheap, and yet a gate with a hundred thousand places is not opened in one step. */
const admissionsMax = 1000

/** The column `gate_places`. There is one place where only the latest is kept, so it tells which. */
export const placesOf = ({ places, whenFull }: Gate): number =>
  whenFull === "replace" ? -1 : whenFull === "latest" ? -2 : places

export const gateOf = (key: GateKey, places: number, isDiscarding: boolean): Gate => ({
  key,
  places: Math.max(1, places),
  whenFull: places === -1
    ? "replace"
    : places === -2
    ? "latest"
    : isDiscarding
    ? "discard"
    : "wait",
})

/** `gate_id` of a gate without a pool, which costs the server eight microseconds. */
const idOf = (key: GateKey): string => hash("sha256", key).slice(0, 32)

interface AdmittedRow extends Row {
  /** None, if it only tells whom to tell. */
  readonly run: RunId | null
  readonly lane: number
  readonly is_admitted: boolean
  readonly holders: ReadonlyArray<Incarnation> | null
  readonly unplaced: Lane | null
}

export const make = (pg: Pg, hints: PgHints): RunStorage["admit"] => {
  const told = (rows: ReadonlyArray<AdmittedRow>): ReadonlyArray<Admission> => {
    hints.give(
      new Set(rows.flatMap((row): ReadonlyArray<Topic> => [
        ...(row.is_admitted ? [`l${row.lane}` as const] : []),
        ...(row.holders ?? []).map((holder) => `e${holder}` as const),
      ])),
    )
    return rows.flatMap(({ is_admitted, run, unplaced }): ReadonlyArray<Admission> => {
      if (run === null) return []
      if (!is_admitted) return [{ run, state: "Discarded" }]
      return [{ run, state: "Ready", ...(unplaced !== null && { unplaced }) }]
    })
  }

  const admitCounting = (gates: ReadonlyArray<GateKey>) =>
    gates.length === 0 ? Effect.succeed([]) : Effect.map(
      pg.query<AdmittedRow>("writes", "admit", admitAny, [
        texts(gates.map(idOf)),
        admissionsMax,
        patience,
      ]),
      told,
    )

  const admitTouching = Effect.fnUntraced(function* (gates: ReadonlyArray<GateKey>) {
    const admissions: Array<Admission> = []
    const byNamespace = Map.groupBy(gates, (gate) => Touching.touchesOf(gate).namespace)
    for (const [namespace, keys] of [...byNamespace].sort(([a], [b]) => a < b ? -1 : 1)) {
      const rows = yield* pg.query<AdmittedRow>("writes", "admit", admitTouchingOf, [
        namespace,
        ...thingsOf(keys),
        admissionsMax,
        patience,
      ])
      admissions.push(...told(rows))
    }
    return admissions
  })

  const admitSharing = Effect.fnUntraced(function* (gates: ReadonlyArray<GateKey>) {
    const admissions: Array<Admission> = []
    for (
      const [, keys] of [...Map.groupBy(gates, Share.poolOf)].sort(([a], [b]) => a < b ? -1 : 1)
    ) {
      const rows = yield* pg.query<AdmittedRow>("writes", "admit", admitSharingOf, [
        texts(keys),
        numbers(keys.map(Share.costOf)),
        admissionsMax,
        patience,
      ])
      admissions.push(...told(rows))
    }
    return admissions
  })

  /** Ends the parents behind these gates whose children have. */
  const gather = (gates: ReadonlyArray<GateKey>) =>
    gates.length === 0 ? Effect.succeed([]) : Effect.map(
      pg.query<{ run: RunId; state: number }>(
        "writes",
        "admit",
        "SELECT run::float8 AS run, state FROM gather($1::text[], $2::bigint[])",
        [texts(gates), numbers(gates.map((gate) => FanIn.parentOf(gate)!))],
      ),
      (rows) =>
        rows.map(({ run, state }): Admission => ({ run, state: stateOf(state) as FanIn.Verdict })),
    )

  return Effect.fnUntraced(function* (given): Effect.fn.Return<
    ReadonlyArray<Admission>,
    StorageUnavailable
  > {
    const gates = [...new Set(given)]
    const touching = gates.filter(Touching.isGate)
    const sharing = gates.filter(Share.isGate)
    const others = touching.length + sharing.length === 0
      ? gates
      : gates.filter((gate) => !Touching.isGate(gate) && !Share.isGate(gate))
    const counted = yield* admitCounting(others)
    const touched = touching.length === 0 ? [] : yield* admitTouching(touching)
    const shared = sharing.length === 0 ? [] : yield* admitSharing(sharing)
    const families = others.filter((gate) => FanIn.parentOf(gate) !== undefined)
    return [...counted, ...touched, ...shared, ...(yield* gather(families))]
  })
}

/** Gates, things and whether exclusively, as parameters. */
const thingsOf = (gates: ReadonlyArray<GateKey>): ReadonlyArray<unknown> => {
  const things = gates.flatMap((gate) =>
    Object.entries(Touching.touchesOf(gate).touches).map(([thing, how]) => ({ gate, thing, how }))
  )
  return [
    texts(things.map(({ gate }) => gate)),
    texts(things.map(({ thing }) => thing)),
    booleans(things.map(({ how }) => how === "exclusive")),
  ]
}

/** Touching.areOpposed, told of one that waits. */
export const whyTouching = (
  pg: Pg,
  run: RunId,
  gate: GateKey,
): Effect.Effect<Reason, StorageUnavailable> =>
  Effect.map(
    pg.query<{ holders: ReadonlyArray<RunId>; ahead: number }>("reads", "why", selectOpposed, [
      `${run}`,
      ...thingsOf([gate]).slice(1),
      Touching.touchesOf(gate).namespace,
    ]),
    ([row]): Reason =>
      row === undefined || row.holders.length + row.ahead === 0
        ? { _tag: "GateOpen", gate }
        : { _tag: "GateFull", gate, holders: row.holders, ahead: row.ahead },
  )

/** What passed are many runs, and few lanes. */
const withUnplaced = (admitted: string): string => `
  WITH a AS MATERIALIZED (${admitted}),
  l AS MATERIALIZED (SELECT id, name FROM lane
    WHERE id = ANY (ARRAY(SELECT DISTINCT lane_id FROM a)) AND executor = 0)
  SELECT run::float8 AS run, lane_id AS lane, is_admitted, holders,
    (SELECT l.name FROM l WHERE l.id = a.lane_id) AS unplaced
  FROM a`

const admitAny = withUnplaced("SELECT * FROM admit($1::uuid[], $2, $3::bigint[])")

const admitTouchingOf = withUnplaced(`
  SELECT *, true AS is_admitted, NULL::int[] AS holders
  FROM admit_touching($1, ARRAY(SELECT gate_id(key) FROM unnest($2::text[]) key), $3::text[],
    $4::boolean[], $5, $6::bigint[])`)

const admitSharingOf = withUnplaced(`
  SELECT *, true AS is_admitted, NULL::int[] AS holders
  FROM admit_sharing($1::text[], $2::int[], $3, $4::bigint[])`)

const selectOpposed = `
  WITH it AS (SELECT turn FROM blocked WHERE run_id = $1::bigint),
  opposed AS MATERIALIZED (
    SELECT DISTINCT o.gate FROM unnest($2::text[], $3::boolean[]) AS own(thing, is_exclusive)
    JOIN touching o ON o.namespace = $4 AND o.thing = own.thing
      AND (o.is_exclusive OR own.is_exclusive))
  SELECT ARRAY(SELECT h.run_id FROM opposed CROSS JOIN LATERAL (
      SELECT run_id::float8 FROM ready WHERE gate = opposed.gate UNION ALL
      SELECT run_id FROM lease WHERE gate = opposed.gate UNION ALL
      SELECT run_id FROM parked WHERE gate = opposed.gate UNION ALL
      SELECT run_id FROM scheduled WHERE gate = opposed.gate AND fence > 0) h
      ORDER BY h.run_id LIMIT 10) AS holders,
    (SELECT count(*)::int FROM opposed JOIN blocked b ON b.gate = opposed.gate
      WHERE b.turn < it.turn) AS ahead
  FROM it`
