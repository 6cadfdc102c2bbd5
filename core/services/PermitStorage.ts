/**
 * Keeps who may start how many: limits of tasks, and breakers. What is decided, `Permit` decides.
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
 */
import { Effect, Option } from "effect"
import type { BreakerView, Order, Settings } from "../domain/Breaker.ts"
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
    note?: string,
  ) => Effect.Effect<BreakerView, StorageUnavailable>

  /** Those that somebody has asked, told of, or set. */
  readonly find: (
    namespace: Namespace,
    breaker: string,
  ) => Effect.Effect<Option.Option<BreakerView>, StorageUnavailable>

  /** By name, at most a thousand. */
  readonly list: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<BreakerView>, StorageUnavailable>
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

  /** Of one kind, by name, at most so many. */
  readonly list: (
    namespace: Namespace,
    kind: Permit.CellKey["kind"],
    limit: number,
  ) => Effect.Effect<
    ReadonlyArray<{ readonly name: string; readonly cell: string }>,
    StorageUnavailable
  >
}

const listed = 1000

export const ofCells = ({ list, step }: Cells): PermitStorage => ({
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
  hear: (heard) => step(heard.namespace, Permit.ofBreaker(heard.breaker), Permit.hear(heard)),
  set: (namespace, breaker, settings) =>
    step(namespace, Permit.ofBreaker(breaker), Permit.set(namespace, breaker, settings)),
  order: (namespace, breaker, to, note) =>
    step(namespace, Permit.ofBreaker(breaker), Permit.order(namespace, breaker, to, note)),
  find: (namespace, breaker) =>
    step(namespace, Permit.ofBreaker(breaker), ([cell]) => ({
      answer: Option.map(
        Option.fromNullishOr(cell),
        (cell) => Permit.viewOf(namespace, breaker, cell),
      ),
      cells: [cell],
    })),
  list: (namespace) =>
    Effect.map(
      list(namespace, "breaker", listed),
      (all) => all.map(({ cell, name }) => Permit.viewOf(namespace, name, cell)),
    ),
})
