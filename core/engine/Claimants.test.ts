import { assert, describe, it } from "@effect/vitest"
import { Latch } from "effect"
import * as Lane from "../domain/Lane.ts"
import { TaskName } from "../domain/Task.ts"
import type { Grant } from "../services/RunStorage.ts"
import { type Claimant, Claimants } from "./Claimants.ts"

interface Named extends Claimant {
  woken: number
}

const claimant = (level: Lane.Level, most = 100): Named => {
  const made: Named = {
    passed: 0,
    kept: 0,
    asking: 0,
    hasMore: true,
    woken: 0,
    level: () => level,
    most: () => most,
    wake: () => {
      made.woken++
    },
  }
  return made
}

const narrowTask = TaskName.make("narrow")

/** A pool of so many places, all of them free, and what is plain beside one narrow task. */
const scene = (places: number, plain: Claimant, narrow: Claimant) => {
  let filled = 0
  const claimants = new Claimants({
    fill: () => void filled++,
    handlers: new Map(),
    sizes: () => ({ core: places, maximum: places, prefetchMillis: 100 }),
    vacant: () => places,
  }, plain)
  claimants.enter(narrowTask, narrow)
  return { claimants, filled: () => filled }
}

describe("claimants", () => {
  it("of one level have half of the free places each, and are told", () => {
    const [plain, narrow] = [claimant(Lane.usual), claimant(Lane.usual)]
    const { claimants } = scene(10, plain, narrow)
    claimants.share()
    assert.deepStrictEqual([plain.kept, narrow.kept], [5, 5])
    assert.deepStrictEqual([plain.woken, narrow.woken], [5, 5])
    assert.strictEqual(claimants.kept(), 10)
    assert.strictEqual(claimants.leftFor(plain, 10), 5, "the others' places are not its own")
  })

  it("alone have none kept: what is free they may have as it is", () => {
    const [plain, narrow] = [claimant(Lane.usual), claimant(Lane.usual)]
    const { claimants } = scene(10, plain, narrow)
    plain.hasMore = false
    claimants.share()
    assert.strictEqual(claimants.kept(), 0)
    assert.isFalse(claimants.isRivalled(narrow))
    assert.isTrue(claimants.isRivalled(plain))
  })

  it("have no more than they can have, and the best may have more than half", () => {
    const [plain, narrow] = [claimant(Lane.usual), claimant(0, 7)]
    const { claimants } = scene(10, plain, narrow)
    claimants.share()
    assert.deepStrictEqual([plain.kept, narrow.kept], [3, 7])
  })

  it("give back what is kept for who has nothing, to who waits in the pool", () => {
    const [plain, narrow] = [claimant(Lane.usual), claimant(Lane.usual)]
    const { claimants, filled } = scene(10, plain, narrow)
    const latch = Latch.makeUnsafe()
    claimants.wakes(0, latch)
    claimants.share()
    narrow.hasMore = false
    claimants.share()
    assert.deepStrictEqual([narrow.kept, filled()], [0, 1])
    assert.isTrue(latch.isOpen())
  })

  it("keep what they ask with until it has come, unless they wait for work", () => {
    const [plain, narrow] = [claimant(Lane.usual), claimant(Lane.usual)]
    const { claimants } = scene(10, plain, narrow)
    claimants.share()
    const waits = { limit: 3, reserved: 3, isPatient: true, isIdle: true }
    assert.strictEqual(claimants.ask(plain, waits), 0)
    assert.deepStrictEqual([plain.kept, claimants.idle], [5, 3])
    claimants.answered(waits)
    const goes = { limit: 3, reserved: 3, isPatient: false, isIdle: false }
    assert.strictEqual(claimants.ask(plain, goes), 3)
    assert.deepStrictEqual([plain.kept, plain.asking, claimants.kept()], [2, 3, 10])
    assert.strictEqual(claimants.leftFor(narrow, 10), 10 - 3 - 2)
  })

  it("start in the order of their turns those of whom runs wait here", () => {
    const [plain, narrow] = [claimant(Lane.usual), claimant(Lane.usual)]
    const { claimants } = scene(10, plain, narrow)
    const queue = [{ task: TaskName.make("plain") }, { task: narrowTask }] as unknown as Array<
      Grant
    >
    const first = [claimants.next(queue), claimants.next(queue)]
    assert.sameMembers(first, [0, 1])
    assert.strictEqual(claimants.kept(), 0)
    // Of the plain none waits here: its turn keeps a place for it.
    narrow.passed = 0
    plain.passed = 9
    assert.isUndefined(claimants.next([queue[1]!]))
    assert.strictEqual(plain.kept, 1)
  })

  it("keep nothing where nobody is narrow", () => {
    const [plain, narrow] = [claimant(Lane.usual), claimant(Lane.usual)]
    const { claimants, filled } = scene(10, plain, narrow)
    claimants.share()
    claimants.leave(narrowTask)
    assert.deepStrictEqual([plain.kept, claimants.kept(), filled()], [0, 0, 1])
    assert.isFalse(claimants.isAnyNarrow)
  })
})
