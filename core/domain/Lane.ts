/**
 * A lane is where a ready run waits. A run routed to `any` executor waits in the lane of its task,
 * which every executor that serves the task claims from; with a selector it waits in a lane of the
 * task and that selector, which only executors with such labels claim from. A run of any other
 * routing waits where nobody claims from, until it is placed: then it stands in a lane of its task
 * and one executor. Whatever comes back from that executor, or is taken from it, waits there again.
 *
 * Within a lane the order is (level, rank): the rank is the instant a run became ready plus the
 * patience of its level, or the deadline of one that has not begun, if that is earlier, unless the task
 * names another `Order`; it is fixed when the run becomes ready. One that was due later is ready since it was
 * due, however late a sweep notices, and one that was suspended before its first grant is where it
 * was. A run whose rank has passed goes before runs of a better level
 * whose rank is later, so a level delays a run, but never for ever. A deadline alone never takes a run
 * past a better level: by the time it has passed, the run has expired.
 */
import { Schema } from "effect"
import type { Incarnation } from "./Executor.ts"
import { shown } from "./given.ts"
import type { Labels } from "./Labels.ts"
import type { Namespace } from "./Namespace.ts"
import { Refused } from "./Refused.ts"
import * as Selector from "./Selector.ts"
import type { TaskName } from "./TaskName.ts"

/** As long as the longest names and selector make it. */
export const Lane = Schema.NonEmptyString.check(Schema.isMaxLength(2048)).pipe(Schema.brand("Lane"))
export type Lane = typeof Lane.Type

/** No name has the sign between task and selector in it. */
export const mark = "?"

export const ofTask = (
  namespace: Namespace,
  task: TaskName,
  selector?: Selector.Selector,
): Lane => `${namespace}:${task}${selector === undefined ? "" : mark + selector}` as Lane

/** No name has the sign between task and executor in it; a selector may, after its own sign. */
const of = "@"

/** Where runs of a routed task wait until they are placed. */
export const unplaced = (namespace: Namespace, task: TaskName): Lane =>
  `${namespace}:${task}${of}` as Lane

/** Where they wait once they are. */
export const ofExecutor = (namespace: Namespace, task: TaskName, executor: Incarnation): Lane =>
  `${namespace}:${task}${of}${executor}` as Lane

const placing = /^([^:?@]+):([^:?@]+)@(\d*)$/

export const isUnplaced = (lane: Lane): boolean => placing.exec(lane)?.[3] === ""

/** The only one that claims from the lane. */
export const executorOf = (lane: Lane): Incarnation | undefined => {
  const executor = placing.exec(lane)?.[3]
  return executor === undefined || executor === "" ? undefined : Number(executor) as Incarnation
}

/** Whose runs wait in the lane, whichever of their lanes it is. */
export const taskOf = (
  lane: Lane,
): { readonly namespace: Namespace; readonly task: TaskName } => {
  const [namespace, task] = lane.split(/[?@]/, 1)[0]!.split(":")
  return { namespace: namespace as Namespace, task: task as TaskName }
}

/** What the executors that claim from the lane have in common. */
export const selectorOf = (lane: Lane): Selector.Selector | undefined => {
  const at = lane.indexOf(mark)
  return at < 0 ? undefined : lane.slice(at + 1) as Selector.Selector
}

/**
 * The lanes of a task that an executor with `labels` claims from. That without a selector is always
 * one of them: its runs were submitted when the task had none.
 */
export const claimed = (
  namespace: Namespace,
  task: TaskName,
  selector: Selector.Selector | undefined,
  labels: Labels,
): ReadonlyArray<Lane> => {
  const plain = ofTask(namespace, task)
  return selector === undefined || !Selector.matches(selector, labels)
    ? [plain]
    : [plain, ofTask(namespace, task, selector)]
}

export const Level = Schema.Literals([0, 1, 2, 3, 4])
export type Level = typeof Level.Type

/** The better first. */
export const levels: ReadonlyArray<Level> = [0, 1, 2, 3, 4]
export const usual: Level = 1

/** From the levels that most runs have on, so that those who look for runs can look there first. */
export const deepFrom: Level = 3

/** What people call them. */
export const wordOf: Readonly<Record<Level, string>> = {
  0: "urgent",
  1: "usual",
  2: "low",
  3: "bulk",
  4: "idle",
}

/** What is wrong with one that somebody named, if anything is. */
export const flaw = (level: unknown): Refused | undefined =>
  levels.some((each) => each === level) ? undefined : new Refused({
    field: "level",
    reason: `${shown(level)} is no level`,
    remedy: `Use ${levels.map((each) => `${each} (${wordOf[each]})`).join(", ")}`,
  })

/** What the events of a run say when it gets another level. */
export const levelSet = (from: Level, to: Level): string => `${wordOf[from]} → ${wordOf[to]}`

/** How long runs of a level let better levels go first. */
export const patienceMillis: Readonly<Record<Level, number>> = {
  0: 0,
  1: 60_000,
  2: 600_000,
  3: 3_600_000,
  4: 21_600_000,
}

/**
 * What decides among the runs of a level, instead of the earlier of patience and deadline: `age` alone,
 * the first that became ready first, or the `deadline` alone, for those that have one. One without
 * goes as if it had to begin when its patience ends. It decides at gates, too: `Blocking.rank`.
 */
export const Order = Schema.Literals(["age", "deadline"])
export type Order = typeof Order.Type

/** No run waits longer for what has an earlier deadline, however far off its own is. */
export const longestMillis = patienceMillis[4]

/** How long it yields, and the deadline that counts, of a run that has one. */
const termsOf = (level: Level, deadlineAt: number, order: Order | undefined) => ({
  millis: order === "deadline" && deadlineAt < Infinity ? longestMillis : patienceMillis[level],
  until: order === "age" ? Infinity : deadlineAt,
})

/**
 * The instant from which a run that became ready at `readyAt` yields to no level, or that by which it
 * must have begun. In the usual order a deadline that is further off than the patience puts nobody
 * behind others.
 */
export const rank = (
  readyAt: number,
  level: Level,
  deadlineAt = Infinity,
  order?: Order,
): number => {
  const { millis, until } = termsOf(level, deadlineAt, order)
  return Math.min(readyAt + millis, until)
}

/**
 * When a run became ready that stands in its lane by `rank`. Where its deadline hides that, it is as if
 * it did so now.
 */
export const readyAt = (
  { level, rank }: Pick<Place, "level" | "rank">,
  now: number,
  deadlineAt = Infinity,
  order?: Order,
): number => {
  const { millis, until } = termsOf(level, deadlineAt, order)
  return rank === until ? now : rank - millis
}

/** What decides between two waiting runs of any lanes. */
export interface Place {
  readonly level: Level
  readonly rank: number
  readonly run: number
}

/** Negative when `a` goes before `b`, judged at `now`. */
export const order = (now: number) => (a: Place, b: Place): number => {
  const aOverdue = a.rank <= now
  const bOverdue = b.rank <= now
  if (aOverdue !== bOverdue) return aOverdue ? -1 : 1
  if (!aOverdue && a.level !== b.level) return a.level - b.level
  return a.rank - b.rank || a.run - b.run
}
