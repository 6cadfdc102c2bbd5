/** What a command may use: the database within a transaction, and what is done at its commit. */
import type { StateName } from "../../core/domain/Run.ts"
import * as RunId from "../../core/domain/RunId.ts"
import type { Topic } from "../../core/services/Wakeups.ts"
import type { Database } from "./Database.ts"

class Watched {
  isAny: boolean | undefined
  /** By kind, as bits. */
  readonly ends = new Map<number, number>()

  clear(): void {
    this.isAny = undefined
    this.ends.clear()
  }
}

export class Transaction {
  readonly db: Database
  /** One instant for all that happens in it. */
  readonly now: number
  readonly topics = new Set<Topic>()
  /** What `SqliteOutbox` has seen of the subscriptions. */
  readonly watched = new Watched()
  private readonly tallies = new Map<string, Map<number, number>>()
  private firstId = 0
  private lastId = 0

  constructor(db: Database, now: number) {
    this.db = db
    this.now = now
  }

  nextRunId(): RunId.RunId {
    if (this.lastId === 0) {
      this.firstId =
        this.db.get<{ value: number }>("SELECT value FROM meta WHERE key = 'run'")!.value
      this.lastId = this.firstId
    }
    const id = RunId.next(this.lastId, this.now)
    this.lastId = id
    return id
  }

  /** Counts runs of a kind into a state, or out of it. */
  tally(kind: number, state: StateName, change: number): void {
    const kinds = this.tallies.get(state)
    if (kinds === undefined) this.tallies.set(state, new Map([[kind, change]]))
    else kinds.set(kind, (kinds.get(kind) ?? 0) + change)
  }

  /** Given once the transaction is committed, to this process and others. */
  hint(topic: Topic): void {
    this.topics.add(topic)
  }

  /** Writes what was gathered; the last thing before the commit. */
  finish(): void {
    const { db } = this
    if (this.lastId !== this.firstId) {
      db.run("UPDATE meta SET value = ? WHERE key = 'run'", this.lastId)
    }
    for (const [state, kinds] of this.tallies) {
      for (const [kind, change] of kinds) {
        if (change === 0) continue
        const { changes } = db.run(
          "UPDATE tally SET runs = runs + ? WHERE kind = ? AND state = ?",
          change,
          kind,
          state,
        )
        if (changes === 0) db.run("INSERT INTO tally VALUES (?, ?, ?)", kind, state, change)
      }
    }
    if (!db.isShared || this.topics.size === 0) return
    const { value } = db.get<{ value: number }>(
      "UPDATE meta SET value = value + 1 WHERE key = 'hint' RETURNING value",
    )!
    for (const topic of this.topics) {
      db.run(
        "INSERT INTO hint VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET number = excluded.number",
        topic,
        value,
      )
    }
  }
}
