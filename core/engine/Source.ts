/**
 * Sources of your own: whatever can be read on from a position. Adapters have those of a technology,
 * such as `Postgres.table`, `Sqlite.table` and `Files.lines`.
 */
import { Cause, Duration, Effect, Exit, Fiber, Option, Queue, Stream } from "effect"
import { type Entry, type Reading, type Source, SourceUnavailable } from "../services/Source.ts"

export {
  type Entry,
  type Reader,
  type Reading,
  type Source,
  SourceUnavailable,
} from "../services/Source.ts"

export interface StreamOptions<E> {
  /** The position after all that there is now; without it a trigger cannot begin at the end. */
  readonly end?: Effect.Effect<string, E>
}

/** So many entries of a stream are read ahead. */
const ahead = 200
/** So long a stream may take to say its first entry before it counts as at its end. */
const patience = Duration.millis(100)

interface Flow {
  readonly queue: Queue.Queue<Entry>
  readonly fiber: Fiber.Fiber<void, SourceUnavailable>
  /** What was given last. */
  at: string
}

/**
 * A stream that begins after a position, as often as it is asked to; the empty position is the
 * beginning. It is drawn no faster than its entries are taken, and begun anew when it ends or fails.
 */
export const fromStream = <E>(
  name: string,
  from: (after: string) => Stream.Stream<Entry, E>,
  options: StreamOptions<E> = {},
): Source => {
  const unavailable = (cause: unknown) =>
    new SourceUnavailable({
      source: name,
      reason: cause instanceof Error ? cause.message : String(cause),
    })

  const open = Effect.gen(function* () {
    const scope = yield* Effect.scope
    let flow: Flow | undefined

    const begin = Effect.fnUntraced(function* (after: string): Effect.fn.Return<Flow> {
      const queue = yield* Queue.bounded<Entry>(ahead)
      const fiber = yield* from(after).pipe(
        Stream.mapError(unavailable),
        Stream.runForEach((entry) => Queue.offer(queue, entry)),
        Effect.forkIn(scope),
      )
      return { queue, fiber, at: after }
    })

    const leave = Effect.suspend(() => {
      const left = flow
      flow = undefined
      return left === undefined ? Effect.void : Fiber.interrupt(left.fiber)
    })

    const more = ({ fiber, queue }: Flow, atMost: Duration.Duration) =>
      Effect.raceFirst(Queue.peek(queue), Fiber.await(fiber)).pipe(
        Effect.timeoutOption(atMost),
        Effect.asVoid,
      )

    const read = Effect.fnUntraced(
      function* (after: string, limit: number): Effect.fn.Return<Reading, SourceUnavailable> {
        if (flow?.at !== after) {
          yield* leave
          flow = yield* begin(after)
          yield* more(flow, patience)
        }
        // Before its entries are taken: what it says until it ends is among them.
        const ended = flow.fiber.pollUnsafe()
        const entries: Array<Entry> = []
        while (entries.length < limit) {
          const next = yield* Queue.poll(flow.queue)
          if (Option.isNone(next)) break
          entries.push(next.value)
        }
        const to = entries.at(-1)?.position ?? after
        flow.at = to
        if (ended !== undefined && entries.length < limit) {
          yield* leave
          // Else the next reading begins after them, and meets the failure again.
          if (entries.length === 0 && Exit.isFailure(ended)) {
            const failure = Cause.findErrorOption(ended.cause)
            return yield* Option.isSome(failure)
              ? failure.value
              : unavailable(Cause.squash(ended.cause))
          }
        }
        return { entries, to, isAtEnd: entries.length < limit }
      },
    )

    return {
      read,
      end: options.end === undefined
        ? Effect.fail(
          new SourceUnavailable({
            source: name,
            reason: "it does not say where its end is",
            remedy: "Begin at its beginning, or give its stream an `end`",
          }),
        )
        : Effect.mapError(options.end, unavailable),
      wait: (atMost: Duration.Duration) =>
        flow === undefined ? Effect.sleep(atMost) : more(flow, atMost),
    }
  })
  return { name, open }
}
