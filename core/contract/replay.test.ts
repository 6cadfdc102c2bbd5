/** What `replay` makes of histories that hold, of some that do not, and of old ones. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import * as History from "../domain/History.ts"
import { Fence } from "../domain/Lease.ts"
import { deadlinesOf, levelOf, replay, type Replayed, type Submit } from "./replay.ts"

const plain: Submit = { delayMillis: 0, gate: undefined, isAtMostOnce: false, crashesMax: 3 }
const gated: Submit = { ...plain, gate: { places: 1 } }

const history = (...told: ReadonlyArray<string>) =>
  ["Submitted 0/0", ...told].map((each) => {
    const [kind = "", attempt = 0, fence = 0] = each.split(/[ /]/)
    return {
      at: DateTime.makeUnsafe(1),
      kind,
      attempt: Number(attempt),
      fence: Fence.make(Number(fence)),
    }
  })
const reached = (
  spec: Replayed["spec"],
  told: ReadonlyArray<string>,
  how: Partial<Replayed> = {},
) => {
  const { _tag, attempt, crashes, fence } = replay({
    spec,
    history: history(...told),
    isDue: true,
    ...how,
  })
  return `${_tag} ${attempt}/${fence} ${crashes}`
}

describe("replay", () => {
  it("leads to one state, by what is told", () => {
    assert.strictEqual(reached(gated, []), "Blocked 0/0 0")
    assert.strictEqual(reached(gated, ["Admitted 0/0"]), "Ready 0/0 0")
    assert.strictEqual(reached(plain, ["Claimed 1/1", "Lost 1/1"]), "Ready 0/1 0")
    assert.strictEqual(reached(plain, ["Claimed 1/1", "Started 1/1", "Lost 1/1"]), "Ready 1/1 1")
  })

  it("refuses a history in which a change is missing, or is one too many", () => {
    assert.throws(() => reached(gated, ["Claimed 1/1"]), /Claimed 1\/1 of Blocked 0\/0/)
    assert.throws(() => reached(plain, ["Admitted 0/0"]), /Admitted/)
    assert.throws(() => reached(plain, ["Claimed 1/2"]), /Claimed 1\/2 of Running 1\/1/)
    assert.throws(() => reached(plain, ["Revived 0/0"]), /Revived/)
    assert.throws(() => reached(plain, ["Rung 0/0"]), /nothing is known of Rung/)
  })

  it("leaves out what was postponed, whatever came late meanwhile", () => {
    const told = ["Claimed 1/1", "Retried 1/1", "LateReport 2/3", "Claimed 2/3", "Lost 2/3"]
    assert.strictEqual(reached(plain, [...told, "Claimed 2/4", "Postponed 1/4"]), "Ready 1/4 0")
  })

  it("lets nobody fail without a grant but who was for somebody who is gone, or was held up", () => {
    const told = ["Failed 0/0"]
    assert.throws(() => reached(plain, told), /Failed 0\/0 of Ready/)
    assert.strictEqual(reached({ ...plain, isPlaced: true }, told), "Failed 0/0 0")
    assert.strictEqual(reached(plain, told, { isHeldUp: true }), "Failed 0/0 0")
  })

  it("takes a gate for passed that was passed before that was told, in an old one alone", () => {
    const told = ["Claimed 1/1", "Retried 1/1"]
    assert.throws(() => reached(gated, told))
    assert.strictEqual(reached(gated, told, { isOld: true }), "Ready 1/1 0")
    assert.strictEqual(reached(gated, [], { isOld: true }), "Blocked 0/0 0")
  })

  it("lets time do nothing that is not due", () => {
    const later = { ...plain, delayMillis: 60_000 }
    assert.strictEqual(reached(later, [], { isDue: false }), "Scheduled 0/0 0")
    assert.strictEqual(reached(later, []), "Ready 0/0 0")
    assert.strictEqual(
      reached(plain, ["Claimed 1/1", "Retried 1/1"], { isDue: false }),
      "Scheduled 1/1 0",
    )
  })

  it("knows from a loss how the run was concluded", () => {
    const told = History.of(
      { createdAt: 1, attempt: 1, fence: Fence.make(1), claimedAt: 1, end: undefined },
      [{
        at: 2,
        kind: "Lost",
        attempt: 1,
        fence: Fence.make(1),
        detail: "ada is lost, having concluded Succeeded",
      }],
    )
    const { _tag, attempt, crashes } = replay({ spec: plain, history: told, isDue: true })
    assert.deepStrictEqual([_tag, attempt, crashes], ["Ready", 0, 1])
  })

  const changes = (kind: string, ...details: ReadonlyArray<string>) =>
    details.map((detail) => ({ ...history()[0]!, kind, detail }))

  it("leads from level to level, each after the one before", () => {
    assert.strictEqual(levelOf(2, []), 2)
    assert.strictEqual(levelOf(1, changes("LevelSet", "usual → low", "low → urgent")), 0)
    assert.throws(() => levelOf(1, changes("LevelSet", "low → urgent")), /of level 1/)
  })

  it("leads from deadline to deadline, each after the one before", () => {
    const [one, other] = ["2031-03-01T00:00:00.000Z", "2031-03-02T00:00:00.000Z"]
    const set = [`none → ${one}`, `${one} → ${other}`, `${other} → none`]
    assert.deepStrictEqual(deadlinesOf(changes("DeadlineSet", ...set)), [
      undefined,
      Date.UTC(2031, 2, 1),
      Date.UTC(2031, 2, 2),
      undefined,
    ])
    assert.throws(() => deadlinesOf(changes("DeadlineSet", set[0]!, set[2]!)))
  })
})
