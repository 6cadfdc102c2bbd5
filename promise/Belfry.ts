/** What a program of promises does with an engine, whichever it was started with. */
import type { ManagedRuntime } from "effect"
import { type Breakers, breakersOver } from "./Breakers.ts"
import { type Calendars, calendarsOver } from "./Calendars.ts"
import type { Call, Engine } from "./call.ts"
import { type Groups, groupsOver } from "./Groups.ts"
import { type Locks, locksOver } from "./Locks.ts"
import { type Runs, runsOver } from "./Runs.ts"
import { type Triggers, triggersOver } from "./Triggers.ts"

/** Rejections are errors with a `_tag`: `Refused`, `KeyConflict`, `RunUnknown`, `RunFailed`, … */
export interface Belfry extends Runs, Triggers, Locks, AsyncDisposable {
  readonly breakers: Breakers
  /** Tasks that are looked after as one. */
  readonly groups: Groups
  /** Which days are workdays, for the triggers that name them. */
  readonly calendars: Calendars
  /** Takes no more runs, lets those under way finish for a while, and returns when all is closed. */
  readonly close: () => Promise<void>
}

export const over = <R, E>(runtime: ManagedRuntime.ManagedRuntime<R | Engine, E>): Belfry => {
  const call: Call = async (effect, { signal } = {}) => {
    signal?.throwIfAborted()
    try {
      return await runtime.runPromise(effect, signal && { signal })
    } catch (cause) {
      signal?.throwIfAborted()
      throw cause
    }
  }

  const close = () => runtime.dispose()

  return {
    ...runsOver(call),
    ...triggersOver(call, runtime.scope),
    ...locksOver(call),
    breakers: breakersOver(call),
    groups: groupsOver(call),
    calendars: calendarsOver(call),
    close,
    [Symbol.asyncDispose]: close,
  }
}
