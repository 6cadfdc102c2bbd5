/**
 * Sweeps by whoever has the duty, in virtual time.
 *
 * Tried, and caught: whoever has the duty anew goes on leaving sweeps out where it had stopped.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Latch, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { Ownership } from "../services/Ownership.ts"
import { Storage } from "../services/Storage.ts"
import { Scheduler } from "./Scheduler.ts"

it.effect("L3: who has the duty anew sweeps at first, whatever it had left out before", () =>
  Effect.gen(function* () {
    let sweeps = 0
    const storage = behind(
      yield* Storage,
      (name, call) =>
        Effect.andThen(Effect.sync(() => void (sweeps += +(name === "recover"))), call),
    )
    const isHeld = Latch.makeUnsafe(true)
    const isLost = Latch.makeUnsafe()
    /** Held, lost, and held again. */
    const ownership = Layer.succeed(Ownership, {
      whileHeld: (_, work) =>
        isHeld.await.pipe(
          Effect.andThen(Effect.raceFirst(work, isLost.await)),
          Effect.forever,
        ),
    })
    yield* Layer.build(
      Scheduler.layer.pipe(
        Layer.provide(ownership),
        Layer.provide(Layer.succeed(Storage, storage)),
      ),
    )
    yield* TestClock.adjust("3 seconds")
    assert.strictEqual(sweeps, 1, "the first, and then there is nothing to do")

    isHeld.closeUnsafe()
    isLost.openUnsafe()
    yield* TestClock.adjust("3 seconds")
    assert.strictEqual(sweeps, 1)

    isLost.closeUnsafe()
    isHeld.openUnsafe()
    yield* TestClock.adjust("1 second")
    assert.strictEqual(sweeps, 2)
  }).pipe(Effect.scoped, Effect.provide(Memory.layer)))
