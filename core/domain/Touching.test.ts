import { assert, describe, it } from "@effect/vitest"
import { Namespace } from "./Namespace.ts"
import type { Touches } from "./Resources.ts"
import * as Touching from "./Touching.ts"

const namespace = Namespace.make("shop")
const alone = (...things: ReadonlyArray<string>): Touches =>
  Object.fromEntries(things.map((thing) => [thing, "exclusive"]))
const beside = (...things: ReadonlyArray<string>): Touches =>
  Object.fromEntries(things.map((thing) => [thing, "shared"]))

describe("Touching.gate", () => {
  it("is named by what is touched, in whatever order it was said", () => {
    const gate = Touching.gate(namespace, { b: "shared", "a/1": "exclusive" })
    assert.strictEqual(gate.key, Touching.gate(namespace, { "a/1": "exclusive", b: "shared" }).key)
    assert.deepStrictEqual(Touching.touchesOf(gate.key), {
      namespace,
      touches: { "a/1": "exclusive", b: "shared" },
    })
    assert.isTrue(Touching.isGate(gate.key))
    assert.isTrue(gate.key.startsWith(Touching.prefixOf(namespace)))
    assert.isFalse(Touching.isGate("shop:charge"))
  })

  it("can be named by as many things as a run may touch", () => {
    const things = Array.from({ length: Touching.thingsMax }, (_, n) => `${n}`.padStart(63, "x"))
    const longest = Namespace.make("n".repeat(63))
    const { key } = Touching.gate(longest, alone(...things))
    assert.isAtMost(key.length, 1024)
  })

  it("keeps what is had alone while its run is put down", () => {
    assert.strictEqual(Touching.gate(namespace, { a: "shared", b: "exclusive" }).places, 1)
    assert.isAbove(Touching.gate(namespace, beside("a")).places, 1)
  })
})

describe("Touching.Taken", () => {
  const pass = (...all: ReadonlyArray<Touches>) => {
    const taken = new Touching.Taken()
    return all.map((touches) => taken.take(touches))
  }

  it("lets many share, and one have it alone", () => {
    assert.deepStrictEqual(pass(beside("a"), beside("a"), alone("a"), beside("a")), [
      true,
      true,
      false,
      false,
    ])
  })

  it("takes all or nothing, and holds nobody up who wants something else", () => {
    assert.deepStrictEqual(pass(alone("a", "b"), alone("b", "c"), alone("c"), alone("d")), [
      true,
      false,
      false,
      true,
    ])
  })

  it("is opposed to what it would have to wait for", () => {
    const key = (touches: Touches) => Touching.gate(namespace, touches).key
    assert.isTrue(Touching.areOpposed(key(alone("a")), key(beside("a", "b"))))
    assert.isFalse(Touching.areOpposed(key(beside("a")), key(beside("a", "b"))))
    assert.isFalse(Touching.areOpposed(key(alone("a")), key(alone("b"))))
  })
})
