import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Random } from "effect"
import { GateKey } from "./Blocking.ts"
import { ExecutorName, type ExecutorView, Incarnation } from "./Executor.ts"
import * as Lane from "./Lane.ts"
import { Fence } from "./Lease.ts"
import { Namespace } from "./Namespace.ts"
import * as Placing from "./Placing.ts"
import { type Policy, usualPolicy } from "./Policy.ts"
import type { Routing } from "./Routing.ts"
import { RunId } from "./RunId.ts"
import { TaskName } from "./TaskName.ts"

const namespace = Namespace.make("shop")
const task = TaskName.make("render")
const other = TaskName.make("mail")
const then = DateTime.makeUnsafe(0)

const executor = (name: string, differently: Partial<ExecutorView> = {}): ExecutorView => ({
  incarnation: Incarnation.make(name.charCodeAt(0)),
  namespace,
  name: ExecutorName.make(name),
  standing: "live",
  capacity: 10,
  labels: {},
  resources: {},
  tasks: [task],
  held: 0,
  joinedAt: then,
  beatAt: then,
  ...differently,
})

const waiting = (
  count: number,
  differently: Partial<Placing.Unplaced> = {},
): ReadonlyArray<Placing.Unplaced> =>
  Array.from({ length: count }, (_, n) => ({
    run: RunId.make(n + 1),
    fence: Fence.make(0),
    gate: GateKey.make(Lane.unplaced(namespace, task)),
    ...differently,
  }))

const look = (
  routing: Routing | undefined,
  executors: ReadonlyArray<ExecutorView>,
  differently: Partial<Placing.Look> = {},
  policy: Partial<Policy> = {},
): Placing.Look => ({
  namespace,
  task,
  policy: { ...usualPolicy, ...(routing !== undefined && { routing }), ...policy },
  executors,
  loads: [],
  needsOf: () => undefined,
  remembered: Placing.nothing,
  chance: () => 0,
  ...differently,
})

const names = ({ moves }: Placing.Decided): ReadonlyArray<string> =>
  moves.map((move) =>
    move._tag === "To" && move.placed !== undefined ? move.placed.name : move._tag
  )

const [a, b, c] = [executor("a"), executor("b"), executor("c")]

describe("Placing.decide", () => {
  it("goes on where the last look ended, by round-robin", () => {
    const routing: Routing = { _tag: "RoundRobin" }
    const first = Placing.decide(look(routing, [a, b, c]), waiting(4))
    assert.deepStrictEqual(names(first), ["a", "b", "c", "a"])
    assert.strictEqual(first.remembered.turn, 4)
    const { remembered } = first
    const second = Placing.decide(look(routing, [a, b, c], { remembered }), waiting(2))
    assert.deepStrictEqual(names(second), ["b", "c"])
  })

  it("takes into account what it has just given, by load and by resources", () => {
    const routing: Routing = { _tag: "LeastLoaded" }
    const loads = [{ incarnation: a.incarnation, task: other, runs: 2 }]
    const decided = Placing.decide(look(routing, [a, b], { loads }), waiting(5))
    assert.deepStrictEqual(names(decided), ["b", "b", "a", "b", "a"])
    const full = [{ incarnation: a.incarnation, task, runs: 9 }]
    const one = Placing.decide(look(routing, [a], { loads: full }), waiting(3))
    assert.deepStrictEqual(names(one), ["a"], "it has one place left")
    const gpus = executor("a", { resources: { gpu: 3 } })
    const needsOf = (name: TaskName) => name === other ? { gpu: 1 } : undefined
    const held = look(undefined, [gpus], { needsOf, loads }, { resources: { gpu: 0.5 } })
    assert.deepStrictEqual(names(Placing.decide(held, waiting(3))), ["a", "a"])
  })

  it("says of those passed over why, as many as are of use", () => {
    const many = Array.from({ length: 40 }, (_, n) =>
      executor("z", {
        incarnation: Incarnation.make(1000 + n),
        standing: n % 2 === 0 ? "draining" : "live",
      }))
    const decided = Placing.decide(look({ _tag: "First" }, [a, ...many]), waiting(1))
    const [move] = decided.moves
    assert(move?._tag === "To")
    assert.strictEqual(move.placed?.passedOver.length, 16)
    assert.deepInclude(move.placed?.passedOver[0], { name: many[0]!.name })
    assert.strictEqual(move.lane, Lane.ofExecutor(namespace, task, a.incarnation))
  })

  it("leaves alone what nobody can take, and explains it", () => {
    const routing: Routing = { _tag: "Fixed", executor: ExecutorName.make("b") }
    const away = look(routing, [a, executor("b", { standing: "lost" })])
    assert.deepStrictEqual(Placing.decide(away, waiting(2)).moves, [])
    const { passedOver, strategy } = Placing.explain(away)
    assert.strictEqual(strategy, "Fixed")
    assert.deepStrictEqual(passedOver.map(({ name, obstacle }) => [`${name}`, obstacle._tag]), [
      ["a", "NotNamed"],
      ["b", "Lost"],
    ])
    const failing = look({ ...routing, whenAway: "fail" }, away.executors)
    assert.deepStrictEqual(names(Placing.decide(failing, waiting(1))), ["Fail"])
  })

  it("takes what has lost its routing to the lane of its task", () => {
    const { moves } = Placing.decide(look(undefined, []), waiting(1))
    assert.deepInclude(moves[0], { _tag: "To", lane: Lane.ofTask(namespace, task) })
  })

  it("does not flood who is new, by recency and frequency", () => {
    for (const _tag of ["LeastRecentlyUsed", "LeastFrequentlyUsed"] as const) {
      const before = Placing.decide(look({ _tag }, [a, b]), waiting(20))
      const { remembered } = before
      const after = Placing.decide(look({ _tag }, [a, b, c], { remembered }), waiting(9))
      const toNew = names(after).filter((name) => name === "c").length
      assert.isAtMost(toNew, 4, _tag)
      assert.isAtLeast(toNew, 3, _tag)
      assert.deepStrictEqual(after.remembered.chosen!.length, 3)
    }
  })

  it.effect("draws lots evenly: chi-square over 3,000 runs passes at 0.001", () =>
    Effect.gen(function* () {
      const drawn = yield* Effect.forEach(waiting(3000), () => Random.next)
      const chance = () => drawn.pop()!
      const decided = Placing.decide(look({ _tag: "Random" }, [a, b, c], { chance }), waiting(3000))
      const distance = ["a", "b", "c"]
        .map((name) => names(decided).filter((each) => each === name).length)
        .reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
      assert.isBelow(distance, 13.82)
    }).pipe(Random.withSeed("lots")))

  it("keeps a key with its executor, whatever else waits", () => {
    const routing: Routing = { _tag: "ConsistentHash" }
    const keyed = (key: string) =>
      waiting(1, { gate: GateKey.make(`${Lane.unplaced(namespace, task)}:${key}`) })
    const gated = (key: string) => waiting(1, { gate: GateKey.make(`${namespace}:${task}:${key}`) })
    for (const key of ["x", "y", "z:1"]) {
      const one = names(Placing.decide(look(routing, [a, b, c]), keyed(key)))
      assert.deepStrictEqual(names(Placing.decide(look(routing, [a, b, c]), gated(key))), one)
    }
  })

  it("spreads a broadcast run once somebody is there, and keeps its parts where they belong", () => {
    const routing: Routing = { _tag: "Broadcast" }
    assert.deepStrictEqual(Placing.decide(look(routing, []), waiting(1)).moves, [])
    const draining = executor("c", { standing: "draining" })
    const { moves: [spread] } = Placing.decide(look(routing, [a, b, draining]), waiting(1))
    assert(spread?._tag === "Spread")
    assert.deepStrictEqual(
      spread.parts.map(({ boundTo }) => boundTo),
      [a.incarnation, b.incarnation],
    )
    const part = { boundTo: b.incarnation, shard: { index: 1, count: 2 } }
    const full = [{ incarnation: b.incarnation, task, runs: 99 }]
    const kept = Placing.decide(look(routing, [a, b], { loads: full }), waiting(1, part))
    assert.deepStrictEqual(names(kept), ["b"], "however busy it is")
    for (const gone of [[a], [a, executor("b", { standing: "lost" })], [a, draining]]) {
      const decided = Placing.decide(look(routing, gone), waiting(1, part))
      assert.deepStrictEqual(names(decided), ["Fail"])
    }
  })

  it("cuts a sharded run, and places each slice by its index", () => {
    const routing: Routing = { _tag: "Sharded", count: 6 }
    const { moves: [spread] } = Placing.decide(look(routing, [a, b, c]), waiting(1))
    assert(spread?._tag === "Spread")
    assert.deepStrictEqual(spread.parts, Array.from({ length: 6 }, () => ({ boundTo: undefined })))
    const slices = Array.from(
      { length: 6 },
      (_, index) => waiting(1, { shard: { index, count: 6 } })[0]!,
    )
    const placed = names(Placing.decide(look(routing, [a, b, c]), slices))
    assert.deepStrictEqual(placed.toSorted(), ["a", "a", "b", "b", "c", "c"])
  })
})
