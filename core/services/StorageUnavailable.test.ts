import { assert, it } from "@effect/vitest"
import { StorageUnavailable } from "./StorageUnavailable.ts"

const messageOf = (cause: unknown) =>
  new StorageUnavailable({ storage: "a file", operation: "claim", cause }).message

it("an unavailable storage says why, whatever was thrown", () => {
  assert.match(messageOf(new Error("it is gone")), /did not carry out claim: it is gone$/)
  assert.match(messageOf("it is gone"), /: it is gone$/)
  assert.match(messageOf({ code: 7 }), /: \{"code":7\}$/)
  // As what comes from a worker, or a module namespace, may be.
  assert.match(messageOf(Object.assign(Object.create(null), { code: 7 })), /: \{"code":7\}$/)
  assert.match(messageOf(undefined), /: undefined$/)
})
