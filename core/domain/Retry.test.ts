import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Retry from "./Retry.ts"

const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

const chances = [0, 0.25, 0.5, 0.999999]

describe("Retry.delayAfter", () => {
  it("grows from the first delay up to the cap", () => {
    const policy = { attempts: 8, delayMillis: 1000, growth: 2, capMillis: 10_000, jitter: 0 }
    const delays = [1, 2, 3, 4, 5, 6, 7].map((failures) => Retry.delayAfter(policy, failures, 0.5))
    assert.deepStrictEqual(delays, [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000])
  })
  it("is none after the last attempt allowed", () => {
    assert.isUndefined(Retry.delayAfter(Retry.none, 1, 0))
    const policy = Retry.exponential({ attempts: 3 })
    assert.isDefined(Retry.delayAfter(policy, 2, 0))
    assert.isUndefined(Retry.delayAfter(policy, 3, 0))
    assert.isUndefined(Retry.delayAfter(policy, 4, 0))
  })
  it("is never shorter than the policy says, and longer by its jitter at most", () => {
    const policy = { attempts: 9, delayMillis: 333, growth: 1.7, capMillis: 5000, jitter: 0.3 }
    for (let failures = 1; failures < 9; failures++) {
      const plain = Math.min(333 * 1.7 ** (failures - 1), 5000)
      for (const chance of chances) {
        const delay = Retry.delayAfter(policy, failures, chance)!
        assert.isAtLeast(delay, plain)
        assert.isAtMost(delay, Math.ceil(plain * 1.3))
        assert.isTrue(Number.isInteger(delay))
      }
    }
  })
  it("is the first delay at least, also under a smaller cap", () => {
    const policy = { attempts: 3, delayMillis: 5000, growth: 2, capMillis: 100, jitter: 0 }
    assert.strictEqual(Retry.delayAfter(policy, 1, 0), 5000)
    assert.strictEqual(Retry.delayAfter(policy, 2, 0), 5000)
  })
  it("is spread wide from the first delay on, and stays within the cap", () => {
    const policy = {
      ...{ attempts: 9, delayMillis: 1000, growth: 3, capMillis: 20_000, jitter: 0 },
      jitterKind: "wide" as const,
    }
    const bounds = [1, 2, 3, 4].map((failures) =>
      [0, 0.999999].map((chance) => Retry.delayAfter(policy, failures, chance))
    )
    assert.deepStrictEqual(bounds, [[1000, 3000], [1000, 9000], [1000, 20_000], [1000, 20_000]])
  })
  it("is none when the next attempt could not begin in time", () => {
    const policy = Retry.exponential({
      ...{ attempts: 9, delayMillis: 1000, growth: 2, jitter: 0, withinMillis: 5000 },
    })
    assert.strictEqual(Retry.delayAfter(policy, 1, 0, 0), 1000)
    assert.strictEqual(Retry.delayAfter(policy, 1, 0, 4000), 1000)
    assert.isUndefined(Retry.delayAfter(policy, 1, 0, 4001))
    assert.strictEqual(Retry.delayAfter(policy, 3, 0, 1000), 4000)
    assert.isUndefined(Retry.delayAfter(policy, 4, 0, 0))
    const free = Retry.exponential({ attempts: 9 })
    assert.isDefined(Retry.delayAfter(free, 8, 0, Number.MAX_SAFE_INTEGER))
  })
  it("is none at all for a policy without delay", () => {
    const policy = { attempts: 3, delayMillis: 0, growth: 1, capMillis: 0, jitter: 1 }
    for (const chance of chances) assert.strictEqual(Retry.delayAfter(policy, 1, chance), 0)
  })
  it("B53: stays a number that can be stored, at the bounds of every field", () => {
    const policy = {
      attempts: 1000,
      delayMillis: 86_400_000,
      growth: 10,
      capMillis: 7 * 86_400_000,
      jitter: 1,
    }
    assert.deepStrictEqual(Schema.decodeUnknownSync(Retry.Retry)(policy), policy)
    for (const failures of [1, 2, 400, 999]) {
      const delay = Retry.delayAfter(policy, failures, 0.999999)!
      assert.isTrue(Number.isSafeInteger(delay), `${failures}: ${delay}`)
      assert.isAtMost(delay, 14 * 86_400_000)
    }
  })
  it("B53: can be stored, and is rounded up, for 100,000 policies and chances", () => {
    const next = random(20_311_002)
    const whole = (least: number, most: number) => least + Math.floor(next() * (most - least + 1))
    /** The bounds of a field, and what is near them, more often than what is between. */
    const within = (least: number, most: number) =>
      [least, most, least + 1, most - 1, whole(least, most), whole(least, Math.min(most, 2000))][
        whole(0, 5)
      ]!
    let fractions = 0
    for (let nth = 0; nth < 100_000; nth++) {
      const policy: Retry.Retry = {
        attempts: 1000,
        delayMillis: within(0, 86_400_000),
        growth: [1, 10, 1 + next() * 9, 1 + next()][whole(0, 3)]!,
        capMillis: within(0, 7 * 86_400_000),
        jitter: [0, 1, next(), 1e-9][whole(0, 3)]!,
        ...(next() < 0.5 && { jitterKind: "wide" as const }),
      }
      const failures = within(1, 999)
      const chance = [0, 1 - 2 ** -53, next(), next()][whole(0, 3)]!
      const delay = Retry.delayAfter(policy, failures, chance)!
      const told = JSON.stringify({ policy, failures, chance, delay })
      assert(Number.isSafeInteger(delay) && !Object.is(delay, -0), told)
      const { capMillis, delayMillis, growth, jitter } = policy
      // Where it is added: the delay without it, and the share of that. Where it is wide: from the first on.
      const grown = (times: number) =>
        delayMillis === 0
          ? 0
          : Math.min(delayMillis * growth ** times, Math.max(capMillis, delayMillis))
      const exact = policy.jitterKind === "wide"
        ? delayMillis + (grown(failures) - delayMillis) * chance
        : grown(failures - 1) * (1 + jitter * chance)
      assert(delay >= exact && delay < exact + 1, told)
      assert(delay <= 2 * Math.max(capMillis, delayMillis), told)
      if (!Number.isInteger(exact)) fractions++
    }
    assert.isAbove(fractions, 20_000, "there was something to round")
  })
})

describe("Retry.covers", () => {
  const policy = Retry.exponential({ attempts: 3 })
  it("is every failure, unless the policy says which", () =>
    assert.isTrue(Retry.covers(policy, "Anything")))
  it("is only those named, or all but those named", () => {
    const only = { ...policy, errors: Retry.only("Timeout", "Busy") }
    assert.deepStrictEqual(
      ["Timeout", "Busy", "Broken"].map((tag) => Retry.covers(only, tag)),
      [true, true, false],
    )
    const except = { ...policy, errors: Retry.except("Broken") }
    assert.deepStrictEqual(
      ["Timeout", "Broken"].map((tag) => Retry.covers(except, tag)),
      [true, false],
    )
  })
})
