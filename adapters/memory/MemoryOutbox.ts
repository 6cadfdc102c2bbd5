/** The outbox in memory: see `OutboxStorage` for the laws. */
import { Effect } from "effect"
import type { OutboxEvent, OutboxStorage } from "../../core/services/OutboxStorage.ts"
import type { MemoryState } from "./MemoryState.ts"
import { failureOf, type Told } from "./Outbox.ts"

const listed = 10_000

type Request = Parameters<OutboxStorage["take"]>[0]

const isAskedFor = ({ to }: Told, { consumer, partitions }: Request): boolean =>
  to.subscription.consumer === consumer && partitions.includes(to.partition)

export const make = ({ outbox }: MemoryState, now: () => number): OutboxStorage => {
  const take = (request: Request) => {
    const { forMillis, limit, round, taker } = request
    const again = outbox.ofRound(taker, round)
      .filter((told) => isAskedFor(told, request)).sort((a, b) => a.id - b.id).slice(0, limit)
    const taken = again.length > 0 ? again : free(request)
    for (const told of taken) {
      if (again.length === 0) told.hand++
      outbox.hold(told, taker, round, now() + forMillis)
    }
    return taken.map(eventOf)
  }

  /** What nobody holds, or its taker from an earlier round. */
  const free = (request: Request): ReadonlyArray<Told> => {
    const found: Array<Told> = []
    /** A subscription and a run whose earlier event is not done. */
    const waiting = new Set<string>()
    for (const told of outbox.told.values()) {
      if (found.length === request.limit) break
      if (!isAskedFor(told, request)) continue
      const { entry, heldUntil, round, taker, to } = told
      const course = `${to.subscription.namespace} ${to.subscription.name} ${entry.id}`
      const isNext = !waiting.has(course)
      waiting.add(course)
      const isLeft = taker === request.taker && round < request.round
      if (isNext && (isLeft || heldUntil <= now())) found.push(told)
    }
    return found
  }

  return {
    subscribe: (subscription) => Effect.sync(() => outbox.subscribe(subscription)),
    unsubscribe: (of) => Effect.sync(() => outbox.unsubscribe(of)),
    subscriptions: (namespace) =>
      Effect.sync(() =>
        [...outbox.subscriptions.values()]
          .filter(({ subscription }) => subscription.namespace === namespace)
          .map(({ missed, subscription }) => ({ ...subscription, missed }))
          .sort((a, b) => placeOf(a) < placeOf(b) ? -1 : 1)
          .slice(0, listed)
      ),
    take: (request) => Effect.sync(() => take(request)),
    done: (handed) =>
      Effect.sync(() =>
        handed.flatMap(({ event, hand }) => {
          const told = outbox.told.get(event)
          if (told?.hand !== hand) return []
          outbox.remove(told)
          return [event]
        })
      ),
  }
}

const placeOf = ({ consumer, name }: { readonly consumer: string; readonly name: string }) =>
  `${consumer} ${name}`

const eventOf = (told: Told): OutboxEvent => {
  const { at, attempt, entry, fence, hand, id, state, to } = told
  const failure = failureOf(told)
  return {
    event: id,
    hand,
    namespace: to.subscription.namespace,
    name: to.subscription.name,
    run: entry.id,
    task: entry.spec.task,
    state,
    fence,
    attempt,
    at,
    ...(failure !== undefined && { failure }),
  }
}
