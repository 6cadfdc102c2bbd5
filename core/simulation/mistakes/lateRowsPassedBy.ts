/** Planted: what is read of a table goes on past the rows of transactions that have not ended. */
import { Effect } from "effect"
import type { Mistake } from "../World.ts"

export const lateRowsPassedBy: Mistake = (storage) => ({
  ...storage,
  tables: (name) => {
    const { open, ...source } = storage.tables!(name)
    return {
      ...source,
      open: Effect.map(open, (reader) => ({
        ...reader,
        read: (after: string, limit: number) =>
          Effect.map(
            reader.read(after, limit),
            (reading) =>
              reading.isAtEnd ? { ...reading, to: String(Number(reading.to) + 1) } : reading,
          ),
      })),
    }
  },
})
