/**
 * The way between two processes, and all that can go wrong on it.
 *
 * A call that was sent arrives, even if its caller has died or stopped waiting; it may arrive twice,
 * and late; its answer may be lost, so that the caller does not know whether it was carried out.
 */
import { Clock, Duration, Effect, Fiber, Random, Scheduler } from "effect"
import type { Over } from "./far.ts"
import type { Process } from "./Process.ts"

/** How bad the way is now; the world changes it as time goes by. */
export interface Weather {
  lostRequests: number
  lostAnswers: number
  doubled: number
  delayMillis: number
}

export const calm: Readonly<Weather> = {
  lostRequests: 0,
  lostAnswers: 0,
  doubled: 0,
  delayMillis: 5,
}

/** The way of `process` to the world, by whose clock and whose scheduler messages on their way live. */
export const way = (
  process: Process,
  weather: Weather,
  world: Clock.Clock,
  calm: Scheduler.Scheduler,
): Over => {
  const onTheWay = <A, E>(call: Effect.Effect<A, E>) =>
    call.pipe(
      Effect.provideService(Clock.Clock, world),
      Effect.provideService(Scheduler.Scheduler, calm),
    )
  const delay = Effect.flatMap(
    Random.next,
    (chance) => world.sleep(Duration.millis(1 + chance * chance * weather.delayMillis)),
  )
  const silence = Effect.flatMap(
    Random.next,
    (chance) => world.sleep(Duration.millis(200 + chance * 1500)),
  )

  return Effect.fnUntraced(function* (_, call, unavailable) {
    yield* process.gate
    const [isLost, isDoubled, isUnanswered] = [
      (yield* Random.next) < weather.lostRequests,
      (yield* Random.next) < weather.doubled,
      (yield* Random.next) < weather.lostAnswers,
    ]
    if (isLost) {
      yield* silence
      yield* process.gate
      return yield* unavailable
    }
    if (isDoubled) {
      // The copy takes its own way, and may come long after the answer to the first.
      const late = Effect.delay(Effect.ignore(call), (yield* Random.next) * 3000)
      yield* Effect.forkDetach(onTheWay(late))
    }
    const sent = yield* Effect.forkDetach(onTheWay(Effect.andThen(delay, call)))
    const answer = yield* Fiber.await(sent)
    yield* isUnanswered ? silence : delay
    yield* process.gate
    return isUnanswered ? yield* unavailable : yield* answer
  })
}
