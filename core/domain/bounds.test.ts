/**
 * No definition that anybody sends makes the server work for long: what it may be like is bounded,
 * and the steps that reading it takes are counted, not timed.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cron as Croner } from "croner"
import { Result, Schema } from "effect"
import { afterEach, vi } from "vitest"
import { CalendarName } from "./Calendar.ts"
import { ExecutorName } from "./Executor.ts"
import { isName, isValue } from "./Labels.ts"
import { LockKey } from "./Lease.ts"
import { Namespace } from "./Namespace.ts"
import * as Selector from "./Selector.ts"
import { TaskName } from "./Task.ts"
import * as Trigger from "./Trigger.ts"

afterEach(() => vi.restoreAllMocks())

const now = Date.UTC(2031, 0, 1)

/** Why a trigger by this expression is refused, if it is. */
const refusal = (expression: string, zone = "UTC") => {
  const checked = Trigger.check({ _tag: "Cron", expression, zone }, now)
  return Result.isFailure(checked) ? checked.failure : undefined
}

describe("what is read", () => {
  const letters = (count: number) => "a".repeat(count)
  const bounds: Readonly<Record<string, readonly [max: number, (count: number) => boolean]>> = {
    "a namespace": [63, (count) => Schema.is(Namespace)(letters(count))],
    "the name of a task": [127, (count) => Schema.is(TaskName)(letters(count))],
    "the name of a trigger": [127, (count) => Schema.is(Trigger.TriggerName)(letters(count))],
    "the name of a calendar": [127, (count) => Schema.is(CalendarName)(letters(count))],
    "the name of an executor": [127, (count) => Schema.is(ExecutorName)(letters(count))],
    "the key of a lock": [512, (count) => Schema.is(LockKey)(letters(count))],
    "the name of a label": [63, (count) => isName(letters(count))],
    "the value of a label": [127, (count) => isValue(letters(count))],
    "a selector": [
      Selector.bytesMax,
      (count) => Result.isSuccess(Selector.check(`a${" ".repeat(count - 1)}`)),
    ],
    "a cron expression": [
      256,
      (count) => refusal(`${" ".repeat(count - 9)}* * * * *`) === undefined,
    ],
  }
  for (const [what, [max, isTaken]] of Object.entries(bounds)) {
    it(`${what} is taken at its bound, and refused one past it and far past it`, () => {
      assert.isTrue(isTaken(max))
      assert.isFalse(isTaken(max + 1))
      assert.isFalse(isTaken(1_000_000))
    })
  }

  it("a zone is refused by its length alone, and not repeated whole", () => {
    const refused = refusal("* * * * *", letters(1_000_000))
    assert.strictEqual(refused?.field, "zone")
    assert.isBelow(refused!.reason.length, 200)
  })
})

describe("a selector", () => {
  /** How often a piece of text was compared, and a value looked up or kept, while it was read. */
  const stepsOf = (text: string) => {
    let steps = 0
    const counted = <A extends object, K extends keyof A>(
      of: A,
      name: K,
      weigh: (answer: unknown) => number = () => 1,
    ) => {
      const own = of[name] as (...values: Array<unknown>) => unknown
      vi.spyOn(of, name as never).mockImplementation(
        function (this: unknown, ...values: Array<unknown>) {
          const answer = own.apply(this, values)
          steps += weigh(answer)
          return answer
        } as never,
      )
    }
    counted(RegExp.prototype, "exec", (found) => 1 + ((found as RegExpExecArray)?.[0].length ?? 0))
    counted(String.prototype, "startsWith")
    counted(Set.prototype, "add")
    counted(Set.prototype, "has")
    counted(Set.prototype, "delete")
    Selector.check(text)
    vi.restoreAllMocks()
    return steps
  }

  const repeated = (piece: (n: number) => string, end = "") => (length: number) => {
    let text = ""
    for (let n = 0; text.length + end.length < length - 8; n++) text += piece(n)
    return text.replace(/,$/, "") + end
  }
  const worst: Readonly<Record<string, (length: number) => string>> = {
    "blanks": repeated(() => " \t"),
    "marks": repeated(() => "!"),
    "words": repeated(() => "a "),
    "terms": repeated((n) => `a${n},`),
    "exceptions of one label": repeated((n) => `a!=${n},`),
    "choices of one label": repeated(() => "a in (x,y),"),
    "values": repeated((n) => n === 0 ? "a in (" : `v${n},`, ")"),
    "values left open": repeated((n) => n === 0 ? "a in (" : `v${n},`),
    "values and exceptions": (length) =>
      repeated((n) => n === 0 ? "a in (" : `v${n},`, ")")(length / 2) + "," +
      repeated((n) => `a!=w${n},`)(length / 2),
  }
  for (const [what, made] of Object.entries(worst)) {
    it(`of ${what} is read in steps that grow as it does`, () => {
      const [short, long] = [128, 1024].map((length) => {
        const text = made(length)
        return stepsOf(text) / text.length
      })
      assert.isAbove(short!, 0)
      assert.isAtMost(long!, 1.5 * short!)
      assert.isAtMost(long!, 20)
    })
  }
})

describe("a cron expression", () => {
  it("with a day that no month has is refused without a search", () => {
    const search = vi.spyOn(Croner.prototype, "nextRun")
    for (
      const expression of [
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 30W 2 *",
        "0 0 30 2 +MON#1",
        "0 0 0 30 2 * 2031-9999",
      ]
    ) assert.strictEqual(refusal(expression)?.field, "expression", expression)
    assert.strictEqual(search.mock.calls.length, 0)
    for (const fine of ["0 0 29 2 *", "0 0 31,L 2 *", "0 0 30 2 MON", "0 0 LW 2 *", "0 0 31 * *"]) {
      assert.isUndefined(refusal(fine), fine)
    }
    assert.isAbove(search.mock.calls.length, 0)
  })

  it("names few ranges of years, each of which is gone through when it is read", () => {
    const years = (parts: ReadonlyArray<string>) => `0 0 0 1 1 * ${parts.join(",")}`
    const ranges = Array.from({ length: 5 }, () => "2031-2033")
    assert.isUndefined(refusal(years(ranges.slice(1))))
    assert.isUndefined(refusal(years(Array.from({ length: 30 }, (_, n) => `${2031 + n}`))))
    for (const part of ["2031-2033", "*", "*/1", "2031/2"]) {
      const refused = refusal(years(Array.from({ length: 5 }, () => part)))
      assert.include(refused?.reason, "ranges", part)
    }
  })
})
