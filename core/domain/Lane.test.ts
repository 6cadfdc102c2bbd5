import { assert, describe, it } from "@effect/vitest"
import * as Lane from "./Lane.ts"
import { Namespace } from "./Namespace.ts"
import * as Selectors from "./Selector.ts"
import { Selector } from "./Selector.ts"
import { TaskName } from "./Task.ts"

const place = (level: Lane.Level, rank: number, run = 1): Lane.Place => ({ level, rank, run })
const now = 1_000_000

describe("Lane.order", () => {
  const order = Lane.order(now)
  const isBefore = (a: Lane.Place, b: Lane.Place) => {
    assert.isBelow(order(a, b), 0)
    assert.isAbove(order(b, a), 0)
  }

  it("puts the better level first, while nobody is overdue", () => {
    isBefore(place(0, now + 900), place(1, now + 10))
    for (const [nth, level] of Lane.levels.entries()) {
      for (const lower of Lane.levels.slice(nth + 1)) {
        isBefore(place(level, now + 900), place(lower, now + 10))
      }
    }
  })
  it("puts the earlier rank first within a level, then the earlier run", () => {
    isBefore(place(1, now + 10, 2), place(1, now + 11, 1))
    isBefore(place(1, now + 10, 1), place(1, now + 10, 2))
  })
  it("puts what is overdue before what is not, and among those the earlier rank", () => {
    isBefore(place(2, now), place(0, now + 1))
    isBefore(place(2, now - 5), place(0, now - 4))
    isBefore(place(0, now - 5, 1), place(2, now - 5, 2))
  })
  it("is an order: total and transitive", () => {
    const places: Array<Lane.Place> = []
    for (const level of Lane.levels) {
      for (const rank of [now - 2, now - 1, now, now + 1, now + 2]) {
        places.push(place(level, rank, places.length), place(level, rank, places.length + 1))
      }
    }
    const sign = (a: Lane.Place, b: Lane.Place) => Math.sign(order(a, b))
    for (const a of places) {
      assert.strictEqual(order(a, a), 0)
      for (const b of places) {
        assert.strictEqual(sign(a, b), -sign(b, a) + 0)
        if (a.run !== b.run) assert.notStrictEqual(order(a, b), 0)
        for (const c of places) {
          if (order(a, b) < 0 && order(b, c) < 0) assert.isBelow(order(a, c), 0)
        }
      }
    }
  })
  it("lets an urgent run never wait for one that became ready later", () => {
    for (const level of Lane.levels) {
      for (const later of [0, 1, 1000]) {
        const urgent = place(0, Lane.rank(now, 0), 1)
        const other = place(level, Lane.rank(now + later, level), 2)
        for (const at of [now, now + 60_000, now + 3_600_000]) {
          assert.isBelow(Lane.order(at)(urgent, other), 0)
        }
      }
    }
  })
  it("lets nobody wait for ever: a low run goes before those ready after its patience", () => {
    for (const of of Lane.levels) {
      const low = place(of, Lane.rank(now, of), 1)
      const after = now + Lane.patienceMillis[of]
      for (const level of Lane.levels) {
        const other = place(level, Lane.rank(after + 1, level), 2)
        assert.isBelow(Lane.order(after + 2)(low, other), 0)
      }
    }
  })
  it("ranks by the deadline, if it is earlier than the end of the patience", () => {
    for (const level of Lane.levels) {
      const patience = Lane.patienceMillis[level]
      assert.strictEqual(Lane.rank(now, level, now + patience + 1), now + patience)
      assert.strictEqual(Lane.rank(now, level, now + patience - 1), now + patience - 1)
    }
  })

  it("lets no deadline take a run past a better level, before it has passed", () => {
    for (const level of Lane.levels.slice(1)) {
      const near = place(level, Lane.rank(now, level, now + 5), 1)
      const better = place(0, Lane.rank(now + 4, 0), 2)
      assert.isAbove(Lane.order(now + 4)(near, better), 0)
    }
  })

  it("has five levels, each with a word and a longer patience than the one before", () => {
    assert.strictEqual(new Set(Lane.levels.map((level) => Lane.wordOf[level])).size, 5)
    const patience = Lane.levels.map((level) => Lane.patienceMillis[level])
    assert.deepStrictEqual(patience, [...new Set(patience)].sort((a, b) => a - b))
  })
})

describe("Lane.ofTask", () => {
  it("is different for each namespace and task", () => {
    const names = [["a", "b"], ["a", "b2"], ["a.b", "c"], ["a", "b.c"]] as const
    const lanes = names.map(([namespace, task]) =>
      Lane.ofTask(Namespace.make(namespace), TaskName.make(task))
    )
    assert.strictEqual(new Set(lanes).size, names.length)
  })
})

describe("Lane of a selector", () => {
  const [namespace, task] = [Namespace.make("default"), TaskName.make("render/frames")]
  const selector = Selector.make("gpu,region in (eu,us)")

  it("is the task's own and the selector's, which it tells", () => {
    const lane = Lane.ofTask(namespace, task, selector)
    assert.notStrictEqual(lane, Lane.ofTask(namespace, task))
    assert.strictEqual(Lane.selectorOf(lane), selector)
    assert.isUndefined(Lane.selectorOf(Lane.ofTask(namespace, task)))
  })
  it("is claimed from by executors with such labels, and the plain one by all", () => {
    const plain = Lane.ofTask(namespace, task)
    const claimed = (labels: Record<string, string>) =>
      Lane.claimed(namespace, task, selector, labels)
    assert.deepStrictEqual(claimed({ gpu: "a100", region: "eu" }), [
      plain,
      Lane.ofTask(namespace, task, selector),
    ])
    assert.deepStrictEqual(claimed({ gpu: "a100", region: "ap" }), [plain])
    assert.deepStrictEqual(Lane.claimed(namespace, task, undefined, {}), [plain])
  })
  it("fits its bound with the longest names and the longest selector", () => {
    const values = Array.from({ length: 8 }, (_, at) => `${at}${"v".repeat(119)}`)
    const terms = `k in (${values.join(",")})`
    const longest = Selector.make(`${terms},${"l".repeat(Selectors.bytesMax - terms.length - 1)}`)
    const lane = Lane.ofTask(
      Namespace.make("n".repeat(63)),
      TaskName.make("t".repeat(127)),
      longest,
    )
    assert.strictEqual(Lane.Lane.make(lane), lane)
  })

  it("ranks by age alone, or by the deadline alone, where that is the order", () => {
    for (const level of Lane.levels) {
      const usual = Lane.rank(now, level)
      for (const deadlineAt of [now + 1, now + Lane.longestMillis - 1]) {
        assert.strictEqual(Lane.rank(now, level, deadlineAt, "age"), usual)
        assert.strictEqual(Lane.rank(now, level, deadlineAt, "deadline"), deadlineAt)
      }
      assert.strictEqual(
        Lane.rank(now, level, now + 2 * Lane.longestMillis, "deadline"),
        now + Lane.longestMillis,
        "nobody waits longer for those with earlier ones",
      )
      assert.strictEqual(Lane.rank(now, level, undefined, "deadline"), usual)
    }
  })

  it("knows when a run became ready, unless its deadline hides it", () => {
    for (const level of Lane.levels) {
      for (const order of [undefined, ...Lane.Order.literals]) {
        for (const deadlineAt of [undefined, now + 5, now + 2 * Lane.longestMillis]) {
          const rank = Lane.rank(now, level, deadlineAt, order)
          const isHidden = order !== "age" && rank === deadlineAt
          assert.strictEqual(
            Lane.readyAt({ level, rank }, now + 3, deadlineAt, order),
            isHidden ? now + 3 : now,
          )
        }
      }
    }
  })
})
