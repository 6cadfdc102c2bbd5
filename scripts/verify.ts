/**
 * `npm run verify [-- STEP …]`: every check there is, or those named, one after another. With
 * `--tested REPORT` the tests were run before, as that report of theirs says.
 *
 * All of them run, whatever comes of the others. The last lines name each test that failed and count
 * tests: every test of a test run, and every other step as one.
 *
 * Many tests run beside each other in real time, and a machine that was busy with something else
 * makes one of thousands miss its time now and then. So the files of a few that failed run again, alone
 * and three times. One that passes each time fails nothing, and is named all the same: it wants
 * looking into, since what fails beside others alone may be the product's as well.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

interface Step {
  readonly name: string
  readonly command: string
  /** It reports each of its tests. */
  readonly isTestRun?: boolean
}

/** Where a test run finds the file that its report goes to. */
const reportIn = "BELFRY_TEST_REPORT"
const root = fileURLToPath(new URL("..", import.meta.url))

const steps: ReadonlyArray<Step> = [
  { name: "style", command: "npm run style" },
  { name: "check", command: "npm run check" },
  { name: "docs", command: "npm run docs" },
  { name: "test", command: "npm test", isTestRun: true },
  { name: "test:deno", command: "npm run test:deno", isTestRun: true },
  { name: "test:build", command: "npm run test:build", isTestRun: true },
  { name: "simulate", command: "npm run simulate -- --seeds 300 --from 1000" },
]

interface Count {
  readonly passed: number
  readonly failed: number
}

interface Done extends Count {
  readonly step: Step
  readonly isGood: boolean
  readonly seconds: number | undefined
  /** Each with its file. */
  readonly failures: ReadonlyArray<Failure>
}

interface Failure {
  readonly file: string
  readonly test: string
}

interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    readonly assertionResults: ReadonlyArray<{
      readonly fullName: string
      readonly status: string
    }>
  }>
}

const read = (report: string): Report | undefined =>
  existsSync(report) ? JSON.parse(readFileSync(report, "utf8")) : undefined

const judge = (step: Step, report: Report | undefined, ended: boolean, seconds?: number): Done => {
  const isGood = ended && report?.success === true
  return {
    step,
    isGood,
    seconds,
    passed: report?.numPassedTests ?? 0,
    // A suite that does not load, or an error between tests, fails the step and is no failed test.
    failed: Math.max(isGood ? 0 : 1, report?.numFailedTests ?? 1),
    failures: (report?.testResults ?? []).flatMap(({ assertionResults, name, status }) => {
      const file = relative(root, name)
      const failed = assertionResults.filter((each) => each.status === "failed")
      return failed.length === 0 && status === "failed"
        ? [{ file, test: "does not load" }]
        : failed.map(({ fullName }) => ({ file, test: fullName }))
    }),
  }
}

const run = (command: string, environment: Record<string, string> = {}) => {
  const startedAt = performance.now()
  const { signal, status } = spawnSync(command, {
    cwd: root,
    shell: true,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...environment },
  })
  // A command that was killed may have had no time to say so.
  if (status !== 0) console.error(`── ${command} ended with ${signal ?? status}`)
  return { isGood: status === 0, seconds: Math.round((performance.now() - startedAt) / 1000) }
}

const carryOut = (step: Step, reports: string): Done => {
  console.log(`\n── ${step.name}: ${step.command}`)
  const report = join(reports, `${step.name.replace(":", "-")}.json`)
  const { isGood, seconds } = run(step.command, step.isTestRun ? { [reportIn]: report } : {})
  return step.isTestRun
    ? judge(step, read(report), isGood, seconds)
    : { step, isGood, seconds, passed: isGood ? 1 : 0, failed: isGood ? 0 : 1, failures: [] }
}

/** More than these are no accident of a busy machine. */
const againMax = 3
const againTimes = 3

/** What is left of the failures when their files run alone. */
const again = (done: Done, reports: string): Done => {
  const { failed, failures, isGood, passed, seconds, step } = done
  if (isGood || failures.length !== failed || failed > againMax) return done
  const files = [...new Set(failures.map(({ file }) => file))].join(" ")
  const command = `${step.command} -- ${files}`
  console.log(`\n── ${step.name} again, alone: ${command}`)
  const passes = (nth: number) => {
    const report = join(reports, `${step.name.replace(":", "-")}-again-${nth}.json`)
    const { isGood } = run(command, { [reportIn]: report })
    return judge(step, read(report), isGood).isGood
  }
  return Array.from({ length: againTimes }, (_, nth) => nth).every(passes)
    ? { step, isGood: true, seconds, passed: passed + failed, failed: 0, failures }
    : done
}

const main = () => {
  const { positionals: wanted, values } = parseArgs({
    allowPositionals: true,
    options: { tested: { type: "string" } },
  })
  const unknown = wanted.filter((name) => !steps.some((step) => step.name === name))
  if (unknown.length > 0) {
    const known = steps.map(({ name }) => name).join(", ")
    console.error(`There is no step ${unknown.join(", ")}; there are ${known}`)
    process.exit(2)
  }
  const reports = mkdtempSync(join(tmpdir(), "belfry-verify-"))
  const done = steps.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
    .map((step) =>
      step.name === "test" && values.tested !== undefined
        ? judge(step, read(values.tested), true)
        : carryOut(step, reports)
    )
    .map((each) => each.step.isTestRun ? again(each, reports) : each)
  rmSync(reports, { recursive: true })

  console.log("")
  for (const { failed, failures, isGood, passed, seconds, step } of done) {
    for (const { file, test } of failures.slice(0, 50)) {
      console.log(`${isGood ? "passed alone" : "failed"}: ${step.name}, ${file}: ${test}`)
    }
    const took = seconds === undefined ? "before" : `${seconds} s`
    console.log(
      `${isGood ? "ok    " : "FAILED"} ${step.name.padEnd(10)} ${took.padStart(6)}` +
        `  ${passed} passed, ${failed} failed`,
    )
  }
  const sum = (of: "passed" | "failed") => done.reduce((all, each) => all + each[of], 0)
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`)
  process.exitCode = done.every(({ isGood }) => isGood) ? 0 : 1
}

main()
