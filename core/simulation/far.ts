/** The ports as they are from afar: every call goes over a way, on which anything may happen. */
import { Effect } from "effect"
import { Lock } from "../services/Lock.ts"
import { type Source, SourceUnavailable } from "../services/Source.ts"
import { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { Transport, TransportUnavailable } from "../services/Transport.ts"

/** `call`, as it is from over there. `unavailable` is how silence looks. */
export type Over = <A, E, E2>(
  operation: string,
  call: Effect.Effect<A, E>,
  unavailable: Effect.Effect<never, E2>,
) => Effect.Effect<A, E | E2>

const unavailable = (operation: string) =>
  Effect.suspend(() =>
    Effect.fail(new StorageUnavailable({ storage: "simulated", operation, cause: "no answer" }))
  )

export const farStorage = (storage: Storage["Service"], over: Over): Storage["Service"] => {
  const far = <G extends object>(name: string, group: G): G =>
    overAll(name, group, over, unavailable)
  return Storage.of({
    technology: storage.technology,
    tasks: far("tasks", storage.tasks),
    calendars: far("calendars", storage.calendars),
    triggers: far("triggers", storage.triggers),
    runs: far("runs", storage.runs),
    placements: far("placements", storage.placements),
    executors: far("executors", storage.executors),
    outbox: far("outbox", storage.outbox),
    logs: far("logs", storage.logs),
    history: far("history", storage.history),
    transfer: storage.transfer,
    permits: far("permits", storage.permits),
    audit: far("audit", storage.audit),
    answers: far("answers", storage.answers),
    ...(storage.tables !== undefined && {
      tables: (table) => farSource(storage.tables!(table), over),
    }),
    now: over("now", storage.now, unavailable("now")),
  })
}

export const farSource = (source: Source, over: Over): Source => ({
  ...source,
  open: Effect.map(source.open, ({ end, read }) => {
    const unavailable = Effect.suspend(() =>
      Effect.fail(new SourceUnavailable({ source: source.name, reason: "no answer" }))
    )
    return {
      read: (after, limit) => over("source.read", read(after, limit), unavailable),
      end: over("source.end", end, unavailable),
    }
  }),
})

export const farTransport = (transport: Transport["Service"], over: Over): Transport["Service"] =>
  overAll(
    "transport",
    transport,
    over,
    (operation) =>
      Effect.suspend(() =>
        Effect.fail(new TransportUnavailable({ operation, cause: "no answer" }))
      ),
  )

export const farLock = (lock: Lock["Service"], over: Over): Lock["Service"] => {
  const { fences, technology, watch, ...calls } = lock
  return Lock.of({ fences, technology, watch, ...overAll("lock", calls, over, unavailable) })
}

const overAll = <S extends object, E>(
  service: string,
  calls: S,
  over: Over,
  unavailable: (operation: string) => Effect.Effect<never, E>,
): S =>
  Object.fromEntries(
    Object.entries(calls).map(([name, call]) => {
      const far = (call: Effect.Effect<unknown, unknown>) =>
        over(`${service}.${name}`, call, unavailable(name))
      if (Effect.isEffect(call)) return [name, far(call as Effect.Effect<unknown, unknown>)]
      // What a service says of itself is known everywhere.
      if (typeof call !== "function") return [name, call]
      return [name, (...args: ReadonlyArray<unknown>) => far(call(...args))]
    }),
  ) as S
