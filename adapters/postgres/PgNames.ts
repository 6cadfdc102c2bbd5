/**
 * Names that rows refer to by number: namespaces, tasks, lanes.
 *
 * A number never changes and is never deleted, so this process keeps those it has seen, as many as a
 * bound allows. A name is numbered the first time it is used, by whoever uses it.
 */
import { Effect } from "effect"
import type { Lane } from "../../core/domain/Lane.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { numbers, type Pg, type Row, texts } from "./Pg.ts"

export interface KnownTask {
  readonly namespace: Namespace
  readonly task: TaskName
}

export class PgNames {
  private readonly pg: Pg
  private readonly namespaceIds = new Bounded<string, number>()
  private readonly taskIds = new Bounded<string, number>()
  private readonly tasks = new Bounded<number, KnownTask>()
  private readonly laneIds = new Bounded<string, number>()
  private readonly lanes = new Bounded<number, Lane>()

  constructor(pg: Pg) {
    this.pg = pg
  }

  namespace(name: Namespace): Effect.Effect<number, StorageUnavailable> {
    return Effect.map(this.namespaceNumbers([name]), ([id]) => id!)
  }

  /** One number per name, in order. */
  namespaceNumbers(names: ReadonlyArray<Namespace>) {
    return this.numbered(names, this.namespaceIds, (missing) =>
      Effect.map(
        this.intern<{ id: number; name: string }>(
          `INSERT INTO namespace (name) SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING`,
          `SELECT id, name FROM namespace WHERE name = ANY ($1::text[])`,
          [texts(missing)],
        ),
        (rows) => {
          for (const { id, name } of rows) this.namespaceIds.set(name, id)
        },
      ))
  }

  taskNumbers(tasks: ReadonlyArray<KnownTask>): Effect.Effect<
    ReadonlyArray<number>,
    StorageUnavailable
  > {
    const known = tasks.map((each) => this.taskIds.get(taskKey(each)))
    if (known.every((id) => id !== undefined)) return Effect.succeed(known as Array<number>)
    const namespaces = this.namespaceNumbers(tasks.map(({ namespace }) => namespace))
    return Effect.flatMap(
      namespaces,
      (ids) =>
        this.numbered(tasks.map(taskKey), this.taskIds, () =>
          Effect.map(
            this.intern<{ id: number; at: number }>(
              `INSERT INTO task (namespace, name)
             SELECT DISTINCT * FROM unnest($1::int[], $2::text[]) ON CONFLICT DO NOTHING`,
              `SELECT t.id, (u.at - 1)::int AS at
             FROM unnest($1::int[], $2::text[]) WITH ORDINALITY AS u(namespace, name, at)
             JOIN task t USING (namespace, name)`,
              [numbers(ids), texts(tasks.map(({ task }) => task))],
            ),
            (rows) => {
              for (const { at, id } of rows) {
                this.taskIds.set(taskKey(tasks[at]!), id)
                this.tasks.set(id, { namespace: tasks[at]!.namespace, task: tasks[at]!.task })
              }
            },
          )),
    )
  }

  laneNumbers(lanes: ReadonlyArray<Lane>) {
    return this.numbered(lanes, this.laneIds, (missing) =>
      Effect.map(
        this.intern<{ id: number; name: Lane }>(
          `INSERT INTO lane (name) SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING`,
          `SELECT id, name FROM lane WHERE name = ANY ($1::text[])`,
          [texts(missing)],
        ),
        (rows) => {
          for (const { id, name } of rows) {
            this.laneIds.set(name, id)
            this.lanes.set(id, name)
          }
        },
      ))
  }

  /** The tasks of these numbers, which rows refer to. */
  tasksOf(ids: Iterable<number>): Effect.Effect<(id: number) => KnownTask, StorageUnavailable> {
    const missing = [...new Set(ids)].filter((id) => this.tasks.get(id) === undefined)
    if (missing.length === 0) return Effect.succeed((id) => this.tasks.get(id)!)
    return Effect.map(
      this.pg.query<{ id: number; namespace: Namespace; task: TaskName }>(
        "writes",
        "tasks",
        `SELECT t.id, n.name AS namespace, t.name AS task
         FROM task t JOIN namespace n ON n.id = t.namespace WHERE t.id = ANY ($1::int[])`,
        [numbers(missing)],
      ),
      (rows) => {
        const found = new Map(rows.map(({ id, namespace, task }) => [id, { namespace, task }]))
        for (const [id, task] of found) this.tasks.set(id, task)
        return (id) => found.get(id) ?? this.tasks.get(id)!
      },
    )
  }

  /** The lanes of these numbers; one that is not known is left out. */
  lanesOf(ids: Iterable<number>): Effect.Effect<ReadonlyArray<Lane>, StorageUnavailable> {
    const wanted = [...new Set(ids)]
    const missing = wanted.filter((id) => this.lanes.get(id) === undefined)
    const known = wanted.flatMap((id) => this.lanes.get(id) ?? [])
    if (missing.length === 0) return Effect.succeed(known)
    return Effect.map(
      this.pg.query<{ id: number; name: Lane }>(
        "reads",
        "lanes",
        `SELECT id, name FROM lane WHERE id = ANY ($1::int[])`,
        [numbers(missing)],
      ),
      (rows) => {
        for (const { id, name } of rows) this.lanes.set(id, name)
        return [...known, ...rows.map(({ name }) => name)]
      },
    )
  }

  /** The number of a lane under which waiters know it. */
  laneNumber(lane: Lane): Effect.Effect<number, StorageUnavailable> {
    return Effect.map(this.laneNumbers([lane]), ([id]) => id!)
  }

  private numbered<Name extends string>(
    names: ReadonlyArray<Name>,
    ids: Bounded<string, number>,
    look: (missing: ReadonlyArray<Name>) => Effect.Effect<void, StorageUnavailable>,
  ): Effect.Effect<ReadonlyArray<number>, StorageUnavailable> {
    const known = names.map((name) => ids.get(name))
    if (known.every((id) => id !== undefined)) return Effect.succeed(known as Array<number>)
    const missing = [...new Set(names.filter((name) => ids.get(name) === undefined))]
    // Again, since the map may have started anew meanwhile.
    return Effect.flatMap(look(missing), () => this.numbered(names, ids, look))
  }

  /** Names that another session adds at the same time are seen by the second statement. */
  private intern<R extends Row>(insert: string, select: string, params: ReadonlyArray<unknown>) {
    return Effect.andThen(
      this.pg.query("writes", "names", insert, params),
      this.pg.query<R>("writes", "names", select, params),
    )
  }
}

const taskKey = ({ namespace, task }: KnownTask): string => `${namespace} ${task}`

/** A map that starts anew when it is full, which costs a look-up and nothing else. */
class Bounded<K, V> {
  private readonly entries = new Map<K, V>()

  get(key: K): V | undefined {
    return this.entries.get(key)
  }

  set(key: K, value: V): void {
    if (this.entries.size >= 100_000) this.entries.clear()
    this.entries.set(key, value)
  }
}
