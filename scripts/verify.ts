/**
 * `npm run verify [-- STEP …]`: every check there is, or those named, one after another.
 *
 * All of them run, whatever comes of the others. The last line counts tests: every test of a test
 * run, and every other step as one.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

interface Step {
  readonly name: string
  readonly command: string
  /** It reports each of its tests. */
  readonly isTestRun?: boolean
}

const root = fileURLToPath(new URL("..", import.meta.url))

/** What README tells people to test with: were it wrong there, it should fail here. */
const commandOfReadme = () => {
  const blocks = readFileSync(join(root, "README.md"), "utf8").matchAll(/^```sh\n([^]*?)^```/gm)
  const lines = [...blocks].flatMap(([, text = ""]) => text.split("\n"))
  const command = lines.map((line) => line.replace(/\s+#.*$/, "").trim())
    .find((line) => /\bnpm test$/.test(line))
  if (command === undefined) {
    throw new Error("README.md has no sh block with a line that ends in `npm test`")
  }
  // Who runs this has installed already, and must not lose the packages it runs on.
  return command.replace(/^npm (ci|install) && /, "")
}

const steps: ReadonlyArray<Step> = [
  { name: "style", command: "npm run style" },
  { name: "check", command: "npm run check" },
  { name: "docs", command: "npm run docs" },
  { name: "test", command: commandOfReadme(), isTestRun: true },
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
  const { status } = spawnSync(command, {
    cwd: root,
    shell: true,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...(isTestRun && { BELFRY_TEST_REPORT: report }) },
  })
  const isGood = status === 0
  const count = isTestRun
    ? countOf(report, isGood)
    : { passed: isGood ? 1 : 0, failed: isGood ? 0 : 1 }
  return { name, isGood, seconds: Math.round((performance.now() - startedAt) / 1000), ...count }
}

const main = () => {
  const wanted = process.argv.slice(2)
  const unknown = wanted.filter((name) => !steps.some((step) => step.name === name))
  if (unknown.length > 0) {
    console.error(
      `There is no step ${unknown.join(", ")}; there are ${
        steps.map(({ name }) => name).join(", ")
      }`,
    )
    process.exit(2)
  }
  const reports = mkdtempSync(join(tmpdir(), "belfry-verify-"))
  const done = steps.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
    .map((step) => carryOut(step, reports))
  rmSync(reports, { recursive: true })

  console.log("")
  for (const { failed, isGood, name, passed, seconds } of done) {
    console.log(
      `${isGood ? "ok    " : "FAILED"} ${name.padEnd(10)} ${`${seconds} s`.padStart(6)}` +
        `  ${passed} passed, ${failed} failed`,
    )
  }
  const sum = (of: "passed" | "failed") => done.reduce((all, each) => all + each[of], 0)
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`)
  // Once standard output is written, also where it is a pipe.
  process.exitCode = done.every(({ isGood }) => isGood) ? 0 : 1
}

main()
