/**
 * How late do triggers fire that are due together? So many triggers of one rule are kept, and each
 * fire is one job, which is late by the time from its instant to the start of its handler: the
 * firing and the working off are both in it, as they are for whoever waits.
 *
 * `minute` is one boundary, with the peers beside; `second` is ten boundaries on end, which peers
 * have no rules for; `asleep` is what a process and its store use while nothing is due.
 */
import { Effect } from "effect"
import * as Progress from "../Progress.ts"
import { aligned, machineLine, machineOf } from "../Report.ts"
import { type Facts, Server } from "../Server.ts"
import { percentile, spread, spreadOf } from "../Spread.ts"
import type { Bells, System } from "../System.ts"

export const remarks: ReadonlyArray<string> = [
  "late: from the instant of the slot to the start of the handler, by the same clock",
  "minute: the triggers are kept at least 25 seconds before their instant, since pg-boss sends what was due within the last minute at once",
  "pg-boss: its clock and its cron queue are looked at each second, as often as it can be told to",
  "asleep: processor time of the worker's process and of the server's, over 75 seconds after the warm-up, in percent of one core",
]

export interface Settings {
  readonly repetitions: number
  readonly triggers: number
  readonly asleep: number
  /** Seconds that a process lies idle before what it uses is measured. */
  readonly warm: number
  readonly rules: ReadonlyArray<Bells["rule"]>
}

interface Subject {
  readonly system: System
  readonly bells: Bells
}

/** Fires of one trial, or what lying idle took. */
type Trial =
  | { readonly late: ReadonlyArray<number>; readonly missing: number; readonly repeated: number }
  | { readonly workerPercent: number; readonly storePercent: number | undefined }

const boundaries = { minute: 1, second: 10, asleep: 0 } as const
const millisOf = { minute: 60_000, second: 1_000, asleep: Infinity } as const
/** Between the last registration and the first instant that counts. */
const settleMillis = { minute: 25_000, second: 3_000 } as const
const patienceMillis = { minute: 50_000, second: 15_000 } as const
/** What comes once a minute is in it. */
const asleepMillis = 75_000

const wallClock = () => performance.timeOrigin + performance.now()

const sleepUntil = (at: number) =>
  Effect.suspend(() => Effect.sleep(Math.max(0, Math.ceil(at - wallClock()))))

/** What rang, by trigger and in order: the n-th ring of each belongs to the n-th instant. */
const heard = (bells: Bells) => {
  const count = boundaries[bells.rule]
  const rings = new Uint8Array(bells.triggers)
  const late: Array<number> = []
  let first = Infinity
  let repeated = 0
  return {
    rung: (trigger: number) => {
      const now = wallClock()
      if (now < first) return
      const nth = rings[trigger]!++
      if (nth >= count && bells.rule === "minute") repeated++
      if (nth < count) late.push(now - first - nth * millisOf[bells.rule])
    },
    from: (at: number) => void (first = at),
    isWhole: () => late.length === count * bells.triggers,
    verdict: () => ({ late, missing: count * bells.triggers - late.length, repeated }),
  }
}

/** What code that is not compiled yet, and a server that tidies up, use is no part of lying idle. */
const asleep = Effect.fnUntraced(function* (warm: number) {
  const server = yield* Server
  yield* Effect.sleep(warm * 1000)
  const [cpu, store, from] = [process.cpuUsage(), yield* server.cpuMillis, performance.now()]
  yield* Effect.sleep(asleepMillis)
  const used = process.cpuUsage(cpu)
  const [storeAfter, millis] = [yield* server.cpuMillis, performance.now() - from]
  return {
    workerPercent: (used.user + used.system) / 10 / millis,
    storePercent: store === undefined ? undefined : (storeAfter! - store) / millis * 100,
  }
})

const tried = Effect.fnUntraced(function* ({ bells, system }: Subject, warm: number) {
  const server = yield* Server
  const prepared = yield* system.prepare(yield* server.place)
  const { from, isWhole, rung, verdict } = heard(bells)
  yield* prepared.ring!(bells, rung)
  if (bells.rule === "asleep") return yield* asleep(warm)
  const every = millisOf[bells.rule]
  const at = Math.ceil((wallClock() + settleMillis[bells.rule]) / every) * every
  from(at)
  yield* sleepUntil(at)
  const end = at + patienceMillis[bells.rule]
  while (!isWhole() && wallClock() < end) yield* Effect.sleep(20)
  // Whoever rings twice does so soon.
  yield* Effect.sleep(500)
  return verdict()
}, Effect.scoped)

const name = ({ bells, system }: Subject) =>
  `${system.name} ${system.settings}, ${bells.triggers.toLocaleString("en")} each ${bells.rule}`

const say = (trial: Trial): string =>
  "late" in trial
    ? `p99 ${percentile(trial.late, 99).toFixed(1)} ms late, ${trial.late.length} rang`
    : `${trial.workerPercent.toFixed(2)} %, and the store ${
      trial.storePercent?.toFixed(2) ?? "?"
    } %`

/** Peers know no seconds. */
const offers = (system: System, rule: Bells["rule"]) =>
  rule !== "second" || system.name === "belfry"

export const run = Effect.fnUntraced(
  function* (systems: ReadonlyArray<System>, settings: Settings) {
    const { facts } = yield* Server
    const ringing = systems.filter(({ name }) => name !== "raw SQL")
    const subjects: ReadonlyArray<Subject> = settings.rules.flatMap((rule) =>
      ringing.filter((system) => offers(system, rule)).map((system) => ({
        system,
        bells: { rule, triggers: rule === "asleep" ? settings.asleep : settings.triggers },
      }))
    )
    const trials = new Map<Subject, Array<Trial>>()
    for (let repetition = 1; repetition <= settings.repetitions; repetition++) {
      for (const subject of subjects) {
        const line = `${repetition} of ${settings.repetitions}: ${name(subject)}`
        yield* Progress.show(line)
        const trial = yield* tried(subject, settings.warm)
        trials.set(subject, [...trials.get(subject) ?? [], trial])
        yield* Progress.keep(`${line}: ${say(trial)}`)
      }
    }
    yield* Progress.clear
    return report(trials, facts, settings)
  },
)

const resultOf = ({ bells, system }: Subject, trials: ReadonlyArray<Trial>) => {
  const fires = trials.flatMap((trial) => "late" in trial ? [trial] : [])
  const idle = trials.flatMap((trial) => "late" in trial ? [] : [trial])
  const late = (percent: number) => spreadOf(fires.map(({ late }) => percentile(late, percent)))
  return {
    system: system.name,
    version: system.version,
    settings: system.settings,
    ...bells,
    ...fires.length > 0 && {
      p50: late(50),
      p99: late(99),
      max: late(100),
      missing: fires.reduce((sum, { missing }) => sum + missing, 0),
      repeated: fires.reduce((sum, { repeated }) => sum + repeated, 0),
    },
    ...idle.length > 0 && {
      workerPercent: spreadOf(idle.map(({ workerPercent }) => workerPercent)),
      storePercent: spreadOf(idle.map(({ storePercent }) => storePercent ?? Number.NaN)),
    },
  }
}

const report = (
  trials: ReadonlyMap<Subject, ReadonlyArray<Trial>>,
  facts: Facts,
  settings: Settings,
) => ({
  question: "fire",
  machine: machineOf(facts),
  settings,
  results: [...trials].map(([subject, trials]) => resultOf(subject, trials)),
  notes: remarks,
})

export type Report = ReturnType<typeof report>

const heads = [
  ...["system", "settings", "triggers"],
  ...["p50 ms", "p99 ms", "max ms", "worker %", "store %", "remarks"],
]

const cellsOf = (result: Report["results"][number]): ReadonlyArray<string> => [
  `${result.system} ${result.version}`,
  result.settings,
  `${result.triggers.toLocaleString("en")} ${
    result.rule === "asleep" ? "asleep" : `each ${result.rule}`
  }`,
  spread(result.p50),
  spread(result.p99),
  spread(result.max),
  spread(result.workerPercent),
  spread(result.storePercent),
  [
    ...(result.missing ?? 0) > 0 ? [`${result.missing} did not ring`] : [],
    ...(result.repeated ?? 0) > 0 ? [`${result.repeated} rang twice`] : [],
  ].join(", "),
]

/** The report as a person reads it. */
export const table = ({ machine, notes, results, settings }: Report): string =>
  [
    `fire: median of ${settings.repetitions} (min–max)${
      settings.rules.includes("asleep") ? `, asleep after ${settings.warm} s of warm-up` : ""
    }`,
    machineLine(machine),
    "",
    ...aligned([heads, ...results.map(cellsOf)], (column) => column >= 3 && column <= 7),
    "",
    ...notes.map((note) => `· ${note}`),
  ].join("\n")
