/** One connection to SQLite, and the statements prepared on it. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite"

export type Value = SQLInputValue
export type Row = Record<string, unknown>

/**
 * The planner looks at a limit that is a bare parameter, and so SQLite prepares the statement anew
 * whenever it is bound: 30 to 60 µs each time. At an expression it does not look.
 */
const planned = (sql: string): string => sql.replaceAll(/\bLIMIT (\?\d*)/g, "LIMIT $1 + 0")

export class Connection {
  readonly sqlite: DatabaseSync
  private readonly statements = new Map<string, StatementSync>()
  private readonly tupled = new Map<string, StatementSync>()

  constructor(sqlite: DatabaseSync) {
    this.sqlite = sqlite
  }

  /** Statements are few, as no text is ever built from values, so all are kept. */
  prepare(sql: string): StatementSync {
    const known = this.statements.get(sql)
    if (known !== undefined) return known
    const made = this.sqlite.prepare(planned(sql))
    this.statements.set(sql, made)
    return made
  }

  run(sql: string, ...values: ReadonlyArray<Value>): { readonly changes: number } {
    return this.prepare(sql).run(...values) as { changes: number }
  }

  get<A = Row>(sql: string, ...values: ReadonlyArray<Value>): A | undefined {
    return this.prepare(sql).get(...values) as A | undefined
  }

  all<A = Row>(sql: string, ...values: ReadonlyArray<Value>): Array<A> {
    return this.prepare(sql).all(...values) as Array<A>
  }

  /** Rows as arrays of their columns, which for many rows costs half of what objects do. */
  tuples<A extends ReadonlyArray<unknown>>(sql: string, ...values: ReadonlyArray<Value>): Array<A> {
    let statement = this.tupled.get(sql)
    if (statement === undefined) {
      statement = this.sqlite.prepare(planned(sql))
      statement.setReturnArrays(true)
      this.tupled.set(sql, statement)
    }
    return statement.all(...values) as unknown as Array<A>
  }

  rollback(): void {
    // SQLite has ended it by itself after some errors, as when the disk is full.
    if (this.sqlite.isOpen && this.sqlite.isTransaction) this.sqlite.exec("ROLLBACK")
  }

  close(): void {
    this.statements.clear()
    this.tupled.clear()
    if (this.sqlite.isOpen) this.sqlite.close()
  }
}
