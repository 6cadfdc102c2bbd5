/**
 * What there is to give commands about: what both sides have told so far, in the names of `Side`.
 *
 * To give orders that have an effect, commands look at how the reference stands. What they then do
 * depends on their lots and on that alone, so a sequence of which some commands are left out can be
 * carried out all the same.
 */
import { Effect, Option } from "effect"
import { type Gate, GateKey } from "../../domain/Blocking.ts"
import * as Lane from "../../domain/Lane.ts"
import { Namespace } from "../../domain/Namespace.ts"
import type { Permit, Regulation } from "../../domain/Permit.ts"
import * as Run from "../../domain/Run.ts"
import type { RunView } from "../../domain/RunView.ts"
import { Selector } from "../../domain/Selector.ts"
import * as Share from "../../domain/Share.ts"
import { TaskName } from "../../domain/Task.ts"
import type { Draws } from "./Draws.ts"
import type { Side } from "./Side.ts"

export const namespaces = [Namespace.make("agree-one"), Namespace.make("agree-two")]
export const tasks = [TaskName.make("greet"), TaskName.make("bake")]

/** An executor that has joined, with the rounds of its loops. */
export interface Hand {
  readonly name: string
  readonly namespace: Namespace
  /** The last round that was sent, by loop. */
  readonly rounds: [number, number]
  ttlMillis: number
}

export interface Granted {
  readonly run: string
  readonly fence: number
  readonly hand: string
}

/** One command to both sides. */
export interface Call {
  /** As it is printed. */
  readonly says: string
  /** The answer, where the laws leave no choice. */
  readonly on: (side: Side) => Effect.Effect<unknown, unknown>
  /** What the answer of the reference tells the world, with names for ids. */
  readonly learn?: (answer: never) => void
}

/** Draws one call, if there is something to give it about. */
export type Command = (world: World, draws: Draws) => Call | undefined

export class World {
  readonly reference: Side
  readonly hands: Array<Hand> = []
  readonly grants: Array<Granted> = []
  /** By run: with what it was settled last. */
  readonly settled = new Map<string, Omit<Granted, "run">>()
  /** By run: the instant by which it must have begun. */
  readonly deadlines = new Map<string, number>()
  readonly parents = new Set<string>()
  readonly permits: Array<{ readonly regulation: Regulation; readonly permit: Permit }> = []
  /** Executors to whom a beat has said that they are lost. */
  readonly toldLost = new Set<string>()
  /** By executor: how often it has left what is to be said of its runs. */
  readonly endings = new Map<string, number>()
  /** By grant: the instants at which something is to be said of it, as was left at some time. */
  readonly overdueAt = new Map<string, ReadonlyArray<number>>()
  /** By the time of the reference. */
  now: number

  constructor(reference: Side, now: number) {
    this.reference = reference
    this.now = now
  }

  /** All runs, as the reference shows them. */
  views(): ReadonlyArray<RunView & { readonly name: string }> {
    const { reference } = this
    const names = Array.from({ length: reference.runs.count }, (_, nth) => `run ${nth}`)
    return names.flatMap((name) => {
      const view = Effect.runSync(
        Effect.orDie(reference.storage.runs.find(reference.run(name))),
      )
      return Option.isSome(view) ? [{ ...view.value, name }] : []
    })
  }

  /** A run, mostly one in these states; none before there is any. */
  someRun(draws: Draws, ...states: ReadonlyArray<Run.StateName>): string | undefined {
    const { count } = this.reference.runs
    if (count === 0) return undefined
    const any = draws.below(count)
    const preferred = draws.chance(0.8)
      ? this.views().filter(({ state }) => states.includes(state))
      : []
    return preferred.length > 0 ? draws.oneOf(preferred).name : `run ${any}`
  }

  /** An executor, mostly one that is here. */
  someHand(draws: Draws): Hand | undefined {
    if (this.hands.length === 0) return undefined
    const { executors, storage } = this.reference
    const here = namespaces.flatMap((namespace) =>
      Effect.runSync(Effect.orDie(storage.executors.list(namespace)))
    ).flatMap(({ incarnation, standing }) => standing === "live" ? [executors.of(incarnation)] : [])
    const preferred = this.hands.filter(({ name }) => here.includes(name))
    return draws.oneOf(preferred.length > 0 && draws.chance(0.85) ? preferred : this.hands)
  }

  /** Whether a run may be past its deadline and not ended for it. */
  get isAnyLate(): boolean {
    const late = new Set(
      [...this.deadlines].filter(([, at]) => at <= this.now).map(([run]) => run),
    )
    return late.size > 0 &&
      this.views().some(({ name, state }) => late.has(name) && !Run.isFinal(state))
  }
}

const shares = { _tag: "Fair", limit: 2, weights: { a: 2 } } as const

/** The gates of a namespace. */
export const gatesOf = (namespace: Namespace): ReadonlyArray<Gate> => [
  { key: GateKey.make(`${namespace}:one`), places: 1, whenFull: "wait" },
  { key: GateKey.make(`${namespace}:two`), places: 2, whenFull: "wait" },
  { key: GateKey.make(`${namespace}:off`), places: 1, whenFull: "discard" },
  ...["a", "b"].map((key) => Share.gate(namespace, tasks[0]!, shares, key)),
]

const selector = Selector.make("gpu")

export const lanesOf = (namespace: Namespace): ReadonlyArray<Lane.Lane> => [
  ...tasks.map((task) => Lane.ofTask(namespace, task)),
  Lane.ofTask(namespace, tasks[0]!, selector),
]

/** The names of runs within a text. */
export const isOfFamily = (gate: string): boolean => gate.startsWith(":")

/** In an order of their own, where the laws leave it open. */
export const asSet = (values: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  values.map((value) => ({ value, text: JSON.stringify(value) }))
    .sort((a, b) => a.text < b.text ? -1 : a.text > b.text ? 1 : 0)
    .map(({ value }) => value)
