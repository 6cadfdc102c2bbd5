/**
 * Time that stands still until it is moved, and then moves from one instant to the next at which
 * somebody wants to wake up.
 *
 * User code is *punctual*, and wakes at the very instant it asked for. The loops of the engine look
 * every second whether there is anything to do, and nobody needs to wake them while there is not, so
 * that a month of them costs nothing: what *fires* triggers wakes when a slot is due, what *moves*
 * runs when a run is, what carries runs out (*serves*) while it has one, and what *awaits* work is
 * told by others and looks only for form.
 *
 * It is a clock and a scheduler. The scheduler is Effect's own, and counts what it has been given and
 * has not run yet: once that is nothing, all that was woken has come to rest.
 */
import { Clock, Duration, Effect, Scheduler } from "effect"

export type Kind = "punctual" | "fires" | "moves" | "serves" | "awaits"

interface Sleeper {
  readonly at: number
  readonly kind: Kind
  readonly tally: Tally
  readonly wake: () => void
}

/** What a run does: as long as it neither sleeps nor has ended it is busy with something real. */
export interface Tally {
  sleeping: number
}

export interface VirtualClock extends Clock.Clock {
  readonly tally: Tally
}

export const isVirtual = (clock: Clock.Clock): clock is VirtualClock => "tally" in clock

export class VirtualTime {
  readonly #start: number
  readonly #sleepers = new Set<Sleeper>()
  readonly #parent: Scheduler.Scheduler
  readonly #turn: Scheduler.SchedulerDispatcher
  #now: number
  /** Tasks that were scheduled and have not run. */
  #pending = 0
  #onRest: (() => void) | undefined
  readonly scheduler: Scheduler.Scheduler
  readonly #wakes: Scheduler.SchedulerDispatcher

  constructor(start: number, parent: Scheduler.Scheduler) {
    this.#start = start
    this.#now = start
    this.#parent = parent
    this.#turn = parent.makeDispatcher()
    this.scheduler = {
      executionMode: parent.executionMode,
      shouldYield: (fiber) => parent.shouldYield(fiber),
      makeDispatcher: () => this.#counting(),
    }
    this.#wakes = this.#counting()
  }

  get now(): number {
    return this.#now
  }

  /** When the next sleeper of the kind wants to wake up; `Infinity` when there is none. */
  next(kind: Kind): number {
    let next = Infinity
    for (const sleeper of this.#sleepers) {
      if (sleeper.kind === kind && sleeper.at < next) next = sleeper.at
    }
    return next
  }

  /** Never back. */
  set(instant: number): void {
    this.#now = Math.max(this.#now, instant)
  }

  /** Wakes the punctual one whose time has come and that asked first; `false` when there is none. */
  wakeOne(): boolean {
    let first: Sleeper | undefined
    for (const sleeper of this.#sleepers) {
      const isDue = sleeper.kind === "punctual" && sleeper.at <= this.#now
      if (isDue && (first === undefined || sleeper.at < first.at)) first = sleeper
    }
    if (first !== undefined) this.#wake(first)
    return first !== undefined
  }

  /** Wakes all of the kind whose time has come. */
  wakeAll(kind: Kind): void {
    for (const sleeper of [...this.#sleepers]) {
      if (sleeper.kind === kind && sleeper.at <= this.#now) this.#wake(sleeper)
    }
  }

  /** Returns when nothing is left to do at this instant, promises that are settled included. */
  readonly rest: Effect.Effect<void> = Effect.callback((resume) => {
    const look = () => {
      if (this.#pending > 0) {
        this.#onRest = look
        return
      }
      // What awaits a settled promise goes on before the next turn of the event loop.
      this.#turn.scheduleTask(() => this.#pending === 0 ? resume(Effect.void) : look(), 0)
    }
    look()
  })

  /** A clock for sleepers of the kind, which keeps count of them. */
  clock(kind: Kind, tally: Tally = { sleeping: 0 }): VirtualClock {
    const millis = () => this.#now
    const nanos = () => BigInt(Math.round(this.#now)) * 1_000_000n
    const monotonic = () => BigInt(Math.round((this.#now - this.#start) * 1e6))
    return {
      tally,
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: monotonic,
      monotonicTimeNanos: Effect.sync(monotonic),
      sleep: (duration) =>
        Effect.suspend(() => this.#sleep(Duration.toMillis(duration), kind, tally)),
    }
  }

  #sleep(millis: number, kind: Kind, tally: Tally): Effect.Effect<void> {
    if (millis <= 0) return Effect.yieldNow
    return Effect.callback((resume) => {
      const sleeper: Sleeper = {
        at: this.#now + millis,
        kind,
        tally,
        wake: () => resume(Effect.void),
      }
      this.#sleepers.add(sleeper)
      tally.sleeping++
      return Effect.sync(() => this.#forget(sleeper))
    })
  }

  #forget(sleeper: Sleeper): void {
    if (this.#sleepers.delete(sleeper)) sleeper.tally.sleeping--
  }

  #wake(sleeper: Sleeper): void {
    this.#forget(sleeper)
    // Never within the caller: who wakes others is half-way through something.
    this.#wakes.scheduleTask(sleeper.wake, 0)
  }

  #counting(): Scheduler.SchedulerDispatcher {
    const dispatcher = this.#parent.makeDispatcher()
    return {
      scheduleTask: (task, priority) => {
        this.#pending++
        dispatcher.scheduleTask(() => {
          try {
            task()
          } finally {
            if (--this.#pending === 0) {
              const onRest = this.#onRest
              this.#onRest = undefined
              onRest?.()
            }
          }
        }, priority)
      },
      flush: () => dispatcher.flush(),
    }
  }
}
