import { assert, it } from "@effect/vitest"
import * as Asked from "./Asked.ts"
import { RunId } from "./RunId.ts"

it("is read as it was written", () => {
  const run = RunId.make(17)
  for (const asked of [{ by: "Ada" }, { again: run }, { by: "by, and by\n", again: run }]) {
    assert.deepStrictEqual(Asked.ofText(Asked.textOf(asked)), asked)
  }
  assert.strictEqual(Asked.textOf({ by: "Ada", again: run }), "again, after run 17, by Ada")
  assert.deepStrictEqual(Asked.ofText("manual, by Ada"), { by: "Ada" })
  assert.deepStrictEqual(Asked.ofText("backfill"), {})
})
