/** Handlers in threads and processes of their own, which are real ones here. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer, Option, Redacted, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { Namespace, standard } from "../../core/domain/Namespace.ts"
import { Refused } from "../../core/domain/Refused.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { Breakers } from "../../core/engine/Breakers.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import { Executor, type ExecutorOptions } from "../../core/engine/Executor.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Groups } from "../../core/engine/Groups.ts"
import { Locks } from "../../core/engine/Locks.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as Task from "../../core/engine/Task.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import type { Storage } from "../../core/services/Storage.ts"
import type { Transport } from "../../core/services/Transport.ts"
import type { Wakeups } from "../../core/services/Wakeups.ts"
import * as Direct from "../direct/mod.ts"
import * as Memory from "../memory/mod.ts"
import { frameBytesMax, RpcTransport, RpcTransportServer } from "../rpc/mod.ts"
import * as Isolated from "./mod.ts"
import program, { type Kind, tasksOf } from "./tasks.fixture.ts"

const entry = new URL("./tasks.fixture.ts", import.meta.url)

const storage = Layer.fresh(Memory.layer)

const token = Redacted.make("a token for tests")

/** As if the executor were elsewhere: a server, and a connection to it. */
const rpc = Layer.unwrap(Effect.map(HttpServer.HttpServer, ({ address }) => {
  assert(address._tag !== "UnixPathAddress")
  return RpcTransport.layer({ url: `ws://127.0.0.1:${address.port}/rpc`, token })
})).pipe(
  Layer.provideMerge(
    HttpRouter.serve(RpcTransportServer.layer({ tokens: [token] }), {
      disableLogger: true,
      disableListenLog: true,
    }),
  ),
  Layer.provide(NodeHttpServer.layer(createServer, {
    host: "127.0.0.1",
    port: 0,
    gracefulShutdownTimeout: 100,
    websocket: { maxPayload: frameBytesMax },
  })),
  Layer.provide(Direct.layer),
  Layer.orDie,
)

const engineWith = <R extends Storage | Wakeups>(transport: Layer.Layer<Transport, never, R>) =>
  Layer.mergeAll(
    Scheduler.layerWith({ sweepInterval: "300 millis" }),
    Triggers.layer,
    Breakers.layer,
    Groups.layer,
    Locks.layer,
    transport,
  ).pipe(Layer.provide(LocalOwnership.layer), Layer.provideMerge(storage))

const engines = { direct: engineWith(Direct.layer), rpc: engineWith(rpc) }
const engine = engines.direct

const serving = (
  options: ExecutorOptions = {},
  isolation: Partial<Isolated.Options> = {},
  more: Layer.Layer<never, never, Executor> = Layer.empty,
) =>
  Layer.build(
    Layer.merge(program, more).pipe(
      Layer.provide(Executor.layerWith({ labels: { zone: "eu" }, concurrency: 4, ...options })),
      Layer.provide(Isolated.layer({ entry, ...isolation })),
    ),
  )

const linesOf = (run: RunId) =>
  Effect.map(
    Scheduler.use((scheduler) => scheduler.log({ run, limit: 99 })),
    ({ lines }) => lines.map(({ text }) => text),
  )

const ended = (run: RunId) => Scheduler.use((scheduler) => scheduler.ended(run))

const until = <A, E, R>(look: Effect.Effect<A, E, R>, isIt: (value: A) => boolean) =>
  Effect.gen(function* () {
    for (;;) {
      const value = yield* look
      if (isIt(value)) return value
      yield* Effect.sleep("20 millis")
    }
  })

const transports = {
  thread: ["direct", "rpc"],
  process: ["direct"],
} as const satisfies Record<Kind, ReadonlyArray<keyof typeof engines>>

type Body = () => Effect.Effect<unknown, unknown, Layer.Success<typeof engine> | Scope.Scope>

for (const kind of ["thread", "process"] as const) {
  for (const transport of transports[kind]) {
    const tasks = tasksOf(kind)
    const test = (name: string, body: Body) =>
      it.live(
        name,
        () => Effect.scoped(body()).pipe(Effect.provide(engines[transport])),
        60_000,
      )
    /** What no transport has a part in. */
    const once: typeof test = transport === "direct" ? test : () => {}

    describe(`a ${kind} of its own, over ${transport}`, () => {
      test("carries a run out elsewhere, which says and answers as here; and is used again", () =>
        Effect.gen(function* () {
          yield* serving()
          const run = yield* tasks.whoami.submit({ name: "größe" })
          const first = yield* tasks.whoami.result(run)
          assert.strictEqual(first.said, "1 eu 20000 ")
          assert.strictEqual(first.pid === process.pid, kind === "thread")
          assert.deepStrictEqual(yield* linesOf(run), [
            `hello größe {"main":${kind === "process"}}`,
          ])
          const progress = yield* Scheduler.use((scheduler) => scheduler.progress(run))
          assert.deepInclude(Option.getOrThrow(progress), { percent: 25, text: "größe" })
          const second = yield* tasks.whoami.execute({ name: "x" })
          assert.deepStrictEqual([second.pid, second.thread], [first.pid, first.thread])
        }))

      test("remembers from one run to the next, and refuses what cannot be kept, as here", () =>
        Effect.gen(function* () {
          yield* serving()
          assert.strictEqual(yield* tasks.remembers.execute({}), "nothing key")
          assert.strictEqual(yield* tasks.remembers.execute({}), "one key")
        }))

      once("passes declared errors on, with their type", () =>
        Effect.gen(function* () {
          yield* serving()
          const error = yield* Effect.flip(tasks.strict.execute({}))
          assert.deepInclude(error, { _tag: "TooSmall", least: 7 })
        }))

      test("is ended when its handler blocks past its timeout; others go on meanwhile (N14)", () =>
        Effect.gen(function* () {
          const quick = Task.make("quick")
          yield* serving(
            { ttl: "2 seconds" },
            { grace: "300 millis" },
            quick.toLayer(() => Effect.void),
          )
          const runs = [yield* tasks.spins.submit({}), yield* tasks.spins.submit({})]
          for (let n = 0; n < 10; n++) {
            const [took] = yield* Effect.timed(quick.execute({}))
            assert.isBelow(Duration.toMillis(took), 1000)
            yield* Effect.sleep("50 millis")
          }
          for (const run of runs) {
            const view = yield* ended(run)
            assert.deepInclude(view, { state: "TimedOut", attempt: 1, crashes: 0 })
          }
        }))

      test("fails the attempt alone when it crashes", () =>
        Effect.gen(function* () {
          yield* serving()
          const run = yield* tasks.crashes.submit({})
          const view = yield* ended(run)
          assert.deepInclude(view, { state: "Failed", crashes: 0 })
          assert.strictEqual(view.failure?.tag, "HandlerCrashed")
          assert.include(view.failure?.message, "code 3")
          yield* tasks.whoami.execute({ name: "still here" })
        }))

      test("goes on elsewhere from what it kept when the executor stops", () =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          yield* Scope.provide(serving({ drainTimeout: "100 millis" }), scope)
          const run = yield* tasks.waits.submit({})
          yield* until(linesOf(run), (lines) => lines.includes("waiting"))
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(yield* linesOf(run), ["waiting", "stopped"])
          yield* serving()
          assert.strictEqual(yield* tasks.waits.result(run), "half")
        }))

      test("ends a run that is cancelled, finalizers and all", () =>
        Effect.gen(function* () {
          yield* serving()
          const run = yield* tasks.waits.submit({})
          yield* until(linesOf(run), (lines) => lines.includes("waiting"))
          yield* Scheduler.use((scheduler) => scheduler.cancel(run))
          assert.strictEqual((yield* ended(run)).state, "Cancelled")
          assert.deepStrictEqual(yield* linesOf(run), ["waiting", "stopped"])
        }))

      test("has the hooks of its task", () =>
        Effect.gen(function* () {
          yield* serving()
          const run = yield* tasks.hooked.submit({})
          yield* ended(run)
          assert.deepStrictEqual(yield* linesOf(run), [
            "prepare",
            "run",
            "clean Succeeded",
            "summary Succeeded",
          ])
        }))

      once(
        "submits and asks through the program, and may hand over",
        () =>
          Effect.gen(function* () {
            yield* serving()
            const run = yield* tasks.submits.submit({})
            const made = (yield* tasks.submits.result(run)) as RunId
            const view = yield* Scheduler.use((scheduler) => scheduler.find(made))
            assert.deepInclude(view, { state: "Scheduled", task: tasks.waits.name })
            assert.deepStrictEqual(yield* linesOf(run), ["resumed", "Scheduled"])
            const handed = yield* tasks.handsOver.submit({})
            yield* until(
              Scheduler.use((scheduler) => scheduler.find(handed)),
              ({ state }) => state === "Awaiting",
            )
          }),
      )

      once(
        "says who orders, and is told what became of it, in the namespace of its executor",
        () =>
          Effect.gen(function* () {
            const namespace = Namespace.make("elsewhere")
            yield* Effect.provideService(serving(), CurrentNamespace, namespace)
            const run = yield* tasks.orders.submit({}, { namespace })
            const told = yield* tasks.orders.result(run)
            const said = told.at(-1)!
            assert.deepStrictEqual(told.slice(0, -1), [
              ...["elsewhere", "DueLater", "ada", "bob", "eve", "0 false"],
            ])
            assert.deepInclude(JSON.parse(said), { _tag: "Some" })
          }),
      )

      once("calls off what it does not wait for any more", () =>
        Effect.gen(function* () {
          yield* serving()
          const { list, cancel } = yield* Scheduler
          const runs = [yield* tasks.full.submit({}), yield* tasks.full.submit({})]
          // Until it is counted anew.
          yield* Effect.sleep("300 millis")
          assert.isTrue(yield* tasks.impatient.execute({}))
          yield* Effect.forEach(runs, (run) => cancel(run))
          yield* Effect.sleep("2 seconds")
          const all = yield* list({ namespace: standard, task: tasks.full.name, limit: 9 })
          assert.sameMembers(all.map(({ id }) => id), runs)
        }))

      once("knows all that a scheduler fails with by its tag", () =>
        Effect.gen(function* () {
          yield* serving()
          assert.strictEqual(yield* tasks.fills.execute({}), 2)
        }))

      test("lets nobody have a place before whoever handed over has let go of it", () =>
        Effect.gen(function* () {
          yield* serving({ concurrency: 1 })
          const runs = yield* Effect.forEach([0, 1, 2], (n) => tasks.lingers.submit({ n }))
          const [first, ...others] = runs
          for (const [at, run] of others.entries()) {
            const { failure, result, state } = yield* ended(run)
            assert.deepStrictEqual([state, result, failure], ["Succeeded", `${at + 1}`, undefined])
          }
          assert.deepStrictEqual(yield* linesOf(first!), ["let go"])
          const { state } = yield* Scheduler.use((scheduler) => scheduler.find(first!))
          assert.strictEqual(state, "Awaiting")
        }))

      test("hands over although it does not let go in time, and its place is ended", () =>
        Effect.gen(function* () {
          yield* serving({ concurrency: 1 }, { grace: "300 millis" })
          const run = yield* tasks.lingers.submit({ n: -1 })
          const look = Scheduler.use((scheduler) => scheduler.find(run))
          yield* until(look, ({ state }) => state === "Awaiting")
          assert.strictEqual(yield* tasks.lingers.execute({ n: 1 }), 1)
        }))
    })
  }
}

describe("a place", () => {
  it.live("declares nothing anew that its module declares", () =>
    Effect.gen(function* () {
      yield* serving()
      const { calendars, list } = yield* Triggers
      const { waits, whoami } = tasksOf("thread")
      const breakers = yield* Breakers
      const mine = yield* breakers.set("mail", { failurePercent: 70 })
      yield* calendars.put({ namespace: standard, name: "office", rest: ["SUN"] })
      yield* whoami.execute({ name: "ada" })
      assert.deepStrictEqual((yield* breakers.find("mail")).settings, mine.settings)
      const { calendar, revision } = yield* calendars.find(standard, "office")
      assert.deepStrictEqual([calendar.rest, revision], [["SUN"], 2])
      const names = (yield* list(standard)).map(({ definition: { name } }) => name)
      assert.sameMembers(names, ["by-the-office", "tailing"])
      const submitted = yield* Scheduler.use((scheduler) =>
        scheduler.list({ namespace: standard, task: waits.name, limit: 9 })
      )
      assert.lengthOf(submitted, 1)
    }).pipe(Effect.scoped, Effect.provide(engine)), 30_000)

  it.live("is ended when it takes more memory than it may", () =>
    Effect.gen(function* () {
      yield* serving({}, { memoryMegabytes: 48 })
      const { hungry } = tasksOf("process")
      const view = yield* ended(yield* hungry.submit({}))
      assert.strictEqual(view.failure?.tag, "HandlerCrashed")
    }).pipe(Effect.scoped, Effect.provide(engine)), 120_000)

  it.live("is refused where nobody says which module to load there", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Layer.build(Layer.provide(program, Executor.layer)),
      )
      const [reason] = Exit.isFailure(exit) ? exit.cause.reasons : []
      const defect = reason !== undefined && Cause.isDieReason(reason) ? reason.defect : undefined
      assert.instanceOf(defect, Refused)
      assert.strictEqual((defect as Refused).field, "policy.isolation")
    }).pipe(Effect.scoped, Effect.provide(engine)))

  it.live("says so when the module has no such handler", () =>
    Effect.gen(function* () {
      const other = Task.make("other", { policy: { isolation: "thread" } })
      yield* serving({}, {}, other.toLayer(() => Effect.void))
      const view = yield* ended(yield* other.submit({}))
      assert.include(view.failure?.message, 'no handler of the task "other"')
    }).pipe(Effect.scoped, Effect.provide(engine)), 30_000)
})
