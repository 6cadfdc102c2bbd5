/** Everything that can be measured, in the order in which it is printed. */
import type { System } from "../System.ts"
import { belfry } from "./belfry.ts"
import { graphile } from "./graphile.ts"
import { pgboss } from "./pgboss.ts"
import { rawSql } from "./rawSql.ts"
import { rawSqlite } from "./rawSqlite.ts"

export const systems: ReadonlyArray<System> = [
  ...belfry,
  ...rawSql,
  ...rawSqlite,
  ...graphile,
  ...pgboss,
]

/** What `--systems` calls a system: `graphile-worker` is all its settings, or `raw-sql:limit`. */
export const keyOf = ({ name, settings }: System): string =>
  `${name.toLowerCase().replaceAll(" ", "-")}:${settings.toLowerCase().replaceAll(" ", "-")}`

/** The systems a list of names picks; an unknown name is refused with what there is. */
export const pick = (names: ReadonlyArray<string>): ReadonlyArray<System> => {
  const matches = (system: System, name: string) =>
    keyOf(system) === name || keyOf(system).startsWith(`${name}:`)
  const unknown = names.filter((name) => !systems.some((system) => matches(system, name)))
  if (unknown.length > 0) {
    throw new Error(
      `no system ${unknown.join(", ")}; there are ${systems.map(keyOf).join(", ")}`,
    )
  }
  return names.length === 0
    ? systems
    : systems.filter((system) => names.some((name) => matches(system, name)))
}
