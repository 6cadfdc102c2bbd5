/**
 * A table that others write to and triggers tail: each row in a transaction of its own, which may take
 * a while or come to nothing.
 *
 * A row is numbered when it is written, and it is there when its transaction has ended: those after it
 * may be there before. So nothing is given that stands behind one that is under way (E2).
 */
import { Effect } from "effect"
import type { Entry, Reading, Source } from "../services/Source.ts"

export interface Row {
  readonly request: string
  readonly fate: "fires" | "passes" | "flawed"
}

interface Written extends Row {
  readonly position: number
  state: "under way" | "there" | "rolled back"
}

export class Table {
  private readonly written: Array<Written> = []

  /** What ends the transaction that has written the row. */
  write(row: Row): (isKept: boolean) => void {
    const written: Written = { ...row, position: this.written.length + 1, state: "under way" }
    this.written.push(written)
    return (isKept) => {
      written.state = isKept ? "there" : "rolled back"
    }
  }

  /** The rows that are there, in their order. */
  get rows(): ReadonlyArray<Row & { readonly position: string }> {
    return this.written.filter(({ state }) => state === "there")
      .map(({ fate, position, request }) => ({ fate, request, position: String(position) }))
  }

  /** The position after all that may be read. */
  get end(): string {
    const open = this.written.find(({ state }) => state === "under way")
    return String(open === undefined ? this.written.length : open.position - 1)
  }

  private read(after: string, limit: number): Reading {
    const end = Number(this.end)
    const left = this.written.filter(({ position, state }) =>
      state === "there" && position > Number(after) && position <= end
    )
    const taken = left.slice(0, limit)
    return {
      entries: taken.map(entryOf),
      to: String(
        taken.length < left.length ? taken.at(-1)!.position : Math.max(end, Number(after)),
      ),
      isAtEnd: taken.length === left.length,
    }
  }

  source(name: string): Source {
    return {
      name,
      open: Effect.succeed({
        read: (after: string, limit: number) => Effect.sync(() => this.read(after, limit)),
        end: Effect.sync(() => this.end),
      }),
    }
  }
}

const entryOf = ({ fate, position, request }: Written): Entry =>
  fate === "flawed"
    ? { position: String(position), flaw: "it cannot be read" }
    : { position: String(position), value: { key: "row", request, isWanted: fate === "fires" } }
