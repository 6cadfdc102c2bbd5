/** What the memory storage keeps of the outbox: subscriptions, and events until they are done. */
import type { EventId } from "../../core/domain/Following.ts"
import { partition, type Subscription } from "../../core/domain/Outbox.ts"
import { type Final, isFinal } from "../../core/domain/Run.ts"
import type { Failure } from "../../core/domain/RunView.ts"
import type { Entry } from "./MemoryState.ts"

export interface Kept {
  subscription: Subscription
  readonly partition: number
  missed: number
}

/** An event, with the run as it is: what it told of the end is frozen when the run is revived. */
export interface Told {
  readonly id: EventId
  readonly to: Kept
  readonly entry: Entry
  readonly state: Final
  readonly fence: Entry["state"]["fence"]
  readonly attempt: number
  readonly at: number
  failure: Failure | undefined
  isFrozen: boolean
  hand: number
  heldUntil: number
  /** Who took it last. */
  taker: number | undefined
  round: number
}

export class Outbox {
  /** By namespace, consumer and name. */
  readonly subscriptions = new Map<string, Kept>()
  readonly told = new Map<EventId, Told>()
  /** By namespace and task. */
  private readonly watching = new Map<string, Set<Kept>>()
  private readonly byRun = new Map<Entry, Set<Told>>()
  private readonly byTaker = new Map<number, Set<Told>>()
  private lastId = 0

  subscribe(subscription: Subscription): void {
    const key = keyOf(subscription)
    const known = this.subscriptions.get(key)
    if (known !== undefined) this.unwatch(known)
    const kept = known ?? { subscription, partition: partition(subscription), missed: 0 }
    kept.subscription = subscription
    this.subscriptions.set(key, kept)
    const task = taskOf(subscription)
    this.watching.set(task, (this.watching.get(task) ?? new Set()).add(kept))
  }

  unsubscribe(of: Pick<Subscription, "namespace" | "consumer" | "name">): boolean {
    const kept = this.subscriptions.get(keyOf(of))
    if (kept === undefined) return false
    this.unwatch(kept)
    this.subscriptions.delete(keyOf(of))
    for (const told of this.told.values()) {
      if (told.to === kept) this.remove(told)
    }
    return true
  }

  private unwatch(kept: Kept): void {
    const key = taskOf(kept.subscription)
    const watching = this.watching.get(key)
    watching?.delete(kept)
    if (watching?.size === 0) this.watching.delete(key)
  }

  /** Whether anybody is told that this run has ended. */
  tell(entry: Entry, now: number): boolean {
    const watching = this.watching.get(taskOf(entry.spec))
    const { _tag: state, attempt, fence } = entry.state
    if (watching === undefined || entry.shard !== undefined || !isFinal(state)) return false
    let isTold = false
    for (const to of watching) {
      if (!to.subscription.on.includes(state)) continue
      const id = ++this.lastId as EventId
      const held = { hand: 0, heldUntil: -Infinity, taker: undefined, round: 0 }
      const failed = { failure: undefined, isFrozen: false }
      const told: Told = { id, to, entry, state, fence, attempt, at: now, ...held, ...failed }
      this.told.set(id, told)
      this.byRun.set(entry, (this.byRun.get(entry) ?? new Set()).add(told))
      isTold = true
    }
    return isTold
  }

  remove(told: Told): void {
    const { entry, id } = told
    this.told.delete(id)
    const others = this.byRun.get(entry)
    others?.delete(told)
    if (others?.size === 0) this.byRun.delete(entry)
    this.leaveTaker(told)
  }

  /** What this taker took in this round, and still has. */
  ofRound(taker: number, round: number): ReadonlyArray<Told> {
    return [...this.byTaker.get(taker) ?? []].filter((told) => told.round === round)
  }

  hold(told: Told, taker: number, round: number, until: number): void {
    this.leaveTaker(told)
    this.byTaker.set(taker, (this.byTaker.get(taker) ?? new Set()).add(told))
    told.taker = taker
    told.round = round
    told.heldUntil = until
  }

  private leaveTaker(told: Told): void {
    if (told.taker === undefined) return
    const others = this.byTaker.get(told.taker)
    others?.delete(told)
    if (others?.size === 0) this.byTaker.delete(told.taker)
  }

  /** Whether somebody is yet to be told of an end of the run. */
  isToTell(entry: Entry): boolean {
    return this.byRun.has(entry)
  }

  /** The run goes on, and its end is told of as it was. */
  freeze(entry: Entry): void {
    for (const told of this.byRun.get(entry) ?? []) {
      told.failure = failureOf(told)
      told.isFrozen = true
    }
  }

  /** Takes away the events of a run that leaves. */
  forget(entry: Entry): ReadonlyArray<Told> {
    const gone = [...this.byRun.get(entry) ?? []]
    for (const told of gone) {
      this.remove(told)
      told.to.missed++
    }
    return gone
  }
}

export const failureOf = (told: Told): Failure | undefined =>
  told.isFrozen ? told.failure : told.entry.failure

const keyOf = (
  { consumer, name, namespace }: Pick<Subscription, "namespace" | "consumer" | "name">,
): string => `${namespace} ${consumer} ${name}`

const taskOf = ({ namespace, task }: Pick<Subscription, "namespace" | "task">): string =>
  `${namespace} ${task}`
