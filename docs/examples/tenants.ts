/**
 * Mail for many tenants: one of them sends thousands at once, another a single one, and a third pays
 * for three times the share. The single mail goes out at once all the same.
 */
import assert from "node:assert/strict"
import { Effect, Layer, Schema } from "effect"
import { Blocking, Task } from "belfry"
import * as Embedded from "belfry/embedded"
import * as Sqlite from "belfry/sqlite"

const Send = Task.make("mail/send", {
  payload: { tenant: Schema.String, to: Schema.String },
  policy: {
    // Eight at a time, of all tenants together; who waits has a share by the weight of its tenant.
    blocking: Blocking.fair(8, { gold: 3 }),
    blockingKey: ({ tenant }) => tenant,
  },
})

const sent: Array<string> = []
const SendLive = Send.toLayer(({ tenant }) =>
  Effect.andThen(Effect.sleep("1 millis"), Effect.sync(() => sent.push(tenant)))
)

const program = Effect.gen(function* () {
  const send = (tenant: string, count: number) =>
    Effect.forEach(
      Array.from({ length: count }, (_, nth) => ({ tenant, to: `reader ${nth}` })),
      (mail) => Send.submit(mail),
      { concurrency: "unbounded" },
    )
  yield* send("flood", 2_000)
  const before = sent.length
  const [single] = yield* send("single", 1)
  yield* Send.result(single!)
  // Those that were past the gate already, and little more.
  assert.ok(sent.length - before < 200, `${sent.length - before} went first`)

  const from = sent.length
  yield* send("gold", 600)
  while (sent.filter((tenant) => tenant === "gold").length < 600) yield* Effect.sleep("10 millis")
  const until = sent.lastIndexOf("gold")
  const others = sent.slice(sent.indexOf("gold", from), until).filter((each) => each === "flood")
  console.log(`while gold sent 600, the flood sent ${others.length}`)
  // A third as many, but for what it could send while those of gold were still being submitted.
  assert.ok(others.length >= 180 && others.length < 450)
})

const Live = SendLive.pipe(
  Layer.provideMerge(Embedded.layerWith({ concurrency: 16 })),
  Layer.provide(Sqlite.layer({ file: ":memory:" })),
)

await Effect.runPromise(Effect.provide(program, Live))
