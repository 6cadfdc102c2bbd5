/** Task definitions in PostgreSQL: see `TaskStorage` for the laws. */
import { Effect, Option, Schema } from "effect"
import * as Lane from "../../core/domain/Lane.ts"
import { TaskDefinition } from "../../core/domain/Task.ts"
import type { DefinedTask, TaskStorage } from "../../core/services/TaskStorage.ts"
import { numbers, type Pg, texts } from "./Pg.ts"
import type { PgNames } from "./PgNames.ts"

const Json = Schema.fromJsonString(TaskDefinition)
const encode = Schema.encodeSync(Json)
const decode = Schema.decodeSync(Json)

interface TaskRow {
  readonly [column: string]: unknown
  readonly definition: string
  readonly revision: number
}

const defined = ({ definition, revision }: TaskRow): DefinedTask => ({
  definition: decode(definition),
  revision,
})

export const make = (pg: Pg, names: PgNames): TaskStorage => ({
  define: Effect.fnUntraced(function* (definitions) {
    if (definitions.length === 0) return
    // The one named last holds; a statement may update a row only once.
    const last = [...new Map(definitions.map((each) => [`${each.namespace} ${each.name}`, each]))
      .values()]
    // `submit` in SQL needs the lane: made in its transaction, it would keep everybody else waiting.
    yield* names.laneNumbers(
      last.map(({ name, namespace, policy }) => Lane.ofTask(namespace, name, policy.selector)),
    )
    const ids = yield* names.taskNumbers(
      last.map(({ name, namespace }) => ({ namespace, task: name })),
    )
    yield* pg.query(
      "writes",
      "define",
      `UPDATE task SET definition = u.definition, revision = task.revision + 1
       FROM unnest($1::int[], $2::text[]) AS u(id, definition)
       WHERE task.id = u.id AND task.definition IS DISTINCT FROM u.definition`,
      [numbers(ids), texts(last.map((definition) => encode(definition)))],
    )
  }),
  find: (namespace, name) =>
    Effect.map(
      pg.query<TaskRow>(
        "reads",
        "find",
        `SELECT t.definition, t.revision FROM task t JOIN namespace n ON n.id = t.namespace
         WHERE n.name = $1 AND t.name = $2 AND t.definition IS NOT NULL`,
        [namespace, name],
      ),
      ([row]) => Option.map(Option.fromNullishOr(row), defined),
    ),
  list: (namespace) =>
    Effect.map(
      pg.query<TaskRow>(
        "reads",
        "list",
        `SELECT t.definition, t.revision FROM task t JOIN namespace n ON n.id = t.namespace
         WHERE n.name = $1 AND t.definition IS NOT NULL ORDER BY t.name COLLATE "C"`,
        [namespace],
      ),
      (rows) => rows.map(defined),
    ),
})
