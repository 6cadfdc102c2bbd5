/** Since when the runs of grants have been due, of those whose grant says so. */
import type { Grant } from "../services/RunStorage.ts"

export class Ages {
  readonly #monotonic: () => number
  readonly #dueSince = new WeakMap<Grant, number>()

  /** By a clock that is never set, in milliseconds. */
  constructor(monotonic: () => number) {
    this.#monotonic = monotonic
  }

  note(grant: Grant): void {
    const { dueMillisAgo } = grant
    if (dueMillisAgo !== undefined) this.#dueSince.set(grant, this.#monotonic() - dueMillisAgo)
  }

  of(grant: Grant): number {
    const now = this.#monotonic()
    return now - (this.#dueSince.get(grant) ?? now)
  }
}
