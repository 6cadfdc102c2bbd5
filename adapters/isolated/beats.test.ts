/** B6: a handler that blocks its thread for longer than the lease loses nothing by it. */
import { assert, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, Schema, type Scope } from "effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { DatabaseSync } from "node:sqlite"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { standard } from "../../core/domain/Namespace.ts"
import * as Retry from "../../core/domain/Retry.ts"
import { Executor, type ExecutorOptions } from "../../core/engine/Executor.ts"
import * as LocalOwnership from "../../core/engine/LocalOwnership.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import * as Task from "../../core/engine/Task.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Direct from "../direct/mod.ts"
import * as Sqlite from "../sqlite/mod.ts"
import type * as failingTransport from "./failingTransport.fixture.ts"
import * as Isolated from "./mod.ts"
import rpcTransport from "./rpcTransport.fixture.ts"

const transport = new URL("./sqliteTransport.fixture.ts", import.meta.url)
const spinMillis = 9000

/** A file of its own, whose beats thread finds it by the environment. */
const freshFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-beats-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true })),
  ),
  (folder) => {
    const file = join(folder, "belfry.db")
    process.env["BELFRY_TEST_FILE"] = file
    return file
  },
)

/** What handlers run in: all of the product over the file, with beats from a thread of their own. */
const overFile = (
  file: string,
  handlers: Layer.Layer<never, never, Executor>,
  options: ExecutorOptions = {},
  beats: Isolated.BeatsOptions = { transport },
) =>
  handlers.pipe(
    Layer.provide(Executor.layerWith({ ttl: "4 seconds", ...options })),
    Layer.provide(Isolated.layerBeats(beats)),
    Layer.provideMerge(
      Layer.mergeAll(Scheduler.layerWith({ sweepInterval: "100 millis" }), Direct.layer).pipe(
        Layer.provide(LocalOwnership.layer),
      ),
    ),
    Layer.provideMerge(Sqlite.layer({ file })),
  )

const spin = (millis: number): void => {
  const until = performance.now() + millis
  while (performance.now() < until);
}

it.live(
  "B6: a handler that spins for longer than the lease keeps it, and is seen to stall",
  () =>
    Effect.gen(function* () {
      const file = yield* freshFile
      const spins = Task.make("spins")
      let seen = ""
      const live = spins.toLayer(() =>
        Effect.sync(() => {
          spin(spinMillis)
          // Seen from within, since nobody else in this thread could look.
          const db = new DatabaseSync(file, { readOnly: true })
          seen = `${db.prepare("SELECT vitals FROM executor").get()?.["vitals"]}`
          db.close()
        })
      )
      yield* Effect.gen(function* () {
        const { executors, runs } = yield* Storage
        const run = yield* spins.submit({})
        yield* spins.result(run)
        const [executor, ...others] = yield* executors.list(standard)
        assert.deepStrictEqual(others, [], "it did not join anew")
        assert.strictEqual(executor?.standing, "live")
        const view = Option.getOrThrow(yield* runs.find(run))
        assert.deepInclude(view, { state: "Succeeded", attempt: 1, crashes: 0 })
        assert.strictEqual<number>(view.fence, 1)
        const events = yield* runs.events(run)
        assert.isAbove(JSON.parse(seen).stalledMillis, 1000)
        assert.notInclude(events.map(({ kind }) => kind), "Lost")
      }).pipe(Effect.provide(overFile(file, live)))
    }).pipe(Effect.scoped),
  60_000,
)

it.live(
  "B6: a beat that got no answer is made again soon, also while the handler spins",
  () =>
    Effect.gen(function* () {
      const file = yield* freshFile
      const spins = Task.make("spins")
      const live = spins.toLayer(() => Effect.sync(() => spin(9000)))
      const given: failingTransport.Given = { file: `${file}.beats`, failMillis: 2200 }
      const beats = {
        transport: new URL("./failingTransport.fixture.ts", import.meta.url),
        given,
      }
      yield* Effect.flatMap(spins.submit({}), spins.result).pipe(
        Effect.provide(overFile(file, live, { ttl: "8 seconds" }, beats)),
      )
      const times = readFileSync(given.file, "utf8").trim().split("\n").map(Number)
      const kept = times.findIndex((at) => at >= given.failMillis)
      // In turn they are two seconds apart, and the third would be the first that is kept.
      assert.isBelow(times[kept]!, 3500)
      assert.isAtLeast(times[kept + 1]! - times[kept]!, 1900)
    }).pipe(Effect.scoped),
  60_000,
)

/** The same with a server between, and in a thread of its own: nothing of this one beats or looks. */
const overServer = Effect.fnUntraced(function* (
  file: string,
  handlers: Layer.Layer<never, never, Executor>,
  options: ExecutorOptions,
) {
  const token = "a token for tests"
  const server = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new Worker(new URL("./server.fixture.ts", import.meta.url), { workerData: { file, token } })
    ),
    (server) => Effect.promise(() => server.terminate()),
  )
  const port = yield* Effect.callback<number>((resume) => {
    server.once("message", (port: number) => resume(Effect.succeed(port)))
    server.once("error", (cause) => resume(Effect.die(cause)))
  })
  const given = { url: `ws://127.0.0.1:${port}/rpc`, token }
  const transport = new URL("./rpcTransport.fixture.ts", import.meta.url)
  return handlers.pipe(
    Layer.provide(Executor.layerWith({ ttl: "4 seconds", ...options })),
    Layer.provide(Isolated.layerBeats({ transport, given })),
    Layer.provide(rpcTransport(given)),
    Layer.provideMerge(Scheduler.layerClient),
    Layer.provideMerge(Sqlite.layer({ file })),
  )
})

/** How a handler ends that spins past its time-out, in a program over a file. */
const endsInTime = <E>(
  waitMillis: number,
  programOver: (
    file: string,
    handlers: Layer.Layer<never, never, Executor>,
    options: ExecutorOptions,
  ) => Effect.Effect<Layer.Layer<Storage | Scheduler, E>, never, Scope.Scope>,
) =>
  Effect.gen(function* () {
    const file = yield* freshFile
    const spins = Task.make("spins", {
      payload: { millis: Schema.Int },
      policy: {
        timeout: "3 seconds",
        retry: Retry.exponential({ attempts: 2, delayMillis: 100 }),
      },
    })
    let starts = 0
    const live = spins.toLayer(({ millis }) =>
      // It beats once a second, so it is told of before that, or with that.
      Effect.andThen(
        Effect.sleep(starts === 0 ? waitMillis : 0),
        Effect.sync(() => spin(starts++ === 0 ? millis : 0)),
      )
    )
    yield* Effect.gen(function* () {
      const { executors, runs } = yield* Storage
      // One that ends in time is not ended twice, and is told of by its own report.
      const quick = yield* spins.submit({ millis: 10 })
      yield* spins.result(quick)
      starts = 0
      const run = yield* spins.submit({ millis: spinMillis })
      yield* spins.result(run)
      const told = yield* runs.events(run)
      assert.deepStrictEqual(told.map(({ kind }) => kind), [
        "Submitted",
        "Claimed",
        "Retried",
        "Claimed",
        "Succeeded",
      ])
      assert.include(told[2]!.detail, "longer than its 3000 ms")
      const at = told.map(({ at }) => DateTime.toEpochMillis(at))
      // Its time, and that to stop in, and one to look; it stands still for nine seconds.
      assert.isAtLeast(at[2]! - at[1]!, 3500)
      assert.isAtMost(at[2]! - at[1]!, 6500)
      const kinds = (yield* runs.events(quick)).map(({ kind }) => kind)
      assert.deepStrictEqual(kinds, ["Submitted", "Claimed", "Succeeded"])
      const [executor, ...others] = yield* executors.list(standard)
      assert.deepStrictEqual(others, [], "it did not join anew")
      assert.strictEqual(executor?.standing, "live")
    }).pipe(Effect.provide(yield* programOver(file, live, { stopTimeout: "500 millis" })))
  }).pipe(Effect.scoped)

for (const waitMillis of [0, 2000]) {
  it.live(
    `I17: a handler that spins past its time-out is ended by then, after ${waitMillis} ms of something else`,
    () => endsInTime(waitMillis, (...program) => Effect.succeed(overFile(...program))),
    60_000,
  )
}

it.live(
  "I17: a handler that spins past its time-out is ended by then, with a server elsewhere",
  () => endsInTime(0, overServer),
  60_000,
)
