/**
 * What really happened, written down outside the product, in the world's own time.
 *
 * The checkers read it and the final state; the product's own history is never believed.
 */
import type { GateKey } from "../domain/Blocking.ts"
import type { Fence } from "../domain/Lease.ts"
import type { RunId } from "../domain/RunId.ts"

/** A grant of a run, by the number that names it for ever. */
interface Granted {
  readonly run: RunId
  readonly fence: Fence
}

export type Entry =
  & { readonly at: number }
  & (
    | {
      readonly kind: "acknowledged"
      readonly run: RunId
      readonly task: string
      readonly state: string
      readonly request: string
    }
    /** `placedWith`: whom a run of a routed task was placed with. */
    | ({
      readonly kind: "granted"
      readonly incarnation: number
      readonly placedWith?: number
    } & Granted)
    /** A report was carried out; `sent` is the fence as the executor sent it. */
    | ({ readonly kind: "settled"; readonly answer: string; readonly report: string } & Granted)
    /** Storage took the grant back from a lost holder, or from one that did not know of it. */
    | { readonly kind: "freed"; readonly run: RunId }
    | ({
      readonly kind: "started"
      readonly process: string
      readonly task: string
      readonly gate: GateKey | undefined
      readonly attempt: number
      readonly slot: number | undefined
    } & Granted)
    | ({ readonly kind: "ended"; readonly how: "succeeded" | "failed" | "interrupted" } & Granted)
    | { readonly kind: "cancelled"; readonly run: RunId; readonly answer: string }
    | { readonly kind: "fault"; readonly what: string; readonly process: string }
  )

type Entering<E> = E extends unknown ? Omit<E, "at"> : never

export class Ledger {
  readonly entries: Array<Entry> = []
  private readonly now: () => number

  constructor(now: () => number) {
    this.now = now
  }

  write(entry: Entering<Entry>): void {
    this.entries.push({ at: this.now(), ...entry } as Entry)
  }

  of<K extends Entry["kind"]>(kind: K): ReadonlyArray<Extract<Entry, { readonly kind: K }>> {
    return this.entries.filter((entry) => entry.kind === kind) as never
  }
}
