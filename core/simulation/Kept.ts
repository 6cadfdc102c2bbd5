/** What a storage of any technology keeps in the end, as anybody may ask it. */
import { DateTime, Effect, Option } from "effect"
import type { ExecutorView } from "../domain/Executor.ts"
import type { LogLine } from "../domain/LogLine.ts"
import { standard } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import type { RunHappening, RunView } from "../domain/RunView.ts"
import type * as SlotAudit from "../domain/SlotAudit.ts"
import type { TriggerId } from "../domain/Trigger.ts"
import type { KeptProgress } from "../services/LogStorage.ts"
import type { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import type { SlotRecord } from "../services/TriggerStorage.ts"
import { keys, tasks } from "./tasks.ts"

/** Also one that is no more. */
export interface KeptTrigger {
  readonly id: number
  readonly name: string
  /** Those of its rule. */
  readonly records: ReadonlyArray<SlotRecord>
  /** Those of what was asked for by hand. */
  readonly asked: ReadonlyArray<SlotRecord>
  readonly account: SlotAudit.Account
}

export interface Words {
  readonly lines: ReadonlyArray<LogLine>
  readonly progress: KeptProgress | undefined
}

export interface Kept {
  readonly runs: ReadonlyMap<RunId, RunView>
  /** What is told of each run, by the clock of the storage. */
  readonly histories: ReadonlyMap<RunId, ReadonlyArray<RunHappening>>
  /** What runs have said of themselves, of those that have. */
  readonly words: ReadonlyMap<RunId, Words>
  readonly triggers: ReadonlyArray<KeptTrigger>
  /** Also those that are gone. */
  readonly executors: ReadonlyArray<ExecutorView>
  /** The state of an actor for each of its keys, as JSON text. */
  readonly states: ReadonlyMap<string, string | undefined>
}

const page = 1000
const linesMax = 1000
const triggersMax = 100
/** All that was ever due. */
const whole = { step: 0, from: 0, until: 2 ** 43, after: 0 as TriggerId }
const recordsMax = 10_000

/** The earliest first. */
export const runsOf = Effect.fnUntraced(function* ({ runs }: Storage["Service"]) {
  const all: Array<RunView> = []
  for (;;) {
    const last = all.at(-1)
    const more = yield* runs.list({
      namespace: standard,
      limit: page,
      ...(last !== undefined && { before: last.id }),
    })
    all.push(...more)
    if (more.length < page) return new Map(all.reverse().map((view) => [view.id, view]))
  }
})

/** The instants of runs by the world's clock, of which `when` says what the storage's has said. */
export const read: (
  storage: Storage["Service"],
  when: (said: number) => number | undefined,
) => Effect.Effect<Kept, StorageUnavailable> = Effect.fnUntraced(function* (storage, when) {
  const { audit, executors, logs, runs, triggers } = storage
  const states = new Map<string, string | undefined>()
  for (const key of keys) {
    const state = yield* runs.state(standard, tasks.counter.name, key)
    states.set(key, Option.getOrUndefined(state))
  }
  const present = new Map(
    (yield* triggers.list(standard)).map((view) => [view.id, view]),
  )
  const kept: Array<KeptTrigger> = []
  for (const { account, name, trigger: id } of (yield* audit.page(whole, triggersMax)).triggers) {
    const { cursor, isPaused = false } = present.get(id) ?? {}
    const all = yield* triggers.records(id, recordsMax)
    const records = all
      .filter(({ after, asked }) => after === undefined && asked === undefined)
      .toSorted((a, b) => a.slot - b.slot)
    kept.push({
      id,
      name,
      records,
      asked: all.filter(({ asked }) => asked !== undefined),
      account: {
        versions: account.versions,
        records: records.map(({ slot, through }) => ({ slot, through, isGathered: false })),
        cursor,
        isPaused,
      },
    })
  }
  const all = yield* runsOf(storage)
  const histories = new Map<RunId, ReadonlyArray<RunHappening>>()
  const words = new Map<RunId, Words>()
  for (const run of all.keys()) {
    histories.set(run, yield* runs.events(run))
    const { lines } = yield* logs.read({ run, limit: linesMax })
    const progress = Option.getOrUndefined(yield* logs.progress(run))
    if (lines.length > 0 || progress !== undefined) words.set(run, { lines, progress })
  }
  return {
    runs: new Map(all.entries().map(([id, view]) => [id, inWorld(view, when)])),
    histories,
    words,
    triggers: kept,
    executors: yield* executors.list(standard),
    states,
  }
})

/** What is still known of it. */
export const left = Effect.fnUntraced(function* (storage: Storage["Service"], kept: Kept) {
  const slots = new Map<string, ReadonlyArray<number>>()
  for (const { id, name } of kept.triggers) {
    slots.set(
      name,
      (yield* storage.triggers.records(id as TriggerId, recordsMax)).map(({ slot }) => slot),
    )
  }
  const known = yield* storage.runs.findMany([...kept.runs.keys()])
  return { now: yield* storage.now, runs: new Set(known.map(({ id }) => id)), slots }
})

/** What is due later is as much later there. */
const inWorld = (
  view: RunView,
  when: (said: number) => number | undefined,
): RunView => {
  const { createdAt, dueAt, finishedAt } = view
  const translated = (said: DateTime.Utc) => DateTime.makeUnsafe(when(millis(said)) ?? millis(said))
  return {
    ...view,
    createdAt: translated(createdAt),
    dueAt: DateTime.addDuration(
      translated(createdAt),
      DateTime.distance(createdAt, dueAt),
    ),
    ...(finishedAt !== undefined && { finishedAt: translated(finishedAt) }),
  }
}

/** The runs that somebody asked of triggers by hand. */
export const askedOf = ({ triggers }: Kept): ReadonlySet<RunId | undefined> =>
  new Set(triggers.flatMap(({ asked }) => asked.map(({ run }) => run)))

/** Whether it was due when it was submitted. */
export const isDueAtOnce = ({ createdAt, dueAt }: RunView): boolean =>
  millis(createdAt) === millis(dueAt)

/** Who asked for the run, by the payload that every simulated task has. */
export const requestOf = ({ payload }: Pick<RunView, "payload">): string =>
  (JSON.parse(payload) as { readonly request: string }).request

/** Those that are no part of another. */
export const wholes = ({ runs }: Kept): ReadonlyArray<RunView> =>
  [...runs.values()].filter(({ shard }) => shard === undefined)

export const millis = (instant: { readonly epochMilliseconds: number }): number =>
  instant.epochMilliseconds
