/** Task definitions in SQLite: see `TaskStorage` for the laws. */
import { Effect, Equal, Option, Schema } from "effect"
import { TaskDefinition } from "../../core/domain/Task.ts"
import type { DefinedTask, TaskStorage } from "../../core/services/TaskStorage.ts"
import type { Database, Transaction } from "./Database.ts"

const Json = Schema.fromJsonString(TaskDefinition)
const encode = Schema.encodeSync(Json)
/** A kept definition that does not decode is our defect. */
const decode = Schema.decodeSync(Json)

interface TaskRow {
  readonly definition: string
  readonly revision: number
}

const definedOf = ({ definition, revision }: TaskRow): DefinedTask => ({
  definition: decode(definition),
  revision,
})

const selectTask = "SELECT definition, revision FROM task WHERE namespace = ? AND name = ?"

export const make = (db: Database): TaskStorage => ({
  define: (definitions) => db.write("define", (tx) => define(tx, definitions)),
  find: (namespace, name) =>
    Effect.map(
      db.read("find task", () => db.get<TaskRow>(selectTask, namespace, name)),
      (row) => Option.map(Option.fromNullishOr(row), definedOf),
    ),
  list: (namespace) =>
    db.readInTurns("list tasks", function* (at) {
      const rows = at.all<TaskRow>(
        "SELECT definition, revision FROM task WHERE namespace = ? ORDER BY name",
        namespace,
      )
      const defined: Array<DefinedTask> = []
      for (const row of rows) {
        defined.push(definedOf(row))
        yield
      }
      return defined
    }),
})

export const define = ({ db }: Transaction, definitions: ReadonlyArray<TaskDefinition>): void => {
  for (const definition of definitions) {
    const { name, namespace } = definition
    const text = encode(definition)
    const known = db.get<TaskRow>(selectTask, namespace, name)
    // Equal texts are equal definitions; others may be too, by the order of their keys.
    const isEqual = known?.definition === text ||
      (known !== undefined && Equal.equals(decode(known.definition), definition))
    if (isEqual) continue
    db.run(
      `INSERT INTO task VALUES (?, ?, ?, 1) ON CONFLICT (namespace, name)
       DO UPDATE SET definition = excluded.definition, revision = revision + 1`,
      namespace,
      name,
      text,
    )
  }
}
