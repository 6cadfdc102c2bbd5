import { assert, describe, it } from "@effect/vitest"
import * as Blocking from "./Blocking.ts"
import * as Group from "./Group.ts"
import { Incarnation } from "./Executor.ts"
import * as Lane from "./Lane.ts"
import { Namespace } from "./Namespace.ts"
import { type Policy, usualPolicy } from "./Policy.ts"
import { TaskName } from "./TaskName.ts"
import * as Touching from "./Touching.ts"
import * as Waiting from "./Waiting.ts"

const namespace = Namespace.make("shop")
const task = TaskName.make("charge")
const place = (policy: Partial<Policy>, key?: string) =>
  Waiting.place(namespace, task, { ...usualPolicy, ...policy }, key)

describe("Waiting.place", () => {
  it("is the lane of the task, and no gate, unless something else is said", () => {
    const lane = Lane.ofTask(namespace, task)
    assert.deepStrictEqual(place({}, "key"), { lane, gate: undefined })
    assert.strictEqual(place({ routing: { _tag: "Any" } }).gate, undefined)
  })

  it("is an unplaced lane for every other routing, and for what needs resources", () => {
    for (const policy of [{ routing: { _tag: "First" } }, { resources: { gpu: 1 } }] as const) {
      const { gate, lane } = place(policy, "a:b")
      assert.isTrue(Lane.isUnplaced(lane))
      assert.strictEqual(gate?.places, 1_000_000_000)
      assert.strictEqual(Waiting.unplacedOf(gate!.key), lane)
      assert.strictEqual(Waiting.keyOf(gate!.key), "a:b")
    }
  })

  it("is the gate of the blocking, within its scope", () => {
    const blocking = Blocking.latest
    assert.strictEqual(place({ blocking }, "k").gate?.key, "shop:charge:k")
    assert.strictEqual(place({ blocking, blockingScope: "key" }, "k").gate?.key, "shop:charge:k")
    assert.strictEqual(place({ blocking, blockingScope: "task" }, "k").gate?.key, "shop:charge")
    const routed = place({ blocking, routing: { _tag: "Last" } }, "k")
    assert.strictEqual(routed.gate?.key, "shop:charge:k", "it blocks as it did before the routing")
    assert.isTrue(Lane.isUnplaced(routed.lane))
    assert.isUndefined(Waiting.unplacedOf(routed.gate!.key))
  })

  it("is no gate when the blocking is the executor's own", () => {
    const blocked = { blocking: Blocking.fifo, blockingScope: "executor" } as const
    assert.deepStrictEqual(place(blocked, "k"), place({}, "k"))
    const routing = { _tag: "First" } as const
    assert.deepStrictEqual(place({ ...blocked, routing }, "k"), place({ routing }, "k"))
  })

  it("is the gate of its group, if that has a limit, whatever its task and key", () => {
    const group = Group.make("the books", { limit: 3 })
    const { gate, lane } = place({ group }, "k")
    assert.deepEqual({ ...gate }, { key: ":group shop the books", places: 3, whenFull: "wait" })
    assert.strictEqual(lane, Lane.ofTask(namespace, task))
    assert.isUndefined(Waiting.keyOf(gate!.key))
    assert.isUndefined(Waiting.unplacedOf(gate!.key))
    const routed = place({ group, routing: { _tag: "First" } })
    assert.deepEqual(routed.gate, gate)
    assert.isTrue(Lane.isUnplaced(routed.lane))
    const apart = { group, blocking: Blocking.fifo, blockingScope: "executor" } as const
    assert.deepEqual(place(apart).gate, gate)
  })

  it("is as without a group, if that has no limit", () => {
    const group = Group.make("the books")
    for (
      const policy of [{}, { blocking: Blocking.fifo }, { touches: { db: "shared" } }] as const
    ) {
      assert.deepEqual(place({ ...policy, group }, "k"), place(policy, "k"))
    }
  })

  it("is the gate of what it touches", () => {
    const { gate } = place({ touches: { db: "shared" } })
    assert.isTrue(Touching.isGate(gate!.key))
    assert.isUndefined(Waiting.keyOf(gate!.key))
    assert.isUndefined(place({ touches: {} }).gate)
  })
})

describe("Lane", () => {
  it("tells the lanes of a routed task apart, and from those of any other", () => {
    const executor = Incarnation.make(12)
    const lane = Lane.ofExecutor(namespace, task, executor)
    assert.strictEqual(Lane.executorOf(lane), executor)
    assert.isFalse(Lane.isUnplaced(lane))
    assert.isUndefined(Lane.executorOf(Lane.unplaced(namespace, task)))
    const odd = Lane.Lane.make("shop:charge?region=a@12")
    assert.isUndefined(Lane.executorOf(odd))
    assert.isFalse(Lane.isUnplaced(Lane.Lane.make("shop:charge?region=a@")))
    for (const each of [lane, odd, Lane.unplaced(namespace, task), Lane.ofTask(namespace, task)]) {
      assert.deepStrictEqual(Lane.taskOf(each), { namespace, task })
    }
  })
})
