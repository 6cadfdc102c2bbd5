/**
 * Hints through PUBLISH and SUBSCRIBE, on a connection that does nothing else.
 *
 * A waiter is subscribed before it looks once more, so a hint given after that look is heard. Redis
 * keeps no hint for who is not connected: when the connection had to be replaced, everyone who waits
 * looks again, and behind that stands the slow poll of every waiter.
 */
import { Effect, Latch, Option, type Scope } from "effect"
import type { Subscription } from "../../core/services/Wakeups.ts"
import { type Client, type Config, keep } from "./Redis.ts"

export class RedisHints {
  private readonly waiters = new Map<string, Set<Latch.Latch>>()
  private client: Client | undefined
  /** What the present connection has subscribed to, or is about to. */
  private subscribed = new Map<string, Promise<unknown>>()

  static readonly make = Effect.fnUntraced(function* (config: Config) {
    const hints = new RedisHints()
    yield* Effect.forkScoped(keep(config, "listener", ({ client }) => hints.hear(client)))
    return hints
  })

  subscribe(channel: string): Effect.Effect<Subscription, never, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => this.enter(channel)),
        (hinted) => Effect.sync(() => this.quit(channel, hinted)),
      ),
      (hinted) => ({
        arm: Effect.andThen(
          hinted.close,
          // Who could not subscribe still polls, and is woken as soon as it is subscribed.
          Effect.ignore(Effect.timeout(Effect.tryPromise(() => this.ask(channel)), "1 second")),
        ),
        wait: (atMost) => Effect.map(Effect.timeoutOption(hinted.await, atMost), Option.isSome),
      }),
    )
  }

  private enter(channel: string): Latch.Latch {
    const hinted = Latch.makeUnsafe()
    const latches = this.waiters.get(channel)
    if (latches === undefined) this.waiters.set(channel, new Set([hinted]))
    else latches.add(hinted)
    return hinted
  }

  private quit(channel: string, hinted: Latch.Latch): void {
    const latches = this.waiters.get(channel)
    latches?.delete(hinted)
    if (latches?.size !== 0) return
    this.waiters.delete(channel)
    if (!this.subscribed.delete(channel)) return
    // A connection that fails at this is replaced, and the next one knows nothing of the channel.
    this.client?.unsubscribe(channel).catch(() => {})
  }

  /** Ends when Redis has confirmed that it will tell of the channel. */
  private ask(channel: string): Promise<unknown> {
    const { client } = this
    if (client === undefined) return Promise.reject(new Error("there is no connection"))
    // What was refused once is not asked again on this connection.
    const asked = this.subscribed.get(channel) ??
      client.subscribe(channel, () => this.wake(channel))
    this.subscribed.set(channel, asked)
    return asked
  }

  private wake(channel: string): void {
    for (const latch of this.waiters.get(channel) ?? []) latch.openUnsafe()
  }

  private hear(client: Client): Effect.Effect<never> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.client = client
        this.subscribed = new Map()
        // Nobody knows what was missed meanwhile. Whoever looks again, and waits again, subscribes.
        for (const channel of this.waiters.keys()) this.wake(channel)
      }),
      () => Effect.never,
      () =>
        Effect.sync(() => {
          this.client = undefined
        }),
    )
  }
}
