/** Limits, breakers and groups let runs start, hear how that went, and are given orders. */
import type { Settings } from "../../../domain/Breaker.ts"
import * as Breaker from "../../../domain/Breaker.ts"
import * as Lane from "../../../domain/Lane.ts"
import type { Heard, Permit, Regulation } from "../../../domain/Permit.ts"
import type { Draws } from "../Draws.ts"
import { type Command, lanesOf, tasks } from "../World.ts"
import { someNamespace } from "./submits.ts"

const breakers = ["mail", "bank"]
const groups = ["night", "the books"]

/** Mostly none: then it is the breaker of all. */
const someKey = (draws: Draws): { readonly key?: string } =>
  draws.oneOf([{}, {}, { key: "a" }, { key: 'b "c' }])

/** A limit, a breaker, or both; or a group, alone or beside. */
const someRegulation = (draws: Draws): Regulation => {
  const task = draws.oneOf(tasks)
  const which = draws.oneOf(["limit", "breaker", "breaker", "both", "neither"])
  const isLimited = which === "limit" || which === "both"
  const isBehind = which === "breaker" || which === "both"
  const isGrouped = which === "neither" || draws.chance(0.3)
  return {
    namespace: someNamespace(draws),
    task,
    ...(isLimited && { rateLimit: { limit: 3, perMillis: 60_000, burst: 4 } }),
    ...(isBehind && { breaker: draws.oneOf(breakers), ...someKey(draws) }),
    ...(isGrouped && { group: draws.oneOf(groups) }),
  }
}

/** It opens soon, and goes through all its stages in the time of a sequence. */
const settings: ReadonlyArray<Settings> = [
  { ...Breaker.usual, callsMin: 2, badInARow: 2, openMillis: 5000, probeMillis: 1000 },
  { ...Breaker.usual, callsMin: 3, windowMillis: 60_000, openMillis: 60_000 },
]

const say = ({ breaker, group, key, namespace, rateLimit, task }: Regulation): string =>
  `${task} of ${namespace}${rateLimit ? ", limited" : ""}${group ? `, in ${group}` : ""}` +
  `${breaker ? `, behind ${breaker}` : ""}${key ? ` of ${key}` : ""}`

export const take: Command = (world, draws) => {
  const regulation = someRegulation(draws)
  const wanted = draws.oneOf([1, 1, 3])
  return {
    says: `take ${wanted} permits of ${say(regulation)}`,
    on: ({ storage }) => storage.permits.take(regulation, wanted),
    learn: (permit: Permit) => {
      world.permits.push({ regulation, permit })
    },
  }
}

export const look: Command = (_, draws) => {
  const regulation = someRegulation(draws)
  return {
    says: `look at permits of ${say(regulation)}`,
    on: ({ storage }) => storage.permits.look(regulation),
  }
}

export const giveBack: Command = (world, draws) => {
  if (world.permits.length === 0) return undefined
  const { permit, regulation } = draws.oneOf(world.permits)
  const count = draws.oneOf([1, permit.count])
  return {
    says: `give ${count} back of ${say(regulation)}, epoch ${permit.epoch}`,
    on: ({ storage }) => storage.permits.giveBack(regulation, permit, count),
  }
}

/** Mostly of the epoch in which the last one was let through. */
export const hear: Command = (world, draws) => {
  const behind = world.permits.filter(({ regulation: { breaker } }) => breaker !== undefined)
  if (behind.length === 0) return undefined
  const { permit: { epoch = 0 }, regulation } = draws.chance(0.7)
    ? behind.at(-1)!
    : draws.oneOf(behind)
  const heard: Heard = {
    namespace: regulation.namespace,
    breaker: regulation.breaker!,
    key: regulation.key,
    epoch,
    calls: [0, 1, 2].slice(draws.below(3)).map(() => ({
      isBad: draws.chance(0.6),
      millis: draws.oneOf([1, 5000]),
    })),
  }
  return {
    says: `${heard.breaker} hears of epoch ${epoch} ${JSON.stringify(heard.calls)}`,
    on: ({ storage }) => storage.permits.hear(heard),
  }
}

export const set: Command = (_, draws) => {
  const [namespace, breaker] = [someNamespace(draws), draws.oneOf(breakers)]
  const wanted = draws.oneOf(settings)
  return {
    says: `set ${breaker} of ${namespace} to ${JSON.stringify(wanted)}`,
    on: ({ storage }) => storage.permits.set(namespace, breaker, wanted),
  }
}

export const order: Command = (_, draws) => {
  const [namespace, breaker] = [someNamespace(draws), draws.oneOf(breakers)]
  const to = draws.oneOf(["open", "closed", "auto", "auto"] as const)
  const { key } = someKey(draws)
  return {
    says: `order ${breaker} of ${namespace} to be ${to}${key ? ` for ${key}` : ""}`,
    on: ({ storage }) => storage.permits.order(namespace, breaker, to, { note: "so it is" }, key),
  }
}

export const find: Command = (_, draws) => {
  const [namespace, breaker] = [someNamespace(draws), draws.oneOf(breakers)]
  const { key } = someKey(draws)
  return {
    says: `look at ${breaker} of ${namespace}${key ? ` for ${key}` : ""}`,
    on: ({ storage }) => storage.permits.find(namespace, breaker, key),
  }
}

export const orderGroup: Command = (_, draws) => {
  const [namespace, group] = [someNamespace(draws), draws.oneOf(groups)]
  const isPaused = draws.chance(0.5)
  const words = draws.oneOf([{}, { by: "ada" }, { by: "bob", note: "so it is" }])
  return {
    says: `${isPaused ? "pause" : "resume"} ${group} of ${namespace}`,
    on: ({ storage }) => storage.permits.orderGroup(namespace, group, isPaused, words),
  }
}

export const findGroup: Command = (_, draws) => {
  const [namespace, group] = [someNamespace(draws), draws.oneOf(groups)]
  return {
    says: `look at ${group} of ${namespace}`,
    on: ({ storage }) => storage.permits.findGroup(namespace, group),
  }
}

/** All at once, since where a part of them ends is for each storage to say. */
export const forget: Command = () => ({
  says: "forget the keys of breakers of which nothing bad is known",
  on: ({ storage }) => storage.permits.forget(10_000),
})

/** How many runs are ready, for which there may be permits. */
export const depth: Command = (_, draws) => {
  const lanes = draws.some(lanesOf(someNamespace(draws)), 0.7)
  return {
    says: `how many are ready in ${lanes.join(" ") || "no lane"}`,
    on: ({ storage }) => storage.runs.depth(lanes, 1000),
  }
}

/** How many runs of some tasks wait, by which submits are held back. */
export const backlog: Command = (_, draws) => {
  const named = draws.some(tasks, 0.7)
  const lanes = lanesOf(someNamespace(draws)).filter((lane) =>
    named.includes(Lane.taskOf(lane).task)
  )
  return {
    says: `how many wait in ${lanes.join(" ") || "no lane"}`,
    on: ({ storage }) => storage.runs.backlog(lanes, 1000),
  }
}
