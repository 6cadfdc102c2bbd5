/** What the history of a run says of it. */
import { deadlinesOf, levelOf, replay, type Submit } from "../../contract/replay.ts"
import { standard } from "../../domain/Namespace.ts"
import type { RunState } from "../../domain/Run.ts"
import { overlapping, type RunHappening, type RunView } from "../../domain/RunView.ts"
import * as Waiting from "../../domain/Waiting.ts"
import { millis } from "../Kept.ts"
import type { Outcome } from "../Outcome.ts"
import { keyIn, keyOf, policyOf, type TaskName, tasks } from "../tasks.ts"
import { delaysOf } from "./Early.ts"
import type { Checker } from "./Invariant.ts"
import { submittedDeadlines } from "./mustBegin.ts"

/** A storage may keep whole milliseconds. */
const rounding = 2

/** How each run was submitted, as far as it says how the run may go on; nothing of it is asked of the product. */
const submitsOf = (outcome: Outcome) => {
  const delays = delaysOf(outcome)
  const parents = new Set([...outcome.kept.runs.values()].map(({ shard }) => shard?.parent))
  return ({ failure, id, payload, shard, task }: RunView) => {
    const policy = policyOf(task)
    const { crashesMax, crashesWithinMillis, delivery, routing } = policy
    const key = keyOf(task as TaskName, keyIn({ payload }))
    const { gate } = Waiting.place(standard, tasks[task as TaskName].name, policy, key)
    const spec: Submit = {
      delayMillis: delays.get(id) ?? 0,
      gate: shard === undefined ? gate : { places: shard.count },
      isAtMostOnce: delivery === "at-most-once",
      crashesMax,
      isPlaced: Waiting.isRouted(policy),
    }
    return {
      spec,
      // What is cut by its routing becomes a parent later.
      isParent: parents.has(id) && routing?._tag !== "Sharded" && routing?._tag !== "Broadcast",
      // T14 looks at whether that was right.
      isHeldUp: failure?.tag === overlapping(0).tag,
      ...(crashesWithinMillis !== undefined && { crashesWithinMillis }),
    }
  }
}

const shownOf = (state: RunState) => {
  const { _tag, attempt, crashes, fence } = state
  const isRunning = _tag === "Running"
  const asked = isRunning && state.isCancelling
    ? ", cancelling"
    : isRunning && state.isSuspending
    ? ", suspending"
    : ""
  return `${_tag} ${attempt}/${fence}, ${crashes} crashes${asked}`
}

const shown = ({ attempt, crashes, fence, isCancelling, isSuspending, state }: RunView) =>
  shownOf({
    _tag: state,
    attempt,
    crashes,
    fence,
    isCancelling: isCancelling === true,
    isSuspending: isSuspending === true,
  } as RunState)

const textOf = (history: ReadonlyArray<RunHappening>) =>
  history.map(({ attempt, fence, kind }) => `${kind} ${attempt}/${fence}`).join(", ")

/**
 * The history of a run, replayed, leads to where the run stands, in the end and whenever somebody looks: its
 * state, the numbers of its attempts, crashes and grants, its level, its revision, and its deadline while it
 * has one.
 */
export const R28: Checker = (outcome, that) => {
  const { kept: { histories, runs }, readings } = outcome
  const submitOf = submitsOf(outcome)
  const deadlines = submittedDeadlines(outcome)
  const ends = [...runs].map(([id, view]) => ({ view, history: histories.get(id)! }))
  for (const { history, view } of [...readings, ...ends]) {
    const { deadlineAt, id, level, revision = 1, shard, submittedLevel, task } = view
    const wrong = (what: string) => () => `run ${id} of ${task} ${what}: ${textOf(history)}`
    try {
      // Whether its time has come is in no history; I1 and R9 look at that.
      const reached = [false, true].map((isDue) =>
        shownOf(replay({ ...submitOf(view), history, isDue }))
      )
      that(
        reached.includes(shown(view)),
        wrong(`is ${shown(view)}, and ${reached[0]} by its history`),
      )
      const last = levelOf(submittedLevel ?? level, history)
      that(level === last, wrong(`has level ${level}, and ${last} by its history`))
      // Those of parts are as their parents have them.
      if (shard === undefined) {
        const submitted = deadlines.get(id)
        const all = [submitted, ...deadlinesOf(history)]
        that(
          isNear(submitted, all[1] ?? submitted) &&
            (deadlineAt === undefined || isNear(millis(deadlineAt), all.at(-1))),
          wrong(`has until ${deadlineAt}, and ${all.join(", ")} by its history`),
        )
      }
      const times = (kind: string) => history.filter((told) => told.kind === kind).length
      const [levels, until] = [times("LevelSet"), times("DeadlineSet")]
      that(
        Math.max(levels, until) < revision && revision <= levels + until + 1,
        wrong(`is at revision ${revision}, and got ${levels} levels and ${until} deadlines`),
      )
    } catch (cause) {
      that(false, wrong(`has a history that does not hold, ${(cause as Error).message}`))
    }
  }
}

const isNear = (one: number | undefined, other: number | undefined): boolean =>
  one === other || Math.abs(one! - other!) <= rounding
