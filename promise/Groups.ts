/** What a program of promises does with groups of tasks. */
import { Effect } from "effect"
import type { Words } from "../core/domain/Asked.ts"
import type { GroupView } from "../core/domain/Group.ts"
import type { StateName } from "../core/domain/Run.ts"
import { type Cancelled, Groups as CoreGroups } from "../core/engine/Groups.ts"
import type { OrderOptions } from "../core/engine/Scheduler.ts"
import { type Call, dateOf } from "./call.ts"

/** A group as others see it. */
export interface Group extends Words {
  readonly name: string
  /** So many runs at once, of all its tasks; as many as there are unless named. */
  readonly limit: number | undefined
  readonly tasks: ReadonlyArray<string>
  readonly isPaused: boolean
  /** When it was paused, or let go on. */
  readonly since: Date | undefined
}

export interface Groups {
  /** By name. */
  readonly list: () => Promise<ReadonlyArray<Group>>
  readonly show: (name: string) => Promise<Group>
  /** How many runs its tasks have in each state. Past 10,000 in one a count may be an estimate. */
  readonly counts: (name: string) => Promise<Readonly<Partial<Record<StateName, number>>>>
  /** From its answer on no run is permitted to start; what has started goes on. */
  readonly pause: (name: string, words?: Words) => Promise<Group>
  readonly resume: (name: string, words?: Words) => Promise<Group>
  /** Asks all runs that are there, and have not ended, to stop; what is submitted meanwhile stays. */
  readonly cancel: (name: string, options?: OrderOptions) => Promise<Cancelled>
}

export const groupsOver = (call: Call): Groups => {
  const one = <E>(use: (groups: CoreGroups["Service"]) => Effect.Effect<GroupView, E>) =>
    call(Effect.map(CoreGroups.use(use), groupOf))

  return {
    list: () =>
      call(Effect.map(CoreGroups.use(({ list }) => list()), (groups) => groups.map(groupOf))),
    show: (name) => one(({ find }) => find(name)),
    counts: (name) => call(CoreGroups.use(({ counts }) => counts(name))),
    pause: (name, words) => one(({ pause }) => pause(name, words)),
    resume: (name, words) => one(({ resume }) => resume(name, words)),
    cancel: (name, { by } = {}) =>
      call(CoreGroups.use(({ cancel }) => cancel(name, by === undefined ? {} : { by }))),
  }
}

const groupOf = (
  { isPaused, limit, name, namespace: _, since, tasks, ...words }: GroupView,
): Group => ({
  ...words,
  name,
  limit,
  tasks: tasks.map(({ name }) => name),
  isPaused,
  since: dateOf(since),
})
