/** Tasks, as they are transferred. */
import { Effect, Schema } from "effect"
import type { Of } from "../../../core/domain/StateRecord.ts"
import { TaskDefinition } from "../../../core/domain/Task.ts"
import type { Ask, Row } from "../Pg.ts"
import { addNamespaces, insert, ofNamespace } from "./insert.ts"
import { each, sort } from "./Sort.ts"

const TaskJson = Schema.fromJsonString(TaskDefinition)
const encodeTask = Schema.encodeSync(TaskJson)
const decodeTask = Schema.decodeSync(TaskJson)

interface DefinedRow extends Row {
  readonly id: number
  readonly definition: string
  readonly revision: number
}

const selectTasks = `
  SELECT id, definition, revision FROM task
  WHERE id > $1::int AND definition IS NOT NULL ORDER BY id LIMIT $2`

const taskOf = ({ definition, revision }: DefinedRow): Of<"Task"> => ({
  _tag: "Task",
  definition: decodeTask(definition),
  revision,
})

const add = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Task">>) {
  yield* addNamespaces(ask, all.map(({ definition }) => definition.namespace))
  yield* insert(
    ask,
    "task",
    { name: "text", revision: "int", definition: "text" },
    all.map(({ definition, revision }) => ({
      namespace_name: definition.namespace,
      name: definition.name,
      revision,
      definition: encodeTask(definition),
    })),
    {
      more: { namespace_name: "text" },
      also: { namespace: "n.id" },
      from: `${ofNamespace} WHERE true ON CONFLICT ON CONSTRAINT one_id_per_task DO UPDATE
        SET revision = excluded.revision, definition = excluded.definition`,
    },
  )
})

export const tasks = sort<"Task", DefinedRow>({
  select: selectTasks,
  first: ["0"],
  placeOf: ({ id }) => [`${id}`],
  recordsOf: each(taskOf),
  add,
})
