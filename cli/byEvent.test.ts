import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
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

const of = (given: Partial<GivenByEvent>) => byEventOf({ ...nothing, ...given })

const refused = (given: Partial<GivenByEvent>) =>
  Effect.map(Effect.flip(of(given)), ({ what }) => what)

describe("a schedule without instants", () => {
  it.effect("follows a task, whose ends and results are named", () =>
    Effect.gen(function* () {
      assert.deepEqual((yield* of({ after: Option.some("order") })) as unknown, { after: "order" })
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

  it.effect("says only what is named", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* of({}), {})
      assert.deepEqual(yield* of({ on: Option.some("any") }), { on: "any" })
      assert.deepEqual(yield* of({ transaction: Option.some("tx") }), {
        tail: { transaction: "tx" },
      })
      assert.deepEqual(
        yield* of({ passing: Option.some("nothing"), when: ["any"] }),
        { passing: null, when: null },
      )
    }))

  it.effect("is refused when its parts do not fit", () =>
    Effect.gen(function* () {
      const both = { after: Option.some("order"), table: Option.some("orders") }
      assert.match(yield* refused(both), /two schedules/)
      const order = { after: Option.some("order") }
      assert.match(yield* refused({ ...order, on: Option.some("Ready") }), /"Ready" is no end/)
      for (const clause of ["/total", "total at least 3", "/a present 3", "/a less", ""]) {
        assert.match(yield* refused({ ...order, when: [clause] }), /is no clause/)
      }
    }))
})
