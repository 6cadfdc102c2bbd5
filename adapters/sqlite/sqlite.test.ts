import { Context, Duration, Effect, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { copyFileSync, existsSync } from "node:fs"
import * as LockContract from "../../core/contract/LockContract.ts"
import * as LocksContract from "../../core/contract/LocksContract.ts"
import * as QuietContract from "../../core/contract/QuietContract.ts"
import * as StorageContract from "../../core/contract/StorageContract.ts"
import * as WakeupsContract from "../../core/contract/WakeupsContract.ts"
import { Lock } from "../../core/services/Lock.ts"
import { Storage } from "../../core/services/Storage.ts"
import { Wakeups } from "../../core/services/Wakeups.ts"
import * as Sqlite from "./mod.ts"
import { freshFile } from "./fresh.fixture.ts"

const memory = Sqlite.layer({ file: ":memory:" })

StorageContract.suite("sqlite in memory", memory, TestClock.adjust, { edits: 10_000 })
LockContract.suite("sqlite in memory", memory, TestClock.adjust)
WakeupsContract.suite("sqlite in memory", memory, TestClock.adjust)
QuietContract.suite("sqlite", memory, TestClock.adjust)

class File extends Context.Service<File, string>()("belfry/adapters/sqlite/test/File") {}

const inFile = Layer.unwrap(Effect.map(File, (file) => Sqlite.layer({ file }))).pipe(
  Layer.provideMerge(Layer.effect(File, freshFile)),
)

/** Opens what the files hold at this moment, as after the end of the process and all its memory. */
const reopened = <A, E>(
  then: Effect.Effect<A, E, Storage | Lock>,
): Effect.Effect<A, unknown, File | Scope.Scope> =>
  Effect.gen(function* () {
    const file = yield* File
    const copy = yield* freshFile
    copyFileSync(file, copy)
    if (existsSync(`${file}-wal`)) copyFileSync(`${file}-wal`, `${copy}-wal`)
    return yield* Effect.provide(then, Sqlite.layer({ file: copy }))
  })

StorageContract.suite("sqlite in a file", inFile, TestClock.adjust, { reopened })
LockContract.suite("sqlite in a file", inFile, TestClock.adjust, { reopened })
LocksContract.suite("sqlite in a file", inFile)

/** Each call goes to the one of two connections that the one before it did not go to. */
const alternately = <A extends object>(one: A, other: A): A => {
  let isOther = false
  return new Proxy(one, {
    get: (_, name) => {
      const of = (each: A) => Reflect.get(each, name) as unknown
      if (typeof of(one) !== "function") return of(one)
      return (...values: ReadonlyArray<unknown>) => {
        isOther = !isOther
        return (of(isOther ? other : one) as (...values: ReadonlyArray<unknown>) => unknown)(
          ...values,
        )
      }
    },
  })
}

/** Two processes that share a file: storage and locks are both's, wake-ups are the other's. */
const shared = Layer.effectContext(Effect.gen(function* () {
  const file = yield* freshFile
  const one = yield* Layer.build(Sqlite.layer({ file }))
  const other = yield* Layer.build(Sqlite.layer({ file }))
  const both = <I, A extends object>(service: Context.Key<I, A>) =>
    alternately(
      Context.getUnsafe(one as Context.Context<I>, service),
      Context.getUnsafe(other as Context.Context<I>, service),
    )
  const storage = both(Storage)
  return Context.make(Storage, {
    ...Context.get(one, Storage),
    tasks: alternately(Context.get(one, Storage).tasks, Context.get(other, Storage).tasks),
    triggers: alternately(Context.get(one, Storage).triggers, Context.get(other, Storage).triggers),
    runs: alternately(Context.get(one, Storage).runs, Context.get(other, Storage).runs),
    executors: alternately(
      Context.get(one, Storage).executors,
      Context.get(other, Storage).executors,
    ),
    outbox: alternately(Context.get(one, Storage).outbox, Context.get(other, Storage).outbox),
    logs: alternately(Context.get(one, Storage).logs, Context.get(other, Storage).logs),
    history: alternately(Context.get(one, Storage).history, Context.get(other, Storage).history),
    now: storage.now,
  }).pipe(
    Context.add(Lock, both(Lock)),
    Context.add(Wakeups, Context.get(other, Wakeups)),
    Context.add(File, file),
  )
}))

StorageContract.suite("sqlite, two connections", shared, TestClock.adjust)
LockContract.suite("sqlite, two connections", shared, TestClock.adjust, { reopened })
LocksContract.suite("sqlite, two connections", shared)
WakeupsContract.suite(
  "sqlite, two connections",
  shared,
  (duration) => TestClock.adjust(Duration.max(duration, Duration.millis(50))),
)
