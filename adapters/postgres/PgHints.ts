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
 * One connection per process listens, on a channel of its own, and on one for all, which tells of
 * submits by SQL and of events of the outbox that the database itself writes: those commit after they
 * could look for waiters. It is proven alive by notifications
 * to itself; when it had to be replaced, everyone who waits looks again.
 */
import { PgConnection } from "@effect/sql-pg"
import { Duration, Effect, Exit, Latch, Queue, Scope } from "effect"
import { randomBytes } from "node:crypto"
import type { GateKey } from "../../core/domain/Blocking.ts"
import { isSoon } from "../../core/services/Wakeups.ts"
import { connection, type Pg, texts } from "./Pg.ts"
import type { Look, PgLooks } from "./PgLooks.ts"

/** A topic as waiters and notifications know it: short, since a payload has its bounds. */
export type Topic = `l${number}` | `e${number}` | "t" | "o" | "d" | `k${string}`

const waitsForMillis = 60_000
/** A row of a waiter is relied on for so long, by the clock of this process. */
const reliesMillis = 45_000
const renewsTogetherMillis = 5000
/** At most one statement looks for waiters in this time, unless nothing was told for as long. */
const pause = Duration.millis(2)
const patience = Duration.seconds(5)

export interface Timing {
  readonly heartbeatMillis: number
  /** A connection of which nothing was heard for so long is dead, whatever TCP says. */
  readonly silenceMillis: number
  /** Between two connections. */
  readonly pauseMillis: number
}
const usual: Timing = { heartbeatMillis: 5000, silenceMillis: 12_000, pauseMillis: 1000 }
/** Gates beyond are found by the sweep. */
const gatesMax = 10_000
const gatePrefix = "g"

/** Tells a carrier of topics, everywhere or only here. */
export type Carry = (topics: ReadonlyArray<Topic>, isHere: boolean) => Effect.Effect<void, unknown>

const isOfLock = (topic: Topic) => topic.startsWith("k")

interface Armed {
  /** The row is counted on. */
  readonly until: number
  /** When whoever waits writes it anew. */
  renewAt: number
}

export class PgHints {
  private readonly pg: Pg
  private readonly looks: PgLooks
  private readonly timing: Timing
  readonly listener: string
  private readonly waiters = new Map<Topic, Set<Latch.Latch>>()
  /** Topics of which this process has a waiter row. */
  private readonly armed = new Map<Topic, Armed>()
  private readonly untold = new Set<Topic>()
  private readonly hasUntold = Latch.makeUnsafe()
  private readonly isListening = Latch.makeUnsafe()
  /** Counts what was heard: a row that was written meanwhile may be gone again. */
  private heard = 0
  /** Gates at which a run waits that nobody has asked to admit. */
  private gates = new Set<GateKey>()
  private heardAt = 0
  /** Where hints go instead of to `waiter`, but for those of locks. */
  private readonly carry: Carry | undefined
  private isWarned = false
  /** What else is to happen when everybody is told of a run that is ready. */
  onSubmit: () => void = () => {}

  private constructor(
    pg: Pg,
    looks: PgLooks,
    listener: string,
    timing: Timing,
    carry: Carry | undefined,
  ) {
    this.carry = carry
    this.pg = pg
    this.looks = looks
    this.listener = listener
    this.timing = timing
  }

  static readonly make = Effect.fn("PgHints.make")(function* (
    pg: Pg,
    looks: PgLooks,
    timing: Timing = usual,
    carry?: Carry,
  ) {
    const hints = new PgHints(pg, looks, randomBytes(6).toString("hex"), timing, carry)
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

  /** Says so if what was scheduled with one of these delays is due soon. */
  giveDue(delays: ReadonlyArray<number>): void {
    if (delays.some(isSoon)) this.give(["d"])
  }

  /** The gates of runs that were submitted by SQL since this was asked last. */
  takeGates(): Iterable<GateKey> {
    const taken = this.gates
    if (taken.size > 0) this.gates = new Set()
    return taken
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
      const late = topics.filter((topic) => at >= (this.armed.get(topic)?.renewAt ?? 0))
      if (late.length === 0) return Effect.void
      // Of those that would be next too, at once: who waits for them relies on the row that is there.
      // Mostly a row is written because the one before was taken away, and then it is one.
      const isRenewal = late.some((topic) => this.armed.has(topic))
      const ending = !isRenewal
        ? []
        : [...this.armed].filter(([topic, { renewAt, until }]) =>
          renewAt < at + renewsTogetherMillis && at < until && this.waiters.has(topic)
        )
      for (const [, each] of ending) each.renewAt = Math.min(each.until, at + renewsTogetherMillis)
      const missing = [...new Set([...late, ...ending.map(([topic]) => topic)])]
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
          for (const topic of missing) {
            this.armed.set(topic, { until: at + reliesMillis, renewAt: at + waitsForMillis / 2 })
          }
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
      Effect.flatMap((topics) => {
        if (this.carry === undefined) return this.notify(topics)
        const ofLocks = topics.filter(isOfLock)
        return Effect.andThen(
          this.carry(topics.filter((topic) => !isOfLock(topic)), false),
          ofLocks.length === 0 ? Effect.void : this.notify(ofLocks),
        )
      }),
      Effect.ignore,
      Effect.andThen(Effect.sleep(pause)),
    )
  )

  private notify(topics: ReadonlyArray<Topic>) {
    return this.pg.query(
      "beats",
      "hint",
      `DELETE FROM waiter WHERE topic = ANY ($1::text[]) AND listener <> $2
       RETURNING pg_notify($3 || '_' || listener, topic)::text`,
      [texts(topics), this.listener, this.pg.schema],
    )
  }

  private readonly hear = Effect.gen({ self: this }, function* () {
    const { config, schema } = this.pg
    const opened = yield* PgConnection.make(connection(config, schema, "listener"))
    const session = yield* opened.pin
    const own = yield* session.listen(this.channel)
    const everybodys = yield* session.listen(`${schema}_submit`)
    yield* this.wakeAll
    yield* Effect.forkScoped(Effect.andThen(
      session.query("SELECT pg_notify($1, '')::text", [this.channel]),
      Effect.forever(this.beatOnce),
    ))
    yield* Effect.raceAllFirst([
      Effect.forever(Effect.flatMap(Queue.take(own), ({ payload }) => this.hearOwn(payload))),
      Effect.forever(
        Effect.flatMap(Queue.take(everybodys), ({ payload }) => this.hearSubmit(payload)),
      ),
      this.untilSilent,
    ])
  })

  /** Any connection may notify the one that listens; so it goes along with what is looked for. */
  private readonly beatOnce = Effect.suspend(() => {
    const patienceMillis = this.timing.heartbeatMillis / 4
    const beat: Look = {
      name: "beat of listener",
      columns: (first) => `pg_notify($${first}, '')::text AS listener_beat`,
      params: () => [this.channel],
    }
    return Effect.sleep(this.timing.heartbeatMillis - patienceMillis).pipe(
      Effect.andThen(Effect.ignore(this.looks(beat, Duration.millis(patienceMillis)))),
    )
  })

  private hearOwn(payload: string): Effect.Effect<void> {
    this.heardAt = performance.now()
    if (payload !== "") {
      const topic = payload as Topic
      this.heard++
      this.armed.delete(topic)
      this.wake(topic)
    }
    return this.isListening.open
  }

  /** The rows of who waits stay as they are, so nothing is to be armed again. */
  private hearSubmit(payload: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (!payload.startsWith(gatePrefix)) {
        const topic = payload as Topic
        const isOfOutbox = topic === "o"
        if (!isOfOutbox) this.onSubmit()
        this.wake(topic)
        if (this.carry === undefined) return Effect.void
        // Events that the database writes are few, and who waits for them need not be connected to it.
        return Effect.ignore(this.carry([topic], !isOfOutbox))
      }
      if (this.gates.size >= gatesMax) this.gates.clear()
      this.gates.add(payload.slice(gatePrefix.length) as GateKey)
      // Whoever moves what is due takes them along.
      this.wake("d")
      return this.carry === undefined ? Effect.void : Effect.ignore(this.carry(["d"], true))
    })
  }

  /** Ends when not even our own notifications come back. */
  private readonly untilSilent = Effect.gen({ self: this }, function* () {
    const since = this.heardAt = performance.now()
    const left = () => this.heardAt + this.timing.silenceMillis - performance.now()
    while (left() > 0) yield* Effect.sleep(left())
    if (this.heardAt !== since || this.isWarned) return
    this.isWarned = true
    yield* Effect.logWarning(
      "notifications do not come through, as with a pooler in transaction mode: work is found by " +
        "looking for it, and later. Give the address of the server itself",
    )
  })

  private readonly listenOnce = Effect.acquireUseRelease(
    Scope.make(),
    (scope) => Scope.provide(this.hear, scope),
    // To close a connection that is silent takes a while.
    (scope) => Effect.forkDetach(Scope.close(scope, Exit.void)),
  ).pipe(
    Effect.tapCause((cause) => Effect.logDebug("the listening connection is replaced", cause)),
    Effect.exit,
    Effect.andThen(Effect.suspend(() => Effect.sleep(this.timing.pauseMillis))),
  )

  private readonly listen = Effect.forever(this.listenOnce)
}
