import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { ExecutorName, Incarnation } from "./Executor.ts"
import * as Placement from "./Placement.ts"
import { Routing } from "./Routing.ts"
import * as Selector from "./Selector.ts"
import { TaskName } from "./TaskName.ts"

const task = TaskName.make("render")
const other = TaskName.make("mail")

const candidate = (
  name: string,
  differently: Partial<Placement.Candidate> = {},
): Placement.Candidate => ({
  incarnation: Incarnation.make(name.charCodeAt(0)),
  name: ExecutorName.make(name),
  standing: "live",
  capacity: 10,
  held: 0,
  labels: {},
  resources: {},
  tasks: [task],
  ...differently,
})

const [a, b, c] = [candidate("a"), candidate("b"), candidate("c")]

const place = (
  candidates: ReadonlyArray<Placement.Candidate>,
  routing: Routing,
  request: Partial<Placement.Request> = {},
) => Placement.place(Placement.fleet(candidates), routing, { task, ...request })

/** The names of those chosen, in order. */
const names = (candidates: ReadonlyArray<Placement.Candidate>, placed: Placement.Placed) =>
  placed.chosen.map(({ incarnation }) =>
    candidates.find((each) => each.incarnation === incarnation)!.name as string
  )

const chosen = (
  candidates: ReadonlyArray<Placement.Candidate>,
  routing: Routing,
  request: Partial<Placement.Request> = {},
) => names(candidates, place(candidates, routing, request)).join(" ")

const obstacleOf = (placed: Placement.Placed, { incarnation }: Placement.Candidate) =>
  placed.passedOver.find((each) => each.incarnation === incarnation)?.obstacle

const of = (_tag: Exclude<Routing["_tag"], "Fixed" | "Failover" | "Sharded">): Routing => ({ _tag })
const fixed = (name: string): Routing => ({ _tag: "Fixed", executor: ExecutorName.make(name) })
const failover = (...order: ReadonlyArray<string>): Routing => ({
  _tag: "Failover",
  order: order.map((name) => ExecutorName.make(name)),
})
const sharded = (count: number): Routing => ({ _tag: "Sharded", count })

const every: ReadonlyArray<Routing> = [
  ...(["Any", "First", "Last", "RoundRobin", "Random", "LeastLoaded", "ResourceAware"] as const)
    .map(of),
  ...([
    "ConsistentHash",
    "LeastRecentlyUsed",
    "LeastFrequentlyUsed",
    "BusyOver",
    "Broadcast",
  ] as const)
    .map(of),
  fixed("b"),
  failover("c", "a"),
  sharded(7),
]

describe("Placement.place", () => {
  it("has a test row for each strategy", () =>
    assert.deepStrictEqual(
      every.map(({ _tag }) => _tag).toSorted(),
      Object.keys(Routing.cases).toSorted(),
    ))

  it("any, broadcast: all that are able", () => {
    assert.strictEqual(chosen([c, a, b], of("Any")), "a b c")
    assert.strictEqual(chosen([c, a, candidate("b", { tasks: [other] })], of("Broadcast")), "a c")
  })

  it("first, last: by name, the newest of one name first", () => {
    assert.strictEqual(chosen([c, a, b], of("First")), "a")
    assert.strictEqual(chosen([c, a, b], of("Last")), "c")
    const again = candidate("a", { incarnation: Incarnation.make(900) })
    assert.deepStrictEqual(place([a, again], of("First")).chosen, [{
      incarnation: again.incarnation,
    }])
  })

  it("fixed: the named one, or nobody", () => {
    assert.strictEqual(chosen([a, b, c], fixed("b")), "b")
    const placed = place([a, c], fixed("b"))
    assert.deepStrictEqual(placed.chosen, [])
    assert.deepStrictEqual(obstacleOf(placed, a), { _tag: "NotNamed", executor: "b" })
    const full = candidate("b", { held: 10 })
    assert.strictEqual(chosen([a, full], fixed("b")), "b", "it waits there, however full")
  })

  it("round-robin: each in turn, also past those that come and go", () => {
    let last: Placement.Candidate | undefined
    const turn = (candidates: ReadonlyArray<Placement.Candidate>) => {
      const [name] = names(candidates, place(candidates, of("RoundRobin"), { last }))
      last = candidates.find((each) => each.name === name)
      return name
    }
    assert.deepStrictEqual([1, 2, 3, 4, 5].map(() => turn([c, b, a])), ["a", "b", "c", "a", "b"])
    assert.strictEqual(turn([a]), "a", "b has gone, and c")
    assert.strictEqual(turn([a, b, c]), "b")
    assert.strictEqual(turn([a, c]), "c")
  })

  it("round-robin: nobody is chosen once more than another", () => {
    const fleet = Array.from({ length: 7 }, (_, at) => candidate(`${"abcdefg"[at]}`))
    const counts = new Map<string, number>()
    let last: Placement.Candidate | undefined
    for (let round = 0; round < 1000; round++) {
      const [name] = names(fleet, place(fleet, of("RoundRobin"), { last }))
      counts.set(name!, (counts.get(name!) ?? 0) + 1)
      last = fleet.find((each) => each.name === name)
    }
    assert.isAtMost(Math.max(...counts.values()) - Math.min(...counts.values()), 1)
    assert.strictEqual(counts.size, 7)
  })

  it("random: as the chance has it, each as likely", () => {
    assert.strictEqual(chosen([a, b, c], of("Random"), { chance: 0 }), "a")
    assert.strictEqual(chosen([a, b, c], of("Random"), { chance: 0.34 }), "b")
    assert.strictEqual(chosen([a, b, c], of("Random"), { chance: 0.999999 }), "c")
  })

  it("least-loaded: by the share of places taken, and never who is full", () => {
    const half = candidate("a", { held: 5 })
    const third = candidate("b", { held: 10, capacity: 30 })
    assert.strictEqual(chosen([half, third], of("LeastLoaded")), "b")
    const full = candidate("c", { held: 1, capacity: 1 })
    assert.strictEqual(chosen([full], of("LeastLoaded")), "")
    assert.deepStrictEqual(obstacleOf(place([half, full], of("LeastLoaded")), full), {
      _tag: "NoCapacity",
      held: 1,
      capacity: 1,
    })
  })

  it("resource-aware: never less than is needed, and the one with the most to spare", () => {
    const needs = { gpu: 1, memory: 4 }
    const small = candidate("a", { resources: { gpu: 1, memory: 2 } })
    const tight = candidate("b", { resources: { gpu: 2, memory: 8 }, used: { memory: 2 } })
    const roomy = candidate("c", { resources: { gpu: 4, memory: 32 }, used: { gpu: 1 } })
    const placed = place([small, tight, roomy], of("ResourceAware"), { needs })
    assert.deepStrictEqual(placed.chosen, [{ incarnation: roomy.incarnation }])
    assert.deepStrictEqual(obstacleOf(placed, small), {
      _tag: "LacksResource",
      resource: "memory",
      needed: 4,
      free: 2,
    })
    assert.deepStrictEqual(obstacleOf(placed, tight), {
      _tag: "Outranked",
      by: "c",
      in: "free resources",
    })
    const used = candidate("b", { resources: { gpu: 2 }, used: { gpu: 2 } })
    assert.deepStrictEqual(
      obstacleOf(place([used], of("ResourceAware"), { needs: { gpu: 1 } }), used),
      { _tag: "LacksResource", resource: "gpu", needed: 1, free: 0 },
    )
    assert.strictEqual(chosen([used], of("First"), { needs: { gpu: 1 } }), "")
    assert.strictEqual(
      chosen([used], of("Broadcast"), { needs: { gpu: 1 } }),
      "b",
      "a part waits with its executor, if that has the resource at all",
    )
    assert.strictEqual(chosen([a], of("First"), { needs: { gpu: 1 } }), "")
  })

  it("least-recently and least-frequently used: who was never chosen comes first", () => {
    const early = candidate("a", { chosenAt: 5, timesChosen: 2 })
    const late = candidate("b", { chosenAt: 9, timesChosen: 1 })
    assert.strictEqual(chosen([early, late], of("LeastRecentlyUsed")), "a")
    assert.strictEqual(chosen([early, late], of("LeastFrequentlyUsed")), "b")
    assert.strictEqual(chosen([early, late, c], of("LeastRecentlyUsed")), "c")
    assert.strictEqual(chosen([early, late, c], of("LeastFrequentlyUsed")), "c")
  })

  it("failover: the first named that is here, and then anybody", () => {
    assert.strictEqual(chosen([a, b, c], failover("c", "a")), "c")
    const gone = candidate("c", { standing: "lost" })
    assert.strictEqual(chosen([a, b, gone], failover("c", "b")), "b")
    assert.strictEqual(chosen([a, b], failover("x", "y")), "a")
    assert.strictEqual(chosen([a, b], { _tag: "Failover" }), "a")
  })

  it("busy-over: the first with a free place", () => {
    const busy = candidate("a", { held: 10 })
    assert.strictEqual(chosen([busy, b, c], of("BusyOver")), "b")
    assert.strictEqual(chosen([busy], of("BusyOver")), "")
  })

  it("says what kept each one from it, the nearest reason", () => {
    const selector = Result.getOrThrow(Selector.check("region=eu,!spot"))
    const eu = { region: "eu" }
    const fleet = [
      candidate("a", { labels: eu }),
      candidate("b", { labels: eu, standing: "draining" }),
      candidate("c", { labels: eu, standing: "lost" }),
      candidate("d", { labels: eu, standing: "left" }),
      candidate("e", { labels: eu, tasks: [other] }),
      candidate("f", { labels: { region: "us" } }),
      candidate("g", { labels: { ...eu, spot: "yes" } }),
      candidate("h", { labels: eu }),
    ]
    const placed = place(fleet, of("First"), { selector })
    assert.strictEqual(names(fleet, placed).join(), "a")
    assert.deepStrictEqual(fleet.slice(1).map((each) => obstacleOf(placed, each)), [
      { _tag: "Draining" },
      { _tag: "Lost" },
      { _tag: "Left" },
      { _tag: "NotServing" },
      { _tag: "LabelUnmet", term: "region=eu" },
      { _tag: "LabelUnmet", term: "!spot" },
      { _tag: "Outranked", by: "a", in: "order" },
    ])
  })
})

/** Numbers from a seed, for worlds that differ and repeat. */
const random = (seed: number) => () => {
  seed = Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + 0x6d2b79f5 | 0
  return (seed >>> 0) / 0x100000000
}

const fleetOf = (count: number, from = 0) =>
  Array.from({ length: count }, (_, at) =>
    candidate("x", {
      name: ExecutorName.make(`executor-${from + at}`),
      incarnation: Incarnation.make(1 + from + at),
    }))

describe("Placement, whatever the world", () => {
  const worlds = Array.from({ length: 200 }, (_, seed) => {
    const next = random(seed + 1)
    const pick = <A>(...some: ReadonlyArray<A>): A => some[Math.floor(next() * some.length)]!
    const candidates = fleetOf(Math.floor(next() * 12)).map((each) => ({
      ...each,
      standing: pick("live", "live", "live", "draining", "left", "lost"),
      tasks: pick([task], [task, other], [other], []),
      labels: pick<Record<string, string>>({}, { region: "eu" }, { region: "us" }),
      capacity: 4,
      held: Math.floor(next() * 6),
      resources: pick<Record<string, number>>({}, { gpu: 1 }, { gpu: 4 }),
      used: pick<Record<string, number>>({}, { gpu: 1 }),
      chosenAt: Math.floor(next() * 3),
      timesChosen: Math.floor(next() * 3),
    } as Placement.Candidate))
    const request: Partial<Placement.Request> = {
      chance: next(),
      key: `${seed}`,
      last: pick(undefined, ...candidates),
      needs: pick(undefined, { gpu: 1 }),
      selector: pick(undefined, Result.getOrThrow(Selector.check("region=eu"))),
    }
    return { candidates, request }
  })

  for (const routing of every) {
    it(`${routing._tag}: everybody is chosen or has one reason why not`, () => {
      for (const { candidates, request } of worlds) {
        const placed = place(candidates, routing, request)
        const incarnations = [
          ...new Set(placed.chosen.map(({ incarnation }) => incarnation)),
          ...placed.passedOver.map(({ incarnation }) => incarnation),
        ]
        assert.deepStrictEqual(
          incarnations.toSorted((x, y) => x - y),
          candidates.map(({ incarnation }) => incarnation),
        )
        const outranked = placed.passedOver.filter(({ obstacle }) => obstacle._tag === "Outranked")
        if (placed.chosen.length === 0) assert.deepStrictEqual(outranked, [])
      }
    })

    it(`${routing._tag}: the chosen are live, serve the task and meet what it asks`, () => {
      for (const { candidates, request } of worlds) {
        for (const { incarnation } of place(candidates, routing, request).chosen) {
          const it = candidates.find((each) => each.incarnation === incarnation)!
          assert.strictEqual(it.standing, "live")
          assert.include(it.tasks, task)
          if (request.selector) assert.strictEqual(it.labels["region"], "eu")
          if (request.needs) assert.isAtLeast(it.resources["gpu"] ?? 0, 1)
        }
      }
    })

    it(`${routing._tag}: is the same for the same, in whatever order they are given`, () => {
      for (const { candidates, request } of worlds) {
        const placed = place(candidates, routing, request)
        assert.deepStrictEqual(place(candidates.toReversed(), routing, request), placed)
      }
    })
  }
})

describe("Placement by key", () => {
  const at = (fleet: Placement.Fleet, key: string) =>
    Placement.place(fleet, of("ConsistentHash"), { task, key }).chosen[0]!.incarnation
  const keys = Array.from({ length: 5000 }, (_, key) => `customer-${key}`)

  for (const count of [2, 5, 20, 100]) {
    it(`spreads keys over ${count} evenly, and moves few when one leaves`, () => {
      const whole = Placement.fleet(fleetOf(count))
      const without = Placement.fleet(fleetOf(count - 1))
      const gone = Incarnation.make(count)
      const placed = keys.map((key) => at(whole, key))
      const sizes = new Map<number, number>()
      for (const incarnation of placed) {
        sizes.set(incarnation, (sizes.get(incarnation) ?? 0) + 1)
      }
      const mean = keys.length / count
      assert.strictEqual(sizes.size, count)
      // Six standard deviations of a fair draw.
      const slack = 6 * Math.sqrt(mean)
      for (const size of sizes.values()) assert.approximately(size, mean, slack)
      for (const [index, key] of keys.entries()) {
        const now = at(without, key)
        // Only the keys of the one that left move.
        if (placed[index] !== gone) assert.strictEqual(now, placed[index])
        else assert.notStrictEqual(now, gone)
      }
      assert.isAtMost(sizes.get(gone)!, mean + slack)
    })
  }

  it("stays with a name across its incarnations", () => {
    const old = Placement.fleet(fleetOf(10))
    const restarted = Placement.fleet(
      fleetOf(10).map((each) => ({
        ...each,
        incarnation: Incarnation.make(each.incarnation + 100),
      })),
    )
    for (const key of keys.slice(0, 500)) {
      assert.strictEqual(at(restarted, key), at(old, key) + 100)
    }
  })

  it("places where it always did", () => {
    const fleet = Placement.fleet(fleetOf(10))
    assert.deepStrictEqual(
      ["a", "b", "customer-42", "größe", ""].map((key) => at(fleet, key)),
      [2, 1, 9, 5, 2],
    )
  })
})

describe("Placement of slices", () => {
  const slices = (count: number, executors: number) =>
    place(fleetOf(executors), sharded(count)).chosen
  const sizesOf = (chosen: ReadonlyArray<Placement.Choice>) => {
    const sizes = new Map<number, number>()
    for (const { incarnation } of chosen) sizes.set(incarnation, (sizes.get(incarnation) ?? 0) + 1)
    return sizes
  }

  it("gives each slice to one, and nobody more than one over another", () => {
    for (const executors of [1, 2, 3, 7, 16, 50]) {
      for (const count of [1, 2, 5, 16, 33, 100]) {
        const chosen = slices(count, executors)
        assert.deepStrictEqual(
          chosen.map(({ shard }) => shard),
          Array.from({ length: count }, (_, shard) => shard),
        )
        const sizes = [...sizesOf(chosen).values()]
        assert.strictEqual(sizes.length, Math.min(count, executors))
        assert.isAtMost(
          Math.max(...sizes) - (executors > count ? 0 : Math.min(...sizes)),
          1,
        )
      }
    }
  })

  it("leaves most slices where they are when one leaves", () => {
    for (const [count, executors] of [[100, 10], [64, 4], [256, 16]] as const) {
      const before = slices(count, executors)
      const after = slices(count, executors - 1)
      const moved = before.filter(({ incarnation }, shard) =>
        incarnation !== after[shard]!.incarnation
      )
      const must = before.filter(({ incarnation }) => incarnation === executors)
      assert.isAtMost(moved.length, must.length * 3, `${count} over ${executors}`)
    }
  })

  it("is nobody's when nobody is able", () =>
    assert.deepStrictEqual(place([], sharded(3)), { chosen: [], passedOver: [] }))
})
