/** What waits for a permit: of a rate, of a breaker, of one by key. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import { Breakers } from "../../engine/Breakers.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { Storage } from "../../services/Storage.ts"
import { serving, state, type Test, until } from "../program.ts"
import { fresh, times } from "../world.ts"

export const permitted = (test: Test): void => {
  test("starts no more runs of a task than its rate limit lets, and says why", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const done: Array<number> = []
      const limited = Task.make(fresh("limited"), {
        payload: { n: Schema.Int },
        policy: { rateLimit: { limit: 3, perMillis: 3_600_000 } },
      })
      const handler = limited.toLayer(({ n }) => Effect.sync(() => done.push(n)))
      yield* serving(handler)
      yield* serving(handler)
      const runs = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => limited.submit({ n }))
      yield* until(Effect.sync(() => done.length), (count) => count === 3)
      const left = yield* until(
        Effect.filter(
          runs,
          (run) => Effect.map(scheduler.find(run), ({ state }) => state === "Ready"),
        ),
        ({ length }) => length === 2,
      )
      for (const run of left) {
        const reason = yield* scheduler.why(run)
        assert.strictEqual(reason._tag, "RateLimited")
        assert.strictEqual((yield* state(run)).attempt, 0)
      }
    }))

  test("I24 breaker: while it is open runs wait where they are, few probe, and then all go on", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const breakers = yield* Breakers
      const breaker = fresh("gateway")
      yield* breakers.set(breaker, { callsMin: 4, openFor: "1 hour" })
      let isDown = true
      let calls = 0
      const send = Task.make(fresh("send"), { policy: { breaker } })
      yield* serving(send.toLayer(() =>
        Effect.suspend(() => {
          calls++
          return isDown ? Effect.die(new Error("the gateway is down")) : Effect.void
        })
      ))
      const first = yield* Effect.forEach([1, 2, 3, 4], () => send.submit({}))
      for (const run of first) yield* scheduler.ended(run)
      yield* until(breakers.find(breaker), ({ state }) => state === "Open")
      const later = yield* Effect.forEach([1, 2, 3], () => send.submit({}))
      for (const run of later) {
        const reason = yield* scheduler.why(run)
        assert.strictEqual(reason._tag, "BreakerOpen")
      }
      yield* Effect.sleep("300 millis")
      assert.strictEqual(calls, 4)
      isDown = false
      yield* breakers.order(breaker, "closed", { note: "it is up again" })
      for (const run of later) {
        const { attempt, state } = yield* scheduler.ended(run)
        assert.deepEqual([state, attempt], ["Succeeded", 1])
      }
      // By itself it tries with few, opens again when they fail, and closes when they go well.
      const other = fresh("gateway")
      yield* breakers.set(other, {
        callsMin: 2,
        openFor: "300 millis",
        probes: 1,
        probeEvery: "100 millis",
      })
      const called: Array<number> = []
      const probing = Task.make(fresh("probing"), { policy: { breaker: other } })
      yield* serving(probing.toLayer(() =>
        Effect.suspend(() => {
          const isDownStill = called.push(performance.now()) <= 4
          return isDownStill ? Effect.die(new Error("the gateway is down")) : Effect.void
        })
      ))
      for (const _ of [1, 2]) yield* scheduler.ended(yield* probing.submit({}))
      yield* until(breakers.find(other), ({ state }) => state === "Open")
      const began = performance.now()
      const runs = yield* Effect.forEach(times(12), () => probing.submit({}))
      const ends = yield* Effect.forEach(runs, scheduler.ended)
      // The first probe may come at once, if it took as long to get here.
      assert.isAtLeast(called[3]! - began, 300)
      assert.strictEqual(ends.filter(({ state }) => state === "Failed").length, 2)
      assert.strictEqual((yield* breakers.find(other)).state, "Closed")
    }))

  test("I24 breaker, by key: one key that fails holds up no other, and burns no attempt", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const breakers = yield* Breakers
      const breaker = fresh("gateway")
      yield* breakers.set(breaker, { callsMin: 4, openFor: "1 hour" })
      let isDown = true
      const calls = new Map<string, number>()
      const places = 2
      const send = Task.make(fresh("send"), {
        payload: { account: Schema.String },
        policy: {
          breaker: { name: breaker, by: "key" },
          blocking: Blocking.concurrent(places),
          blockingKey: ({ account }) => account,
        },
      })
      yield* serving(send.toLayer(({ account }) =>
        Effect.suspend(() => {
          calls.set(account, (calls.get(account) ?? 0) + 1)
          return isDown && account === "bad" ? Effect.die(new Error("it is down")) : Effect.void
        })
      ))
      const submits = (account: string, count: number) =>
        Effect.forEach(times(count), () => send.submit({ account }))
      const first = yield* submits("bad", 4)
      for (const run of first) yield* scheduler.ended(run)
      const bad = { name: breaker, key: "bad" }
      yield* until(breakers.find(bad), ({ state }) => state === "Open")
      const waiting = yield* submits("bad", 5)
      const others = [...yield* submits("good", 5), ...yield* submits("better", 5)]
      for (const run of others) {
        assert.deepInclude(yield* scheduler.ended(run), { state: "Succeeded", attempt: 1 })
      }
      // Those that hold the places of the key are postponed, and the others wait behind them.
      for (const run of [waiting[0]!, waiting.at(-1)!]) {
        const reason = yield* until(
          scheduler.why(run),
          ({ _tag }) => _tag === "BreakerOpen",
        )
        if (reason._tag !== "BreakerOpen") return assert.fail(reason._tag)
        assert.deepInclude(reason, { breaker, key: "bad" })
        assert.isAbove(
          DateTime.toEpochMillis(reason.until!),
          yield* Storage.use(({ now }) => now),
        )
      }
      yield* until(
        Effect.forEach(waiting, state),
        (views) => views.filter(({ state }) => state === "Scheduled").length === places,
      )
      assert.strictEqual(calls.get("bad"), 4)
      assert.deepEqual((yield* breakers.keys(breaker)).map(({ key }) => key), ["bad"])
      isDown = false
      yield* breakers.order(bad, "closed", { note: "it is up again" })
      for (const run of waiting) {
        assert.deepInclude(yield* scheduler.ended(run), {
          state: "Succeeded",
          attempt: 1,
          crashes: 0,
        })
      }
      assert.strictEqual(calls.get("bad"), 4 + waiting.length)
    }))

  test("I24 breaker, by key: each tries by itself with few, and closes when they go well", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const breakers = yield* Breakers
      const breaker = fresh("gateway")
      yield* breakers.set(breaker, {
        callsMin: 2,
        openFor: "300 millis",
        probes: 1,
        probeEvery: "200 millis",
      })
      let isDown = true
      let calls = 0
      const places = 2
      const send = Task.make(fresh("send"), {
        payload: { account: Schema.String },
        policy: {
          breaker: { name: breaker, by: "key" },
          blocking: Blocking.concurrent(places),
          blockingKey: ({ account }) => account,
        },
      })
      yield* serving(send.toLayer(() =>
        Effect.suspend(() => {
          calls++
          return isDown ? Effect.die(new Error("it is down")) : Effect.void
        })
      ))
      const began = performance.now()
      const more = yield* Effect.forEach(times(12), () => send.submit({ account: "bad" }))
      yield* until(Effect.sync(() => calls), (count) => count >= 4)
      // As many as open it or are under way then, and one probe each time.
      const tries = 1 + (performance.now() - began) / 300
      assert.isAtMost(calls, 2 + places + tries)
      isDown = false
      const ends = yield* Effect.forEach(more, scheduler.ended)
      assert.strictEqual(
        ends.filter(({ state }) => state === "Failed").length,
        calls - ends.filter(({ state }) => state === "Succeeded").length,
      )
      assert.deepEqual(ends.filter(({ attempt }) => attempt !== 1), [])
      yield* until(
        breakers.find({ name: breaker, key: "bad" }),
        ({ state }) => state === "Closed",
      )
    }))
}
