/** What a server, a network or another session may do to the adapter, and what it does then. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it as plain, layer as withLayer } from "@effect/vitest"
import {
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Schedule,
  Schema,
  Scope,
} from "effect"
import { Reactivity } from "effect/reactivity"
import * as fs from "node:fs"
import { join } from "node:path"
import {
  found,
  fresh,
  freshNamespace,
  gateOf,
  greet,
  joined,
  nothingHeld,
  specOf,
  submitAll,
  submitOne,
  succeed,
} from "../../core/contract/world.ts"
import { definitionOf, put, recordsOf, runsOf } from "../../core/contract/triggers/triggers.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { LockKey } from "../../core/domain/Lease.ts"
import { TriggerName } from "../../core/domain/Trigger.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import { Executor } from "../../core/engine/Executor.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as Task from "../../core/engine/Task.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import { ofLane, Wakeups } from "../../core/services/Wakeups.ts"
import * as Direct from "../direct/mod.ts"
import * as LocalServer from "./LocalServer.ts"
import { temporaryFolder } from "./LocalServerFiles.ts"
import * as Postgres from "./mod.ts"
import * as Pg from "./Pg.ts"
import { PgHints } from "./PgHints.ts"
import * as PgLooks from "./PgLooks.ts"
import { PgNames } from "./PgNames.ts"
import * as PgVacuum from "./PgVacuum.ts"
import * as PgWakeups from "./PgWakeups.ts"
import { TcpProxy } from "./TcpProxy.fixture.ts"
import { another, client, layer, TestStorage } from "./TestStorage.ts"

/** The adapter behind a proxy, and without any. */
const proxied = Effect.gen(function* () {
  const { url } = yield* TestStorage
  const proxy = yield* TcpProxy.to(url)
  return { proxy, context: yield* Layer.build(another({ url: proxy.url })) }
})

/** How long it takes until a hint that another process gives ends a wait; tried until it does. */
const untilHinted = (context: Context.Context<Wakeups>) =>
  Effect.gen(function* () {
    const { runs } = yield* Storage
    const namespace = freshNamespace()
    const begin = performance.now()
    const waiting = yield* Context.get(context, Wakeups).subscribe([
      ofLane(Lane.ofTask(namespace, greet)),
    ])
    for (;;) {
      yield* waiting.arm
      yield* runs.submit([specOf(namespace)])
      if (yield* waiting.wait(Duration.millis(250))) return performance.now() - begin
    }
  })

const words = (log: Array<string>) =>
  Logger.layer([Logger.make(({ message }) => void log.push(String(message)))])

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "outages, postgres",
  (it) => {
    it.effect("B36: a listener that was killed is back within 5 seconds", () =>
      Effect.gen(function* () {
        const context = yield* Layer.build(another())
        const sql = yield* client
        yield* untilHinted(context)
        const killed = yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = 'belfry listener' AND datname = current_database()`
        assert.isAbove(killed.length, 0)
        yield* Effect.sleep("50 millis")
        assert.isBelow(yield* untilHinted(context), 5000)
      }).pipe(Effect.scoped))

    it.effect("L4 wake-up, B37: a listener that hears nothing and gets no error is replaced", () =>
      Effect.gen(function* () {
        const { url } = yield* TestStorage
        const proxy = yield* TcpProxy.to(url)
        const pg = yield* Pg.make({ url: proxy.url })
        const hints = yield* PgHints.make(pg, yield* PgLooks.make(pg), {
          heartbeatMillis: 100,
          silenceMillis: 600,
          pauseMillis: 50,
        })
        const wakeups = Context.make(Wakeups, PgWakeups.make(hints, new PgNames(pg)))
        yield* untilHinted(wakeups)
        assert.strictEqual(proxy.silence("belfry listener"), 1)
        assert.isBelow(yield* untilHinted(wakeups), 5000)
      }).pipe(Effect.scoped))

    it.effect("B37: commands do not wait for ever on a connection that is silent", () =>
      Effect.gen(function* () {
        const { context, proxy } = yield* proxied
        const { executors } = Context.get(context, Storage)
        const hand = yield* joined(freshNamespace(), Duration.minutes(5))
        yield* executors.beat(hand.incarnation, nothingHeld)
        assert.isAbove(proxy.silence(), 1)
        const begin = performance.now()
        yield* Effect.ignore(executors.beat(hand.incarnation, nothingHeld))
        const beaten = yield* executors.beat(hand.incarnation, nothingHeld)
        assert.strictEqual(beaten._tag, "Alive")
        assert.isBelow(performance.now() - begin, 15_000)
      }).pipe(Effect.scoped))

    it.effect("B16: away for twenty seconds as a run ends, it hears of that when it is back, once", () =>
      Effect.gen(function* () {
        const { context, proxy } = yield* proxied
        const { runs } = yield* Storage
        let begun = 0
        const work = Task.make("work", { success: Schema.Int })
        const handler = work.toLayer(() =>
          Effect.sync(() => {
            proxy.refuse(true)
            return ++begun
          })
        )
        yield* Layer.build(handler.pipe(
          Layer.provide(Layer.fresh(Executor.layerWith({ name: "far", ttl: "2 minutes" }))),
          Layer.provide(Layer.fresh(Direct.layer)),
          Layer.provide(Layer.succeedContext(context)),
        ))
        const client = yield* Layer.build(Scheduler.layerClient)
        const run = yield* Effect.provide(work.submit({}), client)
        yield* Effect.sleep("10 seconds")
        yield* runs.recover(500)
        const before = yield* found(run)
        assert.deepInclude(before, { state: "Running", attempt: 1 })
        yield* Effect.sleep("10 seconds")
        yield* runs.recover(500)
        assert.deepEqual(yield* found(run), before)
        proxy.refuse(false)
        assert.strictEqual(yield* Effect.provide(work.result(run), client), 1)
        assert.deepInclude(yield* found(run), { attempt: 1, fence: before.fence, result: "1" })
        yield* Effect.sleep("1 second")
        const kinds = (yield* runs.events(run)).map(({ kind }) => kind)
        assert.deepStrictEqual(kinds, ["Submitted", "Claimed", "Succeeded"])
        assert.strictEqual(begun, 1)
      }).pipe(
        Effect.provideServiceEffect(CurrentNamespace, Effect.sync(freshNamespace)),
        Effect.scoped,
      ))

    it.effect("B38: while the server is away it is asked now and then, and used when it is back", () =>
      Effect.gen(function* () {
        const { context, proxy } = yield* proxied
        yield* untilHinted(context)
        proxy.refuse(true)
        const before = proxy.asked
        const used = process.cpuUsage()
        yield* Effect.sleep("4 seconds")
        const { system, user } = process.cpuUsage(used)
        assert.isAbove(proxy.asked, before)
        assert.isAtMost(proxy.asked - before, 8, "two a second")
        assert.isBelow((system + user) / 4_000_000, 0.1)
        proxy.refuse(false)
        assert.isBelow(yield* untilHinted(context), 5000)
        yield* Context.get(context, Storage).now
      }).pipe(Effect.scoped))

    it.effect(
      "B22: a slot whose trigger somebody locks for long fires late, and says how late",
      () =>
        Effect.gen(function* () {
          const { now } = yield* Storage
          const namespace = freshNamespace()
          const planner = Triggers.layer.pipe(Layer.provide(LocalOwnership.layer))
          yield* Layer.build(Layer.provide(Layer.fresh(planner), another()))
          const at = (yield* now) + 2000
          const named = (name: string) =>
            put(definitionOf(namespace, {
              name: TriggerName.make(name),
              schedule: { _tag: "At", at },
            }))
          const locked = yield* named("daily")
          const beside = yield* named("beside")
          const admin = yield* client
          yield* admin`BEGIN`
          yield* admin`SELECT 1 FROM trigger WHERE id = ${locked.id} FOR UPDATE`
          // For longer than a statement may take: who gives up has to come again.
          yield* Effect.sleep("36 seconds")
          assert.deepStrictEqual(yield* recordsOf(locked), [])
          yield* admin`ROLLBACK`
          for (const view of [locked, beside]) {
            const records = yield* recordsOf(view).pipe(
              Effect.repeat({
                until: ({ length }) => length > 0,
                schedule: Schedule.spaced("100 millis"),
              }),
              Effect.timeout("30 seconds"),
            )
            assert.deepStrictEqual(records.map(({ outcome, slot }) => [outcome, slot]), [
              ["fired", at],
            ])
            if (view === locked) assert.isAtLeast(records[0]!.latenessMillis, 30_000)
          }
          assert.lengthOf(yield* runsOf(namespace), 2)
        }).pipe(Effect.scoped),
      120_000,
    )

    it.effect("B40, B41: slow reads, however many, take no lease and open no connection", () =>
      Effect.gen(function* () {
        const context = yield* Layer.build(another())
        const { executors, runs } = Context.get(context, Storage)
        const namespace = freshNamespace()
        const hand = yield* joined(namespace, Duration.seconds(5))
        yield* submitAll(Array.from({ length: 200 }, () => specOf(namespace)))
        yield* Effect.provide(hand.claim(1), context)
        const sql = yield* client
        const connections = Effect.map(
          sql<{ count: number }>`SELECT count(*)::int AS count FROM pg_stat_activity
            WHERE application_name LIKE 'belfry %' AND datname = current_database()`,
          ([row]) => row!.count,
        )
        const admin = yield* client
        yield* admin`BEGIN`
        // Every list needs it, and no beat, claim or settle does.
        yield* admin`LOCK TABLE namespace IN ACCESS EXCLUSIVE MODE`
        const lists = Array.from({ length: 50 }, () => runs.list({ namespace, limit: 10 }))
        const reading = yield* Effect.forkChild(Effect.all(lists, { concurrency: "unbounded" }), {
          startImmediately: true,
        })
        yield* Effect.sleep("100 millis")
        const before = yield* connections
        // Longer than the lease holds without a beat.
        for (let nth = 0; nth < 24; nth++) {
          const { _tag } = yield* executors.beat(hand.incarnation, nothingHeld)
          assert.strictEqual(_tag, "Alive")
          const { grants } = yield* Effect.provide(hand.claim(20), context)
          yield* Effect.provide(hand.settle(...grants.map((grant) => succeed(grant))), context)
          yield* Effect.sleep("250 millis")
        }
        assert.isUndefined(reading.pollUnsafe(), "the lists wait all the time")
        assert.isAtMost((yield* connections) - before, 2)
        yield* admin`ROLLBACK`
        yield* Fiber.join(reading)
        yield* hand.leave
      }).pipe(Effect.scoped))

    it.effect("B43: who holds a snapshot that keeps dead rows is named", () =>
      Effect.gen(function* () {
        const { url } = yield* TestStorage
        const pg = yield* Pg.make({ url })
        const holder = yield* client
        yield* holder`BEGIN ISOLATION LEVEL REPEATABLE READ`
        const [row] = yield* holder<
          { pid: number }
        >`SELECT pg_backend_pid() AS pid FROM run LIMIT 1`
          .pipe(
            Effect.flatMap((rows) =>
              rows.length > 0
                ? Effect.succeed(rows)
                : holder<{ pid: number }>`SELECT pg_backend_pid() AS pid`
            ),
          )
        const log: Array<string> = []
        yield* Effect.provide(PgVacuum.blame(pg, 0), words(log))
        assert.match(log.join(), new RegExp(`process ${row!.pid} .*pg_terminate_backend`))
        yield* holder`ROLLBACK`
      }).pipe(Effect.scoped))

    it.effect("B45: two installations in one database do not meet", () =>
      Effect.gen(function* () {
        const { url } = yield* TestStorage
        const namespace = freshNamespace()
        const gate = gateOf(namespace, 1)
        const key = LockKey.make(fresh("key"))
        const schemas = ["belfry", "one_more", "one_more_submit"]
        const contexts = yield* Effect.all(schemas.map((schema) =>
          Effect.andThen(
            Layer.build(Layer.fresh(Postgres.layerMigrations({ url, schema }))),
            Layer.build(another({ schema })),
          )
        ))
        for (const context of contexts) {
          const lease = yield* Context.get(context, Lock).acquire(key, "ada", Duration.seconds(30))
          assert.strictEqual(Option.getOrThrow(lease).fence as number, 1)
          const { runs } = Context.get(context, Storage)
          const spec = specOf(namespace, { idempotencyKey: "once", gate })
          const [answer] = yield* runs.submit([spec])
          assert.deepInclude(answer!, { _tag: "Submitted", isNew: true })
          assert.strictEqual((yield* runs.admit([gate.key])).length, 1)
          assert.strictEqual((yield* runs.list({ namespace, limit: 10 })).length, 1)
        }
        const lane = ofLane(Lane.ofTask(namespace, greet))
        const waiting = yield* Effect.all(
          contexts.map((context) => Context.get(context, Wakeups).subscribe([lane])),
        )
        for (const { arm } of waiting) yield* arm
        const elsewhere = yield* Layer.build(another({ schema: schemas[1]! }))
        yield* Context.get(elsewhere, Storage).runs.submit([specOf(namespace)])
        assert.deepEqual(
          yield* Effect.all(waiting.map(({ wait }) => wait(Duration.seconds(1))), {
            concurrency: "unbounded",
          }),
          [false, true, false],
        )
      }).pipe(Effect.scoped))

    it.effect("B46: what is submitted may be large, and notifications stay small", () =>
      Effect.gen(function* () {
        const { url } = yield* TestStorage
        const namespace = freshNamespace()
        const waiting = yield* Wakeups.use((wakeups) =>
          wakeups.subscribe([ofLane(Lane.ofTask(namespace, greet))])
        )
        yield* waiting.arm
        const payload = JSON.stringify("x".repeat(1_000_000))
        const run = yield* submitOne(specOf(namespace, { payload })).pipe(
          Effect.provide(Layer.fresh(Postgres.layer({ url }))),
        )
        assert.isTrue(yield* waiting.wait(Duration.seconds(5)))
        assert.strictEqual((yield* found(run)).payload, payload)
      }).pipe(Effect.scoped))

    it.effect("B47: an answer that is lost after the commit makes one run of a key", () =>
      Effect.gen(function* () {
        const { context, proxy } = yield* proxied
        const { runs } = Context.get(context, Storage)
        const namespace = freshNamespace()
        yield* runs.submit([specOf(namespace, { idempotencyKey: "before" })])
        assert.isAbove(proxy.loseNextAnswer("belfry keyed"), 0)
        const [answer] = yield* runs.submit([specOf(namespace, { idempotencyKey: "once" })])
        assert.deepInclude(answer!, { _tag: "Submitted" })
        const [again] = yield* runs.submit([specOf(namespace, { idempotencyKey: "once" })])
        assert.deepInclude(again!, { run: answer!.run, isNew: false })
        assert.strictEqual((yield* runs.list({ namespace, limit: 10 })).length, 2)
      }).pipe(Effect.scoped))

    it.effect("K7 heard again: an answer that is lost leaves the order to who has begun it", () =>
      Effect.gen(function* () {
        const { context, proxy } = yield* proxied
        const { answers } = Context.get(context, Storage)
        proxy.losing = "INSERT INTO answer"
        const key = fresh("key")
        assert.strictEqual((yield* answers.begin(key, "an order", fresh("one")))._tag, "Begun")
        assert.isUndefined(proxy.losing, "nothing was lost")
        assert.strictEqual((yield* answers.begin(key, "an order", fresh("one")))._tag, "Unsettled")
      }).pipe(Effect.scoped))
  },
)

const settings = { fsync: "off" }

/** A folder that the account of the server may enter too. */
const openFolder = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = fs.mkdtempSync(join(temporaryFolder(), "belfry-outages-"))
    fs.chmodSync(folder, 0o755)
    return folder
  }),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true })),
)

/** Tried until it succeeds: how long an outage takes is up to the server. */
const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.retry(effect, { times: 200, schedule: Schedule.spaced("50 millis") })

describe("a server that ends", () => {
  plain.live(
    "B39: a killed backend resets all sessions, and costs no more than a moment",
    () =>
      Effect.gen(function* () {
        const server = yield* LocalServer.start({ settings })
        const context = yield* Layer.build(Postgres.layerMigrated({ url: server.url() }))
        yield* surviving(
          context,
          Effect.gen(function* () {
            const sql = yield* PgClient.makeClient({ url: server.url() })
            const [row] = yield* sql<{ pid: number }>`SELECT pid FROM pg_stat_activity
            WHERE application_name LIKE 'belfry %' LIMIT 1`
            process.kill(row!.pid, "SIGKILL")
          }).pipe(Effect.provide(Reactivity.layer), Effect.scoped),
        )
      }).pipe(Effect.scoped),
  )

  plain.live("is used again when it has been started again", () =>
    Effect.gen(function* () {
      const folder = join(yield* openFolder, "server")
      const scope = yield* Scope.make()
      const first = yield* LocalServer.start({ folder, settings }).pipe(Scope.provide(scope))
      const context = yield* Layer.build(Postgres.layerMigrated({ url: first.url() }))
      yield* surviving(
        context,
        Effect.andThen(
          Scope.close(scope, Exit.void),
          LocalServer.start({ folder, settings, port: first.port }),
        ),
      )
    }).pipe(Effect.scoped))

  plain.live("is refused while it only follows another server", () =>
    Effect.gen(function* () {
      const folder = join(yield* openFolder, "server")
      yield* Effect.scoped(Effect.gen(function* () {
        const { url } = yield* LocalServer.start({ folder, settings })
        yield* Layer.build(Postgres.layerMigrations({ url: url() }))
      }))
      fs.writeFileSync(join(folder, "data", "standby.signal"), "")
      const { url } = yield* LocalServer.start({ folder, settings })
      for (const layer of [Postgres.layer, Postgres.layerMigrated]) {
        const refused = yield* Effect.flip(Layer.build(layer({ url: url() })))
        assert.match(refused.message, /replica.*primary/)
      }
    }).pipe(Effect.scoped))
})

/** What was submitted and granted before is there after the outage, and locks and hints work on. */
const surviving = <E, R>(
  context: Context.Context<Storage | Lock | Wakeups>,
  outage: Effect.Effect<unknown, E, R>,
) =>
  Effect.gen(function* () {
    const { executors, runs } = yield* Storage
    const lock = yield* Lock
    const namespace = freshNamespace()
    const hand = yield* joined(namespace, Duration.minutes(5))
    yield* submitAll([specOf(namespace), specOf(namespace)])
    const grant = yield* hand.one
    const key = LockKey.make(fresh("key"))
    const lease = Option.getOrThrow(yield* lock.acquire(key, "ada", Duration.minutes(5)))
    yield* outage
    const beaten = yield* eventually(executors.beat(hand.incarnation, nothingHeld))
    assert.strictEqual(beaten._tag, "Alive")
    assert.deepEqual((yield* eventually(hand.settle(succeed(grant)))).settled, ["applied"])
    yield* eventually(lock.renew(lease, Duration.minutes(5)))
    assert.isTrue(Option.isNone(yield* eventually(lock.acquire(key, "bob", Duration.minutes(5)))))
    yield* eventually(hand.one)
    yield* eventually(runs.recover(10))
    const waiting = yield* Wakeups.use((wakeups) =>
      wakeups.subscribe([ofLane(Lane.ofTask(namespace, greet))])
    )
    yield* waiting.arm
    yield* eventually(runs.submit([specOf(namespace)]))
    assert.isTrue(yield* waiting.wait(Duration.seconds(5)))
  }).pipe(Effect.provide(context))
