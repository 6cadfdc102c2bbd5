/**
 * The witness stands where the user's code would and notes what ran: a rate counts only if every
 * job ran once and no blocking policy was broken. It costs a few array accesses a job, the same for
 * every system.
 */
import type { Load } from "./System.ts"

/** What a trial broke; all zero for a system that keeps its promises. */
export interface Verdict {
  readonly ran: number
  /** Jobs that never ran. */
  readonly missing: number
  /** Starts beyond the first of a job. */
  readonly repeated: number
  /** Starts of a job while its key had no free place. */
  readonly overlaps: number
  /** Starts of a job after a later one of its fifo key. */
  readonly disorders: number
}

export class Witness {
  /** Settles when every job has ended at least once. */
  readonly done: Promise<void>
  /** Monotonic milliseconds of the first start, to tell start-up from work. */
  firstAt: number | undefined

  readonly #load: Load
  readonly #places: number
  readonly #starts: Uint8Array
  readonly #ended: Uint8Array
  readonly #running: Int32Array
  readonly #latest: Int32Array
  #finish: () => void = () => {}
  #endedCount = 0
  #repeated = 0
  #overlaps = 0
  #disorders = 0

  constructor(load: Load) {
    const keys = load.blocking?.keys ?? 0
    this.#load = load
    this.#places = load.blocking?.policy === "concurrent" ? load.blocking.places : 1
    this.#starts = new Uint8Array(load.jobs)
    this.#ended = new Uint8Array(load.jobs)
    this.#running = new Int32Array(keys)
    this.#latest = new Int32Array(keys).fill(-1)
    this.done = new Promise((resolve) => this.#finish = resolve)
  }

  get ran(): number {
    return this.#endedCount
  }

  begin({ n, key }: { readonly n: number; readonly key: number }): void {
    this.firstAt ??= performance.now()
    if ((this.#starts[n] ?? 0) > 0) this.#repeated++
    this.#starts[n] = 1
    if (this.#load.blocking === undefined) return
    this.#running[key] = (this.#running[key] ?? 0) + 1
    if (this.#running[key] > this.#places) this.#overlaps++
    if (this.#load.blocking.policy !== "fifo") return
    if ((this.#latest[key] ?? -1) > n) this.#disorders++
    this.#latest[key] = n
  }

  end({ n, key }: { readonly n: number; readonly key: number }): void {
    if (this.#load.blocking !== undefined) {
      this.#running[key] = (this.#running[key] ?? 0) - 1
    }
    if (this.#ended[n] === 1) return
    this.#ended[n] = 1
    if (++this.#endedCount === this.#load.jobs) this.#finish()
  }

  get verdict(): Verdict {
    return {
      ran: this.#endedCount,
      missing: this.#load.jobs - this.#endedCount,
      repeated: this.#repeated,
      overlaps: this.#overlaps,
      disorders: this.#disorders,
    }
  }
}
