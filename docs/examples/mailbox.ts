/**
 * An account per customer, each an actor: its messages wait in a durable mailbox, are taken one at a
 * time and in order whatever executor takes them, and its balance is kept with the end of each.
 *
 * Here the messages are put into their mailboxes while nobody is at work. A first program takes some of
 * them and stops in the middle; a second one, with two executors, takes the rest.
 */
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Schema } from "effect"
import { Actor, CurrentNamespace, Executor, Scheduler } from "belfry"
import * as Direct from "belfry/direct"
import * as Embedded from "belfry/embedded"
import * as Sqlite from "belfry/sqlite"

class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { missing: Schema.Int }) {}

const Account = Actor.make("account", {
  state: Schema.Struct({ balance: Schema.Int, moves: Schema.Array(Schema.Int) }),
  initial: { balance: 0, moves: [] },
  messages: {
    deposit: { payload: { amount: Schema.Int }, success: Schema.Int },
    withdraw: { payload: { amount: Schema.Int }, success: Schema.Int, error: Overdrawn },
    /** Answers all moves there were. */
    close: { success: Schema.Array(Schema.Int) },
  },
})

const AccountLive = Account.toLayer({
  deposit: ({ balance, moves }, { amount }) =>
    Effect.succeed([{ balance: balance + amount, moves: [...moves, amount] }, balance + amount]),
  withdraw: ({ balance, moves }, { amount }) =>
    amount > balance ? Effect.fail(new Overdrawn({ missing: amount - balance })) : Effect.succeed([
      { balance: balance - amount, moves: [...moves, -amount] },
      balance - amount,
    ]),
  // No state any more: the next message of this key begins anew.
  close: ({ moves }) => Effect.succeed([undefined, moves]),
})

const customers = ["ada", "grace", "edsger"]
/** Different each, so that a sum of them says nothing about their order and the list of them does. */
const amounts = Array.from({ length: 100 }, (_, nth) => nth + 1)

const deposits = Effect.forEach(
  customers,
  (customer) => Effect.forEach(amounts, (amount) => Account.tell(customer, "deposit", { amount })),
  { concurrency: "unbounded" },
)

const succeeded = Effect.gen(function* () {
  const scheduler = yield* Scheduler
  const namespace = yield* CurrentNamespace
  const runs = yield* scheduler.list({
    namespace,
    states: ["Succeeded"],
    isBrief: true,
    limit: 1000,
  })
  return runs.length
})

const first = Effect.gen(function* () {
  yield* deposits
  assert.equal(yield* succeeded, 0)
  yield* Layer.build(AccountLive)
  while ((yield* succeeded) < 30) yield* Effect.sleep("2 millis")
})

const second = Effect.gen(function* () {
  const waiting = 300 - (yield* succeeded)
  console.log(`the first program has stopped, with ${waiting} messages in their mailboxes`)
  assert(waiting > 0)
  yield* Layer.build(AccountLive)
  yield* Layer.build(Layer.provide(Layer.fresh(AccountLive), colleague))

  const overdrawn = yield* Effect.flip(Account.ask("ada", "withdraw", { amount: 5_051 }))
  assert(overdrawn instanceof Overdrawn)
  assert.equal(overdrawn.missing, 1)
  assert.equal(yield* Account.ask("ada", "withdraw", { amount: 5_050 }), 0)
  assert.deepEqual(yield* Account.ask("ada", "close", {}), [...amounts, -5_050])
  assert.equal(yield* Account.ask("ada", "deposit", { amount: 5 }), 5)
  for (const customer of ["grace", "edsger"]) {
    assert.deepEqual(yield* Account.ask(customer, "close", {}), amounts)
  }
  console.log("each message was taken once, and in its order")
})

const colleague = Layer.provide(
  Executor.layerWith({ name: "colleague", concurrency: 8 }),
  Direct.layer,
)

const folder = mkdtempSync(join(tmpdir(), "belfry-mailbox-"))
/** Of a program of its own over the file, which stops at once, whatever is under way. */
const Live = () =>
  Embedded.layerWith({ concurrency: 3, drainTimeout: "1 millis" }).pipe(
    Layer.provideMerge(Sqlite.layer({ file: join(folder, "belfry.db") })),
  )

try {
  await Effect.runPromise(Effect.provide(Effect.scoped(first), Live()))
  await Effect.runPromise(Effect.provide(Effect.scoped(second), Live()))
} finally {
  rmSync(folder, { recursive: true, maxRetries: 5, retryDelay: 200 })
}
