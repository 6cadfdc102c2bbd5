/** Where a run waits, and what brings it into its lane from there. */
import { Duration, Effect } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Grant, RunSpec } from "../services/RunStorage.ts"
import type { Storage } from "../services/Storage.ts"
import {
  admitAll,
  type Elapse,
  gateOf,
  type Hand,
  joined,
  postpone,
  promoteAll,
  putDown,
  recoverAll,
  release,
  resumed,
  retry,
  specOf,
  submitOne,
  suspended,
} from "./world.ts"

export type WayToWait<R> = (namespace: Namespace, spec: Partial<RunSpec>) => Effect.Effect<
  readonly [run: RunId, on: Effect.Effect<unknown, unknown, Storage | R>],
  unknown,
  Storage | R
>
type Ways<R> = Readonly<Record<string, WayToWait<R>>>

const isThere = (run: RunId) => [run, Effect.void] as const

/** Of a run that was never granted. */
export const waysToWait = <R>(elapse: Elapse<R>): Ways<R> => ({
  "in its lane": (namespace, spec) => Effect.map(submitOne(specOf(namespace, spec)), isThere),
  "in its lane, past a gate": (namespace, spec) =>
    Effect.gen(function* () {
      const gate = gateOf(namespace, 1)
      const run = yield* submitOne(specOf(namespace, { ...spec, gate }))
      yield* admitAll(gate.key)
      return isThere(run)
    }),
  "until it is due": (namespace, spec) =>
    Effect.map(submitOne(specOf(namespace, { ...spec, delayMillis: 5000 })), (run) => [
      run,
      Effect.andThen(elapse(Duration.seconds(7)), promoteAll),
    ]),
  "at a gate": (namespace, spec) => {
    const gate = gateOf(namespace, 1)
    return Effect.map(
      submitOne(specOf(namespace, { ...spec, gate })),
      (run) => [run, admitAll(gate.key)],
    )
  },
  "to be resumed": (namespace, spec) =>
    Effect.gen(function* () {
      const run = yield* submitOne(specOf(namespace, spec))
      yield* suspended(run)
      return [run, resumed(run)] as const
    }),
})

/** Of a run that was granted before. */
export const waysToWaitAgain = <R>(elapse: Elapse<R>): Ways<R> => ({
  "in its lane, given back": (namespace, spec) =>
    Effect.gen(function* () {
      const other = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, spec))
      yield* other.settle(release(yield* other.one))
      return isThere(run)
    }),
  "for its next attempt": (namespace, spec) =>
    Effect.gen(function* () {
      const other = yield* joined(namespace)
      const run = yield* submitOne(specOf(namespace, spec))
      yield* other.settle(retry(yield* other.one, 5000))
      return [run, Effect.andThen(elapse(Duration.seconds(7)), promoteAll)] as const
    }),
})

/** Of a run that somebody holds: where it will wait again. */
export const waysToWaitLater = <R>(elapse: Elapse<R>): Ways<R> => {
  const held = (
    namespace: Namespace,
    spec: Partial<RunSpec>,
    by: (hand: Hand, grant: Grant) => Effect.Effect<unknown, unknown, Storage | R>,
  ) =>
    Effect.gen(function* () {
      const hand = yield* joined(namespace, Duration.seconds(10))
      const run = yield* submitOne(specOf(namespace, spec))
      return [run, by(hand, yield* hand.one)] as const
    })
  const due = Effect.andThen(elapse(Duration.seconds(7)), promoteAll)
  return {
    "once it is given back": (namespace, spec) =>
      held(namespace, spec, (hand, grant) => hand.settle(release(grant))),
    "once it is tried again": (namespace, spec) =>
      held(namespace, spec, (hand, grant) => Effect.andThen(hand.settle(retry(grant, 5000)), due)),
    "once it was postponed": (namespace, spec) =>
      held(
        namespace,
        spec,
        (hand, grant) => Effect.andThen(hand.settle(postpone(grant, 5000)), due),
      ),
    "once it was put down": (namespace, spec) =>
      held(
        namespace,
        spec,
        (hand, grant) => Effect.andThen(hand.settle(putDown(grant)), resumed(grant.run)),
      ),
    "once its holder is lost": (namespace, spec) =>
      held(namespace, spec, () => Effect.andThen(elapse(Duration.seconds(11)), recoverAll)),
  }
}
