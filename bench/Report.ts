/**
 * What a question answers: one document for machines, one table for people. Rates are medians over
 * the repetitions with their range; ratios are taken within each repetition first, because only
 * what ran next to each other can be compared on a shared machine.
 */
import { cpus, loadavg, release, totalmem, type } from "node:os"
import type { Facts } from "./Server.ts"
import { loadName } from "./System.ts"
import type { Settings, Subject, Trial } from "./Trial.ts"

export interface Result {
  readonly system: string
  readonly version: string
  /** Settings and load in one: what tells two lines of the same system apart. */
  readonly variant: string
  readonly settings: string
  readonly load: string
  readonly jobs: number
  readonly median: number
  readonly min: number
  readonly max: number
  /** (max − min) / median. */
  readonly spread: number
  readonly unit: "jobs/s"
  readonly samples: ReadonlyArray<number>
  /** Medians of what explains the rate; write-ahead log is null where there is none. */
  readonly startMillis: number
  readonly clientMicrosPerJob: number
  readonly walBytesPerJob: number | null
  /** Starts while the key had no free place, and starts out of order, over all repetitions. */
  readonly overlaps: number
  readonly disorders: number
  readonly cutShort: boolean
}

export interface Ratio {
  readonly of: string
  readonly to: string
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Report {
  readonly question: string
  readonly machine: Readonly<Record<string, unknown>>
  readonly settings: Settings & { readonly payloadBytes: number }
  readonly results: ReadonlyArray<Result>
  readonly ratios: ReadonlyArray<Ratio>
  readonly notes: ReadonlyArray<string>
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

const variantOf = ({ load, system }: Subject): string => `${system.settings}, ${loadName(load)}`

const nameOf = (subject: Subject): string => `${subject.system.name} ${variantOf(subject)}`

const ratesOf = (
  subject: Subject,
  trials: ReadonlyArray<Trial>,
): ReadonlyArray<number> =>
  trials.filter((trial) => trial.subject === subject).map((trial) => trial.jobsPerSecond)

const resultOf = (subject: Subject, all: ReadonlyArray<Trial>): Result => {
  const trials = all.filter((trial) => trial.subject === subject)
  const samples = trials.map((trial) => Math.round(trial.jobsPerSecond))
  const [min, max] = [Math.min(...samples), Math.max(...samples)]
  const sum = (of: (trial: Trial) => number) => trials.reduce((total, each) => total + of(each), 0)
  return {
    system: subject.system.name,
    version: subject.system.version,
    variant: variantOf(subject),
    settings: subject.system.settings,
    load: loadName(subject.load),
    jobs: subject.load.jobs,
    median: Math.round(median(samples)),
    min,
    max,
    spread: round((max - min) / median(samples), 3),
    unit: "jobs/s",
    samples,
    startMillis: round(median(trials.map((trial) => trial.startMillis)), 1),
    clientMicrosPerJob: round(
      median(trials.map((trial) => trial.clientMicrosPerJob)),
      2,
    ),
    walBytesPerJob: subject.system.store === "postgres"
      ? Math.round(median(trials.map((trial) => trial.walBytesPerJob)))
      : null,
    overlaps: sum((trial) => trial.verdict.overlaps),
    disorders: sum((trial) => trial.verdict.disorders),
    cutShort: trials.some((trial) => trial.cutShort),
  }
}

const ratioOf = (
  of: Subject,
  to: Subject,
  trials: ReadonlyArray<Trial>,
): Ratio => {
  const bases = ratesOf(to, trials)
  const ratios = ratesOf(of, trials).map((rate, repetition) =>
    rate / (bases[repetition] ?? Number.NaN)
  )
  return {
    of: nameOf(of),
    to: nameOf(to),
    median: round(median(ratios), 3),
    min: round(Math.min(...ratios), 3),
    max: round(Math.max(...ratios), 3),
  }
}

/** The peer that all are compared with, under the same load. */
const isBaseline = ({ system }: Subject): boolean =>
  system.name === "graphile-worker" && system.settings === "best"

const ratiosOf = (
  subjects: ReadonlyArray<Subject>,
  trials: ReadonlyArray<Trial>,
) =>
  subjects.flatMap((subject) => {
    const sameSystem = subjects.filter((other) => other.system === subject.system)
    const [first] = sameSystem
    const best = subjects.find((other) =>
      other.system.name === subject.system.name &&
      other.system.settings === "best" &&
      loadName(other.load) === loadName(subject.load)
    )
    const baseline = subjects.find((other) =>
      isBaseline(other) && loadName(other.load) === loadName(subject.load)
    )
    return [...new Set([baseline, first, best])]
      .filter((to): to is Subject => to !== undefined && to !== subject)
      .map((to) => ratioOf(subject, to, trials))
  })

export const machineOf = (facts: Facts): Report["machine"] => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  cores: cpus().length,
  memoryGiB: round(totalmem() / 2 ** 30, 1),
  system: `${type()} ${release()}`,
  node: process.version,
  postgres: facts.version,
  postgresSettings: facts.settings,
  loadAverage: loadavg().map((load) => round(load, 2)),
})

export const make = (
  question: string,
  subjects: ReadonlyArray<Subject>,
  trials: ReadonlyArray<Trial>,
  settings: Settings,
  facts: Facts,
  remarks: ReadonlyArray<string>,
): Report => ({
  question,
  machine: machineOf(facts),
  settings: { ...settings, payloadBytes: 100 },
  results: subjects.map((subject) => resultOf(subject, trials)),
  ratios: ratiosOf(subjects, trials),
  notes: [
    ...new Set([
      ...subjects.flatMap(({ system: { name, note, settings } }) =>
        note === undefined ? [] : [`${name} ${settings}: ${note}`]
      ),
      ...remarks,
    ]),
  ],
})

const number = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString("en") : String(round(value, 2))

export const machineLine = (machine: Report["machine"]): string =>
  `${machine["cores"]} cores (${machine["cpu"]}), Node ${machine["node"]}, PostgreSQL ${
    machine["postgres"]
  }, load ${(machine["loadAverage"] as ReadonlyArray<number>).join(" ")}`

/** Columns under each other, the first row above a line; numbers stand to the right. */
export const aligned = (
  rows: ReadonlyArray<ReadonlyArray<string>>,
  isNumber: (column: number) => boolean,
): ReadonlyArray<string> => {
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0))
  )
  const line = (cells: ReadonlyArray<string>) =>
    cells.map((cell, column) =>
      isNumber(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)
    ).join("  ").trimEnd()
  const [heads, ...lines] = rows.map(line)
  return [heads!, line(widths.map((width) => "─".repeat(width))), ...lines]
}

/** The report as a person reads it. */
export const table = (report: Report): string => {
  const heads = [
    "system",
    "settings",
    "load",
    "jobs/s",
    "min–max",
    "spread",
    "ratio",
    "remarks",
  ]
  const peer = report.results.filter((result) =>
    result.system === "graphile-worker" && result.settings === "best"
  )
  const baseOf = ({ load, settings, system }: Result) =>
    peer.length > 0
      ? peer.find((other) => other.load === load)
      : report.results.find((other) => other.system === system && other.settings === settings)
  const lines = report.results.map((result) => {
    const name = `${result.system} ${result.variant}`
    const base = baseOf(result)
    const ratio = base === result ? "1.00" : report.ratios
      .find(({ of, to }) => of === name && to === `${base?.system} ${base?.variant}`)
      ?.median.toFixed(2) ?? "–"
    return [
      `${result.system} ${result.version}`,
      result.settings,
      result.load,
      number(result.median),
      `${number(result.min)}–${number(result.max)}`,
      `${Math.round(result.spread * 100)} %`,
      ratio,
      [
        ...result.cutShort ? ["cut short"] : [],
        ...result.overlaps > 0 ? [`${result.overlaps} overlaps`] : [],
        ...result.disorders > 0 ? [`${result.disorders} out of order`] : [],
      ].join(", "),
    ]
  })
  const isNumber = (column: number) => column >= 3 && column <= 6
  const { machine, settings } = report
  return [
    `${report.question}: median of ${settings.repetitions}, ratio to ${
      peer.length > 0 ? "graphile-worker best" : "the first load"
    } in the same repetition`,
    machineLine(machine),
    "",
    ...aligned([heads, ...lines], isNumber),
    "",
    ...report.notes.map((note) => `· ${note}`),
  ].join("\n")
}
