/**
 * Lets runs pass their gates, and places those that are routed: what follows whenever something was
 * submitted, ended or came back. It keeps nothing but who is about to look; what it decides is as
 * right as what it read, and is applied only while that holds (P2).
 */
import { Effect, Random, Semaphore } from "effect"
import type { ExecutorView } from "../domain/Executor.ts"
import type { GateKey } from "../domain/Blocking.ts"
import * as Lane from "../domain/Lane.ts"
import * as Placing from "../domain/Placing.ts"
import type { Policy } from "../domain/Policy.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { TaskName } from "../domain/TaskName.ts"
import { routingOf, unplacedOf } from "../domain/Waiting.ts"
import type { Waiting } from "./PlacementStorage.ts"
import type { Admission } from "./RunStorage.ts"
import type { Storage } from "./Storage.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export interface Placer {
  /** Admits at these gates, and places whom that concerns. */
  readonly admit: (
    gates: Iterable<GateKey>,
  ) => Effect.Effect<ReadonlyArray<Admission>, StorageUnavailable>

  /** Places what waits in these unplaced lanes, as far as anybody is there for it. */
  readonly place: (lanes: Iterable<Lane.Lane>) => Effect.Effect<void, StorageUnavailable>

  /** What a look at the task would go by now; none while nobody has served it. */
  readonly look: (
    namespace: Namespace,
    task: TaskName,
  ) => Effect.Effect<Placing.Look | undefined, StorageUnavailable>
}

/** So many runs are decided about at once. */
const batch = 500
/** A decision is made anew so often when others decide at the same time; then the sweep will. */
const staleMax = 20

/** Those here; and of those gone the latest of each name that nobody here has. */
const hereOrMissed = (views: ReadonlyArray<ExecutorView>): ReadonlyArray<ExecutorView> => {
  const isHere = ({ standing }: ExecutorView) => standing === "live" || standing === "draining"
  const here = views.filter(isHere)
  const names = new Set(here.map(({ name }) => name))
  const missed = views.filter((view) =>
    !isHere(view) && !names.has(view.name) && names.add(view.name)
  )
  return [...here, ...missed]
}

export const make = ({ executors, placements, runs, tasks }: Storage["Service"]): Placer => {
  const turn = Semaphore.makeUnsafe(1)
  /** Somebody is about to look at these, and sees all that is there by now. */
  const wanted = new Set<Lane.Lane>()

  /** None while nobody has served the task. */
  const policyOf = Effect.fnUntraced(function* (namespace: Namespace, task: TaskName) {
    const found = yield* tasks.find(namespace, task)
    return found._tag === "Some" ? found.value.definition.policy : undefined
  })

  const lookAt = Effect.fnUntraced(function* (
    namespace: Namespace,
    task: TaskName,
    policy: Policy,
    { loads, remembered, runs }: Waiting,
  ) {
    const drawn = routingOf(policy)._tag === "Random"
      ? yield* Effect.forEach(runs, () => Random.next)
      : []
    const needs = new Map([[task, policy.resources]])
    for (const load of loads) {
      if (needs.has(load.task)) continue
      needs.set(load.task, (yield* policyOf(namespace, load.task))?.resources)
    }
    return {
      namespace,
      task,
      policy,
      executors: hereOrMissed(yield* executors.list(namespace)),
      loads,
      needsOf: (task: TaskName) => needs.get(task),
      remembered,
      chance: () => drawn.pop() ?? 0,
    } satisfies Placing.Look
  })

  /** Whether more wait that were not looked at; and the gates that have to be looked at now. */
  const pass = Effect.fnUntraced(function* (lane: Lane.Lane) {
    const { namespace, task } = Lane.taskOf(lane)
    for (let times = 0; times < staleMax; times++) {
      const waiting = yield* placements.waiting(lane, batch)
      if (waiting.runs.length === 0) break
      const policy = yield* policyOf(namespace, task)
      if (policy === undefined) break
      const look = yield* lookAt(namespace, task, policy, waiting)
      const { moves, remembered } = Placing.decide(look, waiting.runs)
      if (moves.length === 0) break
      const { revision } = waiting
      const applied = yield* placements.place({ lane, revision, remembered, moves })
      if (applied._tag === "Applied") {
        return { hasMore: waiting.runs.length === batch, gates: applied.gates }
      }
      yield* Effect.sleep(10 * (yield* Random.next))
    }
    return { hasMore: false, gates: [] }
  })

  const placeIn = (lane: Lane.Lane) =>
    Effect.suspend(() => {
      wanted.add(lane)
      return turn.withPermit(Effect.gen(function* () {
        // Somebody looked after this was wanted.
        if (!wanted.delete(lane)) return
        for (;;) {
          const { gates, hasMore } = yield* pass(lane)
          // Parts wait in the same lane, and are placed with the next look.
          const admitted = gates.length === 0 ? [] : yield* runs.admit(gates)
          if (!hasMore && admitted.length === 0) return
        }
      }))
    })

  const place = (lanes: Iterable<Lane.Lane>) =>
    Effect.forEach(new Set(lanes), placeIn, { discard: true })

  return {
    place,
    admit: Effect.fnUntraced(function* (given) {
      const gates = [...given]
      const admissions = yield* runs.admit(gates)
      const lanes = [
        ...gates.map(unplacedOf),
        ...admissions.map(({ unplaced }) => unplaced),
      ].filter((lane) => lane !== undefined)
      // What is admitted is so; should this fail, the sweep places it.
      if (lanes.length > 0) yield* Effect.ignore(place(lanes))
      return admissions
    }),
    look: Effect.fnUntraced(function* (namespace, task) {
      const waiting = yield* placements.waiting(Lane.unplaced(namespace, task), 1)
      const policy = yield* policyOf(namespace, task)
      return policy && (yield* lookAt(namespace, task, policy, waiting))
    }),
  }
}
