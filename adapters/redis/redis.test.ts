import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Fiber, Layer, Redacted, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import * as LockContract from "../../core/contract/LockContract.ts"
import * as LocksContract from "../../core/contract/LocksContract.ts"
import { LockKey } from "../../core/domain/Lease.ts"
import { Locks } from "../../core/engine/Locks.ts"
import { Lock } from "../../core/services/Lock.ts"
import { fencesOf } from "./durability.ts"
import * as Redis from "./mod.ts"
import * as Connections from "./Redis.ts"
import * as TestServer from "./TestServer.fixture.ts"

/** The server, and a connection of the test's own to what is kept there. */
class World extends Context.Service<World, {
  readonly config: Redis.Config
  readonly server: TestServer.TestServer | undefined
  readonly redis: Connections.Redis
}>()("belfry/adapters/redis/test/World") {}

const worldOf = (config: Redis.Config, server: TestServer.TestServer | undefined) =>
  Effect.map(Connections.make(config), (redis) => World.of({ config, server, redis }))

const started = (settings: Readonly<Record<string, string>> = {}) =>
  Layer.effect(
    World,
    Effect.flatMap(
      TestServer.start(settings),
      (server) => worldOf({ url: server.url, prefix: TestServer.freshPrefix() }, server),
    ),
  )

const given = Layer.effect(
  World,
  Effect.suspend(() =>
    worldOf({
      url: Redacted.make(TestServer.givenUrl ?? ""),
      prefix: TestServer.freshPrefix(),
    }, undefined)
  ),
)

const locksIn = <E>(world: Layer.Layer<World, E>) =>
  Layer.provideMerge(
    Layer.unwrap(World.use(({ config }) => Effect.succeed(Redis.layer(config)))),
    world,
  )

/** Time goes by when the ends of all leases are moved back. */
const age = Connections.script(`
local all = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for at = 1, #all, 2 do redis.call('ZADD', KEYS[1], all[at + 1] - ARGV[1], all[at]) end
`)

const elapse = (duration: Duration.Duration) =>
  World.use(({ redis }) =>
    redis.run("age", age, [redis.named("ends")], [`${Duration.toMillis(duration)}`], false)
  )

const reopened = <A, E>(
  then: Effect.Effect<A, E, Lock>,
): Effect.Effect<A, unknown, World | Scope.Scope> =>
  World.use(({ config, server }) =>
    Effect.andThen(
      Effect.andThen(server!.kill, server!.start),
      Effect.provide(then, Layer.fresh(Redis.layer(config))),
    )
  )

const runner = "live"

if (TestServer.givenUrl !== undefined) {
  const layer = locksIn(given)
  LockContract.suite("redis, given", layer, elapse, { runner })
  LocksContract.suite("redis, given", layer)
}

if (TestServer.isInstalled) {
  const layer = locksIn(started())
  LockContract.suite("redis", layer, elapse, { runner })
  LocksContract.suite("redis", layer)
  LockContract.suite("redis, durable", locksIn(started(TestServer.durable)), elapse, {
    runner,
    reopened,
    sequences: 2,
  })
  ownServers()
} else if (TestServer.givenUrl === undefined) {
  console.warn(TestServer.missing)
  it(TestServer.missing, ({ skip }) => skip())
}

/** What can only be tried on a server that may be killed, paused and set up differently. */
function ownServers() {
  const test = (
    name: string,
    body: () => Effect.Effect<unknown, unknown, World | Lock | Locks | Scope.Scope>,
    settings: Readonly<Record<string, string>> = {},
  ) =>
    it.live(
      `redis: ${name}`,
      () =>
        Effect.scoped(body()).pipe(
          Effect.provide(Layer.provideMerge(Locks.layer, locksIn(started(settings)))),
        ),
      60_000,
    )
  const key = LockKey.make("key")
  const ttl = Duration.seconds(30)
  const granted = Effect.flatMap(
    Lock.use((lock) => lock.acquire(key, "ada", ttl)),
    Effect.fromOption,
  )
  const millisOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.timed(effect), ([duration]) => Duration.toMillis(duration))

  /** How long a waiter waits after the release, while `meanwhile` is done to what it waits with. */
  const wakes = (meanwhile: Effect.Effect<unknown, unknown, World>) =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const lease = yield* granted
      const waiting = yield* Effect.forkChild(
        Locks.use((locks) => locks.withLock(key, () => Clock.currentTimeMillis)),
      )
      yield* Effect.sleep("100 millis")
      yield* meanwhile
      const releasedAt = yield* Clock.currentTimeMillis
      yield* lock.release(lease)
      return (yield* Fiber.join(waiting)) - releasedAt
    })

  test("a connection that was killed is replaced, and its waiters are woken as before", () =>
    Effect.gen(function* () {
      const { redis } = yield* World
      for (const type of ["pubsub", "normal"]) {
        const killed = redis.ask("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes")
        assert.isAtMost(yield* wakes(killed), 2500, type)
      }
      yield* Effect.sleep("2 seconds")
      assert.isAtMost(yield* wakes(Effect.void), 200)
    }))

  test("a waiter whose watch is lost for good falls back to polling", () =>
    Effect.gen(function* () {
      const { redis } = yield* World
      yield* redis.ask("ACL", "SETUSER", "default", "-subscribe")
      yield* redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
      const all = yield* Effect.replicateEffect(wakes(Effect.void), 5)
      for (const millis of all) assert.isAtMost(millis, 1700)
      assert.isAbove(Math.max(...all), 200, "or the watch was not lost")
    }))

  test(
    "a server that was restarted is gone on with, by those who waited too",
    () =>
      Effect.gen(function* () {
        const { server } = yield* World
        const restarted = Effect.andThen(server!.kill, server!.start)
        assert.isAtMost(yield* wakes(restarted), 3000)
        yield* Effect.sleep("2 seconds")
        assert.isAtMost(yield* wakes(Effect.void), 200)
      }),
    TestServer.durable,
  )

  test("a server that answers nothing holds nobody up for long, and is gone on with", () =>
    Effect.gen(function* () {
      const { server } = yield* World
      const lock = yield* Lock
      const lease = yield* granted
      yield* server!.pause
      const failed = yield* millisOf(
        Effect.map(
          Effect.flip(lock.acquire(key, "bob", ttl)),
          (error) => assert.strictEqual(error._tag, "StorageUnavailable"),
        ),
      )
      assert.isAtMost(failed, 6000)
      yield* server!.goOn
      const back = yield* millisOf(Effect.retry(lock.renew(lease, ttl), { times: 5 }))
      assert.isAtMost(back, 5000)
    }))

  test("a connection that has fallen silent is replaced, and its waiters are woken as before", () =>
    Effect.gen(function* () {
      const { config, redis, server } = yield* World
      const way = yield* wayTo(server!.url)
      const behind = yield* Layer.build(Redis.layer({ ...config, url: way.url }))
      const lock = Context.get(behind, Lock)
      const { arm, wait } = yield* lock.watch(key)
      yield* arm
      way.fallSilent()
      const lease = yield* granted
      // Nobody has told it that the connection is gone: it has to ask.
      assert.isTrue(yield* wait(Duration.seconds(15)), "as it was replaced")
      yield* arm
      const waiting = yield* Effect.forkChild(wait(Duration.seconds(5)))
      yield* Effect.sleep("50 millis")
      yield* Lock.use((lock) => lock.release(lease))
      const woken = yield* millisOf(Fiber.join(waiting))
      assert.isAtMost(woken, 200)
      assert.isTrue(yield* Fiber.join(waiting))
      yield* lock.acquire(key, "bob", ttl)
      assert.strictEqual(yield* redis.ask("PING"), "PONG")
    }))

  test("a server that has lost its data goes on with higher fences", () =>
    Effect.gen(function* () {
      const { redis } = yield* World
      const before = yield* granted
      yield* redis.ask("FLUSHALL")
      const after = yield* granted
      assert.isAbove(after.fence, before.fence)
      const lock = yield* Lock
      const late = yield* Effect.flip(lock.renew(before, ttl))
      assert.strictEqual(late._tag, "LeaseLost")
      yield* lock.renew(after, ttl)
    }))

  test("a server whose clock was set back goes on with higher fences", () =>
    Effect.gen(function* () {
      const { redis } = yield* World
      const lock = yield* Lock
      const first = yield* granted
      const ahead = first.fence + 3_600_000_000
      yield* redis.ask("SET", redis.named("fence"), `${ahead}`)
      yield* lock.release(first)
      const second = yield* granted
      yield* lock.release(second)
      assert.deepEqual([second.fence, (yield* granted).fence], [ahead + 1, ahead + 2])
    }))

  test("installations with other prefixes do not see each other", () =>
    Effect.gen(function* () {
      const { config } = yield* World
      yield* granted
      const other = yield* Layer.build(Redis.layer({ ...config, prefix: "other" }))
      const lock = Context.get(other, Lock)
      assert.deepEqual(yield* lock.held({ prefix: "", limit: 10 }), [])
      assert.strictEqual((yield* lock.acquire(key, "bob", ttl))._tag, "Some")
    }))

  test("forgets what has ended, so that it keeps no more than is in use", () =>
    Effect.gen(function* () {
      const { redis } = yield* World
      const lock = yield* Lock
      for (let n = 0; n < 150; n++) yield* lock.acquire(LockKey.make(`${n}`), "ada", ttl)
      yield* elapse(Duration.times(ttl, 2))
      for (let n = 0; n < 2; n++) yield* lock.acquire(LockKey.make(`next ${n}`), "ada", ttl)
      assert.strictEqual(yield* redis.ask("ZCARD", redis.named("ends")), 2)
      assert.strictEqual(yield* redis.ask("HLEN", redis.named("grants")), 2)
    }))

  it.live("redis: scripts touch one slot, and a cluster's fences are advisory", () =>
    Effect.gen(function* () {
      const server = yield* TestServer.start({ ...TestServer.durable, "cluster-enabled": "yes" })
      const world = yield* worldOf({ url: server.url }, server)
      yield* world.redis.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
      while (!`${yield* world.redis.ask("CLUSTER", "INFO")}`.includes("cluster_state:ok")) {
        yield* Effect.sleep("50 millis")
      }
      const lock = Context.get(yield* Layer.build(Redis.layer(world.config)), Lock)
      assert.strictEqual(lock.fences, "advisory")
      for (const name of ["a}b", "{c}", "}{"]) {
        const lease = yield* Effect.fromOption(
          yield* lock.acquire(LockKey.make(name), "ada", ttl),
        )
        yield* lock.renew(lease, ttl)
        yield* lock.release(lease)
      }
      assert.deepEqual(yield* lock.held({ prefix: "", limit: 1 }), [])
    }))

  it.live(
    "redis: a server that hangs up at once is not asked more than a second's worth",
    () =>
      Effect.gen(function* () {
        let connects = 0
        const port = yield* Effect.acquireRelease(
          Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
            const desk = createServer((socket) => {
              connects++
              socket.destroy()
            }).listen(0, "127.0.0.1", () => {
              const address = desk.address()
              const port = typeof address === "object" && address ? address.port : 0
              resume(Effect.succeed({ port, close: () => desk.close() }))
            })
          }),
          ({ close }) => Effect.sync(close),
        ).pipe(Effect.map(({ port }) => port))
        const config = { url: Redacted.make(`redis://127.0.0.1:${port}`) }
        yield* Effect.forkScoped(Connections.keep(config, "test", () => Effect.never))
        yield* Effect.sleep("3200 millis")
        assert.isAtLeast(connects, 2)
        assert.isAtMost(connects, 4)
        const error = yield* Effect.flip(Layer.build(Redis.layer(config)))
        assert.strictEqual(error._tag, "StorageUnavailable")
      }),
    30_000,
  )
}

/** A way to a server on which what is connected can fall silent, as when a cable is cut. */
const wayTo = (url: Redacted.Redacted) =>
  Effect.acquireRelease(
    Effect.callback<{
      readonly url: Redacted.Redacted
      readonly fallSilent: () => void
      readonly close: () => void
    }>((resume) => {
      const sockets = new Set<Socket>()
      const desk = createServer((near) => {
        const far = connect(Number(new URL(Redacted.value(url)).port), "127.0.0.1")
        near.pipe(far).pipe(near)
        for (const socket of [near, far]) {
          sockets.add(socket)
          socket.on("error", () => socket.destroy())
        }
      }).listen(0, "127.0.0.1", () => {
        const address = desk.address()
        const port = typeof address === "object" && address ? address.port : 0
        resume(Effect.succeed({
          url: Redacted.make(`redis://127.0.0.1:${port}`),
          fallSilent: () => {
            for (const socket of sockets) socket.unpipe().pause()
          },
          close: () => {
            desk.close()
            for (const socket of sockets) socket.destroy()
          },
        }))
      })
    }),
    ({ close }) => Effect.sync(close),
  )

describe("redis, without a server", () => {
  it("believes a server that is alone, flushes before it answers, and evicts nothing", () => {
    const good = {
      appendonly: "yes",
      appendfsync: "always",
      role: "master",
      connected_slaves: "0",
      cluster_enabled: "0",
      maxmemory: "0",
      "maxmemory-policy": "noeviction",
    }
    assert.strictEqual(fencesOf(good), "durable")
    assert.strictEqual(fencesOf({ ...good, "maxmemory-policy": "allkeys-lru" }), "durable")
    assert.strictEqual(fencesOf({ ...good, maxmemory: "1000000" }), "durable")
    for (
      const bad of [
        { appendonly: "no" },
        { appendfsync: "everysec" },
        { role: "slave" },
        { connected_slaves: "1" },
        { cluster_enabled: "1" },
        { maxmemory: "1000000", "maxmemory-policy": "volatile-ttl" },
        { role: undefined },
      ]
    ) assert.strictEqual(fencesOf({ ...good, ...bad }), "advisory", JSON.stringify(bad))
    assert.strictEqual(fencesOf({}), "advisory")
  })

  it.effect("refuses an address or a prefix that it could not use", () =>
    Effect.gen(function* () {
      const url = Redacted.make("redis://127.0.0.1:1")
      for (
        const [field, config] of [
          ["url", { url: Redacted.make("127.0.0.1") }],
          ["url", { url: Redacted.make("http://127.0.0.1") }],
          ["prefix", { url, prefix: "a{b}" }],
          ["prefix", { url, prefix: "" }],
        ] as const
      ) {
        const error = yield* Effect.flip(Layer.build(Redis.layer(config)))
        assert(error._tag === "Refused")
        assert.strictEqual(error.field, field)
      }
    }))
})
