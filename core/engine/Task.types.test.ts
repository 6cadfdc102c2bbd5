/**
 * What does not compile. Each `@ts-expect-error` is a test of `npm run check`: it fails there when
 * the line below it is accepted. The layers are described, and never built.
 */
import { assert, it } from "@effect/vitest"
import { Context, Effect, type Layer, Schema, Stream } from "effect"
import { expectTypeOf } from "vitest"
import type { RunId } from "../domain/RunId.ts"
import type { Refused } from "../domain/Refused.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { CurrentRun } from "./CurrentRun.ts"
import type { Executor } from "./Executor.ts"
import type { RunFailed, Scheduler } from "./Scheduler.ts"
import type { SubmitRefused } from "./Submitting.ts"
import * as Source from "./Source.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import type { Triggers } from "./Triggers.ts"

class Mailer extends Context.Service<Mailer, { readonly send: Effect.Effect<string> }>()(
  "test/Mailer",
) {}
class Bounced extends Schema.TaggedError<Bounced>()("Bounced", { reason: Schema.String }) {}

const Send = Task.make("send", {
  payload: { to: Schema.String, copies: Schema.NumberFromString },
  success: Schema.Struct({ id: Schema.String }),
  error: Bounced,
})
const Plain = Task.make("plain")

it("a task is what its schemas say, where it is submitted and carried out", () => {
  const payload = { to: "ada", copies: 2 }
  expectTypeOf(Send.submit(payload)).toEqualTypeOf<
    Effect.Effect<RunId, SubmitRefused | StorageUnavailable, Scheduler>
  >()
  expectTypeOf(Send.execute(payload)).toEqualTypeOf<
    Effect.Effect<
      { readonly id: string },
      Bounced | RunFailed | SubmitRefused | StorageUnavailable,
      Scheduler
    >
  >()
  expectTypeOf(Send.schedule("often", Trigger.every("1 hour"), payload)).toEqualTypeOf<
    Layer.Layer<never, Refused | StorageUnavailable, Triggers>
  >()

  // @ts-expect-error -- the payload lacks a field
  void Send.submit({ to: "ada" })
  // @ts-expect-error -- a field of the payload has another type
  void Send.submit({ to: "ada", copies: "2" })
  // @ts-expect-error -- there is no such option
  void Send.submit(payload, { priority: 5 })
  // @ts-expect-error -- the payload of a trigger is the task's
  void Send.schedule("often", Trigger.every("1 hour"), { to: 7, copies: 1 })
  // @ts-expect-error -- a schedule is made by Trigger
  void Plain.schedule("often", "0 * * * *", {})

  const handled = Send.toLayer(({ copies, to }) => {
    expectTypeOf(to).toEqualTypeOf<string>()
    expectTypeOf(copies).toEqualTypeOf<number>()
    return Effect.gen(function* () {
      const { attempt } = yield* CurrentRun
      if (attempt > 3) return yield* new Bounced({ reason: "full" })
      return { id: yield* Mailer.use(({ send }) => send) }
    })
  })
  // What the handler needs is asked for, and the run it carries out is given.
  expectTypeOf(handled).toEqualTypeOf<Layer.Layer<never, never, Executor | Mailer>>()
  // @ts-expect-error -- nobody provides the mailer
  const unprovided: Layer.Layer<never, never, Executor> = handled
  // @ts-expect-error -- the handler's result is not the task's success
  void Send.toLayer(() => Effect.succeed({ id: 7 }))
  // @ts-expect-error -- nor is nothing
  void Send.toLayer(() => Effect.void)
  // @ts-expect-error -- the task does not declare this error
  void Send.toLayer(() => Effect.fail("bounced"))
  // @ts-expect-error -- this task declares no error
  void Plain.toLayer(() => Effect.fail("no"))

  void Task.make("keyed", {
    payload: { account: Schema.String },
    // @ts-expect-error -- the key is taken from the payload, which has no such field
    policy: { blockingKey: ({ customer }) => customer },
  })
  void Task.make("numbered", {
    payload: { account: Schema.Int },
    // @ts-expect-error -- a key is a text
    policy: { blockingKey: ({ account }) => account },
  })
  const served = (needing: Schema.Codec<string, string, Mailer>) =>
    // @ts-expect-error -- a payload is read without the help of services
    Task.make("served", { payload: { to: needing } })

  assert.isDefined(unprovided)
  assert.isFunction(served)
})

it("an earlier payload becomes the next one, and the last of them the present", () => {
  const amount = Task.earlier({ amount: Schema.Int })
  const total = amount.next({ total: Schema.Int }, ({ amount }) => {
    expectTypeOf(amount).toEqualTypeOf<number>()
    return { total: amount }
  })
  const payload = { total: Schema.Int, currency: Schema.String }
  const Order = Task.make("order", {
    payload,
    earlier: total.now(({ total }) => ({ total, currency: "EUR" })),
  })
  expectTypeOf(Order.submit({ total: 1, currency: "EUR" })).toEqualTypeOf<
    Effect.Effect<RunId, SubmitRefused | StorageUnavailable, Scheduler>
  >()

  // @ts-expect-error -- what becomes of it is no payload of the next version
  void amount.next({ total: Schema.Int }, ({ amount }) => ({ total: `${amount}` }))
  // @ts-expect-error -- the earlier payload has no such field
  void amount.next({ total: Schema.Int }, ({ sum }) => ({ total: sum }))
  // @ts-expect-error -- what becomes of the last one is not the present payload
  void Task.make("order", { payload, earlier: total.now(({ total }) => ({ total })) })
})

it("a task tails a source with entries as its schema says, and payloads as its own", () => {
  const source = Source.fromStream("orders", () => Stream.empty)
  const tailing = Trigger.tail(source, { entry: Schema.Struct({ nr: Schema.Int }) })
  expectTypeOf(Send.schedule("orders", tailing, ({ nr }) => ({ to: `${nr}`, copies: nr })))
    .toEqualTypeOf<Layer.Layer<never, Refused | StorageUnavailable, Triggers>>()
  void Send.schedule("orders", tailing, ({ nr }) => nr > 1 ? { to: "ada", copies: 1 } : undefined)
  void Plain.schedule("rows", Trigger.tailTable("public.orders"))

  // @ts-expect-error -- the entry has no such field
  void Send.schedule("orders", tailing, ({ total }) => ({ to: "ada", copies: total }))
  // @ts-expect-error -- the payload lacks a field
  void Send.schedule("orders", tailing, ({ nr }) => ({ copies: nr }))
  // @ts-expect-error -- where it begins is one of two
  void Trigger.tail(source, { from: "middle" })
})
