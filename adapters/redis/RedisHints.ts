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

interface Subscribed {
  readonly asked: Promise<unknown>
  readonly listener: () => void
}

export class RedisHints {
  private readonly waiters = new Map<string, Set<Latch.Latch>>()
  private client: Client | undefined
  /** What the present connection has subscribed to, or is about to. */
  private subscribed = new Map<string, Subscribed>()
  private readonly isListening = Latch.makeUnsafe()

  static readonly make = Effect.fnUntraced(function* (config: Config) {
    const hints = new RedisHints()
    yield* Effect.forkScoped(keep(config, "listener", ({ client }) => hints.hear(client)))
    // So that nobody is woken by the first connection. Without one, whoever waits still polls.
    yield* Effect.timeoutOption(hints.isListening.await, "5 seconds")
    return hints
  })

  subscribe(channels: ReadonlyArray<string>): Effect.Effect<Subscription, never, Scope.Scope> {
    const hinted = Latch.makeUnsafe()
    const asked = Effect.tryPromise(() => Promise.all(channels.map((each) => this.ask(each))))
    return Effect.as(
      Effect.acquireRelease(
        Effect.sync(() => channels.forEach((channel) => this.enter(channel, hinted))),
        () => Effect.sync(() => channels.forEach((channel) => this.quit(channel, hinted))),
      ),
      {
        arm: Effect.andThen(
          hinted.close,
          // Who could not subscribe still polls, and is woken as soon as it is subscribed.
          Effect.ignore(Effect.timeout(asked, "1 second")),
        ),
        wait: (atMost) => Effect.map(Effect.timeoutOption(hinted.await, atMost), Option.isSome),
      },
    )
  }

  private enter(channel: string, hinted: Latch.Latch): void {
    const latches = this.waiters.get(channel)
    if (latches === undefined) this.waiters.set(channel, new Set([hinted]))
    else latches.add(hinted)
  }

  private quit(channel: string, hinted: Latch.Latch): void {
    const latches = this.waiters.get(channel)
    latches?.delete(hinted)
    if (latches?.size !== 0) return
    this.waiters.delete(channel)
    const known = this.subscribed.get(channel)
    if (known === undefined) return
    this.subscribed.delete(channel)
    // A connection that fails at this is replaced, and the next one knows nothing of the channel.
    // Who subscribes before the answer comes has a listener of its own, which stays.
    this.client?.unsubscribe(channel, known.listener).catch(() => {})
  }

  /** Ends when Redis has confirmed that it will tell of the channel. */
  private ask(channel: string): Promise<unknown> {
    const { client } = this
    if (client === undefined) return Promise.reject(new Error("there is no connection"))
    // What was refused once is not asked again on this connection.
    const known = this.subscribed.get(channel)
    if (known !== undefined) return known.asked
    const listener = () => this.wake(channel)
    const asked = client.subscribe(channel, listener)
    this.subscribed.set(channel, { asked, listener })
    return asked
  }

  /** Wakes those who wait here. */
  wake(channel: string): void {
    for (const latch of this.waiters.get(channel) ?? []) latch.openUnsafe()
  }

  private hear(client: Client): Effect.Effect<never> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.client = client
        this.subscribed = new Map()
        // Nobody knows what was missed meanwhile. Whoever looks again, and waits again, subscribes.
        for (const channel of this.waiters.keys()) this.wake(channel)
        this.isListening.openUnsafe()
      }),
      () => Effect.never,
      () =>
        Effect.sync(() => {
          this.client = undefined
        }),
    )
  }
}
