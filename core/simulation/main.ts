/**
 * `npm run simulate -- --help` says what it takes.
 *
 * Runs that many seeds, and exits with 1 when an invariant was violated. Every seed that failed
 * prints the line that runs it again. It says how often each invariant was put to the test, and one
 * that never was is a failure too. With `--mistake` a planted mistake is looked for instead, and
 * it is a failure not to find it.
 */
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { Effect } from "effect"
import { names } from "./invariants/mod.ts"
import { mistakes } from "./mistakes/mod.ts"
import { type MistakeName, simulate, type Verdict } from "./Simulation.ts"

/** In so many seeds every invariant is put to the test. */
const seedsMany = 50

interface Task {
  readonly from: number
  readonly step: number
  readonly until: number
  readonly mistake: MistakeName | undefined
}

const work = async ({ from, mistake, step, until }: Task) => {
  for (let seed = from; seed < until; seed += step) {
    parentPort!.postMessage(await Effect.runPromise(simulate(seed, mistake)))
    // A verdict nobody waits for any more is not worth the next one.
    await new Promise((resolve) => setImmediate(resolve))
  }
  parentPort!.close()
}

const options = () => {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "200" },
      from: { type: "string", default: "0" },
      workers: { type: "string", default: String(Math.min(8, availableParallelism())) },
      mistake: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  })
  const number = (name: "seeds" | "from" | "workers") => {
    const value = Number(values[name])
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw new Error(`--${name} "${values[name]}" is not a number. Write, say, --${name} 100`)
  }
  const { mistake } = values
  if (mistake !== undefined && !(mistake in mistakes)) {
    const names = Object.keys(mistakes).join(", ")
    throw new Error(`--mistake "${mistake}" is not known. Known are: ${names}`)
  }
  return {
    seeds: number("seeds"),
    from: number("from"),
    workers: Math.max(1, number("workers")),
    mistake: mistake as MistakeName | undefined,
    isJson: values.json,
    isHelp: values.help,
  }
}

const help =
  `npm run simulate -- [--seeds 200] [--from 0] [--workers ${availableParallelism()}] [--json]
npm run simulate -- --mistake NAME [--seeds 200] [--from 0]

Runs so many seeds, the first of them --from, and says which violated an invariant, and how to run it again.
With --mistake it looks for a mistake that is planted in the product, until a seed finds it:

${Object.keys(mistakes).map((name) => `  ${name}`).join("\n")}

Exits with 0 if all is well, 1 if not, and 2 if it cannot be told.`

const main = async () => {
  const { from, isHelp, isJson, mistake, seeds, workers } = options()
  if (isHelp) return console.log(help)
  const startedAt = performance.now()
  const verdicts: Array<Verdict> = []
  const crew: Array<Worker> = []
  const stop = () => crew.forEach((worker) => void worker.terminate())

  /** By the invariant that must find it. */
  const isFound = ({ violations }: Verdict) =>
    mistake !== undefined &&
    violations.some(({ invariant }) => invariant === mistakes[mistake][1])

  const hear = (verdict: Verdict) => {
    verdicts.push(verdict)
    if (verdict.violations.length > 0 && !isJson) {
      const { invariant, what } = verdict.violations[0]!
      const planted = mistake === undefined ? "" : ` --mistake ${mistake}`
      console.log(
        `${invariant}: ${what}\n  again: npm run simulate -- --seeds 1 --from ${verdict.seed}${planted}`,
      )
    }
    if (isFound(verdict)) stop()
    if (process.stderr.isTTY) process.stderr.write(`\r${verdicts.length} of ${seeds} seeds`)
  }

  await Promise.all(Array.from({ length: workers }, (_, index) => {
    const workerData: Task = { from: from + index, step: workers, until: from + seeds, mistake }
    const worker = new Worker(new URL(import.meta.url), { workerData })
    crew.push(worker)
    worker.on("message", hear)
    return new Promise<void>((resolve, reject) => {
      worker.on("error", reject)
      worker.on("exit", () => resolve())
    })
  }))
  if (process.stderr.isTTY) process.stderr.write("\r")

  const failed = verdicts.filter(({ violations }) => violations.length > 0)
  const sum = (of: (verdict: Verdict) => number) =>
    verdicts.reduce((total, verdict) => total + of(verdict), 0)
  const summary = {
    seeds: verdicts.length,
    from,
    ...(mistake !== undefined && { mistake }),
    violations: sum(({ violations }) => violations.length),
    failedSeeds: failed.map(({ seed }) => seed),
    runs: sum(({ runs }) => runs),
    faults: sum(({ faults }) => faults),
    /** How often each invariant was put to the test. */
    checked: Object.fromEntries(
      names.map((name) => [name, sum(({ counts }) => counts[name])]),
    ),
    seconds: Math.round((performance.now() - startedAt) / 100) / 10,
  }
  const isBlind = mistake === undefined && seeds >= seedsMany &&
    Object.values(summary.checked).includes(0)
  const isGood = !isBlind && (mistake === undefined ? failed.length === 0 : verdicts.some(isFound))
  if (isJson) console.log(JSON.stringify({ ...summary, verdicts }))
  else {
    console.log(
      `${summary.seeds} seeds, ${summary.runs} runs, ${summary.faults} faults: ` +
        `${summary.violations} violations in ${failed.length} seeds (${summary.seconds} s)`,
    )
    const counts = Object.entries(summary.checked).map(([name, count]) => `${name} ${count}`)
    if (mistake === undefined) console.log(`checked: ${counts.join(", ")}`)
    if (isBlind) console.log("an invariant that nothing puts to the test proves nothing")
    if (mistake !== undefined && !isGood) {
      console.log(`the planted mistake ${mistake} was not found`)
    }
  }
  process.exitCode = isGood ? 0 : 1
}

if (isMainThread) {
  main().catch((cause) => {
    console.error(cause instanceof Error ? cause.message : cause)
    process.exitCode = 2
  })
} else await work(workerData as Task)
