/** Real connections: what breaks, and what comes back. */
import { createServer } from "node:http"
import { connect, createServer as createTcpServer, type Socket } from "node:net"
import type { AddressInfo } from "node:net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Redacted, Schema, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { ExecutorName, type Incarnation } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { Namespace } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { TaskDefinition, TaskName, usualPolicy } from "../../core/domain/Task.ts"
import { Executor } from "../../core/engine/Executor.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as Task from "../../core/engine/Task.ts"
import type { Grant, Report, RunSpec } from "../../core/services/RunStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import { type Round, Transport } from "../../core/services/Transport.ts"
import type { Wakeups } from "../../core/services/Wakeups.ts"
import * as DirectTransport from "../direct/DirectTransport.ts"
import * as Memory from "../memory/mod.ts"
import { frameBytesMax } from "./ExecutorRpcs.ts"
import * as RpcTransport from "./RpcTransport.ts"
import * as RpcTransportServer from "./RpcTransportServer.ts"

const namespace = Namespace.make("default")
const task = TaskName.make("greet")
const lane = Lane.ofTask(namespace, task)
const token = Redacted.make("a token for tests")

const spec: RunSpec = {
  namespace,
  task,
  payload: '{"name":"Ada"}',
  lane,
  level: Lane.usual,
  delayMillis: 0,
  gate: undefined,
  idempotencyKey: undefined,
  isAtMostOnce: false,
  crashesMax: 3,
}

const submit = (count: number) =>
  Storage.use(({ runs }) => runs.submit(Array.from({ length: count }, () => spec)))

const joining = {
  namespace,
  name: ExecutorName.make("ada"),
  capacity: 10,
  labels: { zone: "a" },
  ttlMillis: 60_000,
}

const roundOf = (incarnation: Incarnation, differently: Partial<Round> = {}): Round => ({
  incarnation,
  loop: 0,
  round: 1,
  isAgain: false,
  lanes: [lane],
  limit: 200,
  reports: [],
  waitMillis: 0,
  ...differently,
})

const succeed = ({ fence, run }: Grant): Report => ({ _tag: "Succeed", run, fence, result: "1" })
const nothingHeld = { count: 0, digest: 0 }

/** A server on `port`, until the scope ends; returns the port. */
const serve = (port: number) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<Storage | Wakeups>()
    const server = yield* Layer.build(
      HttpRouter.serve(RpcTransportServer.layer({ tokens: [token] }), {
        disableLogger: true,
        disableListenLog: true,
      }).pipe(
        Layer.provide(DirectTransport.layer),
        Layer.provideMerge(NodeHttpServer.layer(createServer, {
          host: "127.0.0.1",
          port,
          gracefulShutdownTimeout: 100,
          websocket: { maxPayload: frameBytesMax },
        })),
        Layer.provide(Layer.succeedContext(context)),
        Layer.fresh,
      ),
    )
    const { address } = Context.get(server, HttpServer.HttpServer)
    assert(address._tag !== "UnixPathAddress")
    return address.port
  })

const client = (port: number, shown = token) =>
  Effect.map(
    Layer.build(
      Layer.fresh(RpcTransport.layer({ url: `ws://127.0.0.1:${port}/rpc`, token: shown })),
    ),
    (context) => Context.get(context, Transport),
  )

/** A connection in the middle that can be cut, or go silent. */
interface Cuttable {
  readonly port: number
  readonly cut: () => void
  readonly silence: () => void
  readonly end: () => void
}
const cuttable = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<Cuttable>(
      (resume) => {
        const sockets = new Set<Socket>()
        const cut = () => sockets.forEach((socket) => socket.destroy())
        const silence = () => sockets.forEach((socket) => socket.unpipe().pause())
        const server = createTcpServer((near) => {
          const far = connect(port, "127.0.0.1")
          for (const [one, other] of [[near, far], [far, near]] as const) {
            sockets.add(one)
            one.on("error", () => {})
            one.on("close", () => {
              sockets.delete(one)
              other.destroy()
            })
            one.pipe(other)
          }
        })
        server.listen(0, "127.0.0.1", () => {
          const end = () => {
            cut()
            server.close()
          }
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ port, cut, silence, end }))
        })
      },
    ),
    ({ end }) => Effect.sync(end),
  )

const program = <A, E>(effect: Effect.Effect<A, E, Storage | Wakeups | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(Layer.fresh(Memory.layer)))

/** What an executor does: rounds without end, each repeated until it is answered. */
const worker = (transport: Transport["Service"], done: (run: RunId) => void) =>
  Effect.gen(function* () {
    const untilAnswered = <A, E extends { readonly _tag: string }>(
      call: (isAgain: boolean) => Effect.Effect<A, E>,
    ): Effect.Effect<A, unknown> =>
      Effect.gen(function* () {
        for (let isAgain = false;; isAgain = true) {
          const exit = yield* Effect.exit(call(isAgain))
          if (Exit.isSuccess(exit)) return exit.value
          if (!/TransportUnavailable/.test(String(exit.cause))) return yield* exit
          yield* Effect.sleep("20 millis")
        }
      })

    const incarnation = yield* untilAnswered(() => transport.join(joining))
    let reports: ReadonlyArray<Report> = []
    const begun = new Set<string>()
    for (let round = 1;; round++) {
      const now = reports
      const { grants, settled } = yield* untilAnswered((isAgain) =>
        transport.round(
          roundOf(incarnation, { round, isAgain, reports: now, limit: 7, waitMillis: 500 }),
        )
      )
      assert.strictEqual(settled.length, now.length)
      reports = grants.map((grant) => {
        assert.isFalse(begun.has(`${grant.run} ${grant.fence}`), "a grant is begun once")
        begun.add(`${grant.run} ${grant.fence}`)
        done(grant.run)
        return succeed(grant)
      })
    }
  })

const untilTrue = (check: () => boolean) =>
  Effect.sleep("20 millis").pipe(
    Effect.repeat({ while: () => !check() }),
    Effect.timeout("20 seconds"),
  )

describe("over a real connection", () => {
  it.live("every call comes through", () =>
    program(Effect.gen(function* () {
      const transport = yield* client(yield* serve(0))
      const incarnation = yield* transport.join(joining)
      const definition = new TaskDefinition({ namespace, name: task, policy: usualPolicy })
      yield* transport.serve(incarnation, [definition])
      yield* submit(3)
      const { grants } = yield* transport.round(roundOf(incarnation))
      assert.strictEqual(grants.length, 3)
      const [first, second, third] = grants as [Grant, Grant, Grant]
      assert.deepStrictEqual(yield* transport.start(incarnation, [first]), [true])
      assert.deepStrictEqual(yield* transport.settle(incarnation, [succeed(first)]), ["applied"])
      assert.deepStrictEqual(yield* transport.settle(incarnation, [succeed(first)]), ["duplicate"])
      const revoked = yield* Effect.forkChild(transport.revocations(incarnation))
      yield* Effect.sleep("50 millis")
      yield* Storage.use(({ runs }) => runs.cancel(second.run))
      assert.deepStrictEqual(yield* Fiber.join(revoked), [{ run: second.run, fence: second.fence }])
      const beaten = yield* transport.beat(incarnation, nothingHeld)
      assert(beaten._tag === "Alive")
      assert.isFalse(beaten.isAgreed)
      assert.strictEqual(beaten.revoked.length, 1)
      assert.deepStrictEqual(
        yield* transport.reconcile(incarnation, { grants: [first, third], rounds: [] }),
        [first.run],
      )
      yield* transport.drain(incarnation)
      yield* transport.leave(incarnation)
      const lost = yield* Effect.flip(transport.round(roundOf(incarnation, { round: 2 })))
      assert.strictEqual(lost._tag, "SessionLost")
      assert.deepStrictEqual(yield* transport.beat(incarnation, nothingHeld), { _tag: "Lost" })
    })))

  it.live("a round that waits holds up no other call, and ends when its executor is gone", () =>
    program(Effect.gen(function* () {
      const port = yield* serve(0)
      const far = yield* Effect.scope.pipe(Effect.flatMap((scope) => Scope.fork(scope)))
      const transport = yield* client(port).pipe(Scope.provide(far))
      const incarnation = yield* transport.join(joining)
      yield* Effect.forkChild(
        Effect.ignore(transport.round(roundOf(incarnation, { waitMillis: 30_000 }))),
        { startImmediately: true },
      )
      yield* Effect.sleep("100 millis")
      yield* transport.beat(incarnation, nothingHeld).pipe(Effect.timeout("1 second"))
      yield* Scope.close(far, Exit.void)
      yield* Effect.sleep("100 millis")
      yield* submit(1)
      yield* Effect.sleep("1500 millis")
      const counts = yield* Storage.use(({ runs }) => runs.counts(namespace))
      assert.deepStrictEqual(counts, { Ready: 1 }, "nobody was granted it")
    })))

  it.live("a round given up by its executor is ended on the server", () =>
    program(Effect.gen(function* () {
      const transport = yield* client(yield* serve(0))
      const incarnation = yield* transport.join(joining)
      const given = yield* Effect.forkChild(
        transport.round(roundOf(incarnation, { waitMillis: 30_000 })),
        { startImmediately: true },
      )
      yield* Effect.sleep("100 millis")
      yield* Fiber.interrupt(given)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(given)))
      yield* Effect.sleep("50 millis")
      yield* submit(1)
      yield* Effect.sleep("1500 millis")
      assert.deepStrictEqual(yield* Storage.use(({ runs }) => runs.counts(namespace)), { Ready: 1 })
    })))

  it.live("a wrong token is refused, with what to do", () =>
    program(Effect.gen(function* () {
      const transport = yield* client(yield* serve(0), Redacted.make("guessed"))
      const refused = yield* Effect.flip(transport.join(joining))
      assert(refused._tag === "JoinRefused")
      assert.include(refused.remedy, "token")
      const other = yield* Effect.flip(transport.beat(1 as Incarnation, nothingHeld))
      assert.strictEqual(other._tag, "TransportUnavailable")
    })))

  it.live("one connection has a bounded number of calls under way", () =>
    program(Effect.gen(function* () {
      const transport = yield* client(yield* serve(0))
      const incarnation = yield* transport.join(joining)
      const calls = yield* Effect.forEach(
        Array.from({ length: 256 }),
        () => Effect.forkChild(transport.revocations(incarnation), { startImmediately: true }),
      )
      yield* Effect.sleep("200 millis")
      const busy = yield* Effect.flip(transport.beat(incarnation, nothingHeld))
      assert.include(busy.message, "256 calls under way")
      yield* Fiber.interruptAll(calls)
      const beaten = yield* transport.beat(incarnation, nothingHeld).pipe(
        Effect.eventually,
        Effect.timeout("1 second"),
      )
      assert.strictEqual(beaten._tag, "Alive")
    })))

  it.live("large payloads and results are cut into messages that fit", () =>
    program(Effect.gen(function* () {
      const transport = yield* client(yield* serve(0))
      const incarnation = yield* transport.join(joining)
      const large = JSON.stringify("x".repeat(1024 * 1024))
      yield* Storage.use(({ runs }) =>
        runs.submit(Array.from({ length: 30 }, () => ({ ...spec, payload: large })))
      )
      let reports: ReadonlyArray<Report> = []
      let done = 0
      for (let round = 1; done < 30; round++) {
        const call = transport.round(roundOf(incarnation, { round, reports }))
        const { grants } = yield* call
        assert.isTrue(grants.length > 0 && grants.length <= 4, "four of a mebibyte fit")
        done += grants.length
        reports = grants.map((grant) => ({ ...succeed(grant), result: large }))
      }
      const many = Array.from({ length: 20 }, () => reports).flat()
      const settled = yield* transport.settle(incarnation, many)
      assert.strictEqual(settled.length, many.length)
      const counts = yield* Storage.use(({ runs }) => runs.counts(namespace))
      assert.deepStrictEqual(counts, { Succeeded: 30 })
    })))
})

describe("a connection that breaks", () => {
  it.live("cut again and again, nothing is lost and nothing done twice", () =>
    program(Effect.gen(function* () {
      const proxy = yield* cuttable(yield* serve(0))
      const transport = yield* client(proxy.port)
      const done: Array<RunId> = []
      const runs = 300
      yield* Effect.forkChild(worker(transport, (run) => done.push(run)))
      yield* Effect.forkChild(
        submit(5).pipe(Effect.delay("15 millis"), Effect.repeat({ times: runs / 5 - 1 })),
      )
      yield* Effect.forkChild(
        Effect.sync(proxy.cut).pipe(Effect.delay("130 millis"), Effect.repeat({ times: 8 })),
      )
      yield* untilTrue(() => done.length >= runs)
      yield* Effect.sleep("800 millis")
      assert.strictEqual(new Set(done).size, runs)
      assert.strictEqual(done.length, runs)
      const counts = yield* Storage.use(({ runs }) => runs.counts(namespace))
      assert.deepStrictEqual(counts, { Succeeded: runs })
    })))

  it.live("an executor behind it carries every run out once", () =>
    program(Effect.gen(function* () {
      const proxy = yield* cuttable(yield* serve(0))
      const transport = yield* client(proxy.port)
      const begun: Array<number> = []
      const Greet = Task.make("greet", { payload: { number: Schema.Number } })
      const GreetLive = Greet.toLayer(({ number }) =>
        Effect.andThen(Effect.sync(() => begun.push(number)), Effect.sleep("3 millis"))
      )
      yield* Layer.build(
        GreetLive.pipe(
          Layer.provide(Executor.layerWith({ concurrency: 20 })),
          Layer.provide(Layer.succeed(Transport, transport)),
        ),
      )
      yield* Effect.forkChild(
        Effect.sync(proxy.cut).pipe(Effect.delay("170 millis"), Effect.repeat({ times: 8 })),
      )
      const scheduler = yield* Layer.build(
        Scheduler.layer.pipe(Layer.provide(LocalOwnership.layer)),
      )
      yield* Effect.forEach(
        Array.from({ length: 400 }, (_, number) => number),
        (number) => Effect.delay(Greet.submit({ number }), "3 millis"),
        { discard: true },
      ).pipe(Effect.provideContext(scheduler))
      yield* untilTrue(() => begun.length >= 400)
      yield* Storage.use(({ runs }) => runs.counts(namespace)).pipe(
        Effect.delay("20 millis"),
        Effect.repeat({ until: ({ Succeeded = 0 }) => Succeeded === 400 }),
        Effect.timeout("10 seconds"),
      )
      assert.strictEqual(begun.length, 400)
      assert.strictEqual(new Set(begun).size, 400)
    })))

  it.live("a server that stops and comes back on its port is found again", () =>
    program(Effect.gen(function* () {
      const outer = yield* Effect.scope
      const first = yield* Scope.fork(outer)
      const port = yield* serve(0).pipe(Scope.provide(first))
      const transport = yield* client(port)
      const done: Array<RunId> = []
      yield* Effect.forkChild(worker(transport, (run) => done.push(run)))
      yield* submit(50)
      yield* untilTrue(() => done.length >= 20)
      yield* Scope.close(first, Exit.void)
      yield* submit(50)
      const down = yield* Effect.flip(
        transport.beat(1 as Incarnation, nothingHeld).pipe(Effect.timeout("1 second")),
      )
      assert.strictEqual(down._tag, "TransportUnavailable", "quickly, while the server is down")
      yield* Effect.sleep("1 second")
      yield* serve(port)
      const [millis] = yield* Effect.timed(untilTrue(() => done.length >= 100))
      yield* Effect.sleep("800 millis")
      assert.strictEqual(new Set(done).size, 100)
      assert.strictEqual(done.length, 100)
      const counts = yield* Storage.use(({ runs }) => runs.counts(namespace))
      assert.deepStrictEqual(counts, { Succeeded: 100 }, `back after ${millis}`)
    })))

  it.live("a connection that goes silent is given up for another", () =>
    program(Effect.gen(function* () {
      const proxy = yield* cuttable(yield* serve(0))
      const transport = yield* client(proxy.port)
      const incarnation = yield* transport.join(joining)
      proxy.silence()
      const [silent] = yield* Effect.timed(
        transport.beat(incarnation, nothingHeld).pipe(Effect.eventually),
      )
      assert.isBelow(Duration.toMillis(silent), 5500)
    })))

  it.live("calls made before there is a server wait for it", () =>
    program(Effect.gen(function* () {
      const outer = yield* Effect.scope
      const first = yield* Scope.fork(outer)
      const port = yield* serve(0).pipe(Scope.provide(first))
      yield* Scope.close(first, Exit.void)
      const transport = yield* client(port)
      const joined = yield* Effect.forkChild(transport.join(joining), { startImmediately: true })
      yield* Effect.sleep("300 millis")
      yield* serve(port)
      assert.isAbove(yield* Fiber.join(joined), 0)
    })))
})
