/**
 * Groups of tasks, looked after as one: which there are, how many runs each has, and orders by hand.
 * Tasks name their group; nothing has to be set up for that.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { Words } from "../domain/Asked.ts"
import type { GateKey } from "../domain/Blocking.ts"
import { asNew, type GroupView, type Standing, viewOf } from "../domain/Group.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { refusalOf, type Refused } from "../domain/Refused.ts"
import { isFinal, StateName } from "../domain/Run.ts"
import type { RunId } from "../domain/RunId.ts"
import type { TaskName } from "../domain/Task.ts"
import * as Placer from "../services/Placer.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { CurrentNamespace } from "./CurrentNamespace.ts"

/** No task names a group of this name, and none of this name is paused. */
export class GroupUnknown extends Schema.TaggedError<GroupUnknown>()("GroupUnknown", {
  name: Schema.String,
}) {
  override get message() {
    return `there is no group "${this.name}"`
  }
}

/** How many were cancelled: some at once, some as soon as their executors have stopped them. */
export interface Cancelled {
  readonly confirmed: number
  readonly requested: number
}

/** What became of a part of its runs. */
export interface Step extends Cancelled {
  /** There are others: those before this one are still to be looked at. */
  readonly next?: RunId
}

export interface GroupOrder extends Words {
  readonly namespace?: Namespace
}

export class Groups extends Context.Service<Groups, {
  /** By name. */
  readonly list: (
    namespace?: Namespace,
  ) => Effect.Effect<ReadonlyArray<GroupView>, StorageUnavailable>

  readonly find: (
    name: string,
    namespace?: Namespace,
  ) => Effect.Effect<GroupView, GroupUnknown | StorageUnavailable>

  /** How many runs its tasks have in each state. Past 10,000 in one a count may be an estimate. */
  readonly counts: (
    name: string,
    namespace?: Namespace,
  ) => Effect.Effect<
    Readonly<Partial<Record<StateName, number>>>,
    GroupUnknown | StorageUnavailable
  >

  /** From its answer on no run is permitted to start; what has started goes on. */
  readonly pause: (
    name: string,
    order?: GroupOrder,
  ) => Effect.Effect<GroupView, GroupUnknown | Refused | StorageUnavailable>

  readonly resume: (
    name: string,
    order?: GroupOrder,
  ) => Effect.Effect<GroupView, GroupUnknown | Refused | StorageUnavailable>

  /** Asks all runs that are there, and have not ended, to stop; what is submitted meanwhile stays. */
  readonly cancel: (
    name: string,
    order?: Omit<GroupOrder, "note">,
  ) => Effect.Effect<Cancelled, GroupUnknown | Refused | StorageUnavailable>

  /** A part of them, the latest first: those before `before`. */
  readonly cancelSome: (
    name: string,
    order?: Omit<GroupOrder, "note"> & { readonly before?: RunId | undefined },
  ) => Effect.Effect<Step, GroupUnknown | Refused | StorageUnavailable>
}>()("belfry/core/engine/Groups") {
  static readonly layer: Layer.Layer<Groups, never, Storage> = Layer.effect(
    Groups,
    Effect.suspend(() => make),
  )
}

const unfinished = StateName.literals.filter((state) => !isFinal(state))
/** So many runs are looked at by one step, with their payloads. */
const batch = 100
/** Cancels in a step go out so many at a time. */
const atOnce = 4

const make = Effect.gen(function* () {
  const storage = yield* Storage
  const { permits, runs, tasks } = storage
  const placer = Placer.make(storage)
  const here = (given: Namespace | undefined) =>
    given === undefined ? CurrentNamespace : Effect.succeed(given)

  /** The tasks of each group. */
  const members = Effect.fnUntraced(function* (namespace: Namespace) {
    const of = new Map<string, Array<GroupView["tasks"][number]>>()
    for (const { definition: { name, policy: { group } } } of yield* tasks.list(namespace)) {
      if (group === undefined) continue
      const { limit } = group
      const member = { name, ...(limit !== undefined && { limit }) }
      of.set(group.name, [...of.get(group.name) ?? [], member])
    }
    return of
  })

  const viewed = Effect.fnUntraced(function* (
    namespace: Namespace,
    name: string,
    standing: Standing,
  ) {
    const of = (yield* members(namespace)).get(name)
    return of === undefined && !standing.isPaused
      ? yield* new GroupUnknown({ name })
      : viewOf(namespace, name, of ?? [], standing)
  })

  const find = Effect.fnUntraced(function* (name: string, given?: Namespace) {
    const namespace = yield* here(given)
    return yield* viewed(namespace, name, yield* permits.findGroup(namespace, name))
  })

  const order = (isPaused: boolean) =>
    Effect.fnUntraced(function* (name: string, { namespace: given, ...words }: GroupOrder = {}) {
      const said = yield* checked(words)
      const { namespace, tasks } = yield* find(name, given)
      return viewOf(
        namespace,
        name,
        tasks,
        yield* permits.orderGroup(namespace, name, isPaused, said),
      )
    })

  const latest = (namespace: Namespace, of: ReadonlyArray<TaskName>, before: RunId | undefined) =>
    Effect.map(
      Effect.forEach(of, (task) =>
        runs.list({
          ...{ namespace, task, states: unfinished, limit: batch, isBrief: true as const },
          ...(before !== undefined && { before }),
        })),
      (lists) => lists.flat().sort((a, b) => b.id - a.id).slice(0, batch),
    )

  /**
   * The latest first: those before them are likelier to have begun, and when these let go of places
   * nobody is left to take them. So none begins to be cancelled right away.
   */
  const cancelSome: Groups["Service"]["cancelSome"] = Effect.fnUntraced(
    function* (name, { before, namespace: given, ...words } = {}) {
      const { by } = yield* checked(words)
      const { namespace, tasks } = yield* find(name, given)
      const found = yield* latest(namespace, tasks.map(({ name }) => name), before)
      const freed = new Set<GateKey>()
      const counts = { confirmed: 0, requested: 0, ended: 0 }
      // A child is cancelled with its parent, which is of the same task.
      const whole = found.filter(({ shard }) => shard === undefined)
      yield* Effect.forEach(
        whole,
        Effect.fnUntraced(function* ({ id }) {
          const answer = yield* runs.cancel(id, by)
          if (answer._tag === "None") return
          counts[answer.value.answer]++
          for (const gate of answer.value.freed) freed.add(gate)
        }),
        { concurrency: atOnce, discard: true },
      )
      // They are cancelled; should this fail, the sweep lets pass who may by it.
      if (freed.size > 0) yield* Effect.ignore(placer.admit(freed))
      const { confirmed, requested } = counts
      const next = found.length < batch ? undefined : found.at(-1)!.id
      return { confirmed, requested, ...(next !== undefined && { next }) }
    },
  )

  return Groups.of({
    list: Effect.fnUntraced(function* (given) {
      const namespace = yield* here(given)
      const of = yield* members(namespace)
      const standings = yield* permits.groups(namespace)
      const paused = [...standings].flatMap(([name, { isPaused }]) => isPaused ? [name] : [])
      return [...new Set([...of.keys(), ...paused])].sort().map((name) =>
        viewOf(namespace, name, of.get(name) ?? [], standings.get(name) ?? asNew)
      )
    }),
    find,
    counts: Effect.fnUntraced(function* (name, given) {
      const { namespace, tasks } = yield* find(name, given)
      return yield* runs.counts(namespace, tasks.map(({ name }) => name))
    }),
    pause: order(true),
    resume: order(false),
    cancel: cancelAll(cancelSome),
    cancelSome,
  })
})

const checked = (words: Words) =>
  Effect.mapError(
    Schema.decodeUnknownEffect(Words)(words, { reportInput: true }),
    (error) => refusalOf(error, "order"),
  )

/** Cancels page after page, until there is no next one. */
export const cancelAll = (
  cancelSome: Groups["Service"]["cancelSome"],
): Groups["Service"]["cancel"] =>
  Effect.fnUntraced(function* (name, order = {}) {
    let { confirmed, next, requested } = yield* cancelSome(name, order)
    while (next !== undefined) {
      const step: Step = yield* cancelSome(name, { ...order, before: next })
      confirmed += step.confirmed
      requested += step.requested
      next = step.next
    }
    return { confirmed, requested }
  })
