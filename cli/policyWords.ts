/** The policy of a task as people read it: what is as usual is left out. */
import type { Blocking } from "../core/domain/Blocking.ts"
import * as Breaker from "../core/domain/Breaker.ts"
import { wordOf } from "../core/domain/Lane.ts"
import * as Retention from "../core/domain/Retention.ts"
import type { Retry } from "../core/domain/Retry.ts"
import type { Routing } from "../core/domain/Routing.ts"
import { type Policy, usualPolicy } from "../core/domain/Task.ts"
import * as Output from "./Output.ts"

export type Facts = ReadonlyArray<readonly [name: string, value: string | undefined]>

/** On one line, with what tells tasks apart. */
export const policyInWords = (
  { blocking, delivery, group, retry, timeoutMillis }: Policy,
): string =>
  [
    ...(retry.attempts > 1 ? [`${retry.attempts} attempts`] : []),
    ...(timeoutMillis === undefined ? [] : [`timeout ${Output.millis(timeoutMillis)}`]),
    ...(blocking === undefined ? [] : [blocking._tag.toLowerCase()]),
    ...(group === undefined ? [] : [`group ${Output.plain(group.name)}`]),
    ...(delivery === "at-most-once" ? [delivery] : []),
  ].join(", ")

/** All of it; a name without a value is as usual. */
export const policyFacts = (policy: Policy): Facts => {
  const { backlog, blocking, blockingScope, breaker, crashesMax, crashesWithinMillis } = policy
  const { deadlineMillis, group, isolation, level, rateLimit, retention, routing } = policy
  return [
    ["retries", retryWords(policy.retry)],
    ["timeout", timed(policy.timeoutMillis, (after) => `an attempt ends after ${after}`)],
    ["deadline", timed(deadlineMillis, (after) => `expired if not begun ${after} after it is due`)],
    ["blocking", blocking && blockingWords(blocking, blockingScope)],
    ["delivery", policy.delivery === usualPolicy.delivery ? undefined : policy.delivery],
    [
      "crashes",
      crashesMax === usualPolicy.crashesMax && crashesWithinMillis === undefined
        ? undefined
        : `quarantined after ${crashesMax + 1} lost executors` +
          (crashesWithinMillis === undefined ? "" : ` within ${millis(crashesWithinMillis)}`),
    ],
    ["level", level === usualPolicy.level ? undefined : `${level}, ${wordOf[level]}`],
    ["order", policy.order && `by ${policy.order}`],
    ["selector", policy.selector && `executors with ${Output.plain(policy.selector)}`],
    ["routing", routing && routingWords(routing)],
    ["resources", policy.resources && pairs(policy.resources)],
    ["touches", policy.touches && pairs(policy.touches)],
    ["backlog", backlog && `no more are taken in while ${backlog.high} wait`],
    [
      "rate limit",
      rateLimit && `${rateLimit.limit} starts in ${millis(rateLimit.perMillis)}` +
        (rateLimit.burst === undefined ? "" : `, ${rateLimit.burst} at once`),
    ],
    [
      "breaker",
      breaker && Output.plain(Breaker.nameOf(breaker)) +
        (Breaker.isByKey(breaker) ? ", one for each key" : ""),
    ],
    [
      "group",
      group && Output.plain(group.name) +
        (group.limit === undefined ? "" : `, ${group.limit} runs at a time`),
    ],
    ["isolation", isolation === "fiber" ? undefined : isolation && `in a ${isolation} of its own`],
    ["kept", `${retention ?? Retention.usual} after the end`],
  ]
}

const { millis } = Output

const timed = (
  time: number | undefined,
  words: (time: string) => string,
): string | undefined => time === undefined ? undefined : words(millis(time))

const retryWords = (retry: Retry): string => {
  const { attempts, capMillis, delayMillis, errors, growth, withinMillis } = retry
  if (attempts === 1) return "none: a run that fails has failed"
  return [
    `${attempts} attempts`,
    delayMillis === 0 ? "at once" : `${millis(delayMillis)} apart`,
    ...(growth === 1 || delayMillis === 0
      ? []
      : [`${growth} times as long each time, up to ${millis(capMillis)}`]),
    ...(withinMillis === undefined ? [] : [`within ${millis(withinMillis)}`]),
    ...(errors === undefined
      ? []
      : [`${errors._tag === "Only" ? "only of" : "not of"} ${errors.tags.join(", ")}`]),
  ].map((word) => Output.plain(word)).join(", ")
}

const blockingWords = (blocking: Blocking, scope: Policy["blockingScope"]): string => {
  const of = scope === undefined
    ? ""
    : scope === "executor"
    ? ", on each executor"
    : `, by ${scope}`
  switch (blocking._tag) {
    case "Fifo":
      return `one at a time, in order${of}`
    case "Discard":
      return `one at a time, others are discarded${of}`
    case "Replace":
      return `one at a time, the new one replaces the one under way${of}`
    case "Latest":
      return `one at a time, of those that wait the latest is kept${of}`
    case "Concurrent":
      return `${blocking.limit} at a time${of}`
    case "Fair":
      return `${blocking.limit} at a time, keys take turns${of}`
  }
}

const routingWords = (routing: Routing): string => {
  // `LeastRecentlyUsed` reads as `least recently used`.
  const name = routing._tag.replace(/(?!^)[A-Z]/g, (letter) => ` ${letter}`).toLowerCase()
  switch (routing._tag) {
    case "Fixed":
      return `${name}, ${routing.executor}`
    case "Failover":
      return [name, ...routing.order ?? []].join(", ")
    case "Sharded":
      return `${name}, ${routing.count}`
    default:
      return name
  }
}

const pairs = (of: Readonly<Record<string, string | number>>) =>
  Output.plain(Object.entries(of).map(([name, value]) => `${name}=${value}`).join(" "))
