import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Memory from "../../adapters/memory/mod.ts"
import { definitionOf } from "../contract/triggers/triggers.ts"
import { movableClock } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import { Storage } from "../services/Storage.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { auditSlots } from "./SlotAuditor.ts"

const hour = 3_600_000
const clock = movableClock()

it.effect("the audit gives planners their time when the clock is set forward", () =>
  Effect.gen(function* () {
    const { audit, triggers } = yield* Storage
    const findings = audit.findings(standard, 10)
    yield* auditSlots({ auditInterval: "1 second", auditPatience: "1 minute" })
    yield* triggers.put(
      definitionOf(standard, { schedule: { _tag: "Every", millis: hour } }),
    )
    yield* TestClock.adjust("2 minutes")
    assert.deepEqual(yield* findings, [], "nothing is due")

    yield* clock.set(hour)
    yield* TestClock.adjust("50 seconds")
    assert.deepEqual(yield* findings, [], "those who fire have not had their time")
    yield* TestClock.adjust("2 minutes")
    assert.deepEqual((yield* findings).map(({ kind }) => kind), ["overdue"], "nobody fires it")
  }).pipe(
    Effect.provide(Layer.merge(LocalOwnership.layer, Layer.provide(Memory.layer, clock.layer))),
    Effect.scoped,
  ))
