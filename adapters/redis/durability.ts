/**
 * What a Redis promises about what it has acknowledged.
 *
 * Its usual setup flushes to disk once a second, or takes a snapshot now and then: a crash forgets
 * the newest grants, and gives their locks again. Replicas follow behind, so a fail-over forgets too,
 * and a server that is full may evict keys. Only one that is alone, flushes before it answers, and
 * evicts nothing keeps its word. A server that does not tell how it is set up is not believed.
 */
import { Effect } from "effect"
import type { Fences } from "../../core/services/Lock.ts"
import type { Redis } from "./Redis.ts"

export type Settings = Readonly<Record<string, string | undefined>>

export const fencesOf = (settings: Settings): Fences => {
  const isFlushed = settings["appendonly"] === "yes" && settings["appendfsync"] === "always"
  const isAlone = settings["role"] === "master" && settings["connected_slaves"] === "0" &&
    settings["cluster_enabled"] === "0"
  const isKept = settings["maxmemory"] === "0" || settings["maxmemory-policy"] === "noeviction"
  return isFlushed && isAlone && isKept ? "durable" : "advisory"
}

/** As the server is set up now. */
export const fences = (redis: Redis): Effect.Effect<Fences> =>
  Effect.all([
    redis.ask("CONFIG", "GET", "append*"),
    redis.ask("CONFIG", "GET", "maxmemory*"),
    redis.ask("INFO", "replication"),
    redis.ask("INFO", "cluster"),
  ]).pipe(
    Effect.map(([append, memory, replication, cluster]) =>
      fencesOf({
        ...pairs(append),
        ...pairs(memory),
        ...lines(`${replication}`),
        ...lines(`${cluster}`),
      })
    ),
    Effect.orElseSucceed((): Fences => "advisory"),
  )

/** A list of names and values in turn, or a map, as the version of the protocol has it. */
const pairs = (answer: unknown): Settings => {
  if (!Array.isArray(answer)) return { ...(answer as Settings) }
  return Object.fromEntries(
    answer.flatMap((name, at) => at % 2 === 0 ? [[String(name), String(answer[at + 1])]] : []),
  )
}

const lines = (answer: string): Settings =>
  Object.fromEntries(
    answer.split("\r\n").filter((line) => line.includes(":")).map((line) => {
      const at = line.indexOf(":")
      return [line.slice(0, at), line.slice(at + 1)]
    }),
  )
