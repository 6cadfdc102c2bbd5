/**
 * Those in an executor who claim for themselves, and the places that are kept for each: what is plain, as
 * one, and each task that is *narrow*, since how many of its runs may start is not for the pool alone to
 * say: they need a permit, or are blocked per executor.
 *
 * 1. None of them waits behind all that another has: a place that is free while several have work goes by
 *    `Turns`, and is kept until who has it has claimed. Whoever finds nothing and has no place *looks*, so
 *    that it is known when it has.
 * 2. Who is not strictly the best has at most half of the places kept: they are empty while its answer is
 *    under way.
 * 3. An executor that serves nothing narrow keeps no place, and pays a comparison.
 */
import type { Latch } from "effect"
import * as Lane from "../domain/Lane.ts"
import { isRegulated } from "../domain/Permit.ts"
import * as Policy from "../domain/Policy.ts"
import type { TaskName } from "../domain/Task.ts"
import type { Grant } from "../services/RunStorage.ts"
import type { Order, Pool } from "./Pool.ts"
import { type Rival, Turns } from "./Turns.ts"

/** Whether its task claims for itself. */
export const isNarrow = (policy: Policy.Policy): boolean =>
  isRegulated(policy) || Policy.ruleOfExecutor(policy) !== undefined

export interface Claimant extends Rival {
  /** Of what it has next, as far as is known. */
  readonly level: () => Lane.Level
  /** How many places it can have. */
  readonly most: () => number
  /** A place is kept for it. */
  readonly wake: () => void
  /** Whether it has more, as far as is known, than there were places for. */
  hasMore: boolean
  /** Places that are kept for it, which it has not asked with yet. */
  kept: number
  /** Those for which a claim is under way. */
  asking: number
}

/** What of the pool is shared out. */
export type Room = Pick<Pool, "fill" | "handlers" | "sizes" | "vacant">

/** What a claim says of the places that it is for. */
export interface Asking {
  /** So many may come. */
  readonly limit: number
  /** So many places nobody else is to ask for meanwhile. */
  readonly reserved: number
  /** It may wait for work. */
  readonly isPatient: boolean
  /** It does, since it brings nothing. */
  readonly isIdle: boolean
}

/** So many of the runs that wait in the pool are looked at for the one that starts next. */
const queuedLooked = 100

export class Claimants implements Order {
  readonly #pool: Room
  readonly #plain: Claimant
  readonly #narrow = new Map<TaskName, Claimant>()
  /** By the number of the loop, which need not begin in the order of these. */
  readonly #latches = new Map<number, Latch.Latch>()
  readonly #turns = new Turns()
  /** Places that were asked with, and no answer has come. */
  #asked = 0
  /** Of these, what is asked by who waits for work: perhaps none comes. */
  #idle = 0

  constructor(pool: Room, plain: Claimant) {
    this.#pool = pool
    this.#plain = plain
  }

  /** The latch opens whenever the loop of this number may have other places than before. */
  wakes(loop: number, latch: Latch.Latch): void {
    this.#latches.set(loop, latch)
  }

  enter(task: TaskName, narrow: Claimant): void {
    this.#narrow.set(task, narrow)
  }

  leave(task: TaskName): void {
    this.#narrow.delete(task)
    this.wake()
    this.#pool.fill()
  }

  get isAnyNarrow(): boolean {
    return this.#narrow.size > 0
  }

  /** So many places are asked with by who waits for work. */
  get idle(): number {
    return this.#idle
  }

  isRivalled(claimant: Claimant): boolean {
    return this.#all().some((other) => other !== claimant && isWanting(other))
  }

  /** How many of so many open places others have neither asked for nor kept. */
  leftFor(claimant: Claimant, open: number): number {
    return open - this.#asked - this.#keptForOthers(claimant)
  }

  levelOf(task: TaskName): Lane.Level {
    return this.#pool.handlers.get(task)?.policy.level ?? Lane.usual
  }

  kept(): number {
    if (this.#narrow.size === 0) return 0
    let sum = this.#plain.kept + this.#plain.asking
    for (const { asking, kept } of this.#narrow.values()) sum += kept + asking
    return sum
  }

  next(queue: ReadonlyArray<Grant>): number | undefined {
    if (!this.#narrow.values().some(isWanting)) return 0
    const firsts = new Map<Claimant, { readonly level: Lane.Level; readonly at: number }>()
    for (const [at, { task }] of queue.slice(0, queuedLooked).entries()) {
      const claimant = this.#narrow.get(task) ?? this.#plain
      const level = this.levelOf(task)
      if (level < (firsts.get(claimant)?.level ?? Infinity)) firsts.set(claimant, { level, at })
    }
    const here = firsts.entries().map(([rival, first]) => ({ rival, ...first })).toArray()
    const chosen = this.#turns.next(this.#withKeepers(here, (rival) => firsts.has(rival)))
    if (chosen !== undefined && "at" in chosen) return chosen.at
    if (chosen === undefined) return 0
    keep(chosen.rival)
    return undefined
  }

  /** Something has changed: the places that are free are shared out anew, and all look again. */
  wake(): void {
    this.share()
    this.#openAll()
  }

  /** Says whose the places are that nobody is in, and takes back what is kept for who has nothing. */
  share(): void {
    if (this.#narrow.size === 0) this.#plain.kept = 0
    if (!this.#narrow.values().some(({ hasMore }) => hasMore) && this.kept() === 0) return
    let isGivenBack = false
    let wanting = 0
    let asking = 0
    for (const claimant of this.#all()) {
      const isIt = isWanting(claimant)
      if (isIt) wanting++
      asking += claimant.asking
      if (claimant.kept === 0) continue
      const most = isIt ? Math.max(0, claimant.most() - claimant.asking) : 0
      isGivenBack ||= claimant.kept > most
      claimant.kept = Math.min(claimant.kept, most)
    }
    if (wanting > 1) {
      const coming = Math.max(0, this.#asked - this.#idle - asking)
      for (let vacant = this.#pool.vacant() - this.kept() - coming; vacant > 0; vacant--) {
        const chosen = this.#turns.next(this.#withKeepers([], () => false))
        if (chosen === undefined) break
        keep(chosen.rival)
      }
    }
    if (!isGivenBack) return
    this.#pool.fill()
    this.#openAll()
  }

  /** It claims: so many of the places that were kept for it are what it claims for. */
  ask(claimant: Claimant, { isIdle, isPatient, limit, reserved }: Asking): number {
    this.#asked += reserved
    if (isIdle) this.#idle += reserved
    // Places that are kept are not kept for what may not come for long.
    const places = isPatient ? 0 : Math.min(claimant.kept, limit)
    claimant.kept -= places
    claimant.asking += places
    return places
  }

  /** An answer has come, or none will. What was kept stays `asking` until what came is in the pool. */
  answered({ isIdle, reserved }: Pick<Asking, "isIdle" | "reserved">): void {
    this.#asked -= reserved
    if (isIdle) this.#idle -= reserved
  }

  /** And those of whom nothing is here, and who may have a place kept. */
  #withKeepers<C extends { readonly rival: Claimant; readonly level: Lane.Level }>(
    here: ReadonlyArray<C>,
    isHere: (claimant: Claimant) => boolean,
  ) {
    const others = this.#all()
      .filter((rival) => !isHere(rival) && isWanting(rival))
      .map((rival) => ({ rival, level: rival.level() }))
    const all = [...here, ...others]
    const half = Math.max(1, Math.floor(this.#pool.sizes().core / 2))
    return [
      ...here,
      ...others.filter(({ level, rival }) => {
        // While an answer is under way its places are empty, which only the best should cost others.
        const isBest = all.every((other) => other.rival === rival || other.level > level)
        const places = rival.kept + rival.asking
        return places < rival.most() && (isBest || places < half)
      }),
    ]
  }

  #keptForOthers(claimant: Claimant): number {
    return this.#narrow.size === 0
      ? 0
      : this.#all().reduce((sum, { kept }) => sum + kept, 0) - claimant.kept
  }

  #all(): ReadonlyArray<Claimant> {
    return [this.#plain, ...this.#narrow.values()]
  }

  #openAll(): void {
    for (const latch of this.#latches.values()) latch.openUnsafe()
  }
}

const isWanting = (claimant: Claimant): boolean => claimant.hasMore && claimant.most() > 0

const keep = (claimant: Claimant) => {
  claimant.kept++
  claimant.wake()
}
