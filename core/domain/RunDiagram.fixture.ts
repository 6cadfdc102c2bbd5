/**
 * The state machine as it is, drawn: every edge is found by trying every event in every state, so
 * the drawing cannot say anything else than `Run.advance` does.
 */
import { Result } from "effect"
import { Fence } from "./Lease.ts"
import * as Run from "./Run.ts"
import { vocabularies, type Vocabulary, wordOf } from "./Vocabulary.ts"

export interface Edge {
  readonly from: Run.StateName
  readonly event: string
  readonly to: Run.StateName
}

/** Every combination of the values of each field. */
const every = <A>(choices: Readonly<Record<string, ReadonlyArray<unknown>>>): ReadonlyArray<A> => {
  let all: ReadonlyArray<Record<string, unknown>> = [{}]
  for (const [field, values] of Object.entries(choices)) {
    all = all.flatMap((each) => values.map((value) => ({ ...each, [field]: value })))
  }
  return all as ReadonlyArray<A>
}

const either = [false, true]
const fences = [0, 1].map((fence) => Fence.make(fence))

const states: ReadonlyArray<Run.RunState> = Run.StateName.literals.flatMap((_tag) =>
  every<Run.RunState>({
    _tag: [_tag],
    attempt: [0, 1, 2],
    crashes: [0],
    fence: fences,
    isCareful: [false],
    ...(_tag === "Scheduled" && { isGated: either }),
    ...(_tag === "Running" &&
      { isStartMarked: either, isCancelling: either, isSuspending: either }),
    ...(_tag === "Awaiting" && { isParent: either }),
    ...(_tag === "Suspended" && { isAdmitted: either }),
  })
)

/** What the fields of an event may say, where they decide. */
const said: Readonly<Record<string, Readonly<Record<string, ReadonlyArray<unknown>>>>> = {
  Lose: { crashesMax: [0, 1], isAtMostOnce: either },
  Resume: { isDue: either, places: [0, 1, 2] },
  Notify: { isSuccess: either, isLeft: either },
  Cancel: { isLeft: either },
  Expire: { isLeft: either },
  Gather: { verdict: ["Succeeded", "Failed", "Cancelled"] },
  Revive: { isGated: either },
  RollBack: { isGated: either },
}

const events = [
  ...Object.keys(Run.RunEvent.cases).flatMap((_tag) =>
    every<Run.RunEvent>({ _tag: [_tag], fence: fences, ...said[_tag] })
  ),
  // By its gate; by its holder it has a fence.
  { _tag: "Discard" } as const,
]

export const edges = (): ReadonlyArray<Edge> => {
  const found = new Map<string, Edge>()
  for (const state of states) {
    for (const event of events) {
      const next = Run.advance(state, event)
      if (Result.isFailure(next)) continue
      const edge = { from: state._tag, event: event._tag, to: next.success._tag }
      found.set(`${edge.from} ${edge.event} ${edge.to}`, edge)
    }
  }
  return [...found.values()]
}

/** For whatever draws Mermaid's state diagrams. */
export const mermaid = (): string => {
  const lines = ["stateDiagram-v2"]
  for (const first of ["Scheduled", "Blocked", "Ready", "Awaiting", Run.submittedFailed._tag]) {
    lines.push(`  [*] --> ${first}`)
  }
  const byEnds = Map.groupBy(edges(), ({ from, to }) => `  ${from} --> ${to}`)
  for (const [ends, all] of byEnds) {
    lines.push(`${ends}: ${all.map(({ event }) => event).join(", ")}`)
  }
  for (const final of Run.finals) lines.push(`  ${final} --> [*]`)
  return lines.join("\n")
}

/** Which events each state takes, and to where. */
export const table = (): string => {
  const byState = Map.groupBy(edges(), ({ from }) => from)
  const rows = Run.StateName.literals.map((state) => {
    const byEvent = Map.groupBy(byState.get(state) ?? [], ({ event }) => event)
    const cells = [...byEvent].map(([event, all]) =>
      `${event} → ${all.map(({ to }) => to).join(" or ")}`
    )
    return `| ${state} | ${cells.join("<br>") || "nothing"} |`
  })
  return ["| state | takes |", "| --- | --- |", ...rows].join("\n")
}

/** Our states in the words of the other vocabularies. */
export const vocabularyTable = (): string => {
  const word = (state: Run.StateName) => (vocabulary: Vocabulary) => wordOf(state, vocabulary)
  const rows = Run.StateName.literals.map((state) =>
    `| ${[state, ...vocabularies.map(word(state))].join(" | ")} |`
  )
  return [
    `| ours | ${vocabularies.join(" | ")} |`,
    `| --- | ${vocabularies.map(() => "---").join(" | ")} |`,
    ...rows,
  ].join("\n")
}

/** `text` with what stands between each pair of its marks drawn anew. */
export const redrawn = (text: string): string => {
  const parts: Readonly<Record<string, string>> = {
    diagram: `\`\`\`mermaid\n${mermaid()}\n\`\`\``,
    transitions: table(),
    vocabularies: vocabularyTable(),
  }
  return text.replace(
    /(<!-- (\w+) -->\n)[^]*?(<!-- end -->)/g,
    (whole, start: string, name: string, end: string) =>
      parts[name] === undefined ? whole : `${start}\n${parts[name]}\n\n${end}`,
  )
}
