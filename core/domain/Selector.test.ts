import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Selector from "./Selector.ts"

const canonical = (text: string): string => Result.getOrThrow(Selector.check(text))
const refusal = (text: string) =>
  Result.getOrThrow(Result.flip(Selector.check(text, "policy.selector")))

describe("Selector.matches", () => {
  const labels = { region: "eu", tier: "gold", constructor: "x", größe: "XL" }
  for (
    const [text, isMatch] of [
      ["region=eu", true],
      ["region == eu", true],
      ["region = us", false],
      ["region != us", true],
      ["region != eu", false],
      ["region in (us, eu)", true],
      ["region in (us)", false],
      ["region notin (us, ap)", true],
      ["region notin (us, eu)", false],
      ["region", true],
      ["!region", false],
      ["gpu", false],
      ["!gpu", true],
      ["gpu != a100", true],
      ["gpu notin (a100)", true],
      ["gpu = a100", false],
      ["region=eu, tier in (gold, silver), !gpu", true],
      ["region=eu, tier=bronze", false],
      ["größe = XL", true],
      ["constructor = x", true],
      ["toString", false],
      ["!hasOwnProperty", true],
      ["in in (a)", false],
      ["notin, region", false],
    ] as const
  ) {
    it(`${text} ${isMatch ? "selects" : "passes over"} them`, () =>
      assert.strictEqual(Selector.matches(text, labels), isMatch))
  }

  it("names the term that is not met", () => {
    assert.strictEqual(Selector.unmet("tier=gold, region in (us, ap)", labels), "region in (ap,us)")
    assert.isUndefined(Selector.unmet("tier=gold", labels))
  })
})

describe("Selector.check", () => {
  it("writes terms in one order, once, and in one way", () => {
    assert.strictEqual(canonical(" b , a==x,c in(z,y , z),  !d "), "a=x,b,c in (y,z),!d")
    assert.strictEqual(canonical("a in (x)"), "a=x")
    assert.strictEqual(canonical("a notin (x)"), "a!=x")
    assert.strictEqual(canonical("a, a != x"), "a,a!=x")
    assert.strictEqual(canonical("a in (x, y), a in (y, z), a != q, a"), "a=y")
  })

  it("keeps its own canonical text", () => {
    for (const text of ["a=x", "a in (x,y)", "!a", "a,a notin (x,y)", "a!=x,b", "größe=XL"]) {
      assert.strictEqual(canonical(text), text)
    }
  })

  for (
    const [text, at, reason] of [
      ["", 1, "the name of a label is expected, and the end is there"],
      ["a,", 3, "the name of a label is expected, and the end is there"],
      ["a b", 3, '"in", "notin" or "=" is expected, and "b" is there'],
      ["a =", 4, "a value is expected, and the end is there"],
      ["a in", 5, '"(" is expected, and the end is there'],
      ["a in (x", 8, 'a comma or ")" is expected, and the end is there'],
      ["a in ()", 7, 'a value is expected, and ")" is there'],
      ["a = x y", 7, 'a comma or the end is expected, and "y" is there'],
      ["a & b", 3, 'a comma or the end is expected, and "&" is there'],
      ["!a = x", 4, 'a comma or the end is expected, and "=" is there'],
      ["__proto__ = x", 1, "a name has 1 to 63 characters"],
      ["a = x, a = y", 8, 'no executor can have this and what is said of "a" before'],
      ["a, !a", 5, 'no executor can have this and what is said of "a" before'],
      ["😀", 1, 'the name of a label is expected, and "😀" is there'],
    ] as const
  ) {
    it(`refuses ${JSON.stringify(text)} at character ${at}`, () => {
      const { field, reason: told, remedy } = refusal(text)
      assert.strictEqual(field, "policy.selector")
      assert.include(told, `at character ${at}: ${reason}`)
      assert.include(remedy, "region = eu")
    })
  }

  it("has a bound in bytes", () => {
    const most = `a in (${"x".repeat(100)},${"y".repeat(100)})`
    assert.isTrue(Result.isSuccess(Selector.check(most)))
    const long = (bytes: number) => {
      const values = Array.from({ length: 8 }, (_, at) => `${at}${"v".repeat(119)}`)
      const text = `k in (${values.join(",")})`
      return `${text},${"l".repeat(bytes - text.length - 1)}`
    }
    assert.strictEqual(long(1024).length, 1024)
    assert.isTrue(Result.isSuccess(Selector.check(long(1024))), "at the bound")
    assert.include(refusal(long(1025)).reason, "more than 1024 bytes")
    assert.include(
      refusal(`größe=${"ü".repeat(120)},${"ö".repeat(400)}`).reason,
      "more than 1024 bytes",
    )
    assert.include(refusal(" ".repeat(2000) + "a").reason, "more than 1024 bytes")
  })

  it("reads as a schema only what is canonical", () => {
    const decode = Schema.decodeUnknownResult(Selector.Selector)
    assert.isTrue(Result.isSuccess(decode("a=x,b")))
    assert.isTrue(Result.isFailure(decode("b,a=x")))
    assert.isTrue(Result.isFailure(decode("a=")))
    assert.isTrue(Result.isFailure(decode(7)))
  })
})

describe("Selector, of all labels over a small world", () => {
  // Two labels, each absent or one of three values, the last of which no selector names.
  const worlds = [undefined, "x", "y", "other"].flatMap((a) =>
    [undefined, "x", "y", "other"].map((b) => ({
      ...(a !== undefined && { a }),
      ...(b !== undefined && { b }),
    }))
  )
  const ofOne = (label: string) => [
    label,
    `!${label}`,
    `${label}=x`,
    `${label}=y`,
    `${label}!=x`,
    `${label}!=y`,
    `${label} in (x,y)`,
    `${label} notin (y,x)`,
  ]
  const singles = [...ofOne("a"), ...ofOne("b")]
  const texts = singles.flatMap((
    one,
  ) => [
    one,
    ...singles.flatMap((two) => [`${one},${two}`, ...singles.map((n) => `${one},${two},${n}`)]),
  ])
  const selected = (text: string) =>
    worlds.map((labels) => Selector.matches(text, labels) ? "1" : "0").join("")
  const valid = texts.filter((text) => Result.isSuccess(Selector.check(text)))

  it("has the meaning of all its terms", () => {
    for (const text of valid) {
      const all = text.split(/,(?![^(]*\))/)
      for (const labels of worlds) {
        assert.strictEqual(
          Selector.matches(text, labels),
          all.every((term) => Selector.matches(term, labels)),
          `${text} of ${JSON.stringify(labels)}`,
        )
      }
    }
  })

  it("has one canonical text for all that select the same, and another for any other", () => {
    const byMeaning = new Map<string, Set<string>>()
    for (const text of valid) {
      const texts = byMeaning.get(selected(text)) ?? new Set()
      byMeaning.set(selected(text), texts.add(canonical(text)))
    }
    assert.isAbove(byMeaning.size, 50)
    for (const [meaning, texts] of byMeaning) assert.strictEqual(texts.size, 1, meaning)
    for (const text of valid) assert.strictEqual(canonical(canonical(text)), canonical(text))
  })

  it("is refused exactly where nobody could be selected", () => {
    for (const text of texts) {
      const some = text.split(/,(?![^(]*\))/)
      const isPossible = worlds.some((labels) =>
        some.every((term) => Selector.matches(term, labels))
      )
      assert.strictEqual(Result.isSuccess(Selector.check(text)), isPossible, text)
    }
  })
})

describe("Selector, of anything at all", () => {
  it("answers in time that grows with the length, and never throws", () => {
    const alphabet = [..."ab(),=! \tin", "notin", "in (", "==", "!=", "ü", "😀", "\\u0000", "a=x,"]
    let seed = 7
    const next = () => (seed = Math.imul(seed, 48271) % 0x7fffffff, Math.abs(seed))
    for (let round = 0; round < 5000; round++) {
      const text = Array.from(
        { length: next() % 40 },
        () => alphabet[next() % alphabet.length],
      ).join("")
      const checked = Selector.check(text)
      if (Result.isFailure(checked)) {
        const at = Number(/at character (\d+)/.exec(checked.failure.reason)![1])
        assert.isAtLeast(at, 1)
        assert.isAtMost(at, text.length + 1)
      } else {
        assert.strictEqual(canonical(checked.success), checked.success)
      }
    }
  })
})
