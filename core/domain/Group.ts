/**
 * A group: tasks that are looked after as one. At most `limit` runs of all of them are under way, and
 * no run of any of them starts while an operator has it paused.
 *
 * A group is known by its name, and by the tasks that name it. Their runs pass one gate, if there is a
 * limit; whether it is paused is asked before they are claimed, as with a breaker.
 */
import { DateTime, Schema } from "effect"
import { Words } from "./Asked.ts"
import { type Gate, GateKey } from "./Blocking.ts"
import { Namespace } from "./Namespace.ts"
import { TaskName } from "./TaskName.ts"
import * as Text from "./Text.ts"

export const GroupName = Schema.NonEmptyString.check(Schema.isMaxLength(127), Text.kept)

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))

export const Group = Schema.Struct({
  name: GroupName,
  /** So many runs at once, of all its tasks; as many as there are unless named. */
  limit: Schema.optionalKey(Limit),
})
export type Group = typeof Group.Type

/** The group of that name. With `limit: 1` it is exclusive: no two of its runs overlap. */
export const make = (name: string, { limit }: { readonly limit?: number } = {}): Group => ({
  name,
  ...(limit !== undefined && { limit }),
})

export type Limited = Required<Group>

export const isLimited = (group: Group | undefined): group is Limited => group?.limit !== undefined

/** How the keys of such gates begin. No namespace is empty, so no other begins with a colon. */
export const prefix = ":group "

/** The gate of all runs of a group. */
export const gate = (namespace: Namespace, { limit, name }: Limited): Gate => ({
  key: GateKey.make(`${prefix}${namespace} ${name}`),
  places: limit,
  whenFull: "wait",
})

/** Whether it is paused, and what was said with the last order, if there was one. */
export const Standing = Schema.Struct({
  isPaused: Schema.Boolean,
  since: Schema.optionalKey(Schema.Finite),
  ...Words.fields,
})
export type Standing = typeof Standing.Type

/** Nobody has ever paused it. */
export const asNew: Standing = { isPaused: false }

/** Pauses it or lets it go on. One that stands so already has stood so since, and keeps the later words. */
export const order = (
  before: Standing,
  isPaused: boolean,
  now: number,
  { by, note }: Words,
): Standing => {
  const isSame = before.isPaused === isPaused
  if (isSame && !isPaused) return before
  return {
    isPaused,
    since: isSame && before.since !== undefined ? before.since : now,
    ...(by !== undefined && { by }),
    ...(note !== undefined && { note }),
  }
}

/** As others see it. */
export const GroupView = Schema.Struct({
  namespace: Namespace,
  name: GroupName,
  /** The least that one of its tasks names. */
  limit: Schema.optionalKey(Limit),
  tasks: Schema.Array(Schema.Struct({ name: TaskName, limit: Schema.optionalKey(Limit) })),
  isPaused: Schema.Boolean,
  /** When it was paused, or let go on. */
  since: Schema.optionalKey(Schema.DateTimeUtc),
  ...Words.fields,
})
export type GroupView = typeof GroupView.Type

/** What is seen of a group whose tasks name it so. */
export const viewOf = (
  namespace: Namespace,
  name: string,
  tasks: GroupView["tasks"],
  { since, ...standing }: Standing,
): GroupView => {
  const limits = tasks.flatMap(({ limit }) => limit ?? [])
  return {
    namespace,
    name,
    ...(limits.length > 0 && { limit: Math.min(...limits) }),
    tasks,
    ...standing,
    ...(since !== undefined && { since: DateTime.makeUnsafe(since) }),
  }
}
