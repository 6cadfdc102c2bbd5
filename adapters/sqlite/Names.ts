/** The numbers of tasks and lanes, whose names would otherwise stand in every row. */
import type { Connection } from "./Connection.ts"

const knownMax = 10_000

export class Names {
  private readonly at: Connection
  private readonly kinds = new Map<string, number>()
  private readonly lanes = new Map<string, number>()

  constructor(at: Connection) {
    this.at = at
  }

  /** The number of a task, made if there is none; only within a transaction. */
  kindOf(namespace: string, task: string): number {
    return numberOf(this.kinds, `${namespace} ${task}`, () =>
      this.at.get<{ id: number }>(
        "SELECT id FROM kind WHERE namespace = ? AND task = ?",
        namespace,
        task,
      ) ?? this.at.get<{ id: number }>(
        "INSERT INTO kind (namespace, task) VALUES (?, ?) RETURNING id",
        namespace,
        task,
      ))
  }

  /** The number of a lane, made if there is none; only within a transaction. */
  laneOf(name: string): number {
    return numberOf(
      this.lanes,
      name,
      () =>
        this.at.get<{ id: number }>("SELECT id FROM lane WHERE name = ?", name) ??
          this.at.get<{ id: number }>("INSERT INTO lane (name) VALUES (?) RETURNING id", name),
    )
  }

  /** Numbers given within a transaction that was rolled back are not to be remembered. */
  forget(): void {
    this.kinds.clear()
    this.lanes.clear()
  }
}

const numberOf = (
  known: Map<string, number>,
  name: string,
  make: () => { readonly id: number } | undefined,
): number => {
  const number = known.get(name)
  if (number !== undefined) return number
  const { id } = make()!
  if (known.size >= knownMax) known.clear()
  known.set(name, id)
  return id
}
