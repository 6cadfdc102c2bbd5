/** Permits in SQLite: see `PermitStorage` for the laws. */
import type { CellKey } from "../../core/domain/Permit.ts"
import { ofCells, type PermitStorage } from "../../core/services/PermitStorage.ts"
import type { Database } from "./Database.ts"

interface CellRow {
  readonly cell: string
}

type KeyName = readonly [namespace: string, name: string]

interface KeyRow extends CellRow {
  readonly namespace: string
  readonly name: string
}

const pageOfKeys = `
  SELECT namespace, name, cell FROM permit
  WHERE kind = 'key' AND (namespace, name) > (?, ?) ORDER BY namespace, name LIMIT ?`

const forget = "DELETE FROM permit WHERE namespace = ? AND kind = 'key' AND name = ?"

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
    list: (namespace, kind, prefix, limit) =>
      db.read("list permits", () =>
        db.all<{ readonly name: string; readonly cell: string }>(
          `SELECT name, cell FROM permit
           WHERE namespace = ?1 AND kind = ?2 AND substr(name, 1, length(?3)) = ?3
           ORDER BY name LIMIT ?4`,
          namespace,
          kind,
          prefix,
          limit,
        ).map(({ cell, name }) => ({ name, cell }))),
    sweep: (isForgotten, limit, from) =>
      db.write("forget permits", ({ now }) => {
        const [namespace, name] = from === undefined ? ["", ""] : JSON.parse(from) as KeyName
        const page = db.all<KeyRow>(pageOfKeys, namespace, name, limit)
        const over = page.filter(({ cell }) => isForgotten(cell, now))
        for (const each of over) db.run(forget, each.namespace, each.name)
        const last = page.length < limit ? undefined : page.at(-1)
        return {
          forgotten: over.length,
          next: last && JSON.stringify([last.namespace, last.name] satisfies KeyName),
        }
      }),
  })
