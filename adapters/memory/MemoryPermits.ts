/** Permits in memory: see `PermitStorage` for the laws. */
import { Effect } from "effect"
import type { CellKey } from "../../core/domain/Permit.ts"
import { ofCells, type PermitStorage } from "../../core/services/PermitStorage.ts"
import type { MemoryState } from "./MemoryState.ts"

export const make = ({ cells: kept }: MemoryState, now: () => number): PermitStorage =>
  ofCells({
    step: (namespace, keys, command) =>
      Effect.sync(() => {
        const at = keys.map(({ kind, name }) => `${namespace} ${kind} ${name}`)
        const { answer, cells } = command(at.map((key) => kept.get(key)), now())
        for (const [i, cell] of cells.entries()) if (cell !== undefined) kept.set(at[i]!, cell)
        return answer
      }),
    list: (namespace, kind, prefix, limit) =>
      Effect.sync(() => {
        const start = `${namespace} ${kind satisfies CellKey["kind"]} `
        return [...kept]
          .filter(([key]) => key.startsWith(start + prefix))
          .map(([key, cell]) => ({ name: key.slice(start.length), cell }))
          .sort((a, b) => a.name < b.name ? -1 : 1)
          .slice(0, limit)
      }),
    // All of them: here a look costs less than to keep count.
    sweep: (isForgotten) =>
      Effect.sync(() => {
        const all = [...kept].filter(([key, cell]) =>
          key.split(" ", 2)[1] === ("key" satisfies CellKey["kind"]) && isForgotten(cell, now())
        )
        for (const [key] of all) kept.delete(key)
        return { forgotten: all.length, next: undefined }
      }),
  })
