/** Which of several servers answers. */
import { Effect, Latch } from "effect"

/** Whether a server answers there, be it for itself or not yet ready. */
export const isUp = (url: string): Effect.Effect<boolean> =>
  Effect.tryPromise(async (given) => {
    const signal = AbortSignal.any([given, AbortSignal.timeout(2000)])
    const answer = await fetch(`${url}/livez`, { signal })
    await answer.body?.cancel()
    return answer.ok
  }).pipe(Effect.orElseSucceed(() => false))

/** So long a server has to answer before the one after it is asked as well. */
const headStartMillis = 250

/** The first that answers, each asked a little after the one before it; or the first when none does. */
export const firstUp = (urls: ReadonlyArray<string>): Effect.Effect<string> => {
  const from = (at: number): Effect.Effect<string, "none is up"> => {
    const url = urls[at]
    if (url === undefined) return Effect.fail("none is up")
    const isDown = Latch.makeUnsafe()
    const down = Effect.andThen(isDown.open, Effect.fail("none is up" as const))
    const one = Effect.flatMap(isUp(url), (isIt) => isIt ? Effect.succeed(url) : down)
    const others = Effect.raceFirst(isDown.await, Effect.sleep(headStartMillis))
    return Effect.raceAll([one, Effect.andThen(others, Effect.suspend(() => from(at + 1)))])
  }
  return urls.length === 1
    ? Effect.succeed(urls[0]!)
    : Effect.orElseSucceed(from(0), () => urls[0]!)
}
