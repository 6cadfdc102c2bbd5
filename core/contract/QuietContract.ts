/**
 * R34 of `RunStorage`, in a storage in which there is nothing else. That of the rest of what is done
 * nothing is overlooked, the agreement sees: there, what was said to be quiet is swept.
 *
 * Tried on each adapter, and caught: a lost holder, a passed deadline, a gate or an ending overlooked;
 * never quiet.
 * In memory a lost holder is told of in two ways, and either alone is enough here.
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import { Storage } from "../services/Storage.ts"
import {
  admitAll,
  block,
  type Elapse,
  expireAll,
  freshNamespace,
  gateOf,
  joined,
  nothingHeld,
  type Options,
  recoverAll,
  specOf,
  submitOne,
  timeOut,
} from "./world.ts"

const isQuiet = (expected: boolean, because: string) =>
  Effect.map(
    Storage.use(({ runs }) => runs.isQuiet),
    (isQuiet) => assert.strictEqual(isQuiet, expected, because),
  )

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void =>
  block(`quiet, ${adapter}`, layer, options, (it) => {
    it.effect("R34 quiet: while there is nothing to do for a sweep, and then no more", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        yield* isQuiet(true, "there is nothing")
        const hand = yield* joined(namespace, Duration.seconds(10))
        yield* submitOne(specOf(namespace))
        yield* isQuiet(true, "a run is ready")
        yield* hand.one
        yield* isQuiet(true, "its holder is live")
        yield* elapse(Duration.seconds(11))
        yield* isQuiet(false, "its holder is lost")
        yield* recoverAll
        yield* isQuiet(true, "it is free")
        const gate = gateOf(namespace, 1)
        yield* submitOne(specOf(namespace, { gate }))
        yield* isQuiet(false, "a gate is open")
        yield* admitAll(gate.key)
        yield* submitOne(specOf(namespace, { deadlineMillis: 1000 }))
        yield* isQuiet(true, "nothing waits at a gate, and a deadline is to come")
        yield* elapse(Duration.seconds(2))
        yield* isQuiet(false, "it has passed")
        yield* expireAll
        yield* isQuiet(true, "all is done")
        const other = yield* joined(namespace)
        const grant = yield* other.one
        const { executors, runs } = yield* Storage
        const all = [{ inMillis: 20_000, report: timeOut(grant) }]
        yield* executors.beat(other.incarnation, nothingHeld, undefined, { number: 1, all })
        yield* isQuiet(true, "a run has time left")
        yield* elapse(Duration.seconds(19.5))
        yield* isQuiet(false, "its time is up soon")
        yield* elapse(Duration.seconds(2))
        yield* isQuiet(false, "its time is up")
        while ((yield* runs.endOverdue(10)).nextInMillis === 0);
        yield* isQuiet(true, "it was ended")
      }))
  })
