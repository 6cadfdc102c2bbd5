/**
 * What the layers of a module declare while they are built in a place: triggers, tails, calendars,
 * breakers. The program has kept it all when it built the same layers, and somebody may have changed it
 * since, so here it is taken and nothing is done. Once they are built nobody is there.
 */
import { Context, DateTime, Effect, Layer } from "effect"
import * as Calendar from "../../core/domain/Calendar.ts"
import { Refused } from "../../core/domain/Refused.ts"
import { TriggerId } from "../../core/domain/Trigger.ts"
import { Breakers, settingsOf } from "../../core/engine/Breakers.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import { Groups } from "../../core/engine/Groups.ts"
import { Locks } from "../../core/engine/Locks.ts"
import { type Calendars, defined, type TriggerInput, Triggers } from "../../core/engine/Triggers.ts"

/** Nobody can be asked for it in a place. */
export const absent = (what: string): Effect.Effect<never> =>
  Effect.die(
    new Error(`an isolated handler has no ${what}; carry it out in a fiber, or ask by REST`),
  )

/** A service of which only some can be called; the rest is absent. */
const only = <S extends object>(what: string, known: Partial<S>): S =>
  new Proxy(known, {
    get: (_, name) => known[name as keyof S] ?? (() => absent(what)),
  }) as S

export const layer = (
  isBuilding: () => boolean,
): Layer.Layer<Triggers | Breakers | Groups | Locks> => {
  const declaring = <A, E>(what: string, declared: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => isBuilding() ? declared : absent(what))

  const put = (input: TriggerInput) =>
    declaring(
      "triggers",
      Effect.map(defined(input), (definition) => ({
        id: TriggerId.make(0),
        definition,
        revision: 1,
        isPaused: false,
      })),
    )

  const triggers = only<Triggers["Service"]>("triggers", {
    put,
    tail: put,
    calendars: only<Calendars>("calendars", {
      put: (input) =>
        declaring(
          "calendars",
          Effect.map(
            Effect.fromResult(Calendar.make(input)),
            (calendar) => ({ calendar, revision: 1 }),
          ),
        ),
    }),
  })

  const breakers = only<Breakers["Service"]>("breakers", {
    set: (name, options, namespace) =>
      declaring(
        "breakers",
        Effect.gen(function* () {
          return {
            namespace: namespace ?? (yield* CurrentNamespace),
            name,
            settings: settingsOf(options),
            state: "Closed",
            since: yield* DateTime.now,
            calls: 0,
            bad: 0,
          }
        }),
      ),
  })

  const noLock = Effect.fail(
    new Refused({
      field: "key",
      reason: "a lock is renewed where it is kept, and an isolated handler has no storage",
      remedy: "Hold it in a handler that is carried out in a fiber",
    }),
  )

  return Layer.succeedContext(
    Context.make(Triggers, triggers).pipe(
      Context.add(Breakers, breakers),
      Context.add(Groups, only<Groups["Service"]>("groups", {})),
      Context.add(Locks, { tryWithLock: () => noLock, withLock: () => noLock }),
    ),
  )
}
