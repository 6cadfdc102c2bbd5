/** What became of triggers and runs so far, for whoever reads a failed test. */
import { DateTime } from "effect"
import type { MemoryState } from "../adapters/memory/mod.ts"
import { isFinal, type StateName } from "../core/domain/Run.ts"
import type { Reason, RunView } from "../core/domain/RunView.ts"
import type { TriggerView } from "../core/services/TriggerStorage.ts"

export interface Seen {
  readonly start: number
  readonly now: number
  readonly state: MemoryState
  readonly triggers: ReadonlyArray<TriggerView>
  /** The earliest first. */
  readonly runs: ReadonlyArray<RunView>
  readonly why: ReadonlyMap<RunView["id"], Reason>
}

/** Of each kind so many are told in full. */
const toldMax = 10

export const reportOf = (seen: Seen): string => {
  const unfinished = seen.runs.filter(({ state }) => !isFinal(state))
  const unsuccessful = seen.runs.filter(({ state }) => isFinal(state) && state !== "Succeeded")
  return [
    `It is ${instant(seen.now)}, ${elapsed(seen.now - seen.start)} after the start.`,
    ...seen.triggers.map((view) => triggerLine(view, seen.state)),
    ...taskLines(seen.runs),
    ...told("unfinished", unfinished.map((run) => `${title(run)}: ${waiting(run, seen.why)}`)),
    ...told(
      "not succeeded",
      unsuccessful.map((run) => `${title(run)}${run.failure ? `: ${failed(run.failure)}` : ""}`),
    ),
  ].join("\n")
}

const instant = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis))

const elapsed = (millis: number) => {
  const days = Math.floor(millis / 86_400_000)
  const rest = new Date(millis % 86_400_000).toISOString().slice(11, 23)
  return days === 0 ? rest : `${days} d ${rest}`
}

const triggerLine = ({ cursor, definition, id, isPaused }: TriggerView, state: MemoryState) => {
  const records = state.triggers.get(id)?.records ?? []
  const outcomes = counted(records.map(({ outcome }) => outcome))
  const next = isPaused ? "paused" : cursor === undefined ? "ended" : `next ${instant(cursor)}`
  return `trigger "${definition.name}" of ${definition.task}: ${outcomes || "no slot yet"}; ${next}`
}

const taskLines = (runs: ReadonlyArray<RunView>) => {
  const states = new Map<string, Array<StateName>>()
  for (const { state, task } of runs) {
    const known = states.get(task)
    if (known === undefined) states.set(task, [state])
    else known.push(state)
  }
  return [...states].map(([task, all]) => `task ${task}: ${counted(all)}`)
}

const counted = (words: ReadonlyArray<string>) => {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return [...counts].map(([word, count]) => `${count} ${word}`).join(", ")
}

const told = (kind: string, lines: ReadonlyArray<string>) =>
  lines.length === 0 ? [] : [
    `${kind}:`,
    ...lines.slice(0, toldMax).map((line) => `  ${line}`),
    ...(lines.length > toldMax ? [`  and ${lines.length - toldMax} more`] : []),
  ]

const title = ({ attempt, id, state, task }: RunView) =>
  `run ${id} of ${task}, ${state}, ${attempt === 0 ? "not started" : `attempt ${attempt}`}`

const failed = ({ message, tag }: { readonly tag: string; readonly message: string }) =>
  `${tag}: ${message}`

const waiting = ({ id }: RunView, why: Seen["why"]) => {
  const reason = why.get(id)
  switch (reason?._tag) {
    case "DueLater": {
      const after = reason.failure === undefined ? "" : ` after ${failed(reason.failure)}`
      return `due ${DateTime.formatIso(reason.at)}${after}`
    }
    case "GateFull":
      return `waits for ${reason.holders.length} that hold its gate, ${reason.ahead} ahead of it`
    case "NoExecutor":
      return "no executor serves its task: is the layer of its handler provided?"
    case "Unplaced":
      return reason.passedOver.length === 0
        ? "waits to be placed, and no executor serves its task"
        : `waits to be placed, and ${reason.passedOver.length} executors cannot take it`
    case "Waiting":
      return `waits for a free place, ${reason.ahead} ahead of it`
    case "Held":
      return "its handler is at work"
    default:
      return reason?._tag ?? "unknown"
  }
}
