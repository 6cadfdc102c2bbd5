/** Holds a lock for as long as it lives, and says so; for `holders.test.ts`. */
import { Effect, Layer, Redacted } from "effect"
import { writeSync } from "node:fs"
import { Locks } from "../core/engine/Locks.ts"
import type { Lock } from "../core/services/Lock.ts"
import * as Postgres from "./postgres/mod.ts"
import * as Redis from "./redis/mod.ts"
import * as Sqlite from "./sqlite/mod.ts"

/** The locks at an address: a file, or the URL of a server. */
export const locksAt = (address: string): Layer.Layer<Lock, unknown> => {
  const url = Redacted.make(address)
  if (address.startsWith("redis:")) return Redis.layer({ url })
  if (address.startsWith("postgres")) return Postgres.layer({ url })
  return Sqlite.layer({ file: address })
}

const say = (what: string) => Effect.sync(() => void writeSync(1, `${what}\n`))

if (import.meta.main) {
  const [, , address = "", key = "", ttl = ""] = process.argv
  const holding = Locks.use((locks) =>
    locks.withLock(
      key,
      ({ fence }) => Effect.andThen(say(`held ${fence}`), Effect.never),
      { ttl: Number(ttl), holder: "the other process" },
    )
  ).pipe(
    Effect.catch((error) => say(`lost ${error._tag}`)),
    Effect.provide(Locks.layer.pipe(Layer.provide(locksAt(address)))),
  )
  await Effect.runPromise(holding)
}
