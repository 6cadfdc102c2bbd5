/** Task definitions in SQLite: see `TaskStorage` for the laws. */
import { Effect, Equal, Option, Schema } from "effect"
import { TaskDefinition } from "../../core/domain/Task.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { finals } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Failure } from "../../core/domain/RunView.ts"
import type { TaskName } from "../../core/domain/TaskName.ts"
import {
  type DefinedTask,
  type LastRun,
  lookedAt,
  saidMax,
  type TaskStorage,
} from "../../core/services/TaskStorage.ts"
import type { Connection } from "./Connection.ts"
import type { Database, Transaction } from "./Database.ts"
import type { Steps } from "./Snapshots.ts"

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
  introduce: (definition) => db.write("introduce", (tx) => introduce(tx, definition)),
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
  lasts: (namespace) => db.readInTurns("list tasks", (at) => lasts(at, namespace)),
})

interface EndedRow {
  readonly run: RunId
  readonly state: number
  readonly attempt: number
  readonly claimed_at: number
  readonly finished_at: number
  readonly result: string | null
  readonly failure: string | null
}

/** After the latest, at the runs that are held, and at the first that waits in its lane. */
const selectPlaces = `
  SELECT ${Number.MAX_SAFE_INTEGER} AS run
  UNION SELECT min(run) FROM lease WHERE kind = ?1
  UNION SELECT max(run) FROM lease WHERE kind = ?1
  UNION SELECT (SELECT run FROM ready
    WHERE lane = (SELECT lane FROM run WHERE kind = ?1 ORDER BY id DESC LIMIT 1)
    ORDER BY level, rank, run LIMIT 1)`

const selectLast = `
  SELECT o.run, o.state, o.attempt, o.claimed_at, o.finished_at,
    substr(o.result, 1, ${saidMax}) AS result, o.failure
  FROM (SELECT id FROM run WHERE kind = ? AND id < ? ORDER BY id DESC LIMIT ${lookedAt}) AS r
  CROSS JOIN outcome AS o ON o.run = r.id
  WHERE o.claimed_at IS NOT NULL ORDER BY o.finished_at DESC, o.run DESC LIMIT 1`

function* lasts(at: Connection, namespace: Namespace): Steps<ReadonlyArray<LastRun>> {
  const tasks = at.all<{ kind: number; task: TaskName }>(
    `SELECT kind.id AS kind, kind.task FROM kind JOIN task
       ON task.namespace = kind.namespace AND task.name = kind.task WHERE kind.namespace = ?`,
    namespace,
  )
  const found: Array<LastRun> = []
  for (const { kind, task } of tasks) {
    const [last] = at.all<{ run: number | null }>(selectPlaces, kind)
      .flatMap(({ run }) => run === null ? [] : at.all<EndedRow>(selectLast, kind, run))
      .sort((a, b) => b.finished_at - a.finished_at)
    if (last !== undefined) found.push(lastOf(task, last))
    yield
  }
  return found
}

const lastOf = (task: TaskName, row: EndedRow): LastRun => {
  const { attempt, claimed_at, failure, finished_at, result, run, state } = row
  const said = state === 0 ? result : failure && (JSON.parse(failure) as Failure).message
  return {
    task,
    run,
    state: finals[state]!,
    attempt,
    claimedAt: claimed_at,
    finishedAt: finished_at,
    said: said?.slice(0, saidMax),
  }
}

const introduce = ({ db }: Transaction, definition: TaskDefinition): void =>
  void db.run(
    "INSERT INTO task VALUES (?, ?, ?, 1) ON CONFLICT (namespace, name) DO NOTHING",
    definition.namespace,
    definition.name,
    encode(definition),
  )

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
