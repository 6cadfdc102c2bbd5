/**
 * Chooses the executors that a run goes to, from those that are known at one instant, and says of
 * every other one why not.
 *
 * `place` is pure: time, luck and memory are given to it (`Request`), so it can be repeated,
 * explained, and tested. A *fleet* is put in order once and asked many times.
 */
import { Schema } from "effect"
import { type ExecutorName, type ExecutorView, Incarnation } from "./Executor.ts"
import * as Resources from "./Resources.ts"
import type { Amounts } from "./Resources.ts"
import type { Routing } from "./Routing.ts"
import * as Selector from "./Selector.ts"
import type { TaskName } from "./TaskName.ts"

/** An executor as placement sees it. */
export interface Candidate extends
  Pick<
    ExecutorView,
    "incarnation" | "name" | "standing" | "capacity" | "held" | "labels" | "resources" | "tasks"
  > {
  /** What the runs it holds use up of its resources. */
  readonly used?: Amounts
  /** When it was chosen last, by any clock that does not run back. */
  readonly chosenAt?: number
  /** How often it was chosen lately. */
  readonly timesChosen?: number
}

export interface Request {
  readonly task: TaskName
  readonly selector?: Selector.Selector | undefined
  /** What the run needs of its executor's resources. */
  readonly needs?: Amounts | undefined
  /** For `ConsistentHash`. Runs without one share the task's. */
  readonly key?: string | undefined
  /** For `RoundRobin`: who was chosen before. */
  readonly last?: Pick<Candidate, "incarnation" | "name"> | undefined
  /** For `Random`: from [0, 1). */
  readonly chance?: number | undefined
}

/** Why an executor is not chosen. */
export const Obstacle = Schema.TaggedUnion({
  Draining: {},
  Left: {},
  Lost: {},
  NotServing: {},
  /** The first term of the selector that its labels do not meet. */
  LabelUnmet: { term: Schema.String },
  NoCapacity: { held: Schema.Int, capacity: Schema.Int },
  /** `free` of the resource is less than `needed`. */
  LacksResource: { resource: Schema.String, needed: Schema.Number, free: Schema.Number },
  /** The strategy names another one. */
  NotNamed: { executor: Schema.String },
  /** It would do, and `by` goes before it in what the strategy goes by. */
  Outranked: {
    by: Schema.String,
    in: Schema.Literals([
      "order",
      "turn",
      "chance",
      "load",
      "free resources",
      "key",
      "recency",
      "frequency",
      "slices",
    ]),
  },
})
export type Obstacle = typeof Obstacle.Type

export const Choice = Schema.Struct({
  incarnation: Incarnation,
  /** Its slice of a sharded run. */
  shard: Schema.optionalKey(Schema.Int),
})
export type Choice = typeof Choice.Type

export interface PassedOver {
  readonly incarnation: Incarnation
  readonly obstacle: Obstacle
}

export interface Placed {
  /**
   * One, or none when there is nobody; every one for `Broadcast`; one for each slice of `Sharded`;
   * for `Any` all who may take the run, and the first of them with a free place does.
   */
  readonly chosen: ReadonlyArray<Choice>
  /** Everybody else. */
  readonly passedOver: ReadonlyArray<PassedOver>
}

interface Member extends Candidate {
  /** Of its name, so that a new incarnation stands where the old one stood. */
  readonly hash: number
}

/** Candidates in order. */
export interface Fleet {
  readonly members: ReadonlyArray<Member>
}

/** Of one name there are several while an old incarnation is not known to be lost: newest first. */
const byOrder = (a: Pick<Candidate, "incarnation" | "name">, b: typeof a): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : b.incarnation - a.incarnation

export const fleet = (candidates: Iterable<Candidate>): Fleet => ({
  members: [...candidates].sort(byOrder).map((each) => ({ ...each, hash: hashOf(each.name) })),
})

/** The fleet after `incarnation` was given something more that needs so much. */
export const given = (of: Fleet, incarnation: Incarnation, needs: Amounts = {}): Fleet => ({
  members: of.members.map((member) =>
    member.incarnation !== incarnation ? member : {
      ...member,
      held: member.held + 1,
      used: Resources.sum(member.used ?? {}, needs),
    }
  ),
})

export const place = (of: Fleet, routing: Routing, request: Request): Placed => {
  const passedOver: Array<PassedOver> = []
  const able: Array<Member> = []
  const obstacleOf = obstacles(routing, request)
  for (const member of of.members) {
    const obstacle = obstacleOf(member)
    if (obstacle === undefined) able.push(member)
    else passedOver.push({ incarnation: member.incarnation, obstacle })
  }
  const { chosen, means } = choices(able, routing, request)
  const taken = new Set(chosen.map(({ member }) => member))
  if (taken.size < able.length) {
    // They all lost to the same: one object for a thousand.
    const obstacle: Obstacle = { _tag: "Outranked", by: chosen[0]!.member.name, in: means }
    for (const member of able) {
      if (!taken.has(member)) passedOver.push({ incarnation: member.incarnation, obstacle })
    }
  }
  return {
    chosen: chosen.map(({ member: { incarnation }, shard }) =>
      shard === undefined ? { incarnation } : { incarnation, shard }
    ),
    passedOver,
  }
}

// --- Who may take it

const draining: Obstacle = { _tag: "Draining" }
const left: Obstacle = { _tag: "Left" }
const lost: Obstacle = { _tag: "Lost" }
const notServing: Obstacle = { _tag: "NotServing" }
const standings = { live: undefined, draining, left, lost } as const

/** These look at who has a free place now; by the others a run waits with the executor it goes to. */
const needsRoom: ReadonlySet<Routing["_tag"]> = new Set([
  "LeastLoaded",
  "ResourceAware",
  "BusyOver",
])

const obstacles = (routing: Routing, { needs, selector, task }: Request) => {
  const needed = Object.entries(needs ?? {})
  const isByRoom = needsRoom.has(routing._tag)
  // Of those, each has its executor, however busy that is now.
  const isPart = routing._tag === "Broadcast" || routing._tag === "Sharded"
  const notNamed: Obstacle | undefined = routing._tag === "Fixed"
    ? { _tag: "NotNamed", executor: routing.executor }
    : undefined

  return (member: Member): Obstacle | undefined => {
    const { capacity, held, labels, name, standing, tasks } = member
    const gone = standings[standing]
    if (gone !== undefined) return gone
    if (!tasks.includes(task)) return notServing
    if (routing._tag === "Fixed" && name !== routing.executor) return notNamed
    if (selector !== undefined) {
      const term = Selector.unmet(selector, labels)
      if (term !== undefined) return { _tag: "LabelUnmet", term }
    }
    for (const [resource, amount] of needed) {
      const free = isPart
        ? Resources.amountOf(member.resources, resource)
        : freeOf(member, resource)
      if (free < amount) return { _tag: "LacksResource", resource, needed: amount, free }
    }
    return isByRoom && held >= capacity ? { _tag: "NoCapacity", held, capacity } : undefined
  }
}

const freeOf = ({ resources, used = {} }: Member, resource: string): number =>
  Resources.amountOf(resources, resource) - Resources.amountOf(used, resource)

// --- Who of them does

interface Chosen {
  readonly member: Member
  readonly shard?: number
}

interface Choices {
  readonly chosen: ReadonlyArray<Chosen>
  readonly means: Extract<Obstacle, { readonly _tag: "Outranked" }>["in"]
}

const one = (member: Member | undefined, means: Choices["means"]): Choices => ({
  chosen: member === undefined ? [] : [{ member }],
  means,
})

const all = (able: ReadonlyArray<Member>): Choices => ({
  chosen: able.map((member) => ({ member })),
  means: "order",
})

const choices = (able: ReadonlyArray<Member>, routing: Routing, request: Request): Choices => {
  switch (routing._tag) {
    case "Any":
    case "Broadcast":
      return all(able)
    case "First":
    case "Fixed":
    case "BusyOver":
      return one(able[0], "order")
    case "Last":
      return one(able[able.length - 1], "order")
    case "RoundRobin":
      return one(afterLast(able, request.last), "turn")
    case "Random":
      return one(able[Math.floor((request.chance ?? 0) * able.length) % able.length], "chance")
    case "LeastLoaded":
      return one(least(able, ({ capacity, held }) => held / capacity), "load")
    case "ResourceAware":
      return one(least(able, (member) => -spareOf(member, request.needs ?? {})), "free resources")
    case "ConsistentHash": {
      const key = hashOf(request.key ?? request.task)
      return one(least(able, ({ hash }) => -mixed(hash, key)), "key")
    }
    case "LeastRecentlyUsed":
      return one(least(able, ({ chosenAt = -Infinity }) => chosenAt), "recency")
    case "LeastFrequentlyUsed":
      return one(least(able, ({ timesChosen = 0 }) => timesChosen), "frequency")
    case "Failover":
      return one(firstNamed(able, routing.order ?? []), "order")
    case "Sharded":
      return { chosen: sliced(able, routing.count, hashOf(request.task)), means: "slices" }
  }
}

/** The first with the smallest value. */
const least = (able: ReadonlyArray<Member>, of: (member: Member) => number): Member | undefined => {
  let found: Member | undefined
  let smallest = Infinity
  for (const member of able) {
    const value = of(member)
    if (found === undefined || value < smallest) [found, smallest] = [member, value]
  }
  return found
}

const afterLast = (able: ReadonlyArray<Member>, last: Request["last"]): Member | undefined =>
  (last === undefined ? undefined : able.find((member) => byOrder(member, last) > 0)) ?? able[0]

const firstNamed = (
  able: ReadonlyArray<Member>,
  order: ReadonlyArray<ExecutorName>,
): Member | undefined => {
  for (const name of order) {
    const named = able.find((member) => member.name === name)
    if (named !== undefined) return named
  }
  return able[0]
}

/** The share left, once the run is there, of what it has the least to spare of: places included. */
const spareOf = (member: Member, needs: Amounts): number => {
  let spare = (member.capacity - member.held - 1) / member.capacity
  for (const [resource, needed] of Object.entries(needs)) {
    if (needed === 0) continue
    const offered = Resources.amountOf(member.resources, resource)
    spare = Math.min(spare, (freeOf(member, resource) - needed) / offered)
  }
  return spare
}

/**
 * Each slice goes to the executor that weighs most for it and may still take one. As many take
 * `floor` and `ceil` of the mean as must, so nobody differs from another by more than one.
 */
const sliced = (able: ReadonlyArray<Member>, count: number, key: number): ReadonlyArray<Chosen> => {
  if (able.length === 0) return []
  const floor = Math.floor(count / able.length)
  let extras = count % able.length
  const slices = able.map(() => 0)
  return Array.from({ length: count }, (_, shard) => {
    const weight = mixed(key, shard)
    let heaviest = -1
    let at = 0
    for (const [index, { hash }] of able.entries()) {
      const mayTake = slices[index]! < floor || slices[index] === floor && extras > 0
      const weighs = mayTake ? mixed(hash, weight) : -1
      if (weighs > heaviest) [at, heaviest] = [index, weighs]
    }
    if (slices[at] === floor) extras--
    slices[at]!++
    return { member: able[at]!, shard }
  })
}

// --- Weights. Where a key lands follows from them, so they may never change.

/** FNV-1a over UTF-16 units. */
const hashOf = (text: string): number => {
  let sum = 0x811c9dc5
  for (let at = 0; at < text.length; at++) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193)
  return sum >>> 0
}

/** Two numbers made one whose every bit depends on every bit of both. */
const mixed = (a: number, b: number): number => {
  let sum = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ b
  sum = Math.imul(sum ^ (sum >>> 16), 0x21f0aaad)
  sum = Math.imul(sum ^ (sum >>> 15), 0x735a2d97)
  return (sum ^ (sum >>> 15)) >>> 0
}
