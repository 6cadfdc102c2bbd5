/**
 * A graph of tasks with one at its centre: to fulfil an order is to reserve the goods, to charge for
 * them, then to pack and to invoice at once, and to ship; or to release them again, if the card is
 * refused. The centre is plain code. It submits each step under a key of its own run, so that whoever
 * goes on with it elsewhere gets the answers that there are, and does nothing twice.
 *
 * Here the office that carries an order's centre out is killed in the middle, and another goes on.
 */
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Deferred, Effect, Layer, Schema } from "effect"
import { CurrentRun, Executor, Scheduler, Task } from "belfry"
import * as Direct from "belfry/direct"
import * as Embedded from "belfry/embedded"
import * as Sqlite from "belfry/sqlite"

class CardRefused extends Schema.TaggedError<CardRefused>()("CardRefused", {
  card: Schema.String,
}) {}

const Reserve = Task.make("order/reserve", {
  payload: { goods: Schema.String },
  success: Schema.Int,
})
const Charge = Task.make("order/charge", {
  payload: { card: Schema.String, cents: Schema.Int },
  success: Schema.String,
  error: CardRefused,
})
const Release = Task.make("order/release", { payload: { goods: Schema.String } })
const Pack = Task.make("order/pack", { payload: { goods: Schema.String }, success: Schema.String })
const Invoice = Task.make("order/invoice", {
  payload: { receipt: Schema.String },
  success: Schema.String,
})
const Ship = Task.make("order/ship", {
  payload: { parcel: Schema.String, invoice: Schema.String },
  success: Schema.String,
})

const Fulfil = Task.make("order/fulfil", {
  payload: { goods: Schema.String, card: Schema.String },
  success: Schema.String,
})

const FulfilLive = Fulfil.toLayer(({ card, goods }) =>
  Effect.gen(function* () {
    const { id } = yield* CurrentRun
    /** One run of it for this run of the centre, however often that begins; it says for whom. */
    const once = (step: string) => ({ idempotencyKey: `${id}/${step}`, by: `run ${id}` })

    const cents = yield* Reserve.execute({ goods }, once("reserve"))
    const receipt = yield* Charge.execute({ card, cents }, once("charge"))
    const [parcel, invoice] = yield* Effect.all([
      Pack.execute({ goods }, once("pack")),
      Invoice.execute({ receipt }, once("invoice")),
    ], { concurrency: 2 })
    return yield* Ship.execute({ parcel, invoice }, once("ship"))
  }).pipe(
    // An edge on a condition is a branch.
    Effect.catchTag("CardRefused", () =>
      Effect.gen(function* () {
        const { id } = yield* CurrentRun
        yield* Release.execute({ goods }, { idempotencyKey: `${id}/release` })
        return "refused"
      })),
    // What else went wrong with a step is a failure of the centre.
    Effect.orDie,
  )
)

const [, , role, address = ""] = process.argv
const folder = role === "office" ? "" : mkdtempSync(join(tmpdir(), "fulfilment-"))
const file = role === "office" ? address : join(folder, "belfry.db")
const storage = Sqlite.layer({ file })

/** A process that carries out centres, and nothing else: no step waits for a place that they hold. */
const office = FulfilLive.pipe(
  Layer.provide(Executor.layerWith({ name: `office-${process.pid}`, ttl: "2 seconds" })),
  Layer.provide(Direct.layer),
  Layer.provide(Scheduler.layerClient),
  Layer.provide(storage),
)

/** Each step that was done, as whoever does it has counted. */
const done: Array<string> = []
const packing = Deferred.makeUnsafe<void>()
const isKilled = Deferred.makeUnsafe<void>()
const does = <A>(step: string, answer: A) => Effect.sync(() => (done.push(step), answer))

const warehouse = Layer.mergeAll(
  Reserve.toLayer(() => does("reserve", 4_200)),
  Charge.toLayer(({ card }) =>
    Effect.andThen(
      does("charge", undefined),
      card === "stolen" ? Effect.fail(new CardRefused({ card })) : Effect.succeed("receipt-7"),
    )
  ),
  Release.toLayer(() => does("release", undefined)),
  // It is held up until the centre has been killed meanwhile.
  Pack.toLayer(() =>
    Effect.gen(function* () {
      yield* Deferred.succeed(packing, undefined)
      yield* Deferred.await(isKilled)
      return yield* does("pack", "parcel-7")
    })
  ),
  Invoice.toLayer(({ receipt }) => does("invoice", `invoice for ${receipt}`)),
  Ship.toLayer(({ invoice, parcel }) => does("ship", `${parcel} with ${invoice}`)),
)

const program = Effect.gen(function* () {
  const scheduler = yield* Scheduler
  const run = yield* Fulfil.submit({ goods: "a bell", card: "good" })
  yield* Deferred.await(packing)

  const { executor } = yield* scheduler.find(run)
  process.kill(Number(executor!.name.slice("office-".length)), "SIGKILL")
  yield* Deferred.succeed(isKilled, undefined)

  assert.equal(yield* Fulfil.result(run), "parcel-7 with invoice for receipt-7")
  assert.deepEqual(done.toSorted(), ["charge", "invoice", "pack", "reserve", "ship"])
  const { executor: other } = yield* scheduler.find(run)
  assert.notEqual(other!.name, executor!.name)
  console.log(`${executor!.name} was killed, and ${other!.name} went on`)

  done.length = 0
  assert.equal(yield* Fulfil.execute({ goods: "a clapper", card: "stolen" }), "refused")
  assert.deepEqual(done, ["reserve", "charge", "release"])
})

if (role === "office") await Effect.runPromise(Layer.launch(office))
else {
  const offices: ReadonlyArray<ChildProcess> = [1, 2].map(() =>
    spawn(process.execPath, [fileURLToPath(import.meta.url), "office", file], { stdio: "inherit" })
  )
  const Live = warehouse.pipe(
    Layer.provideMerge(Embedded.layer),
    Layer.provide(storage),
  )
  try {
    await Effect.runPromise(Effect.provide(program, Live))
  } finally {
    for (const each of offices) each.kill("SIGKILL")
    rmSync(folder, { recursive: true, maxRetries: 5, retryDelay: 200 })
  }
}
