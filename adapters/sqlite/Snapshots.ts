/**
 * Reads that look at many rows. They take turns of a few milliseconds with everybody else, and yet
 * see one snapshot: they have a connection of their own, whose transaction stays open meanwhile.
 * That holds up nobody, as those who write to a write-ahead log do not wait for those who read.
 */
import { Effect, Semaphore } from "effect"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { Connection } from "./Connection.ts"
import { openReader } from "./OpenFile.ts"
import { patiently } from "./Patience.ts"

/** A read in small steps: it may be put off wherever it yields. */
export type Steps<A> = Generator<void, A>

const turnMillis = 4

export class Snapshots {
  private readonly file: string
  private connection: Connection | undefined
  private isClosed = false
  private readonly oneAtATime = Semaphore.makeUnsafe(1)

  constructor(file: string) {
    this.file = file
  }

  read<A>(
    operation: string,
    query: (at: Connection) => Steps<A>,
  ): Effect.Effect<A, StorageUnavailable> {
    const attempt = Effect.flatMap(
      said(() => this.opened()),
      (at) => Effect.ensuring(inTurns(at, query), Effect.sync(() => at.rollback())),
    )
    return this.oneAtATime.withPermit(patiently(operation, attempt))
  }

  private opened(): Connection {
    if (this.isClosed) throw closed
    return this.connection ??= new Connection(openReader(this.file))
  }

  close(): void {
    this.isClosed = true
    this.connection?.close()
  }
}

/** As an outage, not a defect: the reader may have been closed between two of its turns. */
const closed = Object.assign(new Error("the database is closed"), { code: "ERR_INVALID_STATE" })

const said = <A>(act: () => A): Effect.Effect<A, unknown> =>
  Effect.try({ try: act, catch: (error) => error })

const inTurns = <A>(
  at: Connection,
  query: (at: Connection) => Steps<A>,
): Effect.Effect<A, unknown> =>
  Effect.gen(function* () {
    yield* said(() => at.prepare("BEGIN").run())
    const steps = query(at)
    for (;;) {
      const step = yield* said(() => turnOf(steps))
      if (step.done === true) return step.value
      yield* Effect.yieldNow
    }
  })

/** Until it is done, or the turn is over. */
const turnOf = <A>(steps: Steps<A>): IteratorResult<void, A> => {
  const end = performance.now() + turnMillis
  for (;;) {
    const step = steps.next()
    if (step.done === true || performance.now() > end) return step
  }
}

/** In one go. */
export const atOnce = <A>(steps: Steps<A>): A => {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
