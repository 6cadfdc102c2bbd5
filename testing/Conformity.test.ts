import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import * as Retry from "../core/domain/Retry.ts"
import * as Routing from "../core/domain/Routing.ts"
import { CurrentRun } from "../core/engine/CurrentRun.ts"
import * as Task from "../core/engine/Task.ts"
import { task } from "../promise/mod.ts"
import * as Conformity from "./Conformity.ts"
import { testConformity } from "./testConformity.ts"

class Unpaid extends Schema.TaggedError<Unpaid>()("Unpaid", {}) {}

/** What a task changes here. */
class Ledger extends Context.Service<Ledger, {
  readonly booked: Map<string, number>
  readonly locked: Set<string>
}>()("testing/Conformity.test/Ledger") {
  static readonly layer = Layer.sync(Ledger, () => ({
    booked: new Map<string, number>(),
    locked: new Set<string>(),
  }))
}

const outside = Ledger.use(({ booked, locked }) => Effect.succeed({ booked, locked }))
const ofLedger = <A>(use: (ledger: Ledger["Service"]) => A) =>
  Effect.map(Ledger, (ledger) => void use(ledger))

const Book = Task.make("book", {
  payload: { cents: Schema.Int },
  success: Schema.Struct({ receipt: Schema.String }),
  error: Unpaid,
  policy: { timeout: "1 hour" },
})
type Payload = typeof Book.payload.Type
type Hooks = Task.TaskHooks<Payload, Unpaid, Ledger | CurrentRun>

/** As a task ought to be. */
const carryOut = ({ cents }: Payload) =>
  Effect.gen(function* () {
    const { booked } = yield* Ledger
    const { checkpoint, idempotencyKey = "", keep, progress } = yield* CurrentRun
    yield* Effect.log("booking")
    for (let page = Number(checkpoint ?? 0); page < 3; page++) {
      yield* progress({ done: page, total: 3 })
      yield* Effect.sleep("1 minute")
      yield* Effect.orDie(keep(`${page + 1}`))
    }
    if (cents < 0) return yield* new Unpaid()
    booked.set(idempotencyKey, cents)
    return { receipt: idempotencyKey }
  })
const hooks: Required<Hooks> = {
  prepare: () => ofLedger(({ locked }) => locked.add("book")),
  rollback: () => ofLedger(({ booked }) => booked.clear()),
  clean: () => ofLedger(({ locked }) => locked.clear()),
  summary: (_, { failure, state }) => Effect.succeed(`${state} ${failure?.tag ?? ""}`),
}

const over = (
  layer: Layer.Layer<never, never, Ledger | Conformity.World>,
  more: Partial<Conformity.Options<Payload, typeof Book.success.Type, Ledger, never>> = {},
) =>
  Conformity.of(Book, {
    layer: Layer.provideMerge(layer, Ledger.layer),
    payloads: [{ cents: 500 }],
    outside,
    isIdempotent: true,
    patience: "5 millis",
    ...more,
  })

/** What is broken, and why. */
const brokenIn = (conformity: Conformity.Conformity) =>
  Object.fromEntries(
    Conformity.broken(conformity).map((
      row,
    ) => [row.ability, row.verdict === "fails" && row.reason]),
  )

const rowOf = (conformity: Conformity.Conformity, ability: Conformity.Ability) =>
  conformity.rows.find((row) => row.ability === ability)

const oops = Effect.die(new Error("oops"))

describe("a task", () => {
  it.live("with everything has all abilities, and keeps what they promise", () =>
    Effect.gen(function* () {
      const conformity = yield* over(Book.toLayer(carryOut, hooks))
      assert.deepStrictEqual(brokenIn(conformity), {})
      assert.deepStrictEqual(
        conformity.rows.filter(({ verdict }) => verdict !== "has"),
        [{ ability: "handOver", verdict: "hasNot" }],
      )
    }))

  it.live("with nothing but a handler has no other ability", () =>
    Effect.gen(function* () {
      const Bare = Task.make("bare")
      const layer = Bare.toLayer(() => Effect.void)
      const conformity = yield* Conformity.of(Bare, { layer, payloads: [{}] })
      assert.deepStrictEqual(brokenIn(conformity), {})
      assert.deepStrictEqual(Conformity.abilitiesOf(conformity), ["run", "repeat"])
      assert.strictEqual(
        Conformity.format(conformity),
        `bare
  has      run
  has not  prepare
  has not  rollback
  has not  clean
  has not  summary
  has not  progress
  has not  log
  has not  checkpoint
  has not  suspend     it was at its end before it could be put down
  has not  cancel      it was at its end before it could be stopped
  has not  timeout     its policy has none
  has not  handOver
  has      repeat`,
      )
    }))

  /** Each as it ought to be, but for one thing; and the only row that then fails. */
  const mistakes: ReadonlyArray<{
    readonly what: string
    readonly ability: Conformity.Ability
    readonly reason: RegExp
    readonly carryOut?: typeof carryOut
    readonly hooks?: Hooks
  }> = [
    {
      what: "whose handler dies",
      ability: "run",
      reason: /^it ends as Failed with Error: oops$/,
      carryOut: () => oops,
    },
    {
      what: "whose answer is not what it declares",
      ability: "run",
      reason: /success schema/,
      carryOut: () => Effect.succeed({ receipt: 5 as unknown as string }),
    },
    {
      what: "that does not end in time",
      ability: "run",
      reason: /^it ends as TimedOut with TimedOut/,
      carryOut: () => Effect.never,
    },
    {
      what: "that cannot be prepared",
      ability: "prepare",
      reason: /^it fails with Error: oops$/,
      hooks: { prepare: () => oops },
    },
    {
      what: "that does not give back what it took",
      ability: "prepare",
      reason: /^what it takes stays .*it was .*locked.* before the run, and is .*"book"/,
      hooks: { prepare: hooks.prepare },
    },
    {
      what: "whose rollback fails",
      ability: "rollback",
      reason: /^after a failure it fails with Error: oops$/,
      hooks: { rollback: () => oops },
    },
    {
      what: "whose rollback undoes nothing",
      ability: "rollback",
      reason: /^after a failure it does not undo all: outside it was .*booked.*500/,
      hooks: { rollback: () => Effect.void },
    },
    {
      what: "whose rollback expects that all was done",
      ability: "rollback",
      reason: /^where the handler did not come to anything it fails with Error: no booking/,
      hooks: {
        rollback: (_, failure) =>
          ofLedger(({ booked }) => {
            if (booked.size === 0 && failure.tag === "StagedFailure") throw new Error("no booking")
            booked.clear()
          }),
      },
    },
    {
      what: "whose rollback undoes no success",
      ability: "rollback",
      reason: /^asked for after a success it does not undo all/,
      hooks: {
        rollback: (_, { tag }) =>
          ofLedger(({ booked }) => tag === "RollbackAsked" ? undefined : booked.clear()),
      },
    },
    {
      what: "whose rollback does not end",
      ability: "rollback",
      reason: /^after a failure it fails with Interrupted: it took longer than the minute/,
      hooks: { rollback: () => Effect.sleep("2 hours") },
    },
    {
      what: "whose clean fails",
      ability: "clean",
      reason: /^at the end it fails with Error: oops$/,
      hooks: { clean: () => oops },
    },
    {
      what: "whose clean fails where it was stopped",
      ability: "clean",
      reason: /^after a cancel it fails with Error: oops$/,
      hooks: { clean: (_, { state }) => state === "Stopped" ? oops : Effect.void },
    },
    {
      what: "whose clean cannot come again",
      ability: "clean",
      reason: /^when it comes twice it fails with Error: not locked$/,
      hooks: {
        prepare: hooks.prepare,
        clean: () =>
          ofLedger(({ locked }) => {
            if (!locked.delete("book")) throw new Error("not locked")
          }),
      },
    },
    {
      what: "whose summary tells of successes only",
      ability: "summary",
      reason: /^after a failure it fails with/,
      hooks: { summary: (_, { failure }) => failure ? oops : Effect.void },
    },
    {
      what: "that begins anew, whatever it has kept",
      ability: "checkpoint",
      reason: /^resumed, it keeps every checkpoint again: it begins anew$/,
      carryOut: (payload) =>
        Effect.updateService(carryOut(payload), CurrentRun, (run) => ({
          ...run,
          checkpoint: undefined,
        })),
    },
    {
      what: "that never asks for its checkpoint",
      ability: "checkpoint",
      reason: /^resumed, it does not ask for the checkpoint: it begins anew$/,
      carryOut: () =>
        CurrentRun.use(({ keep }) =>
          Effect.orDie(keep("half")).pipe(
            Effect.andThen(Effect.sleep("1 minute")),
            Effect.as({ receipt: "" }),
          )
        ),
    },
    {
      what: "that cannot go on",
      ability: "suspend",
      reason: /^resumed, it ends as Failed with Error: oops$/,
      carryOut: (payload) =>
        CurrentRun.use(({ checkpoint }) => checkpoint === undefined ? carryOut(payload) : oops),
    },
    {
      what: "that does each thing once more",
      ability: "repeat",
      reason: /^outside it is .* when it was done once, and .* when it was done again$/,
      carryOut: () =>
        Effect.as(ofLedger(({ booked }) => booked.set(`${booked.size}`, 1)), { receipt: "" }),
    },
    {
      what: "that answers otherwise when it is done again",
      ability: "repeat",
      reason: /^it answers {"receipt":"0"}, and {"receipt":"1"} when it is done again$/,
      carryOut: () =>
        Ledger.use(({ booked }) =>
          Effect.sync(() => {
            const receipt = `${booked.size}`
            booked.set("book", 1)
            return { receipt }
          })
        ),
    },
  ]
  for (const { ability, carryOut: handler = carryOut, hooks = {}, reason, what } of mistakes) {
    it.live(`${what} fails in that, and in nothing else`, () =>
      Effect.gen(function* () {
        const conformity = yield* over(Book.toLayer(handler, hooks))
        const broken = brokenIn(conformity)
        assert.deepStrictEqual(Object.keys(broken), [ability], Conformity.format(conformity))
        assert.match(String(broken[ability]), reason)
        const row = rowOf(conformity, ability)
        assert.isAbove(row?.verdict === "fails" ? row.remedy.length : 0, 10)
      }))
  }

  const work = (duration: "500 millis" | "1 hour") => () =>
    Effect.as(Effect.uninterruptible(Effect.sleep(duration)), { receipt: "" })

  it.live("that is not to be interrupted fails in all that stops it", () =>
    Effect.gen(function* () {
      const conformity = yield* over(Book.toLayer(work("1 hour")))
      const reason = "told to stop, it goes on: it is stuck"
      assert.deepStrictEqual(brokenIn(conformity), {
        suspend: reason,
        cancel: reason,
        timeout: reason,
      })
    }))

  it.live("that stops in time is not stuck, and its time is what it is given", () =>
    Effect.gen(function* () {
      const quick = yield* over(Book.toLayer(work("500 millis")))
      assert.deepStrictEqual(brokenIn(quick), {})
      const slow = yield* over(Book.toLayer(work("1 hour")), { stopTimeout: "50 minutes" })
      assert.deepStrictEqual(brokenIn(slow), {})
      assert.strictEqual(rowOf(slow, "timeout")?.verdict, "has")
    }))

  it.live("that never ends is stopped all the same", () =>
    Effect.gen(function* () {
      const Endless = Task.make("endless")
      const conformity = yield* Conformity.of(Endless, {
        layer: Endless.toLayer(() => Effect.never),
        payloads: [{}],
        patience: "5 millis",
      })
      assert.match(
        String(brokenIn(conformity)["run"]),
        /^it does not come to an end: .*its handler is at work/s,
      )
      assert.deepStrictEqual(Conformity.abilitiesOf(conformity), ["suspend", "cancel"])
    }))

  it.live("need not be idempotent unless it is said to be", () =>
    Effect.gen(function* () {
      const layer = Book.toLayer(() =>
        Effect.as(ofLedger(({ booked }) => booked.set(`${booked.size}`, 1)), { receipt: "" })
      )
      const conformity = yield* over(layer, { isIdempotent: false })
      assert.deepStrictEqual(brokenIn(conformity), {})
      assert.strictEqual(rowOf(conformity, "repeat")?.verdict, "hasNot")
    }))

  it.live("is tried with each payload, also with those that it refuses", () =>
    Effect.gen(function* () {
      const refused = yield* over(Book.toLayer(carryOut, hooks), { payloads: [{ cents: -1 }] })
      assert.deepStrictEqual(brokenIn(refused), {})
      assert.deepStrictEqual(rowOf(refused, "run"), {
        ability: "run",
        verdict: "has",
        note: "its answer is the declared error Unpaid",
      })
      const both = yield* over(
        Book.toLayer((payload) => payload.cents > 1000 ? oops : carryOut(payload), hooks),
        { payloads: [{ cents: 500 }, { cents: 5000 }] },
      )
      assert.deepStrictEqual(brokenIn(both), {
        run: "with payload 2: it ends as Failed with Error: oops",
      })
    }))

  it.live("that hands over has its answer from outside", () =>
    Effect.gen(function* () {
      const layer = Book.toLayer(
        () => CurrentRun.use(({ handOver }) => handOver("1 day")),
        { rollback: hooks.rollback, clean: hooks.clean },
      )
      const notified = yield* over(layer, { notified: { receipt: "by hand" } })
      assert.deepStrictEqual(brokenIn(notified), {})
      assert.deepStrictEqual(Conformity.abilitiesOf(notified), [
        "run",
        "rollback",
        "clean",
        "handOver",
      ])
      const unknown = yield* over(layer)
      assert.deepStrictEqual(brokenIn(unknown), {})
      assert.include(rowOf(unknown, "run"), { verdict: "has" })
    }))

  it.live("is tried wherever it is to be carried out, and beside whatever", () => {
    const Reindex = Task.make("reindex", {
      success: Schema.Int,
      policy: {
        routing: Routing.sharded(4),
        selector: "gpu",
        isolation: "thread",
        retry: Retry.exponential({ attempts: 3, delayMillis: 1000 }),
        delivery: "at-most-once",
      },
    })
    return Effect.gen(function* () {
      const conformity = yield* Conformity.of(Reindex, {
        layer: Reindex.toLayer(() =>
          CurrentRun.use(({ attempt, shard }) =>
            attempt === 1 ? oops : Effect.succeed(shard!.count)
          )
        ),
        payloads: [{}],
      })
      assert.deepStrictEqual(brokenIn(conformity), {})
      assert.include(rowOf(conformity, "repeat"), { note: "it is carried out at most once" })
    })
  })

  it.live("is refused if the layer is of another", () =>
    Effect.gen(function* () {
      const Other = Task.make("other")
      const error = yield* Effect.flip(Conformity.of(Book, {
        layer: Other.toLayer(() => Effect.void),
        payloads: [{ cents: 1 }],
      }))
      assert.include(error, { _tag: "Refused", field: "layer" })
      const payload = yield* Effect.flip(over(Book.toLayer(carryOut), {
        payloads: [{ cents: 1.5 }],
      }))
      assert.include(payload, { _tag: "Refused", field: "payload" })
    }))
})

describe("a task of promises", () => {
  const book = task("book", {
    payload: Schema.toStandardSchemaV1(Schema.Struct({ cents: Schema.Int })),
    success: Schema.toStandardSchemaV1(Schema.String),
    policy: { timeout: "1 hour" },
  })

  it("has its abilities told in the same way", async () => {
    const booked = new Map<number, number>()
    const booking = book.handler(
      async ({ cents }, { checkpoint, keep, log, progress, run, sleep }) => {
        log("booking")
        for (let page = Number(checkpoint ?? 0); page < 3; page++) {
          progress({ done: page, total: 3 })
          await sleep("1 minute")
          keep(`${page + 1}`)
        }
        booked.set(run, cents)
        return "booked"
      },
      { rollback: (_, __, { run }) => booked.delete(run) },
    )
    const conformity = await testConformity(book, {
      handlers: [booking],
      payloads: [{ cents: 500 }],
      outside: () => booked,
      isIdempotent: true,
    })
    assert.deepStrictEqual(brokenIn(conformity), {})
    assert.deepStrictEqual(Conformity.abilitiesOf(conformity), [
      "run",
      "rollback",
      "progress",
      "log",
      "checkpoint",
      "suspend",
      "cancel",
      "timeout",
      "repeat",
    ])
  })

  it("is refused without its handler", async () => {
    const other = task("other").handler(() => {})
    const refused = await testConformity(book, { handlers: [other], payloads: [{ cents: 1 }] })
      .catch((cause: unknown) => cause)
    assert.include(refused, { _tag: "Refused", field: "handlers" })
  })

  it("fails in all that stops it when it does not look at its signal", async () => {
    const booking = book.handler(async (_, { sleep }) => {
      for (let minute = 0; minute < 3; minute++) {
        await sleep("1 minute").catch(() =>
          new Promise((resolve) => setTimeout(resolve, 60_000).unref())
        )
      }
      return "booked"
    })
    const conformity = await testConformity(book, {
      handlers: [booking],
      payloads: [{ cents: 500 }],
      patience: "5 millis",
    })
    assert.deepStrictEqual(Object.keys(brokenIn(conformity)), ["suspend", "cancel", "timeout"])
  })
})
