/** Permits in PostgreSQL: see `PermitStorage` for the laws. */
import { Effect } from "effect"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { CellKey, Command } from "../../core/domain/Permit.ts"
import { ofCells, type PermitStorage } from "../../core/services/PermitStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import type { PgNames } from "./PgNames.ts"

interface CellRow {
  readonly [column: string]: unknown
  readonly cell: string | null
  readonly revision: number
  readonly now: number
}

type KeyName = readonly [namespace: number, name: string]

interface KeyRow {
  readonly [column: string]: unknown
  readonly namespace: number
  readonly name: string
  readonly cell: string
  readonly revision: number
  readonly now: number
}

export const make = (pg: Pg, names: PgNames): PermitStorage => {
  const step = Effect.fnUntraced(function* <Answer>(
    given: Namespace,
    keys: ReadonlyArray<CellKey>,
    command: Command<Answer>,
  ): Effect.fn.Return<Answer, StorageUnavailable> {
    const namespace = yield* names.namespace(given)
    const of = [namespace, texts(keys.map(({ kind }) => kind)), texts(keys.map(({ name }) => name))]
    // Whoever was quicker has got what it wanted, so every turn brings somebody on.
    for (;;) {
      const rows = yield* pg.query<CellRow>("writes", "permit", select, of)
      const { answer, cells } = command(rows.map(({ cell }) => cell ?? undefined), rows[0]!.now)
      const changed = cells.flatMap((cell, i) =>
        cell === undefined || cell === rows[i]!.cell ? [] : [{ ...keys[i]!, ...rows[i]!, cell }]
      )
      if (changed.length === 0) return answer
      const kept = yield* pg.query<{ readonly count: number }>("writes", "permit", keep, [
        namespace,
        texts(changed.map(({ kind }) => kind)),
        texts(changed.map(({ name }) => name)),
        numbers(changed.map(({ revision }) => revision)),
        texts(changed.map(({ cell }) => cell)),
      ])
      if (kept[0]!.count === changed.length) return answer
    }
  })
  return ofCells({
    step,
    list: (namespace, kind, prefix, limit) =>
      pg.query<{ readonly name: string; readonly cell: string }>(
        "reads",
        "list permits",
        `SELECT name, cell FROM permit WHERE kind = $2 AND cell <> '' AND starts_with(name, $3)
           AND namespace = (SELECT id FROM namespace WHERE name = $1)
         ORDER BY name COLLATE "C" LIMIT $4`,
        [namespace, kind, prefix, limit],
      ),
    sweep: Effect.fnUntraced(function* (isForgotten, limit, from) {
      const [namespace, name] = from === undefined ? [0, ""] : JSON.parse(from) as KeyName
      const page = yield* pg.query<KeyRow>("reads", "forget permits", pageOfKeys, [
        namespace,
        name,
        limit,
      ])
      const over = page.filter(({ cell, now }) => isForgotten(cell, now))
      const last = page.length < limit ? undefined : page.at(-1)
      const next = last && JSON.stringify([last.namespace, last.name] satisfies KeyName)
      if (over.length === 0) return { forgotten: 0, next }
      const gone = yield* pg.query<{ readonly count: number }>("writes", "forget permits", forget, [
        numbers(over.map(({ namespace }) => namespace)),
        texts(over.map(({ name }) => name)),
        numbers(over.map(({ revision }) => revision)),
      ])
      return { forgotten: gone[0]!.count, next }
    }),
  })
}

const select = `
  SELECT nullif(p.cell, '') AS cell, coalesce(p.revision, 0)::int AS revision, clock()::float8 AS now
  FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS u(kind, name, at)
  LEFT JOIN permit p ON p.namespace = $1 AND p.kind = u.kind AND p.name = u.name
  ORDER BY u.at`

/** All or none: nothing unless each cell is still as it was. */
const keep = `SELECT keep_permits($1, $2::text[], $3::text[], $4::int[], $5::text[]) AS count`

const pageOfKeys = `
  SELECT namespace, name, cell, revision, clock()::float8 AS now FROM permit
  WHERE kind = 'key' AND (namespace, name) > ($1::int, $2::text) ORDER BY namespace, name LIMIT $3`

/** Those that are still as they were looked at. */
const forget = `
  WITH gone AS (
    DELETE FROM permit p USING unnest($1::int[], $2::text[], $3::int[]) AS u(namespace, name, known)
    WHERE p.namespace = u.namespace AND p.kind = 'key' AND p.name = u.name AND p.revision = u.known
    RETURNING 1)
  SELECT count(*)::int AS count FROM gone`
