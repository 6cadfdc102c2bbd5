/** Executors in memory: see `ExecutorStorage` for the laws. */
import { DateTime, Effect } from "effect"
import {
  capacityOf,
  type Incarnation,
  type Standing,
  type Vitals,
} from "../../core/domain/Executor.ts"
import {
  type Beaten,
  type ExecutorStorage,
  type Held,
  held,
} from "../../core/services/ExecutorStorage.ts"
import type { Endings } from "../../core/services/RunStorage.ts"
import type { Entry, Member, MemoryState } from "./MemoryState.ts"
import type { TaskStorage } from "../../core/services/TaskStorage.ts"

/** How a member stands, whether or not a sweep has noticed. */
export const standingOf = (member: Member | undefined, now: number): Standing | undefined => {
  if (member === undefined) return undefined
  const isHere = member.standing === "live" || member.standing === "draining"
  return isHere && member.beatAt + member.joining.ttlMillis <= now ? "lost" : member.standing
}

const grantOf = ({ id, state: { fence } }: Entry) => ({ run: id, fence })

const goneMillis = 3_600_000

export const make = (
  state: MemoryState,
  tasks: TaskStorage,
  now: () => number,
): ExecutorStorage => {
  const whileHere = (incarnation: Incarnation, change: (member: Member) => void) =>
    Effect.sync(() => {
      const member = state.members.get(incarnation)
      const standing = standingOf(member, now())
      if (member !== undefined && (standing === "live" || standing === "draining")) change(member)
    })

  const leave = (member: Member, { all, number }: Endings) => {
    if (number <= member.endingsNumber) return
    member.endingsNumber = number
    member.endings = new Map(
      all.map(({ inMillis, report }) => [report.run, { at: now() + inMillis, report }]),
    )
  }

  const beat = (
    incarnation: Incarnation,
    known: Held,
    vitals?: Vitals,
    endings?: Endings,
  ): Beaten => {
    const member = state.members.get(incarnation)
    const standing = standingOf(member, now())
    if (member === undefined || standing === "lost" || standing === "left") return { _tag: "Lost" }
    member.beatAt = now()
    member.vitals = vitals ?? member.vitals
    if (endings !== undefined) leave(member, endings)
    const revoked = [...member.held].filter(({ state }) =>
      state._tag === "Running" && (state.isCancelling || state.isSuspending)
    )
    const kept = held([...member.held].map(grantOf))
    return {
      _tag: "Alive",
      revoked: revoked.map((entry) => ({
        ...grantOf(entry),
        ...(entry.state._tag === "Running" && entry.state.isSuspending &&
          { isSuspending: true as const }),
      })),
      isAgreed: kept.count === known.count && kept.digest === known.digest,
      ...(member.sizes !== undefined && { sizes: member.sizes }),
    }
  }

  /**
   * Those gone for an hour that hold nothing are forgotten, once a sweep has told of those lost;
   * their number is not used again.
   */
  const forgetGone = () => {
    const at = now()
    for (const member of state.members.values()) {
      const isGone = (member.standing === "left" || member.standing === "lost") &&
        member.held.size === 0 && member.beatAt + goneMillis < at
      if (isGone) state.members.delete(member.incarnation)
    }
  }

  return {
    join: (joining) =>
      Effect.sync(() => {
        forgetGone()
        const incarnation = state.nextIncarnation()
        state.members.set(incarnation, {
          incarnation,
          joining,
          joinedAt: now(),
          beatAt: now(),
          standing: "live",
          tasks: [],
          vitals: undefined,
          sizes: undefined,
          held: new Set(),
          endings: new Map(),
          endingsNumber: 0,
        })
        return incarnation
      }),
    serve: (incarnation, definitions) =>
      Effect.andThen(
        tasks.define(definitions),
        whileHere(incarnation, (member) => {
          member.tasks = definitions.map(({ name }) => name)
        }),
      ),
    beat: (incarnation, known, vitals, endings) =>
      Effect.sync(() => beat(incarnation, known, vitals, endings)),
    resize: (namespace, incarnation, sizes) =>
      Effect.sync(() => {
        const member = state.members.get(incarnation)
        const standing = standingOf(member, now())
        const isHere = member?.joining.namespace === namespace &&
          (standing === "live" || standing === "draining")
        if (isHere) member.sizes = sizes
        return isHere
      }),
    drain: (incarnation) =>
      whileHere(incarnation, (member) => {
        member.standing = "draining"
      }),
    leave: (incarnation) =>
      whileHere(incarnation, (member) => {
        member.standing = "left"
      }),
    list: (namespace) =>
      Effect.sync(() =>
        [...state.members.values()].reverse()
          .filter((member) => member.joining.namespace === namespace)
          .map((member) => ({
            incarnation: member.incarnation,
            namespace: member.joining.namespace,
            name: member.joining.name,
            standing: standingOf(member, now())!,
            capacity: capacityOf(member.joining.capacity, member.vitals),
            labels: member.joining.labels,
            resources: member.joining.resources ?? {},
            tasks: member.tasks,
            held: member.held.size,
            ...(member.vitals !== undefined && { vitals: member.vitals }),
            joinedAt: DateTime.makeUnsafe(member.joinedAt),
            beatAt: DateTime.makeUnsafe(member.beatAt),
          }))
      ),
  }
}
