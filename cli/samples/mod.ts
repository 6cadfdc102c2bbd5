/** Tasks to try Belfry with: `belfry dev` without files carries them out. */
import { Effect, Layer, Schema } from "effect"
import { CurrentRun } from "../../core/engine/CurrentRun.ts"
import * as Retry from "../../core/domain/Retry.ts"
import * as Task from "../../core/engine/Task.ts"
import * as Trigger from "../../core/engine/Trigger.ts"

const Hello = Task.make("hello/world", {
  payload: { name: Schema.String },
  success: Schema.String,
  purpose: "Greets whom it is given.",
})

const HelloLive = Hello.toLayer(({ name }) => Effect.succeed(`Hello, ${name}!`))

class Unlucky extends Schema.TaggedError<Unlucky>()("Unlucky", { attempt: Schema.Int }) {
  override get message() {
    return `attempt ${this.attempt} has no luck; the third will`
  }
}

const Flaky = Task.make("demo/flaky", {
  success: Schema.Struct({ attempts: Schema.Int }),
  purpose: "Fails twice and succeeds at its third attempt.",
  policy: { retry: Retry.exponential({ attempts: 5, delayMillis: 500, growth: 1.5 }) },
})

const FlakyLive = Flaky.toLayer(() =>
  Effect.gen(function* () {
    const { attempt } = yield* CurrentRun
    // A declared error would be an answer, and final; what is thrown is tried again.
    if (attempt < 3) return yield* Effect.die(new Unlucky({ attempt }))
    return { attempts: attempt }
  })
)

const Tick = Task.make("demo/tick", {
  success: Schema.Struct({ slot: Schema.NullOr(Schema.DateTimeUtcFromMillis) }),
  purpose: "Is fired by a cron trigger every ten seconds.",
})

const TickLive = Tick.toLayer(() =>
  Effect.map(CurrentRun, ({ slot }) => ({
    slot: slot === undefined ? null : Schema.decodeSync(Schema.DateTimeUtcFromMillis)(slot),
  }))
)

export const triggerName = "demo/every-ten-seconds"

export default Layer.mergeAll(
  HelloLive,
  FlakyLive,
  TickLive,
  Tick.schedule(triggerName, Trigger.cron("*/10 * * * * *"), {}, {
    // Who looks the next day does not want what it missed overnight.
    misfire: Trigger.skip,
  }),
)
