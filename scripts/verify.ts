/**
 * `npm run verify [-- STEP …]`: every check there is, or those named, one after another. With
 * `--tested REPORT` the tests were run before, as that report of theirs says.
 *
 * All of them run, whatever comes of the others. The last line counts tests: every test of a test
 * run, and every other step as one.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

interface Step {
  readonly name: string
  readonly command: string
  /** It reports each of its tests. */
  readonly isTestRun?: boolean
}

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

const countOf = (report: string, isGood: boolean): Count => {
  if (!existsSync(report)) return { passed: 0, failed: 1 }
  const { numFailedTests, numPassedTests } = JSON.parse(readFileSync(report, "utf8"))
  // A suite that does not load, or an error between tests, fails the step and is no failed test.
  return {
    passed: numPassedTests,
    failed: isGood ? numFailedTests : Math.max(1, numFailedTests),
  }
}

const carryOut = ({ command, isTestRun, name }: Step, reports: string) => {
  console.log(`\n── ${name}: ${command}`)
  const report = join(reports, `${name.replace(":", "-")}.json`)
  const startedAt = performance.now()
  const { signal, status } = spawnSync(command, {
    cwd: root,
    shell: true,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...(isTestRun && { BELFRY_TEST_REPORT: report }) },
  })
  const isGood = status === 0
  // A command that was killed may have had no time to say so.
  if (!isGood) console.error(`── ${name} ended with ${signal ?? status}`)
  const count = isTestRun
    ? countOf(report, isGood)
    : { passed: isGood ? 1 : 0, failed: isGood ? 0 : 1 }
  return { name, isGood, seconds: Math.round((performance.now() - startedAt) / 1000), ...count }
}

const tested = (report: string) => {
  const isGood = existsSync(report) && JSON.parse(readFileSync(report, "utf8")).success === true
  return { name: "test", isGood, seconds: undefined, ...countOf(report, isGood) }
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
        ? tested(values.tested)
        : carryOut(step, reports)
    )
  rmSync(reports, { recursive: true })

  console.log("")
  for (const { failed, isGood, name, passed, seconds } of done) {
    const took = seconds === undefined ? "before" : `${seconds} s`
    console.log(
      `${isGood ? "ok    " : "FAILED"} ${name.padEnd(10)} ${took.padStart(6)}` +
        `  ${passed} passed, ${failed} failed`,
    )
  }
  const sum = (of: "passed" | "failed") => done.reduce((all, each) => all + each[of], 0)
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`)
  process.exitCode = done.every(({ isGood }) => isGood) ? 0 : 1
}

main()
