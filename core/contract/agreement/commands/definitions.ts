/** Tasks, calendars and triggers are defined, and triggers fire. */
import { Effect, Option } from "effect"
import { Calendar, CalendarName } from "../../../domain/Calendar.ts"
import { Order } from "../../../domain/Lane.ts"
import type { Namespace } from "../../../domain/Namespace.ts"
import type { Refused } from "../../../domain/Refused.ts"
import { TaskDefinition, usualPolicy } from "../../../domain/Task.ts"
import * as Trigger from "../../../domain/Trigger.ts"
import type { Fired, Firing } from "../../../services/TriggerStorage.ts"
import type { Draws } from "../Draws.ts"
import type { Side } from "../Side.ts"
import { type Command, tasks, type World } from "../World.ts"
import { someNamespace, someSpec } from "./submits.ts"

const triggerNames = ["tick", "tock", "ding"].map((name) => Trigger.TriggerName.make(name))
const calendarNames = ["office", "shop"].map((name) => CalendarName.make(name))

const someDefinition = (draws: Draws): TaskDefinition =>
  new TaskDefinition({
    namespace: someNamespace(draws),
    name: draws.oneOf(tasks),
    policy: {
      ...usualPolicy,
      ...(draws.chance(0.3) && { crashesWithinMillis: draws.oneOf([5000, 60_000]) }),
      ...(draws.chance(0.6) && { order: draws.oneOf(Order.literals) }),
      ...(draws.chance(0.5) && { retention: draws.oneOf(["7 days", "365 days"] as const) }),
    },
    ...(draws.chance(0.3) && { purpose: draws.oneOf(["to greet", "to bake"]) }),
    ...(draws.chance(0.2) && { payloads: draws.oneOf([[null], [{ type: "object" }]]) }),
  })

const inWords = ({ name, namespace, policy, purpose }: TaskDefinition): string =>
  `${name} in ${namespace}, kept ${policy.retention}, by ${policy.order}, for ${purpose}`

export const define: Command = (_, draws) => {
  const definition = someDefinition(draws)
  return {
    says: `define ${inWords(definition)}`,
    on: ({ storage }) => storage.tasks.define([definition]),
  }
}

export const introduce: Command = (_, draws) => {
  const definition = someDefinition(draws)
  return {
    says: `introduce ${inWords(definition)}`,
    on: ({ storage }) => storage.tasks.introduce(definition),
  }
}

/** A refusal is an answer too. */
const refusals = <A, E>(effect: Effect.Effect<A, E | Refused>) =>
  Effect.catchIf(
    effect,
    (error): error is Extract<E | Refused, Refused> =>
      typeof error === "object" && error !== null && "_tag" in error && error._tag === "Refused",
    ({ field, reason, remedy }) => Effect.succeed({ refused: { field, reason, remedy } }),
  )

export const putCalendar: Command = (_, draws) => {
  const calendar = new Calendar({
    namespace: someNamespace(draws),
    name: draws.oneOf(calendarNames),
    rest: draws.oneOf([["SAT", "SUN"], ["SUN"], []]),
    holidays: draws.oneOf([[], ["2031-05-01"], ["2031-03-03", "2031-03-04"]]),
    workdays: draws.oneOf([[], ["2031-03-08"]]),
  })
  return {
    says: `put calendar ${calendar.name} of ${calendar.namespace}`,
    on: ({ storage }) => storage.calendars.put(calendar),
  }
}

export const removeCalendar: Command = (_, draws) => {
  const namespace = someNamespace(draws)
  const name = draws.oneOf(calendarNames)
  return {
    says: `remove calendar ${name} of ${namespace}`,
    on: ({ storage }) => refusals(storage.calendars.remove(namespace, name)),
  }
}

const someSchedule = (world: World, draws: Draws): Trigger.Schedule => {
  const jitter = draws.chance(0.2) ? { jitterMillis: 5000 } : {}
  switch (draws.oneOf(["every", "every", "cron", "cron", "at", "tail"])) {
    case "every":
      return {
        _tag: "Every",
        millis: draws.oneOf([20_000, 60_000, 3_600_000]),
        ...jitter,
        ...(draws.chance(0.2) && { end: world.now + 90_000 }),
        ...(draws.chance(0.2) && { start: world.now + draws.oneOf([-7000, 30_000]) }),
      }
    case "cron":
      return {
        _tag: "Cron",
        expression: draws.oneOf(["* * * * *", "0 3 * * *", "*/10 * * * * *"]),
        zone: draws.oneOf(["UTC", "Europe/Berlin"]),
        ...jitter,
        ...(draws.chance(0.5) && {
          calendar: draws.oneOf(calendarNames),
          freeDay: draws.oneOf(["skip", "next"] as const),
        }),
      }
    case "tail":
      return {
        _tag: "Tail",
        source: draws.oneOf(["orders", "bills"]),
        from: "beginning",
        unreadable: "skip",
      }
    default:
      return { _tag: "At", at: world.now + draws.oneOf([-1000, 1000, 60_000]), ...jitter }
  }
}

export const putTrigger: Command = (world, draws) => {
  const definition = new Trigger.TriggerDefinition({
    namespace: someNamespace(draws),
    name: draws.oneOf(triggerNames),
    task: draws.oneOf(tasks),
    schedule: someSchedule(world, draws),
    payload: "null",
    misfire: draws.oneOf<Trigger.Misfire>([
      { _tag: "Skip" },
      { _tag: "Once" },
      { _tag: "All", max: 2, maxAgeMillis: 600_000 },
    ]),
    ...(draws.chance(0.5) && { graceMillis: draws.oneOf([1000, 30_000]) }),
  })
  return {
    says: `put trigger ${definition.name} of ${definition.namespace}: ` +
      JSON.stringify(definition.schedule),
    on: ({ storage }) => refusals(Effect.map(storage.triggers.put(definition), withoutId)),
  }
}

/** The same name may be the same trigger or another once it was removed. */
export const withoutId = ({ id: trigger, ...view }: { readonly id: Trigger.TriggerId }) => ({
  trigger,
  ...view,
})

/** Mostly of a trigger that there is. */
const someName = (world: World, draws: Draws, namespace: Namespace): Trigger.TriggerName => {
  const kept = Effect.runSync(Effect.orDie(world.reference.storage.triggers.list(namespace)))
  return kept.length > 0 && draws.chance(0.8)
    ? draws.oneOf(kept).definition.name
    : draws.oneOf(triggerNames)
}

export const removeTrigger: Command = (world, draws) => {
  const namespace = someNamespace(draws)
  const name = someName(world, draws, namespace)
  return {
    says: `remove trigger ${name} of ${namespace}`,
    on: ({ storage }) => storage.triggers.remove(namespace, name),
  }
}

export const pauseTrigger: Command = (world, draws) => {
  const namespace = someNamespace(draws)
  const name = someName(world, draws, namespace)
  const isPaused = draws.chance(0.5)
  return {
    says: `${isPaused ? "pause" : "resume"} trigger ${name} of ${namespace}`,
    on: ({ storage }) =>
      Effect.map(storage.triggers.pause(namespace, name, isPaused), Option.map(withoutId)),
  }
}

const everyPartition = Array.from({ length: Trigger.partitions }, (_, at) => at)

/** Triggers that a planner sees. */
export const due: Command = (_, draws) => {
  const within = draws.oneOf([0, 1000, 120_000])
  const limit = draws.oneOf([1, 100])
  return {
    says: `which ${limit} triggers are due within ${within}`,
    on: ({ storage }) =>
      Effect.map(
        storage.triggers.due(everyPartition, within, limit),
        ({ now, triggers }) => ({ now, triggers: triggers.map(withoutId) }),
      ),
  }
}

/** What a planner would fire of one trigger, and now and then what it should not. */
interface Wanted {
  readonly trigger: string
  readonly firing: Omit<Firing, "trigger">
}

const someFiring = (world: World, draws: Draws): Wanted | undefined => {
  const namespace = someNamespace(draws)
  const name = someName(world, draws, namespace)
  const kept = lookAt(world.reference, namespace, name)
  if (kept === undefined || kept.view.cursor === undefined) return undefined
  const { view, trigger } = kept
  const { definition, revision } = view
  const spec = { ...someSpec(draws, namespace), deadlineMillis: undefined }
  const from = view.cursor! - (draws.chance(0.15) ? 60_000 : 0)
  const step = Trigger.step(definition, from, world.now, kept.calendar)
  const isSkipping = draws.chance(0.1)
  return {
    trigger,
    firing: {
      revision: draws.chance(0.05) ? revision + 1 : revision,
      passed: step.passed,
      fire: step.slot === undefined || isSkipping ? undefined : { slot: step.slot, spec },
      next: step.next,
    },
  }
}

const lookAt = (side: Side, namespace: Namespace, name: Trigger.TriggerName) => {
  const { calendars, triggers } = side.storage
  const found = Effect.runSync(Effect.orDie(triggers.find(namespace, name)))
  if (Option.isNone(found)) return undefined
  const view = found.value
  const named = Trigger.calendarOf(view.definition.schedule)
  const calendar = named === undefined
    ? Option.none()
    : Effect.runSync(Effect.orDie(calendars.find(namespace, named)))
  return {
    view,
    trigger: side.triggers.of(view.id),
    calendar: Option.getOrUndefined(calendar)?.calendar,
  }
}

export const fire: Command = (world, draws) => {
  const wanted = [0, 1].flatMap(() => someFiring(world, draws) ?? [])
  if (wanted.length === 0) return undefined
  return {
    says: `fire ${
      wanted.map(({ firing: { fire, passed }, trigger }) =>
        `${trigger} ${JSON.stringify({ passed, slot: fire?.slot, gate: fire?.spec.gate?.key })}`
      ).join("; ")
    }`,
    on: (side) =>
      side.storage.triggers.fire(
        wanted.map(({ firing, trigger }) => ({ ...firing, trigger: side.triggers.id(trigger) })),
      ) as Effect.Effect<ReadonlyArray<Fired>, unknown>,
  }
}
