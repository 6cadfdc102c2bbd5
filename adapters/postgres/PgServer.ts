/** What a server must be to keep a scheduler, and how to tell one that is not. */
import { DatabaseUnfit } from "./Pg.ts"

const oldest = 150_000

export interface Server {
  readonly [column: string]: unknown
  readonly version: number
  readonly name: string
  readonly is_replica: boolean
  readonly path: string
  readonly process: number
}

/** Why this server cannot serve, if it cannot; `other` is what a second connection said. */
export const unfit = (
  schema: string,
  server: Server,
  other?: Server,
): DatabaseUnfit | undefined => {
  const { is_replica, name, path, process, version } = server
  if (version < oldest) {
    return new DatabaseUnfit({
      reason: `PostgreSQL ${name} is too old`,
      remedy: "Use PostgreSQL 15 or later",
    })
  }
  if (is_replica) {
    return new DatabaseUnfit({
      reason: "The server is a replica, or read-only",
      remedy: "Give the address of the primary, as with target_session_attrs=read-write",
    })
  }
  // Two connections that are open at once are two processes of the server, unless shared out.
  return process === other?.process || path !== schema ? behindPooler() : undefined
}

export const behindPooler = () =>
  new DatabaseUnfit({
    reason: "A pooler before the server takes sessions apart: settings or LISTEN would be lost",
    remedy:
      "Give the address of the server itself: it keeps as many connections as it needs, and few",
  })

export const describe = `
  SELECT current_setting('server_version_num')::int AS version,
    current_setting('server_version') AS name, current_setting('search_path') AS path,
    pg_backend_pid() AS process,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_replica`

/** A pooler that does not pass a setting on refuses the connection, with this code. */
export const isOfPooler = (code: string | undefined): boolean => code === "08P01"
