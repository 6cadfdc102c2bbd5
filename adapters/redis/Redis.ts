/**
 * The connections to Redis, and the border at which its errors become ours.
 *
 * There are two, one for commands and one that listens (`RedisHints`). The client's own reconnecting
 * is off, as it does not notice a connection that has fallen silent. Instead each connection is asked
 * every few seconds whether it lives, and is replaced when it is lost or does not answer, a second
 * after the last attempt unless the one before had lived for longer.
 *
 * Every command is one script, hence one atomic step and one round trip. All keys of an installation
 * share a hash tag, so that on a cluster they are in one slot, and scripts may touch all of them.
 */
import {
  Cause,
  Deferred,
  Duration,
  Effect,
  Latch,
  Random,
  Redacted,
  Schedule,
  type Scope,
} from "effect"
import { createHash } from "node:crypto"
import { createClient, ErrorReply } from "redis"
import { Refused } from "../../core/domain/Refused.ts"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"

export interface Config {
  /** As in `redis://user:password@127.0.0.1:6379/0`; `rediss:` is with TLS. */
  readonly url: Redacted.Redacted
  /** What its keys begin with, `belfry` unless given. Installations that share a server need two. */
  readonly prefix?: string
}

export interface Script {
  readonly text: string
  readonly sha: string
}

export const script = (text: string): Script => ({
  text,
  sha: createHash("sha1").update(text).digest("hex"),
})

export interface Redis {
  readonly config: Config
  /** The full name of a key or channel. */
  readonly named: (name: string) => string
  /**
   * Carries out one script. What Redis refused for a passing reason is tried again, and so is a lost
   * answer if `isRepeatable`.
   */
  readonly run: (
    operation: string,
    script: Script,
    keys: ReadonlyArray<string>,
    values: ReadonlyArray<string>,
    isRepeatable?: boolean,
  ) => Effect.Effect<unknown, StorageUnavailable>
  /** The answer to a command, as text. */
  readonly ask: (
    ...words: readonly [string, ...ReadonlyArray<string>]
  ) => Effect.Effect<unknown, StorageUnavailable>
}

const answerPatience = Duration.seconds(3)
const connectPatience = Duration.seconds(5)
const heartbeat = Duration.seconds(5)
/** How long a command waits for a connection that is being replaced. */
const replacePatience = Duration.seconds(3)

const prefixPattern = /^[A-Za-z0-9_.:-]{1,64}$/

const check = ({ prefix = "belfry", url }: Config) => {
  const refuse = (field: string, reason: string, remedy: string) =>
    Effect.fail(new Refused({ field, reason, remedy }))
  if (!prefixPattern.test(prefix)) {
    return refuse(
      "prefix",
      "it is not fit for the names of keys",
      "Use letters, digits and _ . : -",
    )
  }
  const protocol = URL.parse(Redacted.value(url))?.protocol
  return protocol === "redis:" || protocol === "rediss:" ? Effect.void : refuse(
    "url",
    "it is not the address of a Redis",
    "Write it as in redis://user:password@host:6379/0, or rediss: for TLS",
  )
}

const plain = (config: Config, role: string) =>
  createClient({
    url: Redacted.value(config.url),
    name: `belfry-${role}`,
    socket: {
      reconnectStrategy: false,
      connectTimeout: Duration.toMillis(connectPatience),
    },
    disableOfflineQueue: true,
    maintNotifications: "disabled",
  })

export type Client = ReturnType<typeof plain>

export interface Connection {
  readonly client: Client
  /** Whoever finds it silent says so, and it is replaced. */
  readonly giveUp: (cause: unknown) => void
}

type Use = (connection: Connection) => Effect.Effect<never, unknown, Scope.Scope>

/** One connection after another, for as long as it is not interrupted; `use` is told of each. */
export const keep = (
  config: Config,
  role: string,
  use: Use,
  whenLost: (reason: unknown) => void = () => {},
): Effect.Effect<never> =>
  Effect.gen(function* () {
    for (;;) {
      const startedAt = performance.now()
      yield* Effect.scoped(connected(config, role, use)).pipe(
        Effect.tapCause((cause) => {
          whenLost(Cause.squash(cause))
          return Effect.logDebug("a connection to Redis is replaced", cause)
        }),
        Effect.exit,
      )
      const hasLived = performance.now() - startedAt > 5000
      yield* Effect.sleep((hasLived ? 50 : 1000) + (yield* Random.nextIntBetween(0, 100)))
    }
  })

const connected = Effect.fnUntraced(function* (config: Config, role: string, use: Use) {
  const lost = Deferred.makeUnsafe<never, unknown>()
  const giveUp = (cause: unknown) => void Deferred.doneUnsafe(lost, Effect.fail(cause))
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const made = plain(config, role)
      made.on("error", giveUp)
      made.on("end", () => giveUp(new Error("the connection has ended")))
      return made
    }),
    (client) => Effect.sync(() => client.destroy()),
  )
  yield* Effect.tryPromise(() => client.connect()).pipe(Effect.timeout(connectPatience))
  const beat = Effect.sleep(heartbeat).pipe(
    Effect.andThen(Effect.tryPromise(() => client.ping()).pipe(Effect.timeout(answerPatience))),
    Effect.forever,
  )
  yield* Effect.raceAllFirst([use({ client, giveUp }), beat, Deferred.await(lost)])
})

export const make = Effect.fn("Redis.make")(
  function* (config: Config): Effect.fn.Return<Redis, Refused | StorageUnavailable, Scope.Scope> {
    yield* check(config)
    let current: Connection | undefined
    let lastLoss: unknown
    const isConnected = Latch.makeUnsafe()
    const use: Use = (connection) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          current = connection
          isConnected.openUnsafe()
        }),
        () => Effect.never,
        () =>
          Effect.sync(() => {
            current = undefined
            isConnected.closeUnsafe()
          }),
      )
    yield* Effect.forkScoped(keep(config, "commands", use, (reason) => {
      lastLoss = reason
    }))

    const once = <A>(call: (client: Client) => Promise<A>): Effect.Effect<A, unknown> =>
      isConnected.await.pipe(
        Effect.timeoutOrElse({
          duration: replacePatience,
          orElse: () => Effect.fail(new Unreachable("there is no connection", { cause: lastLoss })),
        }),
        Effect.andThen(Effect.suspend(() => {
          const connection = current
          if (connection === undefined) return Effect.fail(new JustLost())
          return Effect.tryPromise({ try: () => call(connection.client), catch: (cause) => cause })
            .pipe(
              Effect.timeoutOrElse({
                duration: answerPatience,
                orElse: () =>
                  Effect.fail(new Error(`no answer within ${Duration.format(answerPatience)}`)),
              }),
              Effect.tapError((cause) =>
                Effect.sync(() => {
                  // A server that has become a replica may have a successor at the same address.
                  if (isOfConnection(cause) || isOfReplica(cause)) connection.giveUp(cause)
                })
              ),
            )
        })),
      )

    const tried =
      (operation: string, isRepeatable: boolean) => <A>(call: Effect.Effect<A, unknown>) =>
        call.pipe(
          Effect.retry({
            while: (error) => isRefusedForNow(error) || isRepeatable && isOfConnection(error),
            schedule: patience,
            times: 4,
          }),
          Effect.mapError((cause) =>
            new StorageUnavailable({ storage: "redis", operation, cause })
          ),
        )

    const named = (name: string) => `{${config.prefix ?? "belfry"}}:${name}`
    const redis: Redis = {
      config,
      named,
      run: (operation, { sha, text }, keys, values, isRepeatable = true) => {
        const given = { keys: [...keys], arguments: [...values] }
        return once((client) =>
          client.evalSha(sha, given).catch((error) => {
            if (error instanceof ErrorReply && error.message.startsWith("NOSCRIPT")) {
              return client.eval(text, given)
            }
            throw error
          })
        ).pipe(tried(operation, isRepeatable))
      },
      ask: (...words) =>
        once((client) => client.sendCommand([...words])).pipe(tried(words[0], true)),
    }
    yield* redis.ask("PING")
    return redis
  },
)

/** Nothing was sent. */
class JustLost extends Error {}
/** Nothing was sent, and it was waited for long enough. */
class Unreachable extends Error {}

const isOfConnection = (error: unknown) =>
  !(error instanceof ErrorReply || error instanceof Unreachable)
const isOfReplica = (error: unknown) =>
  error instanceof ErrorReply && error.message.startsWith("READONLY")

/** About a second in all: who called has a patience of its own. */
const patience = Schedule.exponential("50 millis", 2.2).pipe(Schedule.jittered)

/** The command was not sent, or Redis said that it did not carry it out, and may do so later. */
const isRefusedForNow = (error: unknown): boolean =>
  error instanceof JustLost ||
  error instanceof ErrorReply && /^(LOADING|BUSY|READONLY|MASTERDOWN|TRYAGAIN)/.test(error.message)
