import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import * as Group from "./Group.ts"
import { Namespace } from "./Namespace.ts"
import { TaskName } from "./TaskName.ts"

const namespace = Namespace.make("shop")

describe("Group", () => {
  it("has one gate for all its tasks, and others have theirs", () => {
    const key = (name: string, of = "shop") =>
      Group.gate(Namespace.make(of), { name, limit: 1 }).key
    assert.strictEqual(key("a"), key("a"))
    assert.strictEqual(new Set([key("a"), key("b"), key("a", "b"), key("a b")]).size, 4)
  })

  it("is paused since it was first, in the later words, and let go on once", () => {
    const paused = Group.order(Group.asNew, true, 10, { by: "Ada", note: "no" })
    assert.deepEqual(paused, { isPaused: true, since: 10, by: "Ada", note: "no" })
    const again = Group.order(paused, true, 20, { by: "Bob" })
    assert.deepEqual(again, { isPaused: true, since: 10, by: "Bob" })
    const open = Group.order(again, false, 30, {})
    assert.deepEqual(open, { isPaused: false, since: 30 })
    assert.strictEqual(Group.order(open, false, 40, { by: "Cyd" }), open)
    assert.strictEqual(Group.order(Group.asNew, false, 40, { by: "Cyd" }), Group.asNew)
    assert.deepEqual(Group.order(open, true, 50, {}), { isPaused: true, since: 50 })
  })

  it("shows the least limit where those of its tasks differ", () => {
    const tasks = [{ name: TaskName.make("a"), limit: 3 }, { name: TaskName.make("b"), limit: 2 }]
    const standing = { isPaused: true, since: 10, by: "Ada" }
    assert.deepEqual(Group.viewOf(namespace, "billing", tasks, standing), {
      ...{ namespace, name: "billing", limit: 2, tasks, isPaused: true, by: "Ada" },
      since: DateTime.makeUnsafe(10),
    })
    const unlimited = [{ name: TaskName.make("c") }]
    assert.isUndefined(Group.viewOf(namespace, "billing", unlimited, Group.asNew).limit)
  })
})
