import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Schedule } from "../cluster/api/Views.ts"
import { byEventOf, type GivenByEvent } from "./byEvent.ts"

const nothing: GivenByEvent = {
  after: Option.none(),
  on: Option.none(),
  passing: Option.none(),
  table: Option.none(),
  id: Option.none(),
  transaction: Option.none(),
  begin: Option.none(),
  unreadable: Option.none(),
  when: [],
}

const of = (given: Partial<GivenByEvent>, known?: Schedule) =>
  byEventOf({ ...nothing, ...given }, known)

const refused = (given: Partial<GivenByEvent>, known?: Schedule) =>
  Effect.map(Effect.flip(of(given, known)), ({ what }) => what)

const after = (task: string, on: "success" | "failure" = "success") =>
  ({ after: task, on }) as unknown as Schedule

describe("a schedule without instants", () => {
  it.effect("follows a task, whose ends and results are named", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* of({ after: Option.some("order") }), after("order"))
      assert.deepEqual(
        (yield* of({
          after: Option.some("order"),
          on: Option.some("Failed, TimedOut"),
          passing: Option.some("event"),
          when: [
            "/total at least 100",
            "/email present",
            "/state not equal on hold",
            "value less 3",
          ],
        })) as unknown,
        {
          after: "order",
          on: ["Failed", "TimedOut"],
          when: [
            { at: "/total", is: "at least", to: 100 },
            { at: "/email", is: "present" },
            { at: "/state", is: "not equal", to: "on hold" },
            { at: "", is: "less", to: 3 },
          ],
          passing: "event",
        },
      )
    }))

  it.effect("tails a table", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* of({ table: Option.some("public.orders") }), {
        tail: { table: "public.orders" },
      })
      assert.deepEqual(
        yield* of({
          table: Option.some("public.orders"),
          id: Option.some("nr"),
          transaction: Option.some("tx"),
          begin: Option.some("end"),
          unreadable: Option.some("stop"),
          when: ["/total greater 3"],
        }),
        {
          tail: { table: "public.orders", id: "nr", transaction: "tx" },
          from: "end",
          unreadable: "stop",
          when: [{ at: "/total", is: "greater", to: 3 }],
        },
      )
    }))

  it.effect("keeps what is not named of the one that is kept", () =>
    Effect.gen(function* () {
      const kept = {
        after: "order",
        on: "failure",
        when: [{ at: "/total", is: "present" }],
        passing: "result",
      } as unknown as Schedule
      assert.deepEqual(yield* of({}, kept), kept)
      assert.deepEqual(yield* of({ on: Option.some("any") }, kept), { ...kept, on: "any" } as never)
      assert.deepEqual(
        yield* of({ passing: Option.some("nothing"), when: ["any"] }, kept),
        after("order", "failure"),
      )
      const tail: Schedule = { tail: "orders of the shop", from: "end", unreadable: "skip" }
      assert.deepEqual(yield* of({ unreadable: Option.some("stop") }, tail), {
        ...tail,
        unreadable: "stop",
      })
      const table: Schedule = { tail: { table: "orders", id: "nr" }, from: "end" }
      assert.deepEqual(yield* of({ transaction: Option.some("tx") }, table), {
        tail: { table: "orders", id: "nr", transaction: "tx" },
        from: "end",
      })
      assert.deepEqual(yield* of({ after: Option.some("order") }, table), after("order"))
      assert.isUndefined(yield* of({}, { everyMillis: 1000 }))
    }))

  it.effect("is refused when its parts do not fit", () =>
    Effect.gen(function* () {
      const both = { after: Option.some("order"), table: Option.some("orders") }
      assert.match(yield* refused(both), /two schedules/)
      assert.match(yield* refused({ on: Option.some("any") }), /--on says nothing/)
      assert.match(yield* refused({ when: ["/a present"] }, { everyMillis: 1000 }), /--when says/)
      const table = { table: Option.some("orders") }
      assert.match(yield* refused({ ...table, on: Option.some("any") }), /--on says nothing/)
      const order = { after: Option.some("order") }
      assert.match(yield* refused({ ...order, begin: Option.some("end") }), /--begin says nothing/)
      assert.match(yield* refused({ ...order, on: Option.some("Ready") }), /"Ready" is no end/)
      for (const clause of ["/total", "total at least 3", "/a present 3", "/a less", ""]) {
        assert.match(yield* refused({ ...order, when: [clause] }), /is no clause/)
      }
      assert.match(
        yield* refused({ id: Option.some("nr") }, { tail: "orders of the shop" }),
        /brought by a program/,
      )
    }))
})
