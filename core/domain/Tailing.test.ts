import { assert, it } from "@effect/vitest"
import * as Tailing from "./Tailing.ts"

it("a tail has come up to a whole millisecond, whatever part of one its reading took", () => {
  const move = { to: "7", fired: 1, passed: 0, skipped: 0, endedMillisAgo: 2.3, failure: undefined }
  assert.strictEqual(Tailing.moved(Tailing.untouched, move, 1000).upTo, 997)
})
