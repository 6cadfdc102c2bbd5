/** What is wrong with the options of `start`, by their path, as a program without types cannot see it. */
import { type Duration, Option } from "effect"
import { shown } from "../core/domain/given.ts"
import * as Options from "../core/domain/Options.ts"
import { Refused } from "../core/domain/Refused.ts"

const names = ["storage", "server", "handlers", "executor", "isolated", "namespace"]
const executorNames = [
  ...["name", "concurrency", "core", "maximum", "queueLength", "prefetch", "labels", "resources"],
  ...["ttl", "drainTimeout", "stopTimeout"],
]
const executorTimes = ["prefetch", "ttl", "drainTimeout", "stopTimeout"]

const refused = (field: string, reason: string, remedy: string) =>
  new Refused({ field, reason, remedy })

/** The first that is found; `undefined` when there is nothing. */
export const flaw = (options: unknown): Refused | undefined =>
  Options.flaw("options", options, names) ??
    flawOfAll(options as Readonly<Record<string, unknown>>)

const flawOfAll = (
  { executor, handlers = [], server, storage }: Readonly<Record<string, unknown>>,
): Refused | undefined => {
  if ((storage === undefined) === (server === undefined)) {
    return refused(
      "storage",
      storage === undefined ? "neither it nor a server is named" : "a server is named as well",
      'Name one: storage: "memory", or server: { url, token }',
    )
  }
  return (storage === undefined ? flawOfServer(server) : flawOfStorage(storage)) ??
    flawOfHandlers(handlers) ?? (executor === undefined ? undefined : flawOfExecutor(executor))
}

const flawOfStorage = (storage: unknown): Refused | undefined => {
  if (storage === "memory") return undefined
  const stray = Options.flaw("storage", storage, ["sqlite", "postgres", "schema"])
  if (stray !== undefined) {
    const remedy = 'Use "memory", { sqlite: "belfry.db" } or { postgres: "postgres://host/db" }'
    return refused(stray.field, stray.reason, remedy)
  }
  const { postgres, sqlite } = storage as Readonly<Record<string, unknown>>
  if (postgres === undefined) {
    return typeof sqlite === "string" && sqlite !== "" ? undefined : refused(
      "storage.sqlite",
      "it names no file",
      'Name one, as in { sqlite: "belfry.db" }',
    )
  }
  return isUrl(postgres, /^postgres(ql)?:$/) ? undefined : refused(
    "storage.postgres",
    "it is no address of a PostgreSQL",
    'Write it as in "postgres://user:password@host/db"',
  )
}

const flawOfServer = (server: unknown): Refused | undefined => {
  const stray = Options.flaw("server", server, ["url", "token"])
  if (stray !== undefined) return stray
  const { token, url } = server as Readonly<Record<string, unknown>>
  const urls: ReadonlyArray<unknown> = Array.isArray(url) ? url : [url]
  const at = urls.findIndex((each) => !isUrl(each, /^https?:$/))
  if (at >= 0 || urls.length === 0) {
    return refused(
      Array.isArray(url) && urls.length > 0 ? `server.url.${at}` : "server.url",
      urls.length === 0 ? "it names no server" : `${JSON.stringify(urls[at])} is no address of one`,
      'Write it as in "http://127.0.0.1:7070"',
    )
  }
  return typeof token === "string" ? undefined : refused(
    "server.token",
    "it is no text",
    "Give the token that the server was started with",
  )
}

const isUrl = (given: unknown, protocol: RegExp): boolean =>
  typeof given === "string" && protocol.test(URL.parse(given)?.protocol ?? "")

const flawOfHandlers = (handlers: unknown): Refused | undefined => {
  const remedy = "Give what task.handler(...) returns, in a list"
  if (!Array.isArray(handlers)) return refused("handlers", "it is no list", remedy)
  const at = handlers.findIndex((each) => each?.layer === undefined)
  return at < 0 ? undefined : refused(`handlers.${at}`, "it is no handler", remedy)
}

const flawOfExecutor = (executor: unknown): Refused | undefined => {
  const stray = Options.flaw("executor", executor, executorNames)
  if (stray !== undefined) return stray
  const given = executor as Readonly<Record<string, Duration.Input | undefined>>
  const name = executorTimes.find((each) =>
    given[each] !== undefined && Option.isNone(Options.duration(given[each]))
  )
  return name === undefined ? undefined : refused(
    `executor.${name}`,
    `${shown(given[name])} is not a duration`,
    'Write it as in "30 seconds"',
  )
}
