import { assert, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import * as RateLimit from "./RateLimit.ts"

it.effect("starts within any time are at most a burst and what that time pays for", () =>
  Effect.gen(function* () {
    for (let seed = 0; seed < 200; seed++) {
      const int = (max: number) => Effect.map(Random.next, (chance) => Math.floor(chance * max))
      const rate = { limit: 1 + (yield* int(50)), perMillis: 1 + (yield* int(10_000)) }
      const burst = 1 + (yield* int(20))
      const starts: Array<number> = []
      let paidUntil = 0
      let now = 1_000_000
      for (let ask = 0; ask < 200; ask++) {
        now += yield* int(rate.perMillis)
        const limit = { ...rate, burst }
        const count = Math.min(yield* int(9), RateLimit.available(limit, paidUntil, now))
        if (count > 0) paidUntil = RateLimit.pay(limit, paidUntil, now, count)
        for (let i = 0; i < count; i++) starts.push(now)
      }
      for (let from = 0; from < starts.length; from++) {
        for (let to = from; to < starts.length; to++) {
          const most = burst + (starts[to]! - starts[from]!) * rate.limit / rate.perMillis
          if (to - from + 1 > most + 1e-3) assert.fail(`${to - from + 1} starts, ${most} paid for`)
        }
      }
    }
  }))

it("after the wait that it names there is one, and a moment before there is none", () => {
  for (
    const [limit, perMillis, burst] of [[6, 60_000, 3], [7, 1000, 7], [1000, 1000, 1]] as const
  ) {
    const rate = { limit, perMillis, burst }
    const paidUntil = RateLimit.pay(rate, 0, 5000, burst)
    const wait = RateLimit.waitMillis(rate, paidUntil, 5000)
    assert.strictEqual(RateLimit.available(rate, paidUntil, 5000), 0)
    assert.strictEqual(RateLimit.available(rate, paidUntil, 5000 + wait), 1)
    if (wait > 1) assert.strictEqual(RateLimit.available(rate, paidUntil, 5000 + wait - 1.5), 0)
  }
})

it("a clock that was set back costs a full burst at most", () => {
  const rate = { limit: 10, perMillis: 1000, burst: 5 }
  const paidUntil = RateLimit.pay(rate, 0, 1e12, 5)
  const back = 1e12 - 86_400_000
  assert.strictEqual(RateLimit.available(rate, paidUntil, back), 0)
  assert.strictEqual(RateLimit.waitMillis(rate, paidUntil, back), 100)
})
