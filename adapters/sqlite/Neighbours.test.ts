/** Tried, and caught: the system not listened to, or believed where it says nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Latch } from "effect"
import { spawn } from "node:child_process"
import { EventEmitter } from "node:events"
import { renameSync, symlinkSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { times } from "../../core/contract/world.ts"
import * as Database from "./Database.ts"
import { freshFile } from "./fresh.fixture.ts"
import { counting } from "./looks.fixture.ts"
import * as Neighbours from "./Neighbours.ts"
import { type Files, files } from "./WriteWatch.ts"

const open = (file: string) => Effect.flatMap(Clock.Clock, (clock) => Database.open(file, clock))

const hint = (db: Database.Database) => db.write("hint", (tx) => tx.hint("triggers"))

/** In a second, of one who looks every 25 ms, and of one who relies on being told. */
const often = 15
const seldom = 10

const neighbour = fileURLToPath(new URL("./neighbour.fixture.ts", import.meta.url))
const isDeno = "Deno" in globalThis

/** A process that waits, and one beside it that commits, as if in another process. */
const pair = (file: string, of?: Files) =>
  Effect.gen(function* () {
    const db = yield* open(file)
    const other = yield* open(file)
    const looks = counting(db)
    const neighbours = yield* Neighbours.make(db, of)
    const isSeen = Latch.makeUnsafe()
    neighbours.listeners.add(() => isSeen.openUnsafe())
    yield* Effect.forkScoped(neighbours.whileWaiting(Effect.never))
    return {
      db,
      other,
      looksInASecond: Effect.gen(function* () {
        looks.since()
        yield* Effect.sleep("1 second")
        return looks.since()
      }),
      /** Milliseconds from a commit of the other until it is seen here. */
      seen: Effect.gen(function* () {
        isSeen.closeUnsafe()
        yield* hint(other)
        const at = performance.now()
        yield* isSeen.await
        return performance.now() - at
      }),
    }
  })

/** After a commit of ours, told of as it will be, the system is relied on. */
const relied = (file: string, of?: Files) =>
  Effect.gen(function* () {
    const all = yield* pair(file, of)
    // The first may come before it is asked to tell.
    for (const _ of times(4)) {
      yield* hint(all.db)
      yield* Effect.sleep(300)
      if ((yield* all.looksInASecond) <= seldom) return all
    }
    return assert.fail("it was not told")
  })

const median = (delays: ReadonlyArray<number>) =>
  delays.toSorted((a, b) => a - b)[Math.floor(delays.length / 2)]!

/** A system that tells of what it is asked to, and of nothing else. */
const hand = () => {
  const watchers = new Set<EventEmitter>()
  const watch: Files["watch"] = () => {
    const watcher = Object.assign(new EventEmitter(), {
      close: () => void watchers.delete(watcher),
      unref: () => watcher,
    })
    watchers.add(watcher)
    return watcher as unknown as ReturnType<Files["watch"]>
  }
  const emit = (event: "change" | "error") => {
    for (const watcher of [...watchers]) watcher.emit(event, event)
  }
  return {
    files: { ...files, watch },
    emit,
    open: () => watchers.size,
    asked: Effect.gen(function* () {
      while (watchers.size === 0) yield* Effect.sleep(10)
    }),
  }
}

// Most of each is waiting.
describe.concurrent("a neighbour", () => {
  it.live(
    "G22: who waits seldom looks while nobody writes, and soon when somebody does",
    () =>
      Effect.gen(function* () {
        const { db, looksInASecond, seen } = yield* relied(yield* freshFile)
        const delays: Array<number> = []
        for (const time of times(9)) {
          // After a commit of ours, and after a while.
          if (time % 2 === 0) yield* hint(db)
          yield* Effect.sleep(200 + 20 * time)
          delays.push(yield* seen)
        }
        assert.isBelow(median(delays), 50, `of ${delays.map(Math.round).join(" ")}`)
        yield* Effect.sleep(200)
        assert.isAtMost(yield* looksInASecond, seldom)
      }).pipe(Effect.scoped),
    20_000,
  )

  it.live(
    "two processes are seldom awake for each other, and see each other's commits at once",
    () =>
      Effect.gen(function* () {
        const file = yield* freshFile
        const db = yield* open(file)
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, [...(isDeno ? ["run", "-A"] : []), neighbour, file], {
              stdio: ["ignore", "pipe", "inherit"],
            })
          ),
          (child) => Effect.sync(() => child.kill("SIGKILL")),
        )
        const looks: Array<number> = []
        const isSeen = Latch.makeUnsafe()
        createInterface({ input: child.stdout }).on("line", (line) => {
          if (line === "seen") isSeen.openUnsafe()
          else looks.push(Number(line.split(" ")[1]))
        })
        while (looks.length < 2) yield* Effect.sleep(20)
        assert.isAtLeast(looks[1]!, often, "nothing was told of yet")

        const delays: Array<number> = []
        for (const _ of times(11)) {
          isSeen.closeUnsafe()
          yield* hint(db)
          const at = performance.now()
          yield* isSeen.await
          delays.push(performance.now() - at)
          yield* Effect.sleep(300)
        }
        assert.isBelow(median(delays), 50, `of ${delays.map(Math.round).join(" ")}`)
        const before = looks.length
        while (looks.length < before + 2) yield* Effect.sleep(20)
        assert.isAtMost(looks.at(-1)!, seldom)
      }).pipe(Effect.scoped),
    30_000,
  )

  describe("sees what it is not told of", () => {
    it.live("where the system has never told of anything", () =>
      Effect.gen(function* () {
        const system = hand()
        const { db, looksInASecond, seen } = yield* pair(yield* freshFile, system.files)
        yield* system.asked
        yield* hint(db)
        yield* Effect.sleep(300)
        assert.isAtLeast(yield* looksInASecond, often)
        assert.isBelow(median([yield* seen, yield* seen, yield* seen]), 50)
      }).pipe(Effect.scoped))

    it.live("where it tells of other writes than commits", () =>
      Effect.gen(function* () {
        const system = hand()
        const { looksInASecond } = yield* pair(yield* freshFile, system.files)
        yield* system.asked
        system.emit("change")
        yield* system.asked
        assert.isAtLeast(yield* looksInASecond, often)
      }).pipe(Effect.scoped))

    it.live("where it cannot be asked to tell", () =>
      Effect.gen(function* () {
        const { db, looksInASecond } = yield* pair(yield* freshFile, {
          ...files,
          watch: () => {
            throw new Error("ENOSPC")
          },
        })
        yield* hint(db)
        yield* Effect.sleep(300)
        assert.isAtLeast(yield* looksInASecond, often)
      }).pipe(Effect.scoped))

    for (const whose of ["ours", "another's"] as const) {
      it.live(`where it falls silent, from a commit of ${whose} on`, () =>
        Effect.gen(function* () {
          const system = hand()
          const { db, looksInASecond, seen } = yield* pair(yield* freshFile, system.files)
          yield* system.asked
          yield* hint(db)
          system.emit("change")
          yield* Effect.sleep(300)
          assert.isAtMost(yield* looksInASecond, seldom)

          if (whose === "ours") yield* hint(db)
          else assert.isBelow(yield* seen, 400, "a slow look finds it")
          yield* Effect.sleep(400)
          assert.strictEqual(system.open(), 0)
          assert.isAtLeast(yield* looksInASecond, often)
          assert.isBelow(median([yield* seen, yield* seen, yield* seen]), 50)
        }).pipe(Effect.scoped))
    }

    it.live("where it fails", () =>
      Effect.gen(function* () {
        const system = hand()
        const { db, looksInASecond } = yield* pair(yield* freshFile, system.files)
        yield* system.asked
        yield* hint(db)
        system.emit("change")
        yield* Effect.sleep(300)
        assert.isAtMost(yield* looksInASecond, seldom)
        system.emit("error")
        assert.isAtLeast(yield* looksInASecond, often)
        assert.strictEqual(system.open(), 0)
      }).pipe(Effect.scoped))

    it.live("where the log is another file than SQLite writes to", () =>
      Effect.gen(function* () {
        const file = yield* freshFile
        const { db, looksInASecond, seen } = yield* relied(file)
        renameSync(`${file}-wal`, `${file}-moved`)
        writeFileSync(`${file}-wal`, "")
        yield* Effect.sleep(300)
        yield* hint(db)
        yield* Effect.sleep(300)
        assert.isAtLeast(yield* looksInASecond, often)
        assert.isBelow(median([yield* seen, yield* seen, yield* seen]), 50)
        renameSync(`${file}-moved`, `${file}-wal`)
      }).pipe(Effect.scoped))
  })

  it.live("is not relied on in the midst of another's commit, of which it has told before", () =>
    Effect.gen(function* () {
      const file = yield* freshFile
      const { looksInASecond } = yield* relied(file)
      const slow = new DatabaseSync(file)
      // What has no room in memory is written before the commit.
      slow.exec("PRAGMA cache_size = 10")
      slow.exec("BEGIN IMMEDIATE")
      slow.exec(`
      WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
      INSERT INTO meta SELECT printf('%0500d', n), n FROM n
    `)
      yield* Effect.sleep(300)
      assert.isAtLeast(yield* looksInASecond, often)
      slow.exec("ROLLBACK")
      slow.close()
      yield* Effect.sleep(300)
      assert.isAtMost(yield* looksInASecond, seldom)
    }).pipe(Effect.scoped))

  it.live(
    "a log that was emptied, and is begun again, is told of all the same",
    () =>
      Effect.gen(function* () {
        const { looksInASecond, other, seen } = yield* relied(yield* freshFile)
        const delays: Array<number> = []
        for (const _ of times(5)) {
          other.get("PRAGMA wal_checkpoint(TRUNCATE)")
          yield* Effect.sleep(300)
          delays.push(yield* seen)
          yield* Effect.sleep(300)
        }
        assert.isBelow(median(delays), 50, `of ${delays.map(Math.round).join(" ")}`)
        assert.isAtMost(yield* looksInASecond, seldom)
      }).pipe(Effect.scoped),
    20_000,
  )

  it.live("a file that is a link is told of where it is", () =>
    Effect.gen(function* () {
      const file = yield* freshFile
      yield* Effect.scoped(open(file))
      symlinkSync(file, `${file}.link`)
      yield* relied(`${file}.link`)
    }).pipe(Effect.scoped))
})

it.live("whoever writes much is told of little of it", () =>
  Effect.gen(function* () {
    const system = hand()
    let set = 0
    const { db } = yield* pair(yield* freshFile, {
      ...system.files,
      watch: (file) => {
        set++
        return system.files.watch(file)
      },
    })
    let commits = 0
    const end = performance.now() + 2000
    while (performance.now() < end) {
      yield* hint(db)
      commits++
      system.emit("change")
    }
    assert.isAtMost(set, 20, `of ${commits}`)
  }).pipe(Effect.scoped))
