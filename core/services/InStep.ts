/**
 * Brings what a process looks for now and then into step, so that it wakes for all of it at once, and a
 * storage may answer all of it at once.
 *
 * If somebody else who asks the same storage wakes at about the right time, whoever waits does so then:
 * after half of what he would wait at least, and never after more. Where all wait about as long, they
 * are in step after a few rounds. Processes are not in step with each other.
 */
import { Clock, Effect, Random } from "effect"
import type { Storage } from "./Storage.ts"

/** When some wake next, by the monotonic clock. */
interface Step {
  at: number
}

const steps = new WeakMap<Storage["Service"], Step>()

/** For how many milliseconds to wait. */
export const pause = Effect.fnUntraced(function* (storage: Storage["Service"], mostMillis: number) {
  const clock = yield* Clock.Clock
  const now = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const step = steps.get(storage) ?? { at: -Infinity }
  steps.set(storage, step)
  if (step.at < now + mostMillis / 2 || step.at > now + mostMillis) {
    step.at = now + mostMillis * (0.9 + 0.1 * (yield* Random.next))
  }
  return step.at - now
})
