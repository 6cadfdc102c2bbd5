/** Which of several servers answers. */
import { Effect } from "effect"

/** Whether a server answers there, be it for itself or not yet ready. */
export const isUp = (url: string): Effect.Effect<boolean> =>
  Effect.tryPromise(async () => {
    const answer = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(2000) })
    await answer.body?.cancel()
    return answer.ok
  }).pipe(Effect.orElseSucceed(() => false))

/** The first that answers, or the first when none does. */
export const firstUp = Effect.fnUntraced(function* (urls: ReadonlyArray<string>) {
  if (urls.length > 1) { for (const url of urls) if (yield* isUp(url)) return url }
  return urls[0]!
})
