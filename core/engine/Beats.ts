/**
 * Beats for an executor while its own thread is held up, by a handler that keeps the processor.
 *
 * It is told of each beat that the executor makes itself, but for those that repeat one without an answer.
 * When none has come for longer than it should, it beats in its stead, and says for how long nothing else
 * was heard: who beats and does nothing is alive and stuck, which is not the same as dead. It lives in the
 * process of its executor and ends with it.
 *
 * A run that has a time-out is ended by it as well, when its executor does not get to that: as a handler
 * that ignores its interruption is, it is fenced off, and where it was last is stuck.
 *
 * An executor that goes on asks how long ago its lease was kept: its own next beat may get no answer,
 * because its connection was given up while nobody looked after it, and that must not end what is kept.
 */
import { Context } from "effect"
import type { Incarnation, Vitals } from "../domain/Executor.ts"
import type { Held } from "../services/ExecutorStorage.ts"
import type { Ending } from "../services/RunStorage.ts"

export interface Beat {
  readonly incarnation: Incarnation
  readonly ttlMillis: number
  readonly held: Held
  readonly vitals: Vitals
  /** Of all runs that have a time-out. */
  readonly endings: ReadonlyArray<Ending>
}

export class Beats extends Context.Service<Beats, {
  /** The executor beats, and will again; or, without a beat, has gone. */
  readonly heard: (beat: Beat | undefined) => void
  /** A run with a time-out begins, and may keep the processor from the next moment on. 3 µs each. */
  readonly begins: (ending: Ending) => void
  /** How long ago it sent the last beat by which it kept this lease; if it never has, `undefined`. */
  readonly keptMillisAgo: (incarnation: Incarnation) => number | undefined
}>()("belfry/core/engine/Beats") {}
