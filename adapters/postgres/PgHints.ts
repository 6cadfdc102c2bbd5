/**
 * Carries hints from whoever changed something to whoever waits for it, here and in other processes.
 *
 * A process that is about to wait adds a row to `waiter`; a process that has something to tell takes
 * such rows away and notifies those who wrote them. Nobody waits under load, and then nobody pays
 * for NOTIFY, which locks the database until the commit.
 *
 * Why no hint is missed: the waiter's row is committed before it looks, once more, whether there is
 * something; the hint is given after the commit of what it tells of. So either the look has seen it
 * or the hint sees the row. What remains is the failure of a process or connection between the two,
 * and behind that stands the slow poll of every waiter.
 *
 * One connection per process listens, on a channel of its own. It is proven alive by a notification
 * to itself; when it had to be replaced, everyone who waits looks again.
 */
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Latch, Queue, Schedule } from "effect"
import { Reactivity } from "effect/reactivity"
import { randomBytes } from "node:crypto"
import { connection, type Pg, texts } from "./Pg.ts"

/** A topic as waiters and notifications know it: short, since a payload has its bounds. */
export type Topic = `l${number}` | `e${number}` | "t" | `k${string}`

const waitsForMillis = 60_000
/** At most one statement looks for waiters in this time, unless nothing was told for as long. */
const pause = Duration.millis(2)
const patience = Duration.seconds(5)
const heartbeat = Duration.seconds(10)

export class PgHints {
  private readonly pg: Pg
  readonly listener: string
  private readonly waiters = new Map<Topic, Set<Latch.Latch>>()
  /** Topics of which this process has a waiter row, and until when it counts on it. */
  private readonly armed = new Map<Topic, number>()
  private readonly untold = new Set<Topic>()
  private readonly hasUntold = Latch.makeUnsafe()
  private readonly isListening = Latch.makeUnsafe()
  /** Counts what was heard: a row that was written meanwhile may be gone again. */
  private heard = 0

  private constructor(pg: Pg, listener: string) {
    this.pg = pg
    this.listener = listener
  }

  static readonly make = Effect.fn("PgHints.make")(function* (pg: Pg) {
    const hints = new PgHints(pg, randomBytes(6).toString("hex"))
    yield* Effect.forkScoped(Effect.forever(hints.tell))
    yield* Effect.forkScoped(hints.listen)
    // So that nobody is woken by the first connection. Without one, whoever waits still polls.
    yield* Effect.timeoutOption(hints.isListening.await, patience)
    return hints
  })

  private get channel(): string {
    return `${this.pg.schema}_${this.listener}`
  }

  /** Says that there is something new about these topics. It is committed already. */
  give(topics: Iterable<Topic>): void {
    for (const topic of topics) {
      this.wake(topic)
      this.untold.add(topic)
    }
    if (this.untold.size > 0) this.hasUntold.openUnsafe()
  }

  add(topic: Topic, latch: Latch.Latch): void {
    const known = this.waiters.get(topic)
    if (known === undefined) this.waiters.set(topic, new Set([latch]))
    else known.add(latch)
  }

  delete(topic: Topic, latch: Latch.Latch): void {
    const known = this.waiters.get(topic)
    known?.delete(latch)
    if (known?.size === 0) this.waiters.delete(topic)
  }

  /** Returns when others know that this process waits for these topics. */
  arm(topics: ReadonlyArray<Topic>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const at = performance.now()
      const heard = this.heard
      const missing = topics.filter((topic) => (this.armed.get(topic) ?? 0) < at)
      if (missing.length === 0) return Effect.void
      return this.pg.query(
        "beats",
        "arm",
        `INSERT INTO waiter (topic, listener, expires_at)
         SELECT topic, $2, clock() + $3 FROM unnest($1::text[]) AS topic ORDER BY topic
         ON CONFLICT (topic, listener) DO UPDATE SET expires_at = excluded.expires_at`,
        [texts(missing), this.listener, waitsForMillis],
      ).pipe(
        Effect.andThen(Effect.sync(() => {
          if (heard !== this.heard) return
          for (const topic of missing) this.armed.set(topic, at + waitsForMillis / 2)
        })),
        // Who waits without being known still polls.
        Effect.ignore,
      )
    })
  }

  private wake(topic: Topic): void {
    for (const latch of this.waiters.get(topic) ?? []) latch.openUnsafe()
  }

  /** After a connection was replaced nobody knows what was missed. */
  private readonly wakeAll = Effect.sync(() => {
    this.heard++
    this.armed.clear()
    for (const topic of this.waiters.keys()) this.wake(topic)
  })

  private readonly tell = Effect.suspend(() =>
    this.hasUntold.await.pipe(
      Effect.andThen(Effect.sync(() => {
        const topics = [...this.untold]
        this.untold.clear()
        this.hasUntold.closeUnsafe()
        return topics
      })),
      Effect.flatMap((topics) =>
        this.pg.query(
          "beats",
          "hint",
          `DELETE FROM waiter WHERE topic = ANY ($1::text[]) AND listener <> $2
           RETURNING pg_notify($3 || '_' || listener, topic)::text`,
          [texts(topics), this.listener, this.pg.schema],
        )
      ),
      Effect.ignore,
      Effect.andThen(Effect.sleep(pause)),
    )
  )

  private readonly hear = Effect.gen({ self: this }, function* () {
    const client = yield* PgClient.makeClient(
      connection(this.pg.config, this.pg.schema, "listener"),
    )
    const heard = yield* client.listen(this.channel)
    yield* this.wakeAll
    yield* this.isListening.open
    const beat = this.pg.query("beats", "notify", "SELECT pg_notify($1, '')::text", [this.channel])
    yield* Effect.forkScoped(
      Effect.forever(Effect.andThen(Effect.sleep(heartbeat), Effect.ignore(beat))),
    )
    while (true) {
      const notification = yield* Queue.take(heard).pipe(
        Effect.timeoutOrElse({
          duration: Duration.times(heartbeat, 2.5),
          orElse: () => Effect.fail("silent" as const),
        }),
      )
      const topic = notification.payload as Topic
      this.heard++
      this.armed.delete(topic)
      this.wake(topic)
    }
  })

  private readonly listen = Effect.suspend(() =>
    Effect.scoped(this.hear).pipe(
      Effect.provide(Reactivity.layer),
      Effect.tapCause((cause) => Effect.logDebug("the listening connection is replaced", cause)),
      Effect.retry(Schedule.spaced("500 millis")),
      Effect.ignore,
    )
  )
}
