/** Triggers and where they tail, as they are transferred. */
import { Effect } from "effect"
import type { Of } from "../../../core/domain/StateRecord.ts"
import * as Tailing from "../../../core/domain/Tailing.ts"
import * as Trigger from "../../../core/domain/Trigger.ts"
import type { Ask, Row } from "../Pg.ts"
import { tailColumns } from "../PgTailing.ts"
import { encodeTrigger, triggerView } from "../rows.ts"
import { addNamespaces, insert, ofNamespace } from "./insert.ts"
import { each, sort } from "./Sort.ts"

interface TriggerRow extends Row {
  readonly id: Trigger.TriggerId
  readonly definition: string
  readonly revision: number
  readonly is_paused: boolean
  readonly is_removed: boolean
  readonly cursor: number | null
  readonly source: string | null
}

const selectTriggers = `
  SELECT id, definition, revision, is_paused, is_removed,
    CASE WHEN NOT is_removed THEN cursor END::float8 AS cursor, source, ${tailColumns}
  FROM trigger LEFT JOIN tail ON tail.trigger = id WHERE id > $1::int ORDER BY id LIMIT $2`

const triggerOf = (row: TriggerRow & Tailing.Row): Of<"Trigger"> => ({
  _tag: "Trigger",
  ...triggerView(row),
  isRemoved: row.is_removed,
  ...(row.source !== null && { tail: { ...Tailing.ofRow(row), source: row.source } }),
})

const add = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Trigger">>) {
  yield* addNamespaces(ask, all.map(({ definition }) => definition.namespace))
  yield* insert(
    ask,
    "trigger",
    {
      id: "int",
      name: "text",
      cursor: "bigint",
      revision: "int",
      partition: "smallint",
      is_paused: "boolean",
      is_removed: "boolean",
      definition: "text",
      calendar: "text",
      is_permanent: "boolean",
    },
    all.map(({ cursor, definition, id, isPaused, isRemoved, revision }) => ({
      namespace_name: definition.namespace,
      id,
      name: definition.name,
      cursor,
      revision,
      partition: Trigger.partitionOf(definition.namespace, definition.name),
      is_paused: isPaused,
      is_removed: isRemoved,
      definition: encodeTrigger(definition),
      calendar: Trigger.calendarOf(definition.schedule),
      is_permanent: definition.schedule._tag === "Permanent",
    })),
    {
      more: { namespace_name: "text" },
      also: { namespace: "n.id" },
      from: ofNamespace,
      isNumbered: true,
    },
  )
  yield* insert(
    ask,
    "tail",
    {
      trigger: "int",
      source: "text",
      position: "text",
      fired: "bigint",
      passed: "bigint",
      skipped: "bigint",
      moved_at: "bigint",
      up_to: "bigint",
      failure: "text",
      failing_since: "bigint",
    },
    all.flatMap(({ id, tail }) =>
      tail === undefined ? [] : [{ trigger: id, source: tail.source, ...Tailing.rowOf(tail) }]
    ),
  )
})

export const triggers = sort<"Trigger", TriggerRow & Tailing.Row>({
  select: selectTriggers,
  first: ["0"],
  placeOf: ({ id }) => [`${id}`],
  recordsOf: each(triggerOf),
  add,
})
