import { assert, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { SetClock } from "./SetClock.ts"

it.effect("what was said in the millisecond of a step was said after it", () =>
  Effect.gen(function* () {
    yield* TestClock.setTime(1000)
    const clock = new SetClock(yield* Clock.Clock)
    yield* TestClock.adjust("500.25 millis")
    clock.set(-7000)
    yield* TestClock.adjust("0.5 millis")
    // As a storage keeps it.
    const said = Math.floor(clock.clock.currentTimeMillisUnsafe())
    const at = clock.when(said)
    assert.isDefined(at)
    assert.approximately(clock.said(at!), said, 1)
  }))
