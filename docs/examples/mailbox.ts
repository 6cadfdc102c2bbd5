/**
 * An account per customer, each an actor: its messages wait in a durable mailbox, are taken one at a
 * time and in order whatever executor takes them, and its balance is kept with the end of each.
 */
import assert from "node:assert/strict"
import { Effect, Layer, Schema } from "effect"
import { Actor } from "belfry"
import * as Embedded from "belfry/embedded"
import * as Sqlite from "belfry/sqlite"

class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { missing: Schema.Int }) {}

const Account = Actor.make("account", {
  state: Schema.Struct({ balance: Schema.Int, moves: Schema.Int }),
  initial: { balance: 0, moves: 0 },
  messages: {
    deposit: { payload: { amount: Schema.Int }, success: Schema.Int },
    withdraw: { payload: { amount: Schema.Int }, success: Schema.Int, error: Overdrawn },
    close: { success: Schema.Int },
  },
})

const AccountLive = Account.toLayer({
  deposit: ({ balance, moves }, { amount }) =>
    Effect.succeed([{ balance: balance + amount, moves: moves + 1 }, balance + amount]),
  withdraw: ({ balance, moves }, { amount }) =>
    amount > balance
      ? Effect.fail(new Overdrawn({ missing: amount - balance }))
      : Effect.succeed([{ balance: balance - amount, moves: moves + 1 }, balance - amount]),
  // No state any more: the next message of this key begins anew.
  close: ({ balance }) => Effect.succeed([undefined, balance]),
})

const program = Effect.gen(function* () {
  const customers = ["ada", "grace", "edsger"]
  // Three mailboxes of a hundred messages each, all at once.
  yield* Effect.forEach(customers, (customer) =>
    Effect.forEach(
      Array.from({ length: 100 }),
      () => Account.tell(customer, "deposit", { amount: 10 }),
    ), { concurrency: "unbounded" })
  const overdrawn = yield* Effect.flip(Account.ask("ada", "withdraw", { amount: 1_001 }))
  assert(overdrawn instanceof Overdrawn)
  assert.equal(overdrawn.missing, 1)
  assert.equal(yield* Account.ask("ada", "withdraw", { amount: 999 }), 1)
  assert.equal(yield* Account.ask("ada", "close", {}), 1)
  assert.equal(yield* Account.ask("ada", "deposit", { amount: 5 }), 5)
  const balances = yield* Effect.forEach(
    ["grace", "edsger"],
    (customer) => Account.ask(customer, "withdraw", { amount: 0 }),
  )
  console.log(`grace and edsger have ${balances.join(" and ")}`)
  assert.deepEqual(balances, [1_000, 1_000])
})

const Live = AccountLive.pipe(
  Layer.provideMerge(Embedded.layerWith({ concurrency: 8 })),
  Layer.provide(Sqlite.layer({ file: ":memory:" })),
)

await Effect.runPromise(Effect.provide(program, Live))
