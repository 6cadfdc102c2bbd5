/** Which of several servers answers. */
import { Effect } from "effect"

/** Whether any answer comes from there at all. */
export const isUp = (url: string): Effect.Effect<boolean> =>
  Effect.tryPromise(async () => {
    const answer = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(2000) })
    await answer.body?.cancel()
    return true
  }).pipe(Effect.orElseSucceed(() => false))

/** The first that answers, or the first when none does. */
export const firstUp = Effect.fnUntraced(function* (urls: ReadonlyArray<string>) {
  if (urls.length > 1) { for (const url of urls) if (yield* isUp(url)) return url }
  return urls[0]!
})
