/**
 * A process of the simulated world: it can be killed and paused, and its clocks are its own.
 *
 * Everything a program does goes through time or through the network, so that is where it is held:
 * whoever sleeps or awaits an answer passes `gate`, which stays shut while the process is paused
 * and never opens again once it was killed. A killed process runs no finalizer that anybody could
 * notice.
 */
import { Clock, Duration, Effect, Latch } from "effect"

export class Process {
  readonly name: string
  readonly clock: Clock.Clock
  isKilled = false
  readonly died = Latch.makeUnsafe()
  private readonly running = Latch.makeUnsafe(true)
  private pauses = 0

  constructor(
    name: string,
    world: Clock.Clock,
    options: { readonly offsetMillis: number; readonly drift: number },
  ) {
    this.name = name
    this.clock = this.clockOver(world, options)
  }

  get isPaused(): boolean {
    return this.pauses > 0
  }

  readonly gate: Effect.Effect<void> = Effect.suspend(() =>
    this.isKilled
      ? Effect.never
      : this.isPaused
      ? Effect.andThen(this.running.await, this.gate)
      : Effect.void
  )

  kill(): void {
    this.isKilled = true
    this.died.openUnsafe()
  }

  /** Takes nothing in and gives nothing out for so long. */
  pause(duration: Duration.Input): Effect.Effect<void> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.pauses++
        this.running.closeUnsafe()
      }),
      () => Effect.sleep(duration),
      () =>
        Effect.sync(() => {
          if (--this.pauses === 0) this.running.openUnsafe()
        }),
    )
  }

  private clockOver(
    world: Clock.Clock,
    { drift, offsetMillis }: { readonly offsetMillis: number; readonly drift: number },
  ): Clock.Clock {
    const millis = () => world.currentTimeMillisUnsafe() * drift + offsetMillis
    const nanos = () => BigInt(Math.round(millis() * 1e6))
    const monotonic = () => BigInt(Math.round(Number(world.monotonicTimeNanosUnsafe()) * drift))
    return {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: monotonic,
      monotonicTimeNanos: Effect.sync(monotonic),
      sleep: (duration) =>
        Effect.andThen(world.sleep(Duration.times(duration, 1 / drift)), this.gate),
    }
  }
}
