import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Blocking from "./Blocking.ts"
import * as Lane from "./Lane.ts"
import { Namespace } from "./Namespace.ts"
import * as RunId from "./RunId.ts"
import { TaskName } from "./Task.ts"

const namespace = Namespace.make("shop")
const task = TaskName.make("charge")
const gate = (blocking: Blocking.Separate, key?: string) =>
  Blocking.gate(namespace, task, blocking, key)

describe("Blocking.gate", () => {
  it("has as many places as the policy says", () => {
    assert.deepInclude(gate(Blocking.fifo), { places: 1, whenFull: "wait" })
    assert.deepInclude(gate(Blocking.discard), { places: 1, whenFull: "discard" })
    assert.deepInclude(gate(Blocking.concurrent(7)), { places: 7, whenFull: "wait" })
  })
  it("is one per task, or per task and key", () => {
    const keys = [
      gate(Blocking.fifo).key,
      gate(Blocking.fifo, "a").key,
      gate(Blocking.fifo, "b").key,
      gate(Blocking.fifo, "").key,
      gate(Blocking.fifo, "a:b").key,
      Blocking.gate(namespace, TaskName.make("other"), Blocking.fifo, undefined).key,
      Blocking.gate(Namespace.make("other"), task, Blocking.fifo, undefined).key,
    ]
    assert.strictEqual(new Set(keys).size, keys.length)
    assert.strictEqual(gate(Blocking.concurrent(3), "a").key, gate(Blocking.fifo, "a").key)
  })
})

const since = Date.UTC(2031, 0, 1)
type Terms = Partial<Omit<Blocking.Waiter, "level" | "turn">>

const at = (millis: number, level: Lane.Level, nth = 0, terms: Terms = {}) => ({
  level,
  turn: RunId.floor(since + millis) + nth,
  places: 1,
  ...terms,
})

describe("Blocking.order", () => {
  const inOrder = (...waiters: ReadonlyArray<Blocking.Waiter>) => {
    const waiting = waiters.map((each) => ({ ...each, rank: Blocking.rank(each) }))
    assert.deepStrictEqual(waiting.toReversed().toSorted(Blocking.order), waiting)
  }

  it("puts the better level first, and then who came first", () =>
    inOrder(at(0, 0, 3), at(0, 0, 5), at(0, 1, 1), at(0, 1, 4), at(0, 4, 0), at(0, 4, 2)))
  it("puts who has waited for its patience before all that come later", () => {
    for (const level of Lane.levels.slice(1)) {
      const patience = Lane.patienceMillis[level]
      inOrder(at(patience - 1, 0), at(0, level), at(patience, 0), at(patience, 1))
    }
  })
  it("puts who has less patience left first", () =>
    inOrder(at(45 * 60_000, 2), at(0, 3), at(55 * 60_000, 2)))
  it("goes by deadline where that counts, and among equals by who came first", () => {
    // One that came as the nth, and must have begun within so many seconds.
    const inTurn = (
      terms: Terms,
      ...within: ReadonlyArray<readonly [nth: number, seconds: number]>
    ) =>
      inOrder(
        ...within.map(([nth, seconds]) =>
          at(0, 1, nth, { ...terms, deadlineAt: since + seconds * 1000 })
        ),
      )
    for (const places of [1, 2]) {
      inTurn({ order: "deadline", places }, [2, 20], [3, 20], [1, 50], [0, 7000])
      inTurn({ order: "age", places }, [0, 7000], [1, 50], [2, 20])
    }
    inTurn({ places: 1 }, [0, 7000], [1, 50], [2, 20])
    inTurn({ places: 2 }, [3, 20], [2, 50], [0, 7000], [1, 90])
  })
  it("has runs of several tasks meet, each by its own order", () =>
    inOrder(
      at(0, 4, 0, { order: "deadline", deadlineAt: since + 30_000 }),
      at(0, 1, 1, { order: "age", deadlineAt: since + 20_000 }),
      at(0, 1, 2, { order: "deadline", deadlineAt: since + 70_000 }),
    ))
})

describe("Blocking.rank", () => {
  it("counts from when a run came to the gate, by the instants of lanes", () => {
    for (const order of [undefined, ...Lane.Order.literals]) {
      for (const deadlineAt of [undefined, since + 20_000, since + 40_000_000]) {
        assert.strictEqual(
          Blocking.rank(at(7, 2, 9, { order, deadlineAt, places: 2 })),
          Lane.rank(since + 7, 2, deadlineAt, order),
        )
      }
    }
  })
  it("is told by age at a gate of one place, unless an order is named", () => {
    const deadlineAt = since + 20_000
    const rank = (order?: Lane.Order) => Blocking.rank(at(7, 2, 9, { deadlineAt, order }))
    assert.strictEqual(rank(), Lane.rank(since + 7, 2))
    assert.strictEqual(rank("age"), Lane.rank(since + 7, 2))
    assert.strictEqual(rank("deadline"), deadlineAt)
  })
})

describe("Blocking.decide", () => {
  it("admits while there is a place", () => {
    for (const blocking of [Blocking.fifo, Blocking.discard, Blocking.concurrent(3)]) {
      const { places } = gate(blocking)
      for (let holders = 0; holders < places; holders++) {
        assert.strictEqual(Blocking.decide(gate(blocking), holders), "admit")
      }
    }
  })
  it("waits or discards when there is none, also when there are more holders than places", () => {
    for (const more of [0, 1, 5]) {
      assert.strictEqual(Blocking.decide(gate(Blocking.fifo), 1 + more), "wait")
      assert.strictEqual(Blocking.decide(gate(Blocking.discard), 1 + more), "discard")
      assert.strictEqual(Blocking.decide(gate(Blocking.concurrent(3)), 3 + more), "wait")
    }
  })
})

describe("Blocking.decide, where only the latest is kept", () => {
  const [latest, replace] = [gate(Blocking.latest), gate(Blocking.replace)]

  it("discards whoever is not the latest, also while there is a place", () => {
    for (const each of [latest, replace]) {
      assert.isTrue(Blocking.keepsLatest(each))
      assert.strictEqual(Blocking.decide(each, 0, false), "discard")
      assert.strictEqual(Blocking.decide(each, 1, false), "discard")
      assert.strictEqual(Blocking.decide(each, 0, true), "admit")
    }
    assert.isFalse(Blocking.keepsLatest(gate(Blocking.fifo)))
    assert.strictEqual(Blocking.decide(gate(Blocking.fifo), 0, false), "admit")
  })

  it("waits for the holder, and asks it to stop where it is to be replaced", () => {
    assert.strictEqual(Blocking.decide(latest, 1), "wait")
    assert.strictEqual(Blocking.decide(replace, 1), "replace")
  })
})

describe("Blocking", () => {
  it("is data: it survives being stored", () => {
    const fair = Blocking.fair(7, { gold: 3 })
    for (const blocking of [Blocking.fifo, Blocking.discard, Blocking.concurrent(3), fair]) {
      const stored = JSON.stringify(Schema.encodeSync(Blocking.Blocking)(blocking))
      const read = Schema.decodeUnknownSync(Blocking.Blocking)(JSON.parse(stored))
      assert.deepStrictEqual(read, blocking)
    }
  })
  it("has a bounded limit", () => {
    for (const limit of [0, -1, 1.5, 100_001, Number.POSITIVE_INFINITY]) {
      assert.throws(() =>
        Schema.decodeUnknownSync(Blocking.Blocking)({ _tag: "Concurrent", limit })
      )
    }
  })
})
