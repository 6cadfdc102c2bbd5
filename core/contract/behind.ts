/** A service seen from elsewhere: whatever is between may hold its calls up, or lose them. */
import { Effect } from "effect"

/** What becomes of one call, by the name of what was called. */
export type Between = <A, E>(name: string, call: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** The service with each of its calls put through `between`; also those of the services in it. */
export const behind = <A extends object>(service: A, between: Between): A =>
  new Proxy(service, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value === "function") {
        return (...args: ReadonlyArray<unknown>) => {
          const answer: unknown = Reflect.apply(value, target, args)
          return Effect.isEffect(answer) ? between(String(name), answer as never) : answer
        }
      }
      if (Effect.isEffect(value)) return between(String(name), value as never)
      return typeof value === "object" && value !== null ? behind(value, between) : value
    },
  })
