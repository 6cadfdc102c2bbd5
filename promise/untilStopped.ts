/**
 * Calls code of the user's. Interrupted, it aborts the signal and waits until the code has stopped, so
 * that nothing begins beside it. How long that may take is for whoever interrupts: a pool calls what
 * goes on after its `stopTimeout` stuck, and counts it until it ends.
 */
import { Effect } from "effect"

export const untilStopped = <A, E>(
  call: (signal: AbortSignal) => A | Promise<A>,
  {
    thrown,
    why,
  }: {
    /** What becomes of what it throws. */
    readonly thrown: (cause: unknown) => Effect.Effect<never, E>
    /** What the signal says. */
    readonly why: string
  },
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    const controller = new AbortController()
    const ended = (async () => await call(controller.signal))().then(
      (value) => resume(Effect.succeed(value)),
      (cause) => resume(thrown(cause)),
    )
    return Effect.suspend(() => {
      controller.abort(new DOMException(why, "AbortError"))
      return Effect.promise(() => ended)
    })
  })
