import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { type Conclusion, finishing, handedOver } from "../domain/Conclusion.ts"
import { Fence } from "../domain/Lease.ts"
import * as Retry from "../domain/Retry.ts"
import * as Rollback from "../domain/Rollback.ts"
import { RunId } from "../domain/RunId.ts"
import { type Policy, usualPolicy } from "../domain/Task.ts"
import type { Grant, Report } from "../services/RunStorage.ts"
import type { Hooks, Unsuccessful } from "./Handler.ts"
import * as Pool from "./Pool.ts"
import { failed, grantOf, serving } from "./Pool.fixture.ts"

describe("the hooks of an attempt", () => {
  /** What happened, in order, and what was reported at the end. */
  const carriedOut = Effect.fnUntraced(function* (
    given: {
      readonly run?: Effect.Effect<string | undefined, Unsuccessful>
      readonly wrong?: keyof Hooks
      readonly slow?: keyof Hooks
      readonly grant?: Partial<Grant>
      readonly policy?: Partial<Policy>
      readonly conclude?: (conclusion: Conclusion) => boolean
      readonly meanwhile?: (pool: Pool.Pool, step: string) => void
      readonly remembering?: boolean
      readonly handsOver?: boolean
    } = {},
  ) {
    const steps: Array<string> = []
    const step = (name: keyof Hooks) =>
      Effect.suspend(() => {
        steps.push(name)
        given.meanwhile?.(pool, name)
        if (given.wrong === name) return Effect.fail(failed(`${name} is wrong`))
        return given.slow === name ? Effect.never : Effect.void
      })
    const pool: Pool.Pool = yield* serving(
      (_payload, { handOver, remember }) =>
        Effect.suspend(() => {
          steps.push("run")
          if (given.handsOver) return handOver("1 hour")
          if (given.remembering) Effect.runSync(Effect.orDie(remember("a", "1")))
          return given.run ?? Effect.succeed('"done"')
        }),
      {
        policy: { ...usualPolicy, ...given.policy },
        conclude: (_, conclusion) =>
          Effect.sync(() => {
            const { phase, state } = conclusion
            const isOurs = given.conclude?.(conclusion) ?? true
            steps.push(`${state}, ${phase}${isOurs ? "" : ", refused"}`)
            return isOurs
          }),
        hooks: {
          prepare: () => step("prepare"),
          rollback: () => step("rollback"),
          clean: (_payload, _run, { state }) =>
            Effect.andThen(Effect.sync(() => steps.push(state)), step("clean")),
          summary: () => Effect.as(step("summary"), "all is well"),
        },
      },
    )
    pool.take([grantOf(1, given.grant)])
    for (let seconds = 0; seconds < 130; seconds++) yield* TestClock.adjust("1 second")
    const lines = pool.takeNews().flatMap(({ lines }) => lines.map(({ text }) => text))
    pool.told()
    const reports = pool.takeReports(9)
    for (const report of reports) steps.push(report._tag)
    assert.strictEqual(pool.running(), 0)
    const [report] = reports
    return {
      steps,
      lines,
      failure: report && "failure" in report ? report.failure : undefined,
      kept: report?._tag === "Succeed" ? report.kept : undefined,
    }
  })

  const boom = Effect.fail(failed("Boom"))

  it.effect("come in order, the outcome stored before the clean", () =>
    Effect.gen(function* () {
      const { lines, steps } = yield* carriedOut()
      assert.deepStrictEqual(steps, [
        "prepare",
        "run",
        "Succeeded, cleaning",
        "Succeeded",
        "clean",
        "summary",
        "Succeed",
      ])
      assert.deepStrictEqual(lines, ["all is well"])
    }))

  it.effect("roll back what failed for good", () =>
    Effect.gen(function* () {
      const { failure, steps } = yield* carriedOut({ run: boom })
      assert.deepStrictEqual(steps, [
        "prepare",
        "run",
        "Failed, rollingBack",
        "rollback",
        "Failed, cleaning",
        "Failed",
        "clean",
        "summary",
        "GiveUp",
      ])
      assert.strictEqual(failure?.tag, "Boom")
    }))

  it.effect("clean, and do not roll back, what will be tried again", () =>
    Effect.gen(function* () {
      const policy = { retry: Retry.exponential({ attempts: 2 }) }
      const { steps } = yield* carriedOut({ run: boom, policy })
      assert.deepStrictEqual(steps, ["prepare", "run", "Retried", "clean", "Retry"])
    }))

  it.effect("give back what was prepared for so long that somebody else may have it", () =>
    Effect.gen(function* () {
      const { steps } = yield* carriedOut({
        meanwhile: (pool, step) => step === "prepare" && pool.keepFresh(0),
      })
      assert.deepStrictEqual(steps, ["prepare", "Stopped", "clean", "Release"])
    }))

  it.effect("fail the attempt when it cannot be prepared", () =>
    Effect.gen(function* () {
      const { failure, steps } = yield* carriedOut({ wrong: "prepare" })
      assert.deepStrictEqual(steps.slice(0, 3), ["prepare", "Failed, rollingBack", "rollback"])
      assert.notInclude(steps, "run")
      assert.strictEqual(failure?.tag, "prepare is wrong")
    }))

  it.effect("say so when the rollback fails: the run is RollbackFailed", () =>
    Effect.gen(function* () {
      const { failure, steps } = yield* carriedOut({ run: boom, wrong: "rollback" })
      assert.strictEqual(failure?.tag, "RollbackFailed")
      assert.include(failure?.message, "rollback is wrong")
      assert.include(failure?.message, "Boom")
      assert.deepStrictEqual(steps.slice(-4), ["Failed", "clean", "summary", "GiveUp"])
    }))

  for (const wrong of ["clean", "summary"] as const) {
    it.effect(`do not change what the run did when ${wrong} fails: the log says it`, () =>
      Effect.gen(function* () {
        const { lines, steps } = yield* carriedOut({ wrong })
        assert.strictEqual(steps.at(-1), "Succeed")
        assert.isTrue(lines.some((line) => line.includes(`${wrong} failed: ${wrong} is wrong`)))
      }))
  }

  it.effect("time out as the run does", () =>
    Effect.gen(function* () {
      const { steps } = yield* carriedOut({ run: Effect.never, policy: { timeoutMillis: 1000 } })
      assert.deepStrictEqual(steps.slice(2, 4), ["TimedOut, rollingBack", "rollback"])
      assert.strictEqual(steps.at(-1), "TimeOut")
    }))

  it.effect("have a time of their own to end in", () =>
    Effect.gen(function* () {
      const { failure, steps } = yield* carriedOut({ run: boom, slow: "rollback" })
      assert.strictEqual(failure?.tag, "RollbackFailed")
      assert.strictEqual(steps.at(-1), "GiveUp")
    }))

  it.effect("clean what was cancelled", () =>
    Effect.gen(function* () {
      const run = Effect.suspend(() => Effect.never)
      const revoked = { run: RunId.make(1), fence: Fence.make(2) }
      const { steps } = yield* carriedOut({
        run: Effect.flatMap(Effect.yieldNow, () => run),
        meanwhile: (pool, step) => step === "prepare" && pool.revoke(revoked),
      })
      assert.deepStrictEqual(steps, ["prepare", "run", "Stopped", "clean", "Abort"])
    }))

  it.effect("go on when a cancel comes too late", () =>
    Effect.gen(function* () {
      const revoked = { run: RunId.make(1), fence: Fence.make(2) }
      const { steps } = yield* carriedOut({
        meanwhile: (pool, step) => step === "clean" && pool.revoke(revoked),
      })
      assert.deepStrictEqual(steps.slice(-3), ["clean", "summary", "Succeed"])
    }))

  it.effect("do not conclude what has something to remember before it is reported", () =>
    Effect.gen(function* () {
      const { kept, steps } = yield* carriedOut({ remembering: true })
      assert.deepStrictEqual(
        steps,
        ["prepare", "run", "Succeeded", "clean", "summary", "Succeed"],
      )
      assert.deepStrictEqual(kept, { key: "a", state: "1" })
    }))

  it.effect("stop when somebody else has the run", () =>
    Effect.gen(function* () {
      const { steps } = yield* carriedOut({ conclude: () => false })
      assert.deepStrictEqual(steps, ["prepare", "run", "Succeeded, cleaning, refused"])
    }))

  it.effect("are given back at a shutdown, and go on elsewhere", () =>
    Effect.gen(function* () {
      const { steps } = yield* carriedOut({
        slow: "clean",
        meanwhile: (pool, step) => step === "clean" && pool.giveBack(),
      })
      assert.deepStrictEqual(steps.slice(-2), ["clean", "Release"])
    }))

  for (
    const [after, conclusion, rest] of [
      [
        "the outcome of a success",
        { state: "Succeeded", phase: "cleaning", result: "1" },
        ["Succeeded, cleaning", "Succeeded", "clean", "summary", "Succeed"],
      ],
      [
        "the outcome of a failure",
        { state: "Failed", phase: "rollingBack", failure: { tag: "Boom", message: "" } },
        [
          "Failed, rollingBack",
          "rollback",
          "Failed, cleaning",
          "Failed",
          "clean",
          "summary",
          "GiveUp",
        ],
      ],
      [
        "the rollback",
        { state: "TimedOut", phase: "cleaning", failure: { tag: "TimedOut", message: "" } },
        ["TimedOut, cleaning", "TimedOut", "clean", "summary", "TimeOut"],
      ],
    ] as const
  ) {
    it.effect(`after a crash that came after ${after}: only what is left is done`, () =>
      Effect.gen(function* () {
        const { steps } = yield* carriedOut({
          grant: { conclusion, attempt: 1 },
          policy: { retry: Retry.exponential({ attempts: 5 }) },
        })
        assert.deepStrictEqual(steps, [...rest])
      }))
  }

  it.effect("wait for the end of what is handed over", () =>
    Effect.gen(function* () {
      const { steps } = yield* carriedOut({ handsOver: true })
      assert.deepStrictEqual(steps, ["prepare", "run", "TimedOut, handedOver", "Await"])
    }))

  it.effect("clean at the hand-over where nothing is left for later", () =>
    Effect.gen(function* () {
      const { steps } = yield* carriedOut({ handsOver: true, conclude: () => false })
      assert.deepStrictEqual(steps, [
        "prepare",
        "run",
        "TimedOut, handedOver, refused",
        "Stopped",
        "clean",
        "Await",
      ])
    }))

  /** With what is reported in ten seconds; after each it is looked at. */
  const reported = Effect.fnUntraced(function* (
    pool: Pool.Pool,
    steps: Array<string>,
    look = () => {},
  ) {
    for (let seconds = 0; seconds < 10; seconds++) {
      yield* TestClock.adjust("1 second")
      steps.push(...pool.takeReports(9).map(({ _tag }) => _tag))
      look()
    }
    return steps
  })

  const slowlyMarked = (
    after: (pool: Pool.Pool) => void,
    answer: "marked" | "refused" = "refused",
    delay: Duration.Input = "5 seconds",
  ) =>
    Effect.gen(function* () {
      const steps: Array<string> = []
      const pool = yield* serving((_, { handOver }) => handOver(), {
        hooks: { clean: () => Effect.sync(() => void steps.push("clean")) },
        conclude: () =>
          Effect.delay(Effect.sync(() => steps.push(answer) > 0 && answer === "marked"), delay),
      })
      pool.take([grantOf(1)])
      yield* TestClock.adjust("1 second")
      after(pool)
      return yield* reported(pool, steps)
    })

  it.effect("are waited for by a shutdown while its hand-over is marked", () =>
    Effect.gen(function* () {
      const steps = yield* slowlyMarked((pool) => pool.giveBack())
      assert.deepStrictEqual(steps, ["refused", "clean", "Await"])
    }))

  it.effect("are left to the next once a shutdown is over, and nothing is said of a hand-over", () =>
    Effect.gen(function* () {
      const steps = yield* slowlyMarked((pool) => {
        pool.giveBack()
        pool.abandonAll()
      })
      assert.deepStrictEqual(steps, ["refused"])
    }))

  it.effect("come here when the run is lost while its hand-over is marked, and nothing is said of it", () =>
    Effect.gen(function* () {
      const steps = yield* slowlyMarked((pool) => pool.abandonAll())
      assert.deepStrictEqual(steps, ["refused", "clean"])
    }))

  it.effect("are left to the next where the mark had arrived before the run was lost", () =>
    Effect.gen(function* () {
      const steps = yield* slowlyMarked((pool) => pool.abandonAll(), "marked", "1500 millis")
      assert.deepStrictEqual(steps, ["marked", "Await"])
    }))

  it.effect("are waited for by whoever tells it to stop while its hand-over is marked", () =>
    Effect.gen(function* () {
      const steps = yield* slowlyMarked((pool) =>
        pool.revoke({ run: RunId.make(1), fence: Fence.make(2) })
      )
      assert.deepStrictEqual(steps, ["refused", "clean", "Await"])
    }))

  /** Its end is kept 5 seconds after it is known, and a second after that it is to stop. */
  const slowlyConcluded = (
    after: (pool: Pool.Pool) => void,
    more: { readonly isKept?: boolean; readonly delivery?: "at-most-once" } = {},
  ) =>
    Effect.gen(function* () {
      const { isKept = true, delivery } = more
      const steps: Array<string> = []
      const pool = yield* serving(() => Effect.succeed("null"), {
        policy: { ...usualPolicy, ...(delivery !== undefined && { delivery }) },
        hooks: { clean: () => Effect.sync(() => void steps.push("clean")) },
        conclude: () => Effect.delay(Effect.sync(() => isKept), "5 seconds"),
      })
      pool.take([grantOf(1)])
      yield* TestClock.adjust("1 second")
      after(pool)
      yield* reported(pool, steps)
      assert.strictEqual(pool.stuck(), 0)
      return steps
    })

  it.effect("are for the next where a shutdown comes while its end is kept, however long that takes", () =>
    Effect.gen(function* () {
      const stopped = (pool: Pool.Pool) => pool.giveBack()
      assert.deepStrictEqual(yield* slowlyConcluded(stopped), ["Release"])
      const once = { delivery: "at-most-once" } as const
      assert.deepStrictEqual(yield* slowlyConcluded(stopped, once), ["Release"])
      // Nobody knows that it had succeeded, and it may not be begun again.
      const unkept = { ...once, isKept: false }
      assert.deepStrictEqual(yield* slowlyConcluded(stopped, unkept), ["GiveUp"])
    }))

  it.effect("are for the next where the run is lost while its end is kept, and nothing is said of it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* slowlyConcluded((pool) => pool.abandonAll()), [])
    }))

  /** Its handler goes on for 5 seconds after it was to stop; the mark is answered 2 seconds after it was sent. */
  const stuckAtHandOver = (mark: "marked" | "refused", after: (pool: Pool.Pool) => void) =>
    Effect.gen(function* () {
      const steps: Array<string> = []
      const pool = yield* serving(
        (_, { handOver }) => Effect.onInterrupt(handOver(), () => Effect.sleep("5 seconds")),
        {
          policy: { ...usualPolicy, timeoutMillis: 60_000 },
          hooks: { clean: () => Effect.sync(() => void steps.push("clean")) },
          conclude: () =>
            Effect.delay(Effect.sync(() => steps.push(mark) > 0 && mark === "marked"), "2 seconds"),
        },
      )
      pool.take([grantOf(1)])
      yield* TestClock.adjust("500 millis")
      after(pool)
      return yield* reported(pool, steps, () => {
        assert.isTrue(steps.includes("Await") || pool.known().length === 1, "it is in hand")
      })
    })

  it.effect("are marked before the hand-over of a stuck handler is reported", () =>
    Effect.gen(function* () {
      const steps = yield* stuckAtHandOver("marked", (pool) => pool.giveBack())
      assert.deepStrictEqual(steps, ["marked", "Await"])
    }))

  it.effect("come when the stuck handler has ended, where the mark is not taken", () =>
    Effect.gen(function* () {
      const steps = yield* stuckAtHandOver("refused", (pool) => pool.giveBack())
      assert.deepStrictEqual(steps, ["refused", "Await", "clean"])
    }))

  it.effect("cost a hand-over nothing where none comes after it", () =>
    Effect.gen(function* () {
      const marks: Array<string> = []
      const pool = yield* serving((_, { handOver }) => handOver(), {
        hooks: { prepare: () => Effect.void },
        conclude: (_, { phase }) => Effect.sync(() => marks.push(phase) > 0),
      })
      pool.take([grantOf(1)])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(pool.takeReports(9)[0]?._tag, "Await")
      assert.deepStrictEqual(marks, [])
    }))

  const cleaned = ["clean", "summary"]
  const undone = ["rollback", "Failed, cleaning", "Failed", ...cleaned]
  for (
    const [end, conclusion, rest] of [
      ["has succeeded", { state: "Succeeded", result: "1" }, [
        "Succeeded, cleaning",
        "Succeeded",
        ...cleaned,
        "Succeed",
      ]],
      ["has failed", { state: "Failed", failure: { tag: "Boom", message: "" } }, [
        "Failed, rollingBack",
        ...undone,
        "GiveUp",
      ]],
      ["took too long", handedOver, [
        "TimedOut, rollingBack",
        ...undone.map((step) => step.replace("Failed", "TimedOut")),
        "TimeOut",
      ]],
      ["was cancelled", { state: "Cancelled" }, ["Stopped", "clean", "Abort"]],
    ] as const
  ) {
    it.effect(`after a hand-over, where the run ${end}: all that come after an outcome`, () =>
      Effect.gen(function* () {
        const grant = { conclusion: finishing(conclusion), attempt: 1 }
        const policy = { retry: Retry.exponential({ attempts: 5 }) }
        const { steps } = yield* carriedOut({ grant, policy })
        assert.deepStrictEqual(steps, [...rest])
      }))

    it.effect(`after a hand-over, where the run ${end}: none, where there are none any more`, () =>
      Effect.gen(function* () {
        const pool = yield* serving(() => Effect.die("it is not run again"))
        pool.take([grantOf(1, { conclusion: finishing(conclusion) })])
        yield* TestClock.adjust("1 second")
        assert.strictEqual(pool.takeReports(9)[0]?._tag, rest.at(-1) as Report["_tag"])
      }))
  }

  it.effect("after a hand-over, given back at a shutdown, go on elsewhere", () =>
    Effect.gen(function* () {
      const { steps } = yield* carriedOut({
        grant: { conclusion: finishing({ state: "Cancelled" }) },
        slow: "clean",
        meanwhile: (pool, step) => step === "clean" && pool.giveBack(),
      })
      assert.deepStrictEqual(steps, ["Stopped", "clean", "Release"])
    }))

  const asked = Rollback.asked({ by: "Ada" })
  const demanded = { conclusion: Rollback.conclusion(asked, "7"), attempt: 2 }

  it.effect("roll back what somebody asks for, and nothing else of it", () =>
    Effect.gen(function* () {
      const { failure, steps } = yield* carriedOut({
        grant: demanded,
        policy: { retry: Retry.exponential({ attempts: 5 }) },
      })
      assert.deepStrictEqual(steps, [
        "Failed, rollingBack",
        "rollback",
        "Failed, cleaning",
        "Failed",
        "clean",
        "summary",
        "GiveUp",
      ])
      assert.deepStrictEqual(failure, Rollback.done(asked))
    }))

  it.effect("keep what it had succeeded with, also when its rollback fails", () =>
    Effect.gen(function* () {
      const concluded: Array<unknown> = []
      for (const wrong of [undefined, "rollback"] as const) {
        const { failure } = yield* carriedOut({
          grant: demanded,
          ...(wrong !== undefined && { wrong }),
          conclude: ({ result }) => concluded.push(result) > 0,
        })
        assert.deepStrictEqual(Rollback.askedOf(failure), asked)
        assert.strictEqual(failure?.tag, wrong === undefined ? "RolledBack" : "RollbackFailed")
      }
      assert.deepStrictEqual(concluded, ["7", "7", "7", "7"])
    }))

  it.effect("are what a run cannot be rolled back without", () =>
    Effect.gen(function* () {
      let runs = 0
      const pool = yield* serving(() => Effect.sync(() => `${++runs}`))
      pool.take([grantOf(1, demanded)])
      yield* TestClock.adjust("1 second")
      const [report] = pool.takeReports(9)
      const failure = report && "failure" in report ? report.failure : undefined
      assert.strictEqual(failure?.tag, "RollbackFailed")
      assert.include(failure?.message, "no rollback in the code of this executor")
      assert.strictEqual(runs, 0)
    }))

  it.effect("are not asked of a run that was concluded when there are none any more", () =>
    Effect.gen(function* () {
      let runs = 0
      const pool = yield* serving(() => Effect.sync(() => `${++runs}`))
      pool.take([
        grantOf(1, { conclusion: { state: "Succeeded", phase: "cleaning", result: "7" } }),
      ])
      yield* TestClock.adjust("1 second")
      assert.deepInclude(pool.takeReports(9)[0], { _tag: "Succeed", result: "7" })
      assert.strictEqual(runs, 0)
    }))
})
