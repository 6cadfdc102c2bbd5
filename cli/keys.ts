/** Single keys, on a terminal. */
import { Effect } from "effect"

/** Returns when a key's answer is `false`; elsewhere than on a terminal it never does. */
export const keys = <E, R>(
  pressed: (key: string) => Effect.Effect<boolean, E, R>,
): Effect.Effect<void, E, R> =>
  Effect.suspend(() => {
    const { stdin } = process
    if (!stdin.isTTY) return Effect.never
    const next = Effect.callback<string>((resume) => {
      const hear = (bytes: Buffer) => resume(Effect.succeed(bytes.toString()))
      stdin.once("data", hear)
      return Effect.sync(() => stdin.off("data", hear))
    })
    const listen = Effect.gen(function* () {
      for (;;) {
        const key = yield* next
        // In raw mode the terminal leaves Control-C to us.
        if (key === "\u0003") process.kill(process.pid, "SIGINT")
        else if (!(yield* pressed(key))) return
      }
    })
    return Effect.acquireUseRelease(
      Effect.sync(() => stdin.setRawMode(true).resume()),
      () => listen,
      () => Effect.sync(() => stdin.setRawMode(false).pause()),
    )
  })
