/**
 * A trial is one system under one load, once. Trials are interleaved: every repetition asks every
 * system, so that a slow minute of the machine falls on all of them alike.
 */
import { Effect, Fiber, Option } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Progress from "./Progress.ts"
import { Server } from "./Server.ts"
import { type Load, loadName, type Place, type Prepared, type System } from "./System.ts"
import { type Verdict, Witness } from "./Witness.ts"

/** One system under one load: a line of the table. */
export interface Subject {
  readonly system: System
  readonly load: Load
}

/** The lines of the table, and the reason for each that is missing. */
export const subjects = (
  systems: ReadonlyArray<System>,
  loads: ReadonlyArray<Load>,
) => {
  const subjects: Array<Subject> = []
  const remarks: Array<string> = []
  for (const load of loads) {
    for (const system of systems) {
      const reason = system.refuses(load)
      if (reason === undefined) {
        const jobs = Math.min(load.jobs, system.jobsAtMost ?? load.jobs)
        subjects.push({ system, load: { ...load, jobs } })
        if (jobs < load.jobs) {
          remarks.push(`${system.name} ${system.settings}: ran ${jobs} jobs`)
        }
      } else remarks.push(reason)
    }
  }
  return { subjects, remarks }
}

export interface Trial {
  readonly subject: Subject
  readonly jobsPerSecond: number
  readonly seconds: number
  /** From the start of the clock to the first handler. */
  readonly startMillis: number
  readonly clientMicrosPerJob: number
  readonly walBytesPerJob: number
  readonly verdict: Verdict
  /** Whether the patience ran out first; the rate is then that of the part that was done. */
  readonly cutShort: boolean
}

export interface Settings {
  readonly repetitions: number
  /** The seconds after which a trial is cut short. */
  readonly patience: number
}

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

export const runTrial = Effect.fnUntraced(
  function* (subject: Subject, settings: Settings) {
    const server = yield* Server
    const place = yield* server.place
    return yield* tried(subject, settings, place, yield* subject.system.prepare(place))
  },
  Effect.scoped,
)

/** A trial in a place that is ready for it, and may be used again. */
export const tried = Effect.fnUntraced(
  function* (subject: Subject, settings: Settings, place: Place, prepared: Prepared) {
    const { load, system } = subject
    const server = yield* Server
    yield* prepared.fill(load)
    if (system.store === "postgres") yield* server.settle(place)
    const witness = new Witness(load)
    collectGarbage()

    const walBefore = yield* server.walBytes
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    const worker = yield* Effect.forkScoped(prepared.drain(witness))
    const emptied = yield* Effect.raceFirst(
      // A worker that fails must not look like a slow one.
      Effect.andThen(Fiber.join(worker), Effect.never),
      Effect.andThen(
        Effect.promise(() => witness.done),
        Effect.repeat(Effect.delay(prepared.unfinished, "1 millis"), {
          until: (left) => !left,
        }),
      ),
    ).pipe(Effect.timeoutOption(settings.patience * 1_000))
    const seconds = (performance.now() - startedAt) / 1_000
    const cpu = process.cpuUsage(cpuBefore)
    const walAfter = yield* server.walBytes

    const { verdict } = witness
    const cutShort = Option.isNone(emptied)
    if (verdict.repeated > 0 || (verdict.missing > 0 && !cutShort)) {
      return yield* Effect.fail(
        new Error(
          `${system.name} did not run every job once: ${JSON.stringify(verdict)}`,
        ),
      )
    }
    return {
      subject,
      jobsPerSecond: verdict.ran / seconds,
      seconds,
      startMillis: (witness.firstAt ?? Number.NaN) - startedAt,
      clientMicrosPerJob: (cpu.user + cpu.system) / verdict.ran,
      walBytesPerJob: (walAfter - walBefore) / verdict.ran,
      verdict,
      cutShort,
    } satisfies Trial
  },
  Effect.scoped,
)

/** Jobs that warm up compiler and caches before the first repetition; their trial is forgotten. */
export const warmUp = ({ load, system }: Subject): Subject => ({
  system,
  load: {
    ...load,
    jobs: Math.max(load.blocking?.keys ?? 0, Math.min(2_000, load.jobs)),
  },
})

export const name = ({ load, system }: Subject): string =>
  `${system.name} ${system.settings}, ${loadName(load)}, ${load.jobs.toLocaleString("en")} jobs`

/** All trials of all subjects, in the order in which they were carried out. */
export const runAll = Effect.fnUntraced(function* (
  subjects: ReadonlyArray<Subject>,
  settings: Settings,
) {
  const trials: Array<Trial> = []
  for (const subject of subjects) {
    yield* Progress.show(`warm-up: ${name(subject)}`)
    yield* runTrial(warmUp(subject), {
      ...settings,
      patience: Math.min(10, settings.patience),
    })
  }
  for (let repetition = 1; repetition <= settings.repetitions; repetition++) {
    for (const subject of subjects) {
      const line = `${repetition} of ${settings.repetitions}: ${name(subject)}`
      yield* Progress.show(line)
      const trial = yield* runTrial(subject, settings)
      trials.push(trial)
      yield* Progress.keep(
        `${line}: ${Math.round(trial.jobsPerSecond).toLocaleString("en")}/s`,
      )
    }
  }
  yield* Progress.clear
  return trials
})
