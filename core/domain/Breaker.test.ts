import { assert, it } from "@effect/vitest"
import * as Breaker from "./Breaker.ts"

const settings: Breaker.Settings = {
  failurePercent: 50,
  badInARow: 1000,
  callsMin: 4,
  windowMillis: 1000,
  openMillis: 500,
  probes: 2,
  probeMillis: 100,
}
const calls = (count: number, bad: number) =>
  Array.from({ length: count }, (_, at) => ({ isBad: at < bad, millis: 1 }))

/** What becomes of a breaker, one step after the other. */
const course = () => {
  let breaker = Breaker.make(0, settings)
  return {
    pass: (wanted: number, now: number) => {
      const passage = Breaker.pass(breaker, wanted, now)
      breaker = passage.breaker
      return passage.count
    },
    hear: (count: number, bad: number, now: number) => {
      breaker = Breaker.hear(breaker, breaker.epoch, calls(count, bad), now)
    },
    order: (to: "open" | "closed" | "auto", now: number) => {
      breaker = Breaker.order(breaker, to, now)
    },
    get phase() {
      return breaker.phase._tag
    },
    get breaker() {
      return breaker
    },
  }
}

it("calls that are older than the window say nothing", () => {
  const it = course()
  it.hear(3, 3, 10)
  it.hear(1, 0, 1100)
  it.hear(2, 1, 1200)
  assert.strictEqual(it.phase, "Closed")
  it.hear(1, 1, 1300)
  assert.strictEqual(it.phase, "Open")
})

it("a window begun late in another still sees its calls", () => {
  const it = course()
  it.hear(2, 2, 499)
  it.hear(2, 2, 501)
  assert.strictEqual(it.phase, "Open")
})

it("an open one lets nobody through until its time has come, whatever the clock was set to", () => {
  const it = course()
  it.hear(4, 4, 1000)
  assert.strictEqual(it.pass(9, 1499), 0)
  // Set back: the rest of its time is no longer than all of it.
  assert.strictEqual(it.pass(9, -100_000), 2)
  assert.strictEqual(it.phase, "HalfOpen")
})

it("an order taken back leaves it as it was, or closed", () => {
  const opened = course()
  opened.order("open", 10)
  assert.strictEqual(opened.pass(5, 20), 0)
  opened.order("auto", 30)
  assert.strictEqual(opened.pass(5, 40), 5)

  const closed = course()
  closed.hear(4, 4, 10)
  closed.order("closed", 20)
  assert.strictEqual(closed.pass(5, 30), 5)
  closed.order("auto", 40)
  assert.strictEqual(closed.phase, "Closed")

  const kept = course()
  kept.hear(4, 4, 10)
  kept.order("open", 20)
  kept.order("auto", 30)
  assert.strictEqual(kept.pass(5, 40), 0)
})

it("what was permitted under an order, or before it, is not heard after", () => {
  const it = course()
  const { epoch } = it.breaker
  it.order("closed", 10)
  it.order("auto", 20)
  const heard = Breaker.hear(it.breaker, epoch, calls(9, 9), 30)
  assert.strictEqual(heard.phase._tag, "Closed")
})

it("probes that did not call make room for others", () => {
  const it = course()
  it.hear(4, 4, 0)
  assert.strictEqual(it.pass(9, 600), 2)
  const { breaker } = it
  const back = Breaker.giveBack(breaker, breaker.epoch, 1)
  assert.strictEqual(Breaker.pass(back, 9, 610).count, 1)
  assert.strictEqual(Breaker.giveBack(breaker, breaker.epoch - 1, 1), breaker)
})
