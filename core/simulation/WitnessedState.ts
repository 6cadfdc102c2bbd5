/** The state of the memory storage, with a witness of every step of every run. */
import { MemoryState } from "../../adapters/memory/mod.ts"
import type { Ledger } from "./Ledger.ts"

export class WitnessedState extends MemoryState {
  private readonly ledger: Ledger

  constructor(bounds: MemoryState["bounds"], ledger: Ledger) {
    super(bounds)
    this.ledger = ledger
  }

  override add(...given: Parameters<MemoryState["add"]>): ReturnType<MemoryState["add"]> {
    const entry = super.add(...given)
    this.ledger.write({ kind: "moved", run: entry.id, to: entry.state._tag })
    return entry
  }

  override move(...given: Parameters<MemoryState["move"]>): boolean {
    const isMoved = super.move(...given)
    const [{ id, state: { _tag } }] = given
    if (isMoved) this.ledger.write({ kind: "moved", run: id, to: _tag })
    return isMoved
  }
}
