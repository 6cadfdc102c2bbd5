/**
 * Keeps who may start how many: limits of tasks, breakers, and groups that are paused. What is decided, `Permit` decides.
 *
 * - **P1 limited.** Of a task with a rate limit, no more starts are permitted within any time t than
 *   `burst + t × limit / perMillis`, over all who ask; what was permitted and given back, or the
 *   clock of the storage was set, does not change that by more than a burst.
 * - **P2 open.** Behind an open breaker nothing is permitted; after `openMillis` few are, at most
 *   `probes` in each `probeMillis` until enough of those have gone well.
 * - **P3 heard.** A breaker opens when, of at least `callsMin` calls within its window, too many went
 *   badly, and closes when the probes of each stage have not. What is told of a call permitted in an
 *   earlier epoch changes nothing.
 * - **P4 by hand.** An order holds, whatever the calls do, until it is taken back.
 * - **P5 at once.** Those who ask at once share what there is: what one was given no other is.
 * - **P6 honest.** Who gets less than asked learns why, and how long until there may be more, if
 *   that is known: before then there is not.
 * - **P7 settings.** A breaker has those last given to it, the usual ones before; with new ones it
 *   stays in its phase.
 * - **P8 keys.** Of a breaker by key, each key is one of its own for P2 to P6: what becomes of the
 *   calls of one lets no more and no fewer of another through. All have the settings of the name, and
 *   its order, but for a key that was given one itself.
 * - **P9 forgotten.** Of a key nothing is kept until a call of it went badly, or an order is given.
 *   `forget` lets go of what says nothing any more: a key that has never opened once its window is
 *   over, and one that has when nobody has asked for a day; never of one that has an order.
 * - **P10 paused.** From when a pause of a group was acknowledged until it is let go on, nothing is
 *   permitted to its tasks, nothing paid for and no probe used; other groups, and those of other
 *   namespaces, go on. What was permitted before may start.
 * - **P11 who paused.** Whoever gets nothing learns who paused the group, why, and since when, and so
 *   does whoever looks at it. Pausing what is paused leaves it paused since then, with the later
 *   words; letting go on what is not paused changes nothing.
 */
import { Effect, type Option } from "effect"
import type { Words } from "../domain/Asked.ts"
import type { BreakerView, Order, Settings } from "../domain/Breaker.ts"
import type { Standing } from "../domain/Group.ts"
import type { Namespace } from "../domain/Namespace.ts"
import * as Permit from "../domain/Permit.ts"
import type { Heard, Regulation } from "../domain/Permit.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export interface PermitStorage {
  readonly take: (
    regulation: Regulation,
    wanted: number,
  ) => Effect.Effect<Permit.Permit, StorageUnavailable>

  /** What `take` would answer to who wants one; nothing is taken. */
  readonly look: (
    regulation: Regulation,
  ) => Effect.Effect<Permit.Permit, StorageUnavailable>

  readonly giveBack: (
    regulation: Regulation,
    permit: Permit.Permit,
    count: number,
  ) => Effect.Effect<void, StorageUnavailable>

  readonly hear: (heard: Heard) => Effect.Effect<void, StorageUnavailable>

  readonly set: (
    namespace: Namespace,
    breaker: string,
    settings: Settings,
  ) => Effect.Effect<BreakerView, StorageUnavailable>

  readonly order: (
    namespace: Namespace,
    breaker: string,
    to: Order["to"] | "auto",
    words?: Words,
    key?: string,
  ) => Effect.Effect<BreakerView, StorageUnavailable>

  /** Those that somebody has asked, told of, or set; of one of these, any key. */
  readonly find: (
    namespace: Namespace,
    breaker: string,
    key?: string,
  ) => Effect.Effect<Option.Option<BreakerView>, StorageUnavailable>

  /** By name, at most a thousand. */
  readonly list: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<BreakerView>, StorageUnavailable>

  /** The keys of a breaker of which something is kept, at most a thousand. */
  readonly keys: (
    namespace: Namespace,
    breaker: string,
  ) => Effect.Effect<ReadonlyArray<BreakerView>, StorageUnavailable>

  /** Pauses a group, or lets it go on. */
  readonly orderGroup: (
    namespace: Namespace,
    group: string,
    isPaused: boolean,
    words?: Words,
  ) => Effect.Effect<Standing, StorageUnavailable>

  readonly findGroup: (
    namespace: Namespace,
    group: string,
  ) => Effect.Effect<Standing, StorageUnavailable>

  /** How those stand that were ever paused, at most a thousand. */
  readonly groups: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyMap<string, Standing>, StorageUnavailable>

  /** Looks at no more than `limit` keys, from where the last call got to. */
  readonly forget: (
    limit: number,
    from?: Swept["next"],
  ) => Effect.Effect<Swept, StorageUnavailable>
}

export interface Swept {
  readonly forgotten: number
  /** Where to go on, unless all were looked at. */
  readonly next: string | undefined
}

/** All that an adapter brings: named texts, each change of which is one step. */
export interface Cells {
  /**
   * Gives the command what is in the cells and the storage's clock, and keeps what it makes of them,
   * as if nobody else were there. It may ask the command several times, and keeps one answer.
   */
  readonly step: <Answer>(
    namespace: Namespace,
    keys: ReadonlyArray<Permit.CellKey>,
    command: Permit.Command<Answer>,
  ) => Effect.Effect<Answer, StorageUnavailable>

  /** Of one kind whose names begin so, by name, at most so many. */
  readonly list: (
    namespace: Namespace,
    kind: Permit.CellKey["kind"],
    prefix: string,
    limit: number,
  ) => Effect.Effect<
    ReadonlyArray<{ readonly name: string; readonly cell: string }>,
    StorageUnavailable
  >

  /** Removes what `isForgotten` among at most so many cells of keys, unless it changes meanwhile. */
  readonly sweep: (
    isForgotten: (cell: string, now: number) => boolean,
    limit: number,
    from: string | undefined,
  ) => Effect.Effect<Swept, StorageUnavailable>
}

const listed = 1000

export const ofCells = ({ list, step, sweep }: Cells): PermitStorage => ({
  take: (regulation, wanted) =>
    step(regulation.namespace, Permit.keysOf(regulation), Permit.take(regulation, wanted)),
  look: (regulation) =>
    step(regulation.namespace, Permit.keysOf(regulation), Permit.look(regulation)),
  giveBack: (regulation, { epoch }, count) =>
    step(
      regulation.namespace,
      Permit.keysOf(regulation),
      Permit.giveBack(regulation, epoch, count),
    ),
  hear: (heard) =>
    step(heard.namespace, Permit.ofBreaker(heard.breaker, heard.key), Permit.hear(heard)),
  set: (namespace, breaker, settings) =>
    step(namespace, Permit.ofBreaker(breaker), Permit.set(namespace, breaker, settings)),
  order: (namespace, breaker, to, words, key) =>
    step(
      namespace,
      Permit.ofBreaker(breaker, key),
      key === undefined
        ? Permit.order(namespace, breaker, to, words)
        : Permit.orderKey(namespace, breaker, key, to, words),
    ),
  find: (namespace, breaker, key) =>
    step(namespace, Permit.ofBreaker(breaker, key), Permit.find(namespace, breaker, key)),
  list: (namespace) =>
    Effect.map(
      list(namespace, "breaker", "", listed),
      (all) => all.map(({ cell, name }) => Permit.listed(namespace, name, cell)),
    ),
  keys: Effect.fnUntraced(function* (namespace, breaker) {
    const [named] = (yield* list(namespace, "breaker", breaker, 1))
      .filter(({ name }) => name === breaker)
    if (named === undefined) return []
    const all = yield* list(namespace, "key", Permit.keysPrefix(breaker), listed)
    return all.map((own) => Permit.listedKey(namespace, breaker, named.cell, own))
  }),
  orderGroup: (namespace, group, isPaused, words = {}) =>
    step(namespace, Permit.ofGroup(group), Permit.orderGroup(isPaused, words)),
  findGroup: (namespace, group) => step(namespace, Permit.ofGroup(group), Permit.findGroup),
  groups: (namespace) =>
    Effect.map(
      list(namespace, "group", "", listed),
      (all) => new Map(all.map(Permit.listedGroup)),
    ),
  forget: (limit, from) => sweep(Permit.isForgotten, limit, from),
})
