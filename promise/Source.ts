/**
 * Sources of your own: whatever can be iterated from a position on. Adapters have those of a
 * technology, such as `Postgres.table`, `Sqlite.table` and `File.lines`.
 */
import { Effect, Stream } from "effect"
import * as Source from "../core/engine/Source.ts"

export { type Entry, type Source, SourceUnavailable } from "../core/engine/Source.ts"

export interface StreamOptions {
  /** The position after all that there is now; without it a trigger cannot begin at the end. */
  readonly end?: () => string | Promise<string>
}

/**
 * An async generator, or a stream of the web or of Node, that begins after a position, as often as it
 * is asked to; the empty position is the beginning. It is drawn no faster than its entries are taken,
 * and begun anew when it ends or throws. `signal` is aborted when nobody draws it any more.
 */
export const fromStream = (
  name: string,
  from: (after: string, signal: AbortSignal) => AsyncIterable<Source.Entry>,
  { end }: StreamOptions = {},
): Source.Source =>
  Source.fromStream(
    name,
    (after) =>
      Stream.unwrap(
        Effect.map(
          Effect.acquireRelease(
            Effect.sync(() => new AbortController()),
            (controller) => Effect.sync(() => controller.abort()),
          ),
          ({ signal }) => Stream.fromAsyncIterable(drawn(from, after, signal), (cause) => cause),
        ),
      ),
    end === undefined
      ? {}
      : { end: Effect.tryPromise({ try: async () => await end(), catch: (cause) => cause }) },
  )

/** What is thrown before the first entry counts as what is thrown later. */
async function* drawn(
  from: Parameters<typeof fromStream>[1],
  after: string,
  signal: AbortSignal,
) {
  yield* from(after, signal)
}
