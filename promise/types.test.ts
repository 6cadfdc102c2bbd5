/**
 * What does not compile. Each `@ts-expect-error` is a test of `npm run check`: it fails there when
 * the line below it is accepted. Nothing of it is run.
 */
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { expectTypeOf } from "vitest"
import type { Belfry, RunId } from "./mod.ts"
import { Blocking, earlier, Source, task, Trigger } from "./mod.ts"

const standard = Schema.toStandardSchemaV1
const resize = task("resize", {
  payload: standard(Schema.Struct({ url: Schema.String, width: Schema.NumberFromString })),
  success: standard(Schema.Struct({ bytes: Schema.Int })),
  error: standard(Schema.Struct({ reason: Schema.String })),
})
const plain = task("plain")

it("a task of promises is what its schemas say, where it is submitted and carried out", () => {
  const program = async (belfry: Belfry) => {
    const payload = { url: "a", width: "320" }
    expectTypeOf(await belfry.submit(resize, payload)).toEqualTypeOf<RunId>()
    expectTypeOf(await belfry.execute(resize, payload)).toEqualTypeOf<{ readonly bytes: number }>()
    expectTypeOf(await belfry.execute(plain, {})).toEqualTypeOf<void>()
    const outcome = await belfry.outcome(resize, 1)
    if (outcome.kind === "error") {
      expectTypeOf(outcome.error).toEqualTypeOf<{ readonly reason: string }>()
    }
    const cause: unknown = undefined
    if (resize.isError(cause)) expectTypeOf(cause.error.reason).toEqualTypeOf<string>()

    // @ts-expect-error -- the payload lacks a field
    await belfry.submit(resize, { url: "a" })
    // @ts-expect-error -- the payload is what the schema accepts, not what it makes of that
    await belfry.submit(resize, { url: "a", width: 320 })
    // @ts-expect-error -- there is no such option
    await belfry.submit(resize, payload, { priority: 5 }) // @ts-expect-error -- the success has no such field
    ;(await belfry.execute(resize, payload)).pixels
    // @ts-expect-error -- the payload of a trigger is the task's
    await belfry.schedule(resize, "often", Trigger.every("1 hour"), { url: 7, width: "1" })
    // @ts-expect-error -- a schedule is made by Trigger
    await belfry.schedule(plain, "often", "0 * * * *", {})
    // @ts-expect-error -- a payload that is wanted is not left out
    await belfry.execute(resize)
    // @ts-expect-error -- nor is that of a trigger which passes nothing on
    await belfry.schedule(resize, "behind", Trigger.after("other"))
    await belfry.schedule(resize, "behind", Trigger.after("other", { passing: "result" }))
    await belfry.schedule(resize, "rows", Trigger.tailTable("public.images"))

    const source = Source.fromStream("urls", async function* () {})
    const entry = standard(Schema.Struct({ at: Schema.DateFromString }))
    await belfry.schedule(resize, "tail", Trigger.tail(source, { entry }), ({ at }) => {
      expectTypeOf(at).toEqualTypeOf<Date>()
      return at.getTime() === 0 ? undefined : { url: "a", width: "320" }
    })
    await belfry.schedule(resize, "tail", Trigger.tail(source), (value) => {
      expectTypeOf(value).toEqualTypeOf<unknown>()
      return undefined
    })
    // @ts-expect-error -- what is made of an entry is a payload
    await belfry.schedule(resize, "tail", Trigger.tail(source), () => ({ url: "a", width: 320 }))
    // @ts-expect-error -- what becomes of an entry is to be said
    await belfry.schedule(resize, "tail", Trigger.tail(source))

    expectTypeOf(await belfry.again(resize, 1, { payload })).toEqualTypeOf<RunId>()
    await belfry.notify(resize, 1, { kind: "success", value: { bytes: 1 } })
    // @ts-expect-error -- a run is done again with a payload of its task
    await belfry.again(resize, 1, { payload: { url: "a", width: 320 } })
    // @ts-expect-error -- what it is notified of is the success of the task
    await belfry.notify(resize, 1, { kind: "success", value: { bytes: "many" } })
    // @ts-expect-error -- a trigger is fired with a payload of its task
    await belfry.fire(resize, "often", { payload: { url: "a" } })
    // @ts-expect-error -- triggers are resumed by name, and runs by `resumeRun`
    await belfry.resume(1)
    // @ts-expect-error -- and the other way round
    await belfry.resumeRun("often")
    // @ts-expect-error -- there are five levels
    await belfry.change(1, { level: 7 })
    expectTypeOf(await belfry.withLock("key", ({ fence }) => fence)).toEqualTypeOf<number>()
  }

  const first = standard(Schema.Struct({ at: Schema.DateFromString }))
  const second = standard(Schema.Struct({ width: Schema.NumberFromString }))
  task("resize", {
    payload: resize.payload!,
    earlier: earlier(first)
      .next(second, ({ at }) => {
        expectTypeOf(at).toEqualTypeOf<Date>()
        return { width: "320" }
      })
      .now(({ width }) => {
        expectTypeOf(width).toEqualTypeOf<number>()
        return { url: "a", width: `${width}` }
      }),
  })
  // @ts-expect-error -- a version becomes what the schema of the next one accepts
  earlier(first).next(second, () => ({ width: 320 }))
  task("resize", {
    payload: resize.payload!,
    // @ts-expect-error -- and the last one what the task's own schema accepts
    earlier: earlier(first).now(({ at }) => ({ url: "a", width: at })),
  })

  resize.handler(({ url, width }, { attempt, fail, signal }) => {
    expectTypeOf(url).toEqualTypeOf<string>()
    expectTypeOf(width).toEqualTypeOf<number>()
    expectTypeOf(attempt).toEqualTypeOf<number>()
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>()
    if (width < 0) fail({ reason: "too small" })
    return { bytes: width }
  })
  resize.handler((_, { handOver }) => handOver("1 day"))
  // @ts-expect-error -- the handler's result is not the task's success
  resize.handler(() => ({ bytes: "many" }))
  // @ts-expect-error -- nor is nothing
  resize.handler(() => {})
  // @ts-expect-error -- the error is not what the task declares
  resize.handler((_, { fail }) => fail({ why: "it is too small" }))
  // @ts-expect-error -- this task declares no error
  plain.handler((_, { fail }) => fail("no"))

  task("keyed", {
    payload: standard(Schema.Struct({ account: Schema.String })),
    // @ts-expect-error -- the key is taken from the payload, which has no such field
    policy: { blocking: Blocking.fifo, blockingKey: ({ customer }) => customer },
  })
  task("numbered", {
    payload: standard(Schema.Struct({ account: Schema.Int })),
    // @ts-expect-error -- a key is a text
    policy: { blockingKey: ({ account }) => account },
  })
  // @ts-expect-error -- a schema is one, not the fields of one
  task("fields", { payload: { url: Schema.String } })

  assert.isFunction(program)
})
