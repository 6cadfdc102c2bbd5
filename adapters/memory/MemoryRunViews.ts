/** Runs as others see them, in memory: the questions of `RunStorage`. */
import { DateTime, Effect, Option } from "effect"
import * as Asked from "../../core/domain/Asked.ts"
import * as Blocking from "../../core/domain/Blocking.ts"
import type { GateKey } from "../../core/domain/Blocking.ts"
import * as Change from "../../core/domain/Change.ts"
import { shown } from "../../core/domain/Conclusion.ts"
import * as History from "../../core/domain/History.ts"
import * as Lane from "../../core/domain/Lane.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import {
  type Reason,
  type RunHappening,
  type RunView,
  unserved,
} from "../../core/domain/RunView.ts"
import * as Touching from "../../core/domain/Touching.ts"
import type { RunStorage } from "../../core/services/RunStorage.ts"
import { standingOf } from "./MemoryExecutors.ts"
import type { Entry, MemoryState } from "./MemoryState.ts"

const askedOf = ({ journal: [first] }: Entry): Pick<RunView, "asked"> =>
  first?.kind === Asked.kind && first.detail !== undefined
    ? { asked: Asked.ofText(first.detail) }
    : {}

/** Where a run waits for a grant, and its last one is over. */
const waits: ReadonlyArray<Run.StateName> = ["Scheduled", "Blocked", "Ready"]

export const make = (
  state: MemoryState,
  now: () => number,
  ofLeases: () => number,
  holders: (gate: GateKey) => ReadonlyArray<Entry>,
): Pick<
  RunStorage,
  "find" | "findMany" | "list" | "depth" | "backlog" | "state" | "counts" | "events" | "why"
> => {
  const view = (entry: Entry): RunView => {
    const { spec, state: { _tag, attempt, crashes, fence } } = entry
    const holder = entry.holder && state.members.get(entry.holder.incarnation)
    const phase = shown(entry.conclusion?.phase)
    return {
      id: entry.id,
      namespace: spec.namespace,
      task: spec.task,
      state: _tag,
      attempt,
      crashes,
      fence,
      lane: spec.lane,
      level: entry.level,
      ...(entry.level !== spec.level && { submittedLevel: spec.level }),
      ...(entry.deadlineAt !== undefined && fence === 0 &&
        (_tag === "Suspended" || waits.includes(_tag)) && {
        deadlineAt: DateTime.makeUnsafe(entry.deadlineAt),
      }),
      ...(entry.changes > 0 && { revision: Change.firstRevision + entry.changes }),
      payload: spec.payload,
      createdAt: DateTime.makeUnsafe(entry.createdAt),
      dueAt: DateTime.makeUnsafe(entry.dueAt),
      ...(entry.result !== undefined && { result: entry.result }),
      ...(entry.failure !== undefined && { failure: entry.failure }),
      ...(spec.idempotencyKey !== undefined && { idempotencyKey: spec.idempotencyKey }),
      ...(spec.gate !== undefined && { gate: spec.gate.key }),
      ...(entry.trigger !== undefined && { trigger: entry.trigger }),
      ...(entry.slot !== undefined && { slot: DateTime.makeUnsafe(entry.slot) }),
      ...(holder !== undefined && (_tag === "Running" || Run.isFinal(_tag)) && {
        executor: { incarnation: holder.incarnation, name: holder.joining.name },
      }),
      ...(entry.claimedAt !== undefined && !waits.includes(_tag) &&
        { claimedAt: DateTime.makeUnsafe(entry.claimedAt) }),
      ...(entry.finishedAt !== undefined && { finishedAt: DateTime.makeUnsafe(entry.finishedAt) }),
      ...(entry.state._tag === "Running" && entry.state.isCancelling && { isCancelling: true }),
      ...(entry.state._tag === "Running" && entry.state.isSuspending && { isSuspending: true }),
      ...(_tag === "Running" && phase !== undefined && { phase }),
      ...(entry.shard !== undefined && { shard: entry.shard }),
      ...(entry.follows !== undefined && { after: entry.follows.run }),
      ...askedOf(entry),
      ...(entry.placed !== undefined && {
        placed: { ...entry.placed, at: DateTime.makeUnsafe(entry.placed.at) },
      }),
    }
  }

  const find = (run: RunId): Option.Option<RunView> =>
    Option.map(Option.fromNullishOr(state.runs.get(run)), view)

  const events = (run: RunId): ReadonlyArray<RunHappening> => {
    const entry = state.runs.get(run)
    if (entry === undefined) return []
    const { claimedAt, createdAt, failure, finishedAt, journal, state: { _tag, attempt, fence } } =
      entry
    const end = finishedAt === undefined ? undefined : {
      at: finishedAt,
      kind: _tag,
      ...(failure !== undefined && { detail: failure.message }),
    }
    const executor = state.named(entry.holder)
    return History.of(
      { createdAt, attempt, fence, claimedAt, executor, end },
      journal.map(({ failure: _, ...told }) => told),
    )
  }

  const why = (run: RunId): Option.Option<Reason> =>
    Option.map(Option.fromNullishOr(state.runs.get(run)), reason)

  /** Who has what it touches, and who waits before it for any of that. */
  const touchingReason = ({ spec: { gate, namespace }, turn }: Entry): Reason => {
    const of = Touching.prefixOf(namespace)
    const among = (all: Iterable<readonly [GateKey, Iterable<Entry>]>) =>
      [...all].filter(([key]) => key.startsWith(of) && Touching.areOpposed(key, gate!.key)).flatMap(
        ([, entries]) => [...entries],
      )
    const holding = among(state.holders).map(({ id }) => id).sort((a, b) => a - b)
    const ahead = among(state.blocked).filter((other) => other.turn < turn).length
    return holding.length === 0 && ahead === 0
      ? { _tag: "GateOpen", gate: gate!.key }
      : { _tag: "GateFull", gate: gate!.key, holders: holding.slice(0, 10), ahead }
  }

  const reason = (entry: Entry): Reason => {
    const { lane, spec: { gate, namespace, task } } = entry
    const failure = entry.failure === undefined ? {} : { failure: entry.failure }
    switch (entry.state._tag) {
      case "Scheduled":
        return { _tag: "DueLater", at: DateTime.makeUnsafe(entry.dueAt), ...failure }
      case "Blocked": {
        const holding = holders(gate!.key)
        if (Touching.isGate(gate!.key)) return touchingReason(entry)
        if (Blocking.decide(gate!, holding.length) === "admit") {
          return { _tag: "GateOpen", gate: gate!.key }
        }
        const ahead = [...state.blocked.get(gate!.key)!].indexOf(entry)
        const ids = holding.slice(0, 10).map(({ id }) => id)
        return { _tag: "GateFull", gate: gate!.key, holders: ids, ahead }
      }
      case "Ready": {
        if (Lane.isUnplaced(lane)) return { _tag: "Unplaced", task, passedOver: [] }
        const serving = [...state.members.values()].filter((member) =>
          standingOf(member, ofLeases()) === "live" && member.joining.namespace === namespace &&
          member.tasks.includes(task)
        )
        const none = unserved(task, lane, serving.map(({ joining: { labels } }) => labels))
        if (none !== undefined) return none
        const order = Lane.order(now())
        const place = (each: Entry) => ({ level: each.level, rank: each.rank, run: each.id })
        const ahead = [...state.ready.get(lane)!]
          .filter((other) => order(place(other), place(entry)) < 0).length
        return { _tag: "Waiting", lane, ahead }
      }
      case "Running": {
        const { incarnation, joining: { name } } = state.members.get(entry.holder!.incarnation)!
        const { isCancelling, isSuspending } = entry.state
        return {
          _tag: "Held",
          incarnation,
          name,
          isCancelling,
          ...(isSuspending && { isSuspending }),
        }
      }
      case "Awaiting": {
        if (!entry.state.isParent) {
          const { awaitsUntil } = entry
          return {
            _tag: "Awaits",
            ...(awaitsUntil !== undefined && { until: DateTime.makeUnsafe(awaitsUntil) }),
          }
        }
        const left = entry.children.filter((child) => !Run.isFinal(child.state._tag))
        const children = left.slice(0, 10).map(({ id }) => id)
        return { _tag: "AwaitsChildren", left: left.length, children }
      }
      case "Suspended":
        return { _tag: "Suspended", since: DateTime.makeUnsafe(entry.suspendedAt) }
      default:
        return { _tag: "Ended", state: entry.state._tag, ...failure }
    }
  }

  return {
    find: (run) => Effect.sync(() => find(run)),
    findMany: (runs) => Effect.sync(() => runs.flatMap((run) => Option.toArray(find(run)))),
    list: ({ before, isBrief, limit, namespace, parent, states, task }) =>
      Effect.sync(() =>
        [...state.runs.values()].reverse().filter((entry) =>
          entry.spec.namespace === namespace &&
          (task === undefined || entry.spec.task === task) &&
          (states === undefined || states.includes(entry.state._tag)) &&
          (parent === undefined || entry.shard?.parent === parent) &&
          (before === undefined || entry.id < before)
        ).slice(0, limit).map(view).map((view) => isBrief ? brief(view) : view)
      ),
    state: (namespace, task, key) =>
      Effect.sync(() => Option.fromNullishOr(state.states.get(`${namespace} ${task} ${key}`))),
    depth: (lanes) =>
      Effect.sync(() => lanes.reduce((sum, lane) => sum + (state.ready.get(lane)?.size ?? 0), 0)),
    backlog: (lanes) =>
      Effect.sync(() =>
        lanes.reduce(
          (sum, lane) =>
            sum + (state.ready.get(lane)?.size ?? 0) + (state.blockedFor.get(lane)?.size ?? 0),
          0,
        )
      ),
    counts: (namespace, tasks) =>
      Effect.sync(() => {
        const counts: Partial<Record<Run.StateName, number>> = {}
        for (const { spec, state: { _tag } } of state.runs.values()) {
          if (spec.namespace !== namespace || tasks?.includes(spec.task) === false) continue
          counts[_tag] = (counts[_tag] ?? 0) + 1
        }
        return counts
      }),
    events: (run) => Effect.sync(() => events(run)),
    why: (run) => Effect.sync(() => why(run)),
  }
}

const brief = ({ result: _, ...view }: RunView): RunView => ({ ...view, payload: "null" })
