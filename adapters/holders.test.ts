/** Locks between real processes, of which one is killed, or stopped until it is too late. */
import { assert, it } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, Option, Redacted, type Scope } from "effect"
import { until } from "../core/contract/program.ts"
import { LockKey } from "../core/domain/Lease.ts"
import { Locks } from "../core/engine/Locks.ts"
import { Lock } from "../core/services/Lock.ts"
import { locksAt } from "./holder.fixture.ts"
import * as TestPostgres from "./postgres/TestStorage.ts"
import { processOf } from "./process.fixture.ts"
import * as TestRedis from "./redis/TestServer.fixture.ts"
import { freshFile } from "./sqlite/fresh.fixture.ts"

const fixture = new URL("./holder.fixture.ts", import.meta.url)
const ttlMillis = 2000
const key = LockKey.make("key")

/** A process that holds the lock, as its lines say. */
const holder = (address: string) =>
  Effect.map(processOf(fixture, address, key, `${ttlMillis}`), ({ lines, signal }) => {
    let read = 0
    return {
      line: Effect.map(
        until(Effect.sync(() => lines[read]), (line) => line !== undefined),
        (line) => {
          read++
          return line!
        },
      ),
      signal,
    }
  })

const fenceIn = (line: string) => {
  assert.match(line, /^held \d+$/)
  return Number(line.slice("held ".length))
}

const suite = (adapter: string, address: Effect.Effect<string, unknown, Scope.Scope>) => {
  const test = (
    name: string,
    body: (address: string) => Effect.Effect<unknown, unknown, Lock | Locks | Scope.Scope>,
  ) =>
    it.live(
      `${adapter}: ${name}`,
      () =>
        Effect.flatMap(address, (address) =>
          Effect.scoped(body(address)).pipe(
            Effect.provide(Layer.provideMerge(Locks.layer, locksAt(address))),
          )).pipe(Effect.scoped),
      60_000,
    )

  test("a holder that is killed is followed within the ttl and a second, by a higher fence", (at) =>
    Effect.gen(function* () {
      const locks = yield* Locks
      const { line, signal } = yield* holder(at)
      const before = fenceIn(yield* line)
      yield* signal("SIGKILL")
      const killedAt = yield* Clock.currentTimeMillis
      const fence = yield* locks.withLock(key, ({ fence }) => Effect.succeed(fence))
      assert.isAtMost((yield* Clock.currentTimeMillis) - killedAt, ttlMillis + 1000)
      assert.isAbove(fence, before)
    }))

  test("a holder that was stopped is refused when it goes on", (at) =>
    Effect.gen(function* () {
      const lock = yield* Lock
      const locks = yield* Locks
      const { line, signal } = yield* holder(at)
      const before = fenceIn(yield* line)
      yield* Effect.sleep("600 millis")
      yield* signal("SIGSTOP")
      yield* locks.withLock(key, (lease) =>
        Effect.gen(function* () {
          assert.isAbove(lease.fence, before)
          yield* signal("SIGCONT")
          assert.strictEqual(yield* line, "lost LeaseLost")
          const held = yield* lock.held({ prefix: key, limit: 2 })
          assert.deepEqual(held.map(({ lease }) => lease), [lease], "and did not disturb it")
        }))
      assert.isTrue(Option.isSome(yield* lock.acquire(key, "ada", Duration.seconds(1))))
    }))
}

suite("sqlite", freshFile)
suite("postgres", TestPostgres.freshUrl)
if (TestRedis.isInstalled) {
  suite("redis", Effect.map(TestRedis.start(), ({ url }) => Redacted.value(url)))
}
