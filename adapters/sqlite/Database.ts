/**
 * One SQLite file, open in this process: its reads, its transactions, its errors.
 *
 * `node:sqlite` is synchronous, so a transaction runs from begin to commit in one go, and no two of
 * one process ever overlap. What several fibers want to write at once is committed together:
 *
 * 1. `write` queues a command. The flusher, one fiber, takes what is queued into one transaction,
 *    for as long as a bounded time lasts, and commits.
 * 2. Nobody is answered, and no hint is given, before the commit that has made it durable.
 * 3. A command that fails takes nobody with it: the transaction is rolled back, and its commands are
 *    carried out again, each in a transaction of its own. So a command may be called twice, and
 *    leaves no trace but in the database and in its `Transaction`.
 * 4. Another process may hold the write lock: then the flusher tries again after a pause, as
 *    `Patience` says.
 */
import { type Clock, Effect, Latch, type Scope } from "effect"
import type { DatabaseSync } from "node:sqlite"
import type { Refused } from "../../core/domain/Refused.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { Topic } from "../../core/services/Wakeups.ts"
import { between, type Sighting } from "../../core/domain/ClockStep.ts"
import * as ClockStep from "./ClockStep.ts"
import { Connection } from "./Connection.ts"
import * as Flusher from "./Flusher.ts"
import { Names } from "./Names.ts"
import { openFile } from "./OpenFile.ts"
import { patiently } from "./Patience.ts"
import { atOnce, Snapshots, type Steps } from "./Snapshots.ts"
import { failed, isBusy, unavailable } from "./SqliteError.ts"
import { Transaction } from "./Transaction.ts"

export { Transaction } from "./Transaction.ts"

/** A transaction takes no further command after this long, so that other fibers come to their turn. */
const flushMillis = 8
/** With fewer there is little to take over, and each checkpoint waits for the disk twice. */
const checkpointCommits = 100

interface Command {
  readonly operation: string
  readonly carryOut: (tx: Transaction) => unknown
  readonly answer: (
    effect: Effect.Effect<never, StorageUnavailable> | Effect.Effect<unknown>,
  ) => void
}

export class Database extends Connection {
  readonly clock: Clock.Clock
  /** Absent for a database in memory. */
  readonly file: string | undefined
  /** Told of the topics of each commit. */
  readonly listeners = new Set<(topics: ReadonlySet<Topic>) => void>()
  readonly wanted = Latch.makeUnsafe()
  private readonly names = new Names(this)
  private readonly snapshots: Snapshots | undefined
  private pending: Array<Command> = []
  /** So many commands are carried out one by one, since one of them failed. */
  private singly = 0
  private isClosed = false
  /** Since the last checkpoint of ours. */
  private commits = 0
  /** The clock, as of the last commit. */
  private seen: Sighting
  /** By how much the clock was found set, until it was logged. */
  stepMillis = 0

  constructor(sqlite: DatabaseSync, clock: Clock.Clock, file: string | undefined) {
    super(sqlite)
    this.clock = clock
    this.file = file
    this.snapshots = file === undefined ? undefined : new Snapshots(file)
    this.seen = this.sight()
  }

  /** Whether other processes may have the file open too. */
  get isShared(): boolean {
    return this.snapshots !== undefined
  }

  /** The storage clock, which has no fractions. */
  readonly now = (): number => Math.floor(this.clock.currentTimeMillisUnsafe())

  /** Milliseconds of a clock that nobody sets, to measure by. */
  private elapsed(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  private sight(): Sighting {
    return { said: this.now(), at: Math.floor(this.elapsed()), error: 0 }
  }

  kindOf(namespace: string, task: string): number {
    return this.names.kindOf(namespace, task)
  }

  laneOf(name: string): number {
    return this.names.laneOf(name)
  }

  /** Carries out `command` in a transaction that others may share, and answers after its commit. */
  write<A>(
    operation: string,
    command: (tx: Transaction) => A,
  ): Effect.Effect<A, StorageUnavailable> {
    return Effect.callback<A, StorageUnavailable>((resume) => {
      if (this.isClosed) return resume(Effect.fail(unavailable(operation, closed)))
      const queued: Command = {
        operation,
        carryOut: command,
        answer: resume as Command["answer"],
      }
      this.pending.push(queued)
      this.wanted.openUnsafe()
      return Effect.sync(() => {
        const at = this.pending.indexOf(queued)
        if (at >= 0) this.pending.splice(at, 1)
      })
    })
  }

  /** As of one snapshot, and in one go: for what is quickly read. */
  read<A>(operation: string, query: () => A): Effect.Effect<A, StorageUnavailable> {
    const attempt = Effect.try({
      try: () => {
        try {
          this.prepare("BEGIN").run()
          const answer = query()
          this.prepare("COMMIT").run()
          return answer
        } catch (error) {
          this.rollback()
          throw error
        }
      },
      catch: (error) => error,
    })
    return Effect.suspend(() =>
      this.isClosed ? Effect.fail(unavailable(operation, closed)) : patiently(operation, attempt)
    )
  }

  /** As of one snapshot, in turns with everybody else. In memory it is read in one go. */
  readInTurns<A>(
    operation: string,
    query: (at: Connection) => Steps<A>,
  ): Effect.Effect<A, StorageUnavailable> {
    return this.snapshots?.read(operation, query) ??
      this.read(operation, () => atOnce(query(this)))
  }

  get hasPending(): boolean {
    return this.pending.length > 0
  }

  /** Whether a checkpoint would be worth its while. */
  get isCheckpointDue(): boolean {
    return this.isShared && this.commits >= checkpointCommits
  }

  /** As much of one as others' reads allow. What it leaves is left to the next. */
  checkpoint(): void {
    this.commits = 0
    try {
      this.prepare("PRAGMA wal_checkpoint(PASSIVE)").get()
    } catch {
      // A disk without room, say. The log keeps what was committed, and SQLite tries again itself.
    }
  }

  /** Whether nobody is in the midst of a write. All that was written before is committed, or void. */
  get isAtRest(): boolean {
    try {
      this.prepare("BEGIN IMMEDIATE").run()
      this.prepare("ROLLBACK").run()
      return true
    } catch {
      return false
    }
  }

  /** Carries out and commits some of what is queued; false when another process writes. */
  flush(): boolean {
    try {
      this.prepare("BEGIN IMMEDIATE").run()
    } catch (error) {
      if (isBusy(error)) return false
      this.giveUp(error)
      return true
    }
    const commands = this.pending
    const tx = new Transaction(this, this.now())
    const answers: Array<unknown> = []
    const most = this.singly > 0 ? 1 : commands.length
    const seen = this.sight()
    const step = between(this.seen, seen)
    try {
      if (step !== 0) ClockStep.settle(tx, tx.now - step)
      const deadline = this.elapsed() + flushMillis
      while (answers.length < most) {
        answers.push(commands[answers.length]!.carryOut(tx))
        if (this.elapsed() > deadline) break
      }
      tx.finish()
      this.prepare("COMMIT").run()
      this.commits++
    } catch (error) {
      this.rollback()
      if (most > 1) this.singly = Math.min(answers.length + 1, most)
      else for (const command of this.take(1)) command.answer(failed(command.operation, error))
      return true
    }
    this.seen = seen
    this.stepMillis += step
    // Taken off before anybody is told, since whoever is told may queue the next, or drop others.
    const done = this.take(answers.length)
    if (tx.topics.size > 0) {
      for (const listener of this.listeners) listener(tx.topics)
    }
    for (const [at, command] of done.entries()) command.answer(Effect.succeed(answers[at]))
    return true
  }

  /** Fails all that is queued. */
  giveUp(cause: unknown): void {
    for (const { answer, operation } of this.take(this.pending.length)) {
      answer(Effect.fail(unavailable(operation, cause)))
    }
  }

  private take(count: number): ReadonlyArray<Command> {
    const taken = this.pending.slice(0, count)
    this.pending = this.pending.slice(count)
    this.singly = Math.max(0, this.singly - count)
    return taken
  }

  override rollback(): void {
    this.names.forget()
    super.rollback()
  }

  override close(): void {
    this.isClosed = true
    this.giveUp(closed)
    this.snapshots?.close()
    super.close()
  }
}

const closed = new Error("the database is closed")

/** Opens `file`, made if it does not exist, for as long as the scope lasts. */
export const open = (
  file: string,
  clock: Clock.Clock,
): Effect.Effect<Database, Refused | StorageUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const sqlite = yield* openFile(file)
    const db = new Database(sqlite, clock, file === ":memory:" ? undefined : file)
    yield* Effect.addFinalizer(() => Effect.sync(() => db.close()))
    yield* Effect.forkScoped(Flusher.run(db))
    return db
  })
