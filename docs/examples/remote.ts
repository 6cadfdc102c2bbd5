/**
 * A program that belongs to a server elsewhere: it has an address and a token, and no database.
 *
 * Here both are in one process. Elsewhere the server is `belfry server --database-url …`, and the
 * program names its address, or those of several.
 */
import { Effect, Layer, Redacted, Schema } from "effect"
import { LocalOwnership, Task, Trigger } from "belfry"
import { Server } from "belfry/cluster"
import * as Direct from "belfry/direct"
import * as Memory from "belfry/memory"
import * as Remote from "belfry/remote"

const token = Redacted.make("as-openssl-rand--hex-32-makes-it")

const Price = Task.make("price", { payload: { item: Schema.String }, success: Schema.Int })
const Offer = Task.make("offer", {
  payload: { items: Schema.Array(Schema.String) },
  success: Schema.Int,
})

const PriceLive = Price.toLayer(({ item }) => Effect.succeed(item.length * 100))

/** It submits, and waits for what it has submitted, over the same address. */
const OfferLive = Offer.toLayer(({ items }) =>
  Effect.forEach(items, (item) => Price.execute({ item }), { concurrency: 4 }).pipe(
    Effect.map((prices) => prices.reduce((sum, price) => sum + price, 0)),
    Effect.orDie,
  )
)
const nightly = Offer.schedule("nightly", Trigger.cron("0 3 * * *"), { items: ["lamp"] })

const Program = (url: string) =>
  Layer.mergeAll(PriceLive, OfferLive, nightly).pipe(
    Layer.provideMerge(Remote.layerWith({ url, token, labels: { site: "cellar" } })),
    // A server and a program do not share what is theirs, though here they share a process.
    Layer.fresh,
  )

const ServerLive = Server.layer({ port: 0, token }).pipe(
  Layer.provide([Direct.layer, LocalOwnership.layer]),
  Layer.provide(Memory.layer),
)

const main = Effect.gen(function* () {
  const { url } = yield* Server
  return yield* Offer.execute({ items: ["lamp", "table"] }).pipe(Effect.provide(Program(url)))
})

console.log(await Effect.runPromise(Effect.provide(main, ServerLive)))
