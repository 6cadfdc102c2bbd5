/**
 * How long does a claim take, however many jobs wait? One lane is filled with as many as are asked for,
 * and so many jobs are claimed at a time, a claim in each store in turns, so that a slow moment of the
 * machine falls on all alike. What was taken is ended, and as many new jobs come to the end of the lane,
 * off the clock.
 */
import { Effect } from "effect"
import * as Progress from "../Progress.ts"
import { aligned, machineLine, machineOf } from "../Report.ts"
import { type Facts, Server } from "../Server.ts"
import { percentile, spread, spreadOf } from "../Spread.ts"
import type { System, Taking } from "../System.ts"

export interface Settings {
  readonly repetitions: number
  /** Of one repetition, in each store. */
  readonly claims: number
  readonly batch: number
  readonly waiting: ReadonlyArray<number>
}

interface Store {
  readonly system: System
  readonly waiting: number
  readonly taking: Taking
  /** Of each repetition, what each claim took. */
  readonly millis: Array<ReadonlyArray<number>>
}

const warmUps = 50

export const run = Effect.fnUntraced(
  function* (systems: ReadonlyArray<System>, settings: Settings) {
    const { batch, claims, repetitions, waiting } = settings
    const server = yield* Server
    const all: Array<ReadonlyArray<Store>> = []
    for (const system of systems) {
      const stores: Array<Store> = []
      for (const jobs of waiting) {
        yield* Progress.show(`filling: ${system.name} ${system.settings}, ${jobs} jobs`)
        const place = yield* server.place
        const prepared = yield* system.prepare(place)
        yield* prepared.fill({ jobs, lanes: 1, levels: 1 })
        if (system.store === "postgres") yield* server.settle(place)
        stores.push({
          system,
          waiting: jobs,
          taking: yield* prepared.taking!(batch),
          millis: [],
        })
      }
      all.push(stores)
      const took = Effect.fnUntraced(function* ({ taking }: Store) {
        const from = performance.now()
        yield* taking.take
        const millis = performance.now() - from
        yield* taking.putBack
        return millis
      })
      for (let nth = 0; nth < warmUps; nth++) yield* Effect.forEach(stores, took)
      for (let repetition = 1; repetition <= repetitions; repetition++) {
        yield* Progress.show(`${repetition} of ${repetitions}: ${system.name} ${system.settings}`)
        const millis = stores.map((): Array<number> => [])
        for (let nth = 0; nth < claims; nth++) {
          for (const [at, store] of stores.entries()) millis[at]!.push(yield* took(store))
        }
        stores.forEach((store, at) => store.millis.push(millis[at]!))
      }
    }
    yield* Progress.clear
    return report(all, server.facts, settings)
  },
  Effect.scoped,
)

/** Systems that can be asked to claim and no more. */
export const canTake = ({ name }: System): boolean => name === "belfry"

const report = (
  all: ReadonlyArray<ReadonlyArray<Store>>,
  facts: Facts,
  settings: Settings,
) => ({
  question: "depth",
  machine: machineOf(facts),
  settings,
  results: all.flatMap((stores) =>
    stores.map(({ millis, system, waiting }) => {
      const each = (percent: number) => millis.map((some) => percentile(some, percent))
      const first = stores[0]!.millis.map((some) => percentile(some, 99))
      return {
        system: system.name,
        version: system.version,
        settings: system.settings,
        waiting,
        p50: spreadOf(each(50)),
        p99: spreadOf(each(99)),
        /** Of the p99 of the same repetition in the first store. */
        ratio: spreadOf(each(99).map((value, at) => value / first[at]!)),
      }
    })
  ),
})

export type Report = ReturnType<typeof report>

/** The report as a person reads it. */
export const table = ({ machine, results, settings }: Report): string =>
  [
    `depth: claims of ${settings.batch}, ${settings.claims} a repetition, median of ${settings.repetitions} (min–max)`,
    machineLine(machine),
    "",
    ...aligned([
      ["system", "settings", "waiting", "p50 ms", "p99 ms", "p99 of the first"],
      ...results.map(({ p50, p99, ratio, settings, system, version, waiting }) => [
        `${system} ${version}`,
        settings,
        waiting.toLocaleString("en"),
        spread(p50),
        spread(p99),
        spread(ratio),
      ]),
    ], (column) => column >= 2),
  ].join("\n")
