import { assert, it } from "@effect/vitest"
import * as Crashes from "./Crashes.ts"

const lost = (at: number) => ({ kind: "Lost", at })

it("counts what was lost within a window that slides", () => {
  const journal = [lost(100), lost(200), lost(300)]
  assert.strictEqual(Crashes.lately([], 300, 1000), 1)
  assert.strictEqual(Crashes.lately(journal, 300, 1000), 4)
  assert.strictEqual(Crashes.lately(journal, 1150, 1000), 3)
  assert.strictEqual(Crashes.lately(journal, 1200, 1000), 2)
  assert.strictEqual(Crashes.lately(journal, 9999, 1000), 1)
})

it("begins anew when the run has come on", () => {
  for (const kind of Crashes.waysOn) {
    const journal = [lost(100), lost(200), { kind, at: 250 }, lost(300)]
    assert.strictEqual(Crashes.lately(journal, 400, 1000), 2, kind)
  }
  const released = [lost(100), { kind: "Released", at: 250 }, lost(300)]
  assert.strictEqual(Crashes.lately(released, 400, 1000), 3, "given back is no way on")
})
