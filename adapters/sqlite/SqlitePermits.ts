/** Permits in SQLite: see `PermitStorage` for the laws. */
import type { CellKey } from "../../core/domain/Permit.ts"
import { ofCells, type PermitStorage } from "../../core/services/PermitStorage.ts"
import type { Database } from "./Database.ts"

interface CellRow {
  readonly cell: string
}

const select = "SELECT cell FROM permit WHERE namespace = ? AND kind = ? AND name = ?"

export const make = (db: Database): PermitStorage =>
  ofCells({
    step: (namespace, keys, command) =>
      db.write("permit", ({ now }) => {
        const look = ({ kind, name }: CellKey) =>
          db.get<CellRow>(select, namespace, kind, name)?.cell
        const before = keys.map(look)
        const { answer, cells } = command(before, now)
        for (const [i, cell] of cells.entries()) {
          if (cell === undefined || cell === before[i]) continue
          const { kind, name } = keys[i]!
          db.run(
            `INSERT INTO permit VALUES (?, ?, ?, ?)
             ON CONFLICT (namespace, kind, name) DO UPDATE SET cell = excluded.cell`,
            namespace,
            kind,
            name,
            cell,
          )
        }
        return answer
      }),
    list: (namespace, kind, limit) =>
      db.read("list permits", () =>
        db.all<{ readonly name: string; readonly cell: string }>(
          "SELECT name, cell FROM permit WHERE namespace = ? AND kind = ? ORDER BY name LIMIT ?",
          namespace,
          kind,
          limit,
        ).map(({ cell, name }) => ({ name, cell }))),
  })
