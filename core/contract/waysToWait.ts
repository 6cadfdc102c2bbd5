/** Where a run waits, and what brings it into its lane from there. */
import { Duration, Effect } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import type { Storage } from "../services/Storage.ts"
import {
  admitAll,
  type Elapse,
  gateOf,
  joined,
  promoteAll,
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
