import { assert, describe, it } from "@effect/vitest"
import { EventEmitter } from "node:events"
import { type Files, WriteWatch } from "./WriteWatch.ts"

class System extends EventEmitter {
  readonly isAbsent: boolean
  readonly log = { ino: 1, mtimeMs: 0 }
  open = 0

  constructor(isAbsent = false) {
    super()
    this.isAbsent = isAbsent
  }

  write(): void {
    this.log.mtimeMs++
  }

  readonly files: Files = {
    stat: () => ({ ...this.log }),
    watch: () => {
      if (this.isAbsent) throw new Error("ENOSPC")
      this.open++
      const watcher = Object.assign(new EventEmitter(), {
        close: () => void this.open--,
        unref: () => watcher,
      })
      for (const event of ["change", "error"]) this.on(event, () => watcher.emit(event))
      return watcher as unknown as ReturnType<Files["watch"]>
    },
  }
}

const watched = (system = new System()) => {
  let told = 0
  const writes = new WriteWatch("log", () => void told++, system.files)
  return { system, writes, told: () => told }
}

/** One that has told of a write, and is set again. */
const proven = () => {
  const all = watched()
  all.writes.set()
  all.system.write()
  all.system.emit("change")
  all.writes.looked(0, false)
  all.writes.set()
  assert.isTrue(all.writes.isRelied)
  return all
}

describe("a watch", () => {
  it("tells of the next write, and of no other until it is set again", () => {
    const { system, told, writes } = watched()
    writes.set()
    assert.isTrue(writes.isSet)
    system.emit("change")
    system.emit("change")
    assert.strictEqual(told(), 1)
    assert.isFalse(writes.isSet)
    assert.strictEqual(system.open, 0)
    writes.set()
    system.emit("change")
    assert.strictEqual(told(), 2)
    assert.strictEqual(system.open, 0)
  })

  for (const how of ["by its time", "by a look elsewhere"] as const) {
    const found = ({ system, writes }: ReturnType<typeof watched>, now: number) => {
      if (how === "by its time") system.write()
      assert.isTrue(writes.looked(now, how === "by a look elsewhere"))
    }

    it(`is relied on once it has told of a write that was found ${how}, before or after`, () => {
      const after = watched()
      after.writes.set()
      assert.isFalse(after.writes.isRelied, "it has told of nothing yet")
      after.system.emit("change")
      assert.isFalse(after.writes.looked(0, false))
      after.writes.set()
      assert.isFalse(after.writes.isRelied, "it was no write")
      after.system.emit("change")
      found(after, 1)
      after.writes.set()
      assert.isTrue(after.writes.isRelied)

      const before = watched()
      before.writes.set()
      found(before, 0)
      before.system.emit("change")
      before.writes.set()
      assert.isTrue(before.writes.isRelied)
    })

    it(`is not relied on while a write was found ${how}, nor ever if it does not tell of it`, () => {
      const { system, writes, ...all } = proven()
      found({ system, writes, ...all }, 1000)
      assert.isFalse(writes.isRelied)
      writes.looked(1099, false)
      assert.isTrue(writes.isSet)
      writes.looked(1100, false)
      assert.isFalse(writes.isSet)
      assert.isFalse(writes.set())
      assert.strictEqual(system.open, 0)
    })
  }

  it("that told in time is relied on again", () => {
    const { system, writes } = proven()
    writes.looked(1000, true)
    system.emit("change")
    writes.looked(1100, false)
    writes.set()
    writes.looked(2000, false)
    assert.isTrue(writes.isRelied)
  })

  it("owes nothing for what was written while it was not set", () => {
    const { system, writes } = proven()
    system.emit("change")
    writes.looked(1000, true)
    writes.looked(2000, true)
    system.write()
    writes.set()
    writes.looked(3000, false)
    assert.isTrue(writes.isRelied)
    writes.unset()
    writes.looked(4000, true)
    writes.looked(5000, false)
    assert.isTrue(writes.set())
  })

  it("is given up where another file has come in the place of its own, or none", () => {
    const other = proven()
    other.system.log.ino++
    other.writes.looked(1000, false)
    assert.isFalse(other.writes.isSet)
    assert.isFalse(other.writes.set())

    const { system, writes } = proven()
    Object.assign(system.files, {
      stat: () => {
        throw new Error("ENOENT")
      },
    })
    assert.isFalse(writes.looked(1000, false))
    assert.isFalse(writes.isSet)
    assert.isTrue(writes.looked(1001, true))
    assert.isFalse(writes.set())
  })

  it("that fails, or cannot be had, is given up, and says so", () => {
    const failed = proven()
    const before = failed.told()
    failed.system.emit("error")
    assert.strictEqual(failed.told(), before + 1)
    assert.isFalse(failed.writes.isSet)
    assert.isFalse(failed.writes.set())
    assert.strictEqual(failed.system.open, 0)

    const absent = watched(new System(true))
    assert.isFalse(absent.writes.set())
    assert.isFalse(absent.writes.isRelied)
  })
})
