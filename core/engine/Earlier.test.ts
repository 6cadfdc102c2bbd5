import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as PayloadVersion from "../domain/PayloadVersion.ts"
import * as Earlier from "./Earlier.ts"
import * as Task from "./Task.ts"

const payloadOf = <P>(submission: Effect.Effect<{ readonly payload: string }, P>) =>
  Effect.map(submission, ({ payload }) => payload)

describe("a payload that has had other versions", () => {
  it.effect("says its version where it is stored, and one that has had none does not", () =>
    Effect.gen(function* () {
      const plain = Task.make("plain", { payload: { n: Schema.Int } })
      assert.strictEqual(yield* payloadOf(plain.submission({ n: 1 })), '{"n":1}')
      const second = Task.make("second", {
        payload: { n: Schema.Int },
        earlier: Task.earlier({ m: Schema.Int }).now(({ m }) => ({ n: m })),
      })
      assert.strictEqual(yield* payloadOf(second.submission({ n: 1 })), '{"$version":2,"n":1}')
    }))

  it.effect("is refused when it has no place for its version, or says another itself", () =>
    Effect.gen(function* () {
      const bare = Task.make("bare", {
        payload: Schema.Int,
        earlier: Task.earlier(Schema.String).now((text) => text.length),
      })
      const refused = yield* Effect.flip(bare.submission(1))
      assert.match(refused.message, /is an object, and this one is none/)
      const taken = Task.make("taken", { payload: { [PayloadVersion.key]: Schema.Int } })
      assert.match((yield* Effect.flip(taken.submission({ $version: 7 }))).message, /is taken/)
    }))

  it("is read with the version that it says, and with the first when it says none", () => {
    assert.deepEqual(PayloadVersion.read({ $version: 2, n: 1 }), { version: 2, payload: { n: 1 } })
    for (const stored of [{ n: 1 }, null, 3, "text", [1], { $version: "2" }, { $version: 0.5 }]) {
      assert.deepEqual(PayloadVersion.read(stored), { version: 1, payload: stored })
    }
  })

  it("tells by its text that it may say one, however that is written; most need not be read", () => {
    for (const text of ['{"$version":2}', '{"n": 1, "$version" : 2}', '{"\\u0024version":2}']) {
      assert.strictEqual(PayloadVersion.read(JSON.parse(text)).version, 2)
      assert.isTrue(PayloadVersion.isNamed(text), text)
    }
    for (const text of ["{}", "null", '{"version":2,"n":"größe"}', '"line\\nline"']) {
      assert.isFalse(PayloadVersion.isNamed(text), text)
    }
  })

  it("goes through all versions after its own, and through none before", () => {
    const seen: Array<string> = []
    const step = (name: string) => ({
      payload: Schema.Unknown,
      up: (payload: string) => {
        seen.push(name)
        return `${payload}${name}`
      },
    })
    const raised = Earlier.raise(
      ["1", "2", "3"].map(step),
      2,
      "from ",
      (_, payload) => Result.succeed(payload),
    )
    assert.deepEqual(raised, Result.succeed("from 23"))
    assert.deepEqual(seen, ["2", "3"])
  })
})
