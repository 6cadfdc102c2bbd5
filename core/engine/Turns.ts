/**
 * Whose turn a place of the pool is, where several claim for themselves: what is plain, as one, and each
 * task whose runs need a permit or that is blocked per executor. Among the runs of one claim storage
 * knows the first; of those who claim, it is known what they have next as far as their level goes.
 *
 * 1. The better level goes first, and of one level who was passed over most.
 * 2. Nobody waits for ever: one of every `every` places is for who is behind, in turn.
 */
import type { Level } from "../domain/Lane.ts"

/** Behind better levels one place in so many is had. Levels may be other than they were, too. */
export const every = 8

export interface Rival {
  /** How often others had a place since it had one. */
  passed: number
}

export interface Contender<R extends Rival> {
  readonly rival: R
  readonly level: Level
}

export class Turns {
  /** So many places in a row went to the best level while others waited. */
  #inRow = 0

  /** Of several. */
  next<R extends Rival, C extends Contender<R>>(contenders: ReadonlyArray<C>): C | undefined {
    const best = Math.min(...contenders.map(({ level }) => level))
    const ahead = contenders.filter(({ level }) => level === best)
    const behind = contenders.filter(({ level }) => level !== best)
    const isTheirs = behind.length > 0 && this.#inRow >= every - 1
    this.#inRow = behind.length === 0 || isTheirs ? 0 : this.#inRow + 1
    const chosen = mostPassed<R, C>(isTheirs ? behind : ahead)
    for (const { rival } of contenders) rival.passed++
    if (chosen !== undefined) chosen.rival.passed = 0
    return chosen
  }
}

const mostPassed = <R extends Rival, C extends Contender<R>>(all: ReadonlyArray<C>) =>
  all.reduce<C | undefined>(
    (most, one) => most === undefined || one.rival.passed > most.rival.passed ? one : most,
    undefined,
  )
