/**
 * When a lease was last kept, in memory that two threads share: one that was held up has yet to hear what
 * was sent to it meanwhile, and asks at once.
 */
import type { Incarnation } from "../../core/domain/Executor.ts"

const at = 0
const whose = 1

/** What the thread that keeps leases is given. */
export interface Shared {
  readonly memory: SharedArrayBuffer
  /** On the clock of the one that asks: the threads of a process need not have one in common. */
  readonly sharedAt: number
}

export class Kept {
  readonly #memory: SharedArrayBuffer
  readonly #numbers: BigInt64Array
  readonly #aheadMillis: number

  constructor(shared?: Shared) {
    this.#memory = shared?.memory ?? new SharedArrayBuffer(16)
    this.#numbers = new BigInt64Array(this.#memory)
    // Too little by what passed since, so that a lease seems rather older than it is.
    this.#aheadMillis = shared === undefined ? 0 : shared.sharedAt - performance.now()
  }

  shared(): Shared {
    return { memory: this.#memory, sharedAt: performance.now() }
  }

  now(): number {
    return performance.now() + this.#aheadMillis
  }

  /** Written by one thread only. */
  keep(incarnation: Incarnation, sentAt: number): void {
    // Whoever reads in between must not take the time of one for that of another.
    Atomics.store(this.#numbers, at, 0n)
    Atomics.store(this.#numbers, whose, BigInt(incarnation))
    Atomics.store(this.#numbers, at, BigInt(Math.floor(sentAt)))
  }

  millisAgo(incarnation: Incarnation): number | undefined {
    const sentAt = Number(Atomics.load(this.#numbers, at))
    const isTheirs = Atomics.load(this.#numbers, whose) === BigInt(incarnation)
    return sentAt === 0 || !isTheirs ? undefined : this.now() - sentAt
  }
}
