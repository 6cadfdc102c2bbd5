/** What was asked of triggers by hand, as it is transferred. */
import type { RunId } from "../../../core/domain/RunId.ts"
import type { Of } from "../../../core/domain/StateRecord.ts"
import * as Trigger from "../../../core/domain/Trigger.ts"
import type { Row } from "../Pg.ts"
import { askedKinds } from "../rows.ts"
import { insert } from "./insert.ts"
import { each, sort } from "./Sort.ts"

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

export const asked = sort<"Asked", AskedRow>({
  select: selectAsked,
  first: ["0", "0", ""],
  placeOf: ({ key, kind, trigger }) => [`${trigger}`, `${kind}`, key],
  recordsOf: each(askedOf),
  add: (ask, all) =>
    insert(
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
      all.map(({ at, by, kind, request, revision, run, slot, trigger }) => ({
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
    ),
})
