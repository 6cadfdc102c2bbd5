import { assert, describe, it } from "@effect/vitest"
import { RunId } from "../domain/RunId.ts"
import {
  abandon,
  advance,
  cancel,
  type Event,
  giveBack,
  going,
  handOver,
  hears,
  isStoppedBy,
  postpone,
  type Stop,
  stopOf,
  type Stopping,
  suspend,
} from "./Stopping.ts"

const stops: ReadonlyArray<Stop> = [
  cancel,
  suspend,
  handOver,
  giveBack("Stopping"),
  postpone,
  abandon,
]
const flags = [false, true]

const states: ReadonlyArray<Stopping> = [
  going,
  ...stops.map((stop) => ({ _tag: "Stopped", stop }) as const),
  ...flags.flatMap((isLeft) =>
    flags.map((isLost) => ({ _tag: "Marking", isLeft, isLost }) as const)
  ),
  { _tag: "Finishing" },
  ...stops.map((stop) => ({ _tag: "Finishing", stop }) as const),
  { _tag: "Left", stop: giveBack("Stopping") },
  { _tag: "Left", stop: abandon },
]

const orders = [cancel, suspend, giveBack("Stopping"), abandon]
const within = [cancel, handOver, giveBack("Stopping"), postpone, abandon]
const events: ReadonlyArray<Event> = [
  ...orders.map((stop) => ({ _tag: "Ordered", stop }) as const),
  ...within.map((stop) => ({ _tag: "Leaving", stop }) as const),
  ...(["Marking", "Marked", "Refused", "Known", "Ended"] as const).map((_tag) => ({ _tag })),
]

const nameOf = (it: Stopping | Event): string => {
  if ("stop" in it && it.stop !== undefined) return `${it._tag} ${it.stop._tag}`
  if (!("isLeft" in it)) return it._tag
  return `Marking${it.isLeft ? " left" : ""}${it.isLost ? " lost" : ""}`
}

/** All that changes; what is not here stays as it is. */
const table: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "Going": {
    "Ordered Cancel": "Stopped Cancel",
    "Ordered Suspend": "Stopped Suspend",
    "Ordered GiveBack": "Stopped GiveBack",
    "Ordered Abandon": "Stopped Abandon",
    "Leaving Cancel": "Stopped Cancel",
    "Leaving HandOver": "Stopped HandOver",
    "Leaving GiveBack": "Stopped GiveBack",
    "Leaving Postpone": "Stopped Postpone",
    "Leaving Abandon": "Stopped Abandon",
    "Known": "Finishing",
  },
  "Stopped Cancel": { "Known": "Finishing Cancel", "Ended": "Going" },
  "Stopped Suspend": {
    "Ordered Cancel": "Stopped Cancel",
    "Ordered Abandon": "Stopped Abandon",
    "Known": "Finishing Suspend",
    "Ended": "Going",
  },
  "Stopped HandOver": {
    "Marking": "Marking",
    "Known": "Finishing HandOver",
    "Ended": "Going",
  },
  "Stopped GiveBack": { "Known": "Finishing GiveBack", "Ended": "Going" },
  "Stopped Postpone": { "Known": "Finishing Postpone", "Ended": "Going" },
  "Stopped Abandon": { "Known": "Finishing Abandon", "Ended": "Going" },
  "Marking": {
    "Ordered GiveBack": "Marking left",
    "Ordered Abandon": "Marking lost",
    "Marked": "Stopped HandOver",
    "Refused": "Stopped HandOver",
  },
  "Marking left": {
    "Ordered Abandon": "Marking left lost",
    "Marked": "Stopped HandOver",
    "Refused": "Stopped HandOver",
  },
  "Marking lost": {
    "Ordered GiveBack": "Marking left lost",
    "Marked": "Stopped HandOver",
    "Refused": "Stopped Abandon",
  },
  "Marking left lost": { "Marked": "Stopped HandOver", "Refused": "Left Abandon" },
  "Finishing": {
    "Ordered GiveBack": "Left GiveBack",
    "Ordered Abandon": "Left Abandon",
    "Leaving Cancel": "Finishing Cancel",
    "Leaving HandOver": "Finishing HandOver",
    "Leaving GiveBack": "Finishing GiveBack",
    "Leaving Postpone": "Finishing Postpone",
    "Leaving Abandon": "Finishing Abandon",
  },
  ...Object.fromEntries(stops.map(({ _tag }) => [
    `Finishing ${_tag}`,
    {
      "Ordered GiveBack": "Left GiveBack",
      "Ordered Abandon": "Left Abandon",
      "Ended": "Finishing",
    },
  ])),
  "Left GiveBack": { "Ordered Abandon": "Left Abandon", "Ended": "Finishing" },
  "Left Abandon": { "Ordered GiveBack": "Left GiveBack", "Ended": "Finishing" },
}

describe("how an attempt is stopped", () => {
  for (const state of states) {
    for (const event of events) {
      const [before, what] = [nameOf(state), nameOf(event)]
      const after = table[before]?.[what] ?? before
      it(`${before} + ${what} → ${after}`, () => {
        assert.strictEqual(nameOf(advance(state, event)), after)
      })
    }
  }

  it("is told by the table of every state that there is", () => {
    assert.sameMembers(Object.keys(table), states.map(nameOf))
    for (const row of Object.values(table)) {
      assert.includeMembers(states.map(nameOf), Object.values(row))
      assert.includeMembers(events.map(nameOf), Object.keys(row))
    }
  })

  it("is heard of while its work goes on; after that only what leaves the rest to others", () => {
    for (const state of states) {
      const isWorking = state._tag === "Going" || state._tag === "Stopped"
      assert.deepStrictEqual(
        orders.map((order) => hears(state, order)),
        [isWorking, isWorking, true, true],
      )
    }
  })

  it("is for the reason that came first, with what it said of it", () => {
    const by = RunId.make(7)
    const replaced = advance(going, { _tag: "Ordered", stop: { _tag: "Cancel", by } })
    assert.deepEqual(stopOf(advance(replaced, { _tag: "Ordered", stop: cancel })), {
      _tag: "Cancel",
      by,
    })
    const unsure = advance(going, { _tag: "Leaving", stop: giveBack("LeaseUnsure") })
    const left = advance(unsure, { _tag: "Ordered", stop: giveBack("Stopping") })
    assert.deepEqual(stopOf(left), giveBack("LeaseUnsure"))
  })

  it("is the hand-over that is being marked, until the run is abandoned", () => {
    const marking = { _tag: "Marking", isLeft: true, isLost: false } as const
    assert.isTrue(isStoppedBy(marking, "HandOver"))
    assert.isTrue(isStoppedBy({ ...marking, isLost: true }, "Abandon"))
    assert.isUndefined(stopOf(going))
  })
})
