/** Hints through a real Redis, given by every storage, and heard in the same process or another. */
import { assert, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Option, Redacted, type Scope } from "effect"
import * as EngineContract from "../../core/contract/EngineContract.ts"
import * as WakeupsContract from "../../core/contract/WakeupsContract.ts"
import {
  definitionOf,
  type Elapse,
  freshNamespace,
  greet,
  movableClock,
  specOf,
  submitOne,
} from "../../core/contract/world.ts"
import { until } from "../../core/contract/program.ts"
import { Namespace } from "../../core/domain/Namespace.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Schedule } from "../../core/domain/Trigger.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as StandbyOwnership from "../../core/engine/StandbyOwnership.ts"
import * as Trigger from "../../core/engine/Trigger.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import type { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import { ofLane, Wakeups } from "../../core/services/Wakeups.ts"
import * as Direct from "../direct/mod.ts"
import * as Memory from "../memory/mod.ts"
import * as PgTestStorage from "../postgres/TestStorage.ts"
import * as Sqlite from "../sqlite/mod.ts"
import * as Redis from "./mod.ts"
import * as Connections from "./Redis.ts"
import * as TestServer from "./TestServer.fixture.ts"

class Server extends Context.Service<Server, {
  readonly config: Redis.Config
  /** Absent when it was given. */
  readonly own: TestServer.TestServer | undefined
}>()("belfry/adapters/redis/test/Server") {}

const server = Layer.effect(
  Server,
  Effect.suspend(() => {
    const prefix = TestServer.freshPrefix()
    return TestServer.isInstalled
      ? Effect.map(
        TestServer.start(),
        (own) => Server.of({ config: { url: own.url, prefix }, own }),
      )
      : Effect.succeed(
        Server.of({
          config: { url: Redacted.make(TestServer.givenUrl ?? ""), prefix },
          own: undefined,
        }),
      )
  }),
)

type Kept = Storage | Wakeups | Lock

/** The storage gives its hints here, and they are waited for here too. */
const together = <A, E, R>(kept: Layer.Layer<A, E, R>) =>
  Layer.unwrap(Server.use(({ config }) => Effect.succeed(Redis.carryingHints(config)(kept))))

/** The storage gives its hints in one process, and they are waited for in another. */
const apart = <E, R>(kept: Layer.Layer<Kept, E, R>) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const { config } = yield* Server
      const elsewhere = yield* Layer.build(Redis.carryingHints(config)(Layer.empty))
      return Context.add(
        yield* Layer.build(together(kept)),
        Wakeups,
        Context.get(elsewhere, Wakeups),
      )
    }),
  )

const suite = <R, E, R2>(
  name: string,
  layer: Layer.Layer<Wakeups | Storage, E, Server | R2>,
  below: Layer.Layer<R | R2, unknown>,
  elapse: Elapse<R>,
) =>
  WakeupsContract.suite(
    `redis, ${name}`,
    Layer.provideMerge(layer, Layer.merge(server, below)),
    elapse,
    { runner: "live" },
  )

const test = (
  name: string,
  body: () => Effect.Effect<unknown, unknown, Server | Kept | Scope.Scope>,
) =>
  it.live(
    `redis: ${name}`,
    () =>
      body().pipe(Effect.scoped, Effect.provide(Layer.provideMerge(apart(Memory.layer), server))),
    60_000,
  )

/** The subscription to a namespace's lane, and how it is hinted of. */
const waiting = Effect.gen(function* () {
  const namespace = freshNamespace()
  const subscription = yield* Wakeups.use((wakeups) =>
    wakeups.subscribe([ofLane(Lane.ofTask(namespace, greet))])
  )
  return { ...subscription, hint: submitOne(specOf(namespace)) }
})

if (TestServer.isInstalled || TestServer.givenUrl !== undefined) {
  const memory = movableClock()
  suite("of memory", together(Memory.layer), memory.layer, memory.elapse)
  const elsewhere = movableClock()
  suite("of memory elsewhere", apart(Memory.layer), elsewhere.layer, elsewhere.elapse)
  const sqlite = movableClock()
  suite(
    "of sqlite elsewhere",
    apart(Sqlite.layer({ file: ":memory:" })),
    sqlite.layer,
    sqlite.elapse,
  )
  suite(
    "of postgres elsewhere",
    apart(PgTestStorage.another()),
    PgTestStorage.base,
    PgTestStorage.elapse,
  )
} else {
  console.warn(TestServer.missing)
  it(TestServer.missing, ({ skip }) => skip())
}

if (TestServer.isInstalled) {
  EngineContract.suite(
    "hints through redis",
    Layer.provideMerge(Layer.provideMerge(Direct.layer, apart(Memory.layer)), server),
  )

  test("a subscription that begins as another of its topic ends hears all the same", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const topic = ofLane(Lane.ofTask(namespace, greet))
      const wakeups = yield* Wakeups
      const subscribed = wakeups.subscribe([topic])
      for (let n = 0; n < 50; n++) {
        yield* Effect.scoped(Effect.flatMap(subscribed, ({ arm }) => arm))
        yield* Effect.scoped(Effect.gen(function* () {
          const { arm, wait } = yield* subscribed
          yield* arm
          yield* submitOne(specOf(namespace))
          assert.isTrue(yield* wait(Duration.seconds(5)))
        }))
      }
    }))

  it.live(
    "redis: what is submitted by SQL wakes who waits, in every process",
    () =>
      Effect.gen(function* () {
        const { sql } = yield* PgTestStorage.TestStorage
        const { hint, arm, wait } = yield* waiting
        // So that somebody knows the lane.
        yield* hint
        const [run] = yield* sql<{ lane: string }>`SELECT name AS lane FROM lane`
        const [namespace, task] = run!.lane.split(":")
        yield* Storage.use(({ tasks }) => tasks.define([definitionOf(Namespace.make(namespace!))]))
        yield* arm
        yield* sql`SELECT belfry.submit(${task!}, '{}'::jsonb,
        jsonb_build_object('namespace', ${namespace!}::text))`
        assert.isTrue(yield* wait(Duration.seconds(5)))
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.provideMerge(
          together(PgTestStorage.another()),
          Layer.merge(server, PgTestStorage.base),
        )),
      ),
    60_000,
  )

  test("a connection that was killed is replaced, and whoever waited looks again", () =>
    Effect.gen(function* () {
      const { config } = yield* Server
      const redis = yield* Connections.make(config)
      const { arm, hint, wait } = yield* waiting
      yield* arm
      yield* redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
      assert.isTrue(yield* wait(Duration.seconds(10)), "as it was replaced")
      yield* arm
      yield* hint
      assert.isTrue(yield* wait(Duration.seconds(5)))
      yield* redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      yield* arm
      yield* hint
      assert.isTrue(yield* wait(Duration.seconds(10)), "it was told once it could be")
    }))

  test("while there is no server, work goes on, waits end at their time, and hints are dropped", () =>
    Effect.gen(function* () {
      const { own } = yield* Server
      const { arm, hint, wait } = yield* waiting
      yield* own!.kill
      for (let n = 0; n < 200; n++) yield* hint
      yield* arm
      const [took, isHinted] = yield* Effect.timed(wait(Duration.millis(300)))
      assert.isFalse(isHinted)
      assert.isAtMost(Duration.toMillis(took), 3000)
      yield* own!.start
      // What was given up is found by looking; what is given from now on is heard again.
      const isHeard = Effect.gen(function* () {
        yield* arm
        yield* hint
        return yield* wait(Duration.millis(500))
      })
      const again = yield* Effect.forkChild(Effect.repeat(isHeard, { until: (heard) => heard }))
      assert.isTrue(yield* Fiber.join(again))
    }))

  test("B35: what is due while locks and hints go and come again fires at its time", () =>
    Effect.gen(function* () {
      const { config, own } = yield* Server
      const { runs } = yield* Storage
      yield* Layer.build(
        Layer.merge(Triggers.layer, Scheduler.layer).pipe(
          Layer.provide(StandbyOwnership.layer({ name: "b35", ttl: "2 seconds" })),
          Layer.provide(Redis.layer(config)),
        ),
      )
      const namespace = freshNamespace()
      const { list, put, records } = Context.get(yield* Layer.build(Triggers.layerClient), Triggers)
      const trigger = (name: string, schedule: Schedule) =>
        put({ namespace, name, task: greet, schedule, payload: "{}" })
      const first = yield* trigger("first", Trigger.every("1 second"))
      yield* until(list(namespace), ([view]) => view!.cursor! > first.cursor!)
      const at = new Date(Date.now() + 3000)
      yield* trigger("due", Trigger.at(at))
      const delayed = yield* submitOne(specOf(namespace, { delayMillis: 3000 }))
      yield* own!.kill
      yield* Effect.sleep("1500 millis")
      yield* own!.start
      const [record] = yield* until(
        records(namespace, "due", 1),
        ([record]) => record !== undefined,
      )
      assert.strictEqual(record!.outcome, "fired")
      assert.isBelow(record!.latenessMillis, 15_000)
      yield* until(
        Effect.map(runs.find(delayed), Option.getOrThrow),
        ({ state }) => state === "Ready",
      )
    }))

  test("installations with other prefixes do not wake each other", () =>
    Effect.gen(function* () {
      const { config } = yield* Server
      const namespace = freshNamespace()
      const other = yield* Layer.build(
        Redis.carryingHints({ ...config, prefix: "other" })(Memory.layer),
      )
      const { arm, wait } = yield* Wakeups.use((wakeups) =>
        wakeups.subscribe([ofLane(Lane.ofTask(namespace, greet))])
      )
      yield* arm
      yield* Effect.provide(submitOne(specOf(namespace)), other)
      assert.isFalse(yield* wait(Duration.millis(500)))
      yield* Storage.use(({ tasks }) => tasks.define([definitionOf(namespace)]))
      yield* submitOne(specOf(namespace))
      assert.isTrue(yield* wait(Duration.seconds(5)))
    }))
}
