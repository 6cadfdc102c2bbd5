/** Executors, as they are transferred. */
import { Effect } from "effect"
import type { ExecutorName, Incarnation } from "../../../core/domain/Executor.ts"
import type { Namespace } from "../../../core/domain/Namespace.ts"
import type { Of } from "../../../core/domain/StateRecord.ts"
import type { TaskName } from "../../../core/domain/Task.ts"
import type { Ask, Row } from "../Pg.ts"
import { standingCodeOf, standingOf } from "../rows.ts"
import { addNamespaces, insert, ofNamespace } from "./insert.ts"
import { each, sort } from "./Sort.ts"

interface ExecutorRow extends Row {
  readonly incarnation: Incarnation
  readonly namespace: Namespace
  readonly name: ExecutorName
  readonly standing: number
  readonly capacity: number
  readonly labels: string
  readonly resources: string
  readonly tasks: ReadonlyArray<TaskName>
  readonly ttl: number
  readonly joined_at: number
  readonly beat_at: number
}

const selectExecutors = `
  SELECT e.incarnation, n.name AS namespace, e.name, e.capacity, e.labels, e.resources, e.tasks,
    e.ttl, e.joined_at::float8 AS joined_at, e.beat_at::float8 AS beat_at,
    CASE WHEN standing < 2 AND beat_at + ttl <= clock() THEN 3 ELSE standing END::int AS standing
  FROM executor e JOIN namespace n ON n.id = e.namespace
  WHERE e.incarnation > $1::int ORDER BY e.incarnation LIMIT $2`

const executorOf = (row: ExecutorRow): Of<"Executor"> => ({
  _tag: "Executor",
  incarnation: row.incarnation,
  namespace: row.namespace,
  name: row.name,
  standing: standingOf(row.standing),
  capacity: row.capacity,
  labels: JSON.parse(row.labels) as Record<string, string>,
  resources: JSON.parse(row.resources) as Record<string, number>,
  tasks: row.tasks,
  ttlMillis: row.ttl,
  joinedAt: row.joined_at,
  beatAt: row.beat_at,
})

const add = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Executor">>) {
  yield* addNamespaces(ask, all.map(({ namespace }) => namespace))
  yield* insert(
    ask,
    "executor",
    {
      incarnation: "int",
      beat_at: "bigint",
      joined_at: "bigint",
      ttl: "int",
      capacity: "int",
      standing: "smallint",
      name: "text",
      labels: "text",
      resources: "text",
      tasks: "text[]",
    },
    all.map((record) => ({
      namespace_name: record.namespace,
      incarnation: record.incarnation,
      beat_at: record.beatAt,
      joined_at: record.joinedAt,
      ttl: record.ttlMillis,
      capacity: record.capacity,
      standing: standingCodeOf(record.standing),
      name: record.name,
      labels: JSON.stringify(record.labels),
      resources: JSON.stringify(record.resources),
      tasks: record.tasks,
    })),
    {
      more: { namespace_name: "text" },
      also: { namespace: "n.id" },
      from: ofNamespace,
      isNumbered: true,
    },
  )
})

export const executors = sort<"Executor", ExecutorRow>({
  select: selectExecutors,
  first: ["0"],
  placeOf: ({ incarnation }) => [`${incarnation}`],
  recordsOf: each(executorOf),
  add,
})
