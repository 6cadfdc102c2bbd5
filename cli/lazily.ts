/**
 * Loads what a command needs when it runs: `trigger preview` need not wait for a database driver,
 * nor the help for a server.
 */
import { Effect } from "effect"

export const lazily = <M, A, E, R>(
  load: () => Promise<M>,
  use: (module: M) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> => Effect.flatMap(Effect.promise(load), use)
