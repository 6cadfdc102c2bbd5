import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Schema, Scope } from "effect"
import * as Direct from "../adapters/direct/mod.ts"
import * as Memory from "../adapters/memory/mod.ts"
import { RpcTransport } from "../adapters/rpc/mod.ts"
import { Executor } from "../core/engine/Executor.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import * as Task from "../core/engine/Task.ts"
import { Storage } from "../core/services/Storage.ts"
import { StorageUnavailable } from "../core/services/StorageUnavailable.ts"
import { Server, type ServerOptions } from "./Server.ts"
import {
  api,
  authorized,
  call,
  Main,
  Platform,
  problem,
  token,
  untilEnded,
} from "./Server.fixture.ts"

layer(Main, { excludeTestServices: true })("a server", (it) => {
  it.effect("an executor over RPC carries runs out", () =>
    Effect.gen(function* () {
      const client = yield* api
      const { rpcUrl } = yield* Server
      const Remote = Task.make("remote", { success: Schema.String })
      yield* Effect.gen(function* () {
        const started = yield* Effect.gen(function* () {
          for (;;) {
            const submitted = yield* Effect.option(
              client.runs.submit({ headers: {}, payload: { task: Remote.name } }),
            )
            if (submitted._tag === "Some") return submitted.value
            yield* Effect.sleep(20)
          }
        })
        const run = yield* untilEnded(started.run)
        assert.strictEqual(run.result, "from afar")
        assert.strictEqual(run.executor?.name, "remote")
      }).pipe(Effect.provide(
        Remote.toLayer(() => Effect.succeed("from afar")).pipe(
          Layer.provide(Executor.layerWith({ name: "remote" })),
          Layer.provide(RpcTransport.layer({ url: rpcUrl, token })),
          Layer.fresh,
        ),
      ))
    }))
})

describe("an executor's token", () => {
  const joined = (rpcUrl: string, shown: Redacted.Redacted<string>) =>
    Executor.layerWith({ name: "told", ttl: "2 seconds" }).pipe(
      Layer.provide(RpcTransport.layer({ url: rpcUrl, token: shown })),
      Layer.fresh,
      Layer.build,
    )
  const Alone = (options: Partial<ServerOptions>) =>
    Layer.fresh(Server.layer({ port: 0, token, ...options }).pipe(Layer.provide(Platform)))

  it.live("that is wrong ends it, with what to do", () =>
    Effect.gen(function* () {
      const { rpcUrl } = yield* Server
      const refused = yield* Effect.flip(
        joined(rpcUrl, Redacted.make("not-the-token-of-the-tests")),
      )
      assert(refused._tag === "JoinRefused")
      assert.include(refused.reason, "token")
      assert.include(refused.remedy, "token")
    }).pipe(Effect.scoped, Effect.provide(Alone({}))))

  it.live("that holds no more ends it at its next join, and a server that is away does not", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const first = yield* Layer.buildWithScope(Alone({}), scope)
      const { port, rpcUrl } = Context.get(first, Server)
      const executor = Context.get(yield* joined(rpcUrl, token), Executor)
      const stopped = yield* Effect.forkChild(Effect.flip(executor.stopped))
      yield* Scope.close(scope, Exit.void)
      // Longer than its lease: it looks for a server that lets it join.
      yield* Effect.sleep("3 seconds")
      assert.isUndefined(stopped.pollUnsafe())
      const other = Redacted.make("another-token-of-the-tests-and-nobody-else")
      yield* Layer.build(Alone({ port, token: other }))
      assert.strictEqual((yield* Fiber.join(stopped))._tag, "JoinRefused")
    }).pipe(Effect.scoped))
})

describe("a server's life", () => {
  const Alone = (options: Partial<ServerOptions>) =>
    Server.layer({ port: 0, token, ...options }).pipe(Layer.provide(Platform))

  const refusalOf = (options: Partial<ServerOptions>) =>
    Effect.flip(Effect.scoped(Layer.build(Layer.fresh(Alone(options)))))

  it.live("a port that is taken is told, with what to do", () =>
    Effect.gen(function* () {
      const { port } = yield* Server
      const taken = yield* refusalOf({ port })
      assert.strictEqual(taken._tag, "PortTaken")
      assert.include(taken.message, `127.0.0.1:${port} is taken`)
    }).pipe(Effect.provide(Alone({}))))

  it.live("other machines are not listened to, and a short token is not taken", () =>
    Effect.gen(function* () {
      const open = yield* refusalOf({ host: "0.0.0.0" })
      assert.include(open.message, "--behind-proxy")
      const short = yield* refusalOf({ token: Redacted.make("admin") })
      assert.include(short.message, "openssl rand")
      for (const odd of ["a token of more than 16 characters", "ein-schlüssel-mit-umlaut"]) {
        assert.include((yield* refusalOf({ token: Redacted.make(odd) })).message, "spaces")
      }
      const foreign = yield* refusalOf({ host: "192.0.2.1", isBehindProxy: true })
      assert.strictEqual(foreign._tag, "Refused")
    }))

  it.live("its status lists every server over the same storage, as long as it is there", () =>
    Effect.gen(function* () {
      const names = Effect.gen(function* () {
        const { port } = yield* Server
        const { schedulers } = yield* Effect.flatMap(
          api,
          ({ system }) => system.status({ query: {} }),
        )
        const [self, ...more] = schedulers.filter(({ isSelf }) => isSelf)
        assert.deepStrictEqual(more, [])
        assert.match(self!.name, new RegExp(`:${port}$`))
        return schedulers.map(({ name }) => name)
      })
      const scope = yield* Scope.make()
      const second = yield* Layer.build(Layer.fresh(Server.layer({ port: 0, token }))).pipe(
        Scope.provide(scope),
      )
      const both = yield* names
      assert.strictEqual(both.length, 2)
      assert.deepStrictEqual(yield* Effect.provide(names, second), both)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* names).length, 1)
    }).pipe(
      Effect.provide(Layer.provideMerge(Server.layer({ port: 0, token }), Layer.fresh(Platform))),
    ))

  it.live("at its end it is unready first, lets connections go, and lets requests finish", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const Slow = Layer.effect(
        Storage,
        Effect.map(Storage, (storage) =>
          Storage.of({
            ...storage,
            tasks: {
              ...storage.tasks,
              list: () =>
                Deferred.succeed(asked, undefined).pipe(
                  Effect.andThen(Effect.sleep("600 millis")),
                  Effect.as([]),
                ),
            },
          })),
      ).pipe(Layer.provide(Memory.layer))
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Layer.fresh(
          Server.layer({ port: 0, token, unreadyFor: "300 millis" }).pipe(
            Layer.provide(Slow),
            Layer.provide(Platform),
          ),
        ),
        scope,
      )
      const within = Effect.provide(context)
      const { rpcUrl } = Context.get(context, Server)
      const closed = yield* Deferred.make<void>()
      const socket = new (WebSocket as unknown as new (
        url: string,
        options: { readonly headers: Readonly<Record<string, string>> },
      ) => WebSocket)(rpcUrl, { headers: authorized })
      yield* Effect.callback<void>((resume) => {
        socket.onopen = () => resume(Effect.void)
        socket.onclose = () => Effect.runFork(Deferred.succeed(closed, undefined))
      })
      const request = yield* Effect.forkChild(within(call("GET", "/api/v1/tasks", authorized)))
      yield* Deferred.await(asked)
      assert.strictEqual((yield* within(call("GET", "/readyz"))).status, 200)
      const started = performance.now()
      const end = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      while ((yield* within(call("GET", "/readyz"))).status !== 503) yield* Effect.sleep(10)
      yield* Deferred.await(closed)
      assert.strictEqual((yield* Fiber.join(request)).status, 200)
      yield* Fiber.join(end)
      assert.isBelow(performance.now() - started, 5000)
    }))
})

describe("a server that does not come round to what it should do", () => {
  const Stuck = Layer.effect(
    Storage,
    Effect.map(
      Storage,
      (storage) =>
        Storage.of({ ...storage, runs: { ...storage.runs, recover: () => Effect.never } }),
    ),
  ).pipe(Layer.provide(Memory.layer))

  const Main = Server.layer({ port: 0, token, sweepInterval: "500 millis" }).pipe(
    Layer.provide(LocalOwnership.layer),
    Layer.provide(Direct.layer),
    Layer.provide(Layer.merge(Memory.layer, Stuck)),
  )

  layer(Main, { excludeTestServices: true })("for want of a sweep", (it) => {
    it.effect("B23, B11: is not ready after a while, and says what it is that has stopped", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* call("GET", "/readyz")).status, 200)
        while ((yield* call("GET", "/readyz")).status === 200) yield* Effect.sleep("100 millis")
        const status = yield* call("GET", "/api/v1/status", authorized)
        assert.deepInclude(JSON.parse(status.text), { stalled: ["sweep"] })
        assert.strictEqual((yield* call("GET", "/livez")).status, 200)
      }))
  })
})

describe("a server in trouble", () => {
  const Broken = Layer.effect(
    Storage,
    Effect.map(Storage, (storage) => {
      const down = new StorageUnavailable({
        storage: "postgres",
        operation: "SELECT secret FROM run",
        cause: new Error("connect ECONNREFUSED 10.0.0.7:5432"),
      })
      return Storage.of({
        ...storage,
        now: Effect.fail(down),
        runs: {
          ...storage.runs,
          list: () => Effect.fail(down),
          find: () => Effect.die(new Error("SELECT * FROM run at /srv/belfry/x.ts:1")),
        },
      })
    }),
  ).pipe(Layer.provide(Memory.layer))

  const Main = Server.layer({ port: 0, token }).pipe(
    Layer.provide(LocalOwnership.layer),
    Layer.provide(Direct.layer),
    Layer.provide(Layer.merge(Memory.layer, Broken)),
  )

  layer(Main, { excludeTestServices: true })("whose storage is down", (it) => {
    it.effect("is alive and not ready", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* call("GET", "/livez")).status, 200)
        assert.strictEqual((yield* call("GET", "/readyz")).status, 503)
      }))

    it.effect("says so, when to try again, and nothing of the inside", () =>
      Effect.gen(function* () {
        const answer = yield* call("GET", "/api/v1/runs", authorized)
        problem(answer, "storage-unavailable", 503)
        assert.strictEqual(answer.headers["retry-after"], "1")
        assert.notMatch(answer.text, /10\.0\.0\.7|secret|postgres/)
      }))

    it.effect("answers a defect with an id and nothing of the inside", () =>
      Effect.gen(function* () {
        const read = problem(yield* call("GET", "/api/v1/runs/1", authorized), "server-failed", 500)
        assert.match(read.id, /^[a-z0-9]+$/)
      }))
  })
})
