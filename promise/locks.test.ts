import { assert, describe, it } from "@effect/vitest"
import { type Effect, Layer, ManagedRuntime } from "effect"
import * as Memory from "../adapters/memory/mod.ts"
import { type Fence, Lease, type LockKey } from "../core/domain/Lease.ts"
import { Locks } from "../core/engine/Locks.ts"
import { Lock } from "../core/services/Lock.ts"
import type { Call } from "./call.ts"
import { locksOver } from "./Locks.ts"
import { LeaseLost, LockHeld, Refused, start } from "./mod.ts"
import { rejected, until } from "./promise.fixture.ts"

describe("work under a lock", () => {
  it("is done by one at a time, under a rising fence", async () => {
    await using belfry = await start({ storage: "memory" })
    const seen: Array<string> = []
    const fences: Array<number> = []
    const work = (name: string) =>
      belfry.withLock("report", async ({ fence, key, signal }) => {
        assert.strictEqual(key, "report")
        assert.isFalse(signal.aborted)
        fences.push(fence)
        seen.push(`${name} begins`)
        await new Promise((resolve) => setTimeout(resolve, 20))
        seen.push(`${name} ends`)
        return name
      })
    const first = work("a")
    await until(() => seen.length === 1)
    const held = await rejected(belfry.tryWithLock("report", () => seen.push("never")))
    assert.instanceOf(held, LockHeld)
    assert.deepStrictEqual(await Promise.all([first, work("b")]), ["a", "b"])
    assert.deepStrictEqual(seen, ["a begins", "a ends", "b begins", "b ends"])
    assert.isBelow(fences[0]!, fences[1]!)
    assert.strictEqual(await belfry.tryWithLock("report", () => 7), 7)
  })

  it("rejects with what it throws, and gives the lock back", async () => {
    await using belfry = await start({ storage: "memory" })
    const oops = new Error("oops")
    const thrown = await rejected(belfry.withLock("report", () => Promise.reject(oops)))
    assert.strictEqual(thrown as unknown, oops)
    assert.strictEqual(await belfry.tryWithLock("report", () => "free"), "free")
    assert.instanceOf(await rejected(belfry.withLock("", () => "never")), Refused)
  })

  it("and the wait for it end with the caller's signal, once the work has stopped", async () => {
    await using belfry = await start({ storage: "memory" })
    const controller = new AbortController()
    const seen: Array<string> = []
    const first = belfry.withLock("report", async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve))
      await new Promise((resolve) => setTimeout(resolve, 20))
      seen.push("stopped")
    }, { signal: controller.signal })
    const waiting = new AbortController()
    const second = belfry.withLock("report", () => seen.push("never"), { signal: waiting.signal })
    waiting.abort(new Error("enough"))
    assert.deepInclude(await rejected(second), { message: "enough" })
    controller.abort(new Error("stop"))
    assert.deepInclude(await rejected(first), { message: "stop" })
    assert.deepStrictEqual(seen, ["stopped"])
    assert.strictEqual(await belfry.tryWithLock("report", () => "free"), "free")
  })

  it("is told when the lock is lost, and has time to stop before that is known", async () => {
    const runtime = ManagedRuntime.make(Locks.layer.pipe(Layer.provideMerge(Memory.layer)))
    const call =
      ((effect: Effect.Effect<unknown, unknown, Locks>) => runtime.runPromise(effect)) as Call
    const { withLock } = locksOver(call)
    const seen: Array<string> = []
    const lost = rejected(withLock("report", async ({ fence, holder, key, signal }) => {
      const lease = new Lease({ key: key as LockKey, holder, fence: fence as Fence })
      await runtime.runPromise(Lock.use(({ release }) => release(lease)))
      await new Promise((resolve) => signal.addEventListener("abort", resolve))
      seen.push((signal.reason as Error).message)
      await new Promise((resolve) => setTimeout(resolve, 20))
      seen.push("stopped")
    }, { ttl: "1 second" }))
    assert.instanceOf(await lost, LeaseLost)
    assert.deepStrictEqual(seen, ["the lock is held no longer", "stopped"])
    await runtime.dispose()
  })
})
