/** The outbox in memory: see `OutboxStorage` for the laws. */
import { Effect } from "effect"
import type { OutboxEvent, OutboxStorage } from "../../core/services/OutboxStorage.ts"
import type { MemoryState } from "./MemoryState.ts"
import { failureOf, type Told } from "./Outbox.ts"

const listed = 10_000

export const make = ({ outbox }: MemoryState, now: () => number): OutboxStorage => {
  const take = (
    { consumer, forMillis, limit, partitions }: Parameters<OutboxStorage["take"]>[0],
  ) => {
    const taken: Array<OutboxEvent> = []
    /** A subscription and a run whose earlier event is not done. */
    const waiting = new Set<string>()
    for (const told of outbox.told.values()) {
      if (taken.length === limit) break
      const { entry, heldUntil, to } = told
      if (to.subscription.consumer !== consumer || !partitions.includes(to.partition)) continue
      const course = `${to.subscription.namespace} ${to.subscription.name} ${entry.id}`
      const isNext = !waiting.has(course)
      waiting.add(course)
      if (!isNext || heldUntil > now()) continue
      told.hand++
      told.heldUntil = now() + forMillis
      taken.push(eventOf(told))
    }
    return taken
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
