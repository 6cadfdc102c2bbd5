/**
 * One of the two storages that are given the same commands, and its names for things.
 *
 * Ids are the storage's to choose, so what is compared has names instead, given in the order in
 * which its answers came upon an id: `run 0` is the first run that this side told of.
 */
import { DateTime, Option } from "effect"
import type { Incarnation } from "../../domain/Executor.ts"
import type { RunId } from "../../domain/RunId.ts"
import type { TriggerId } from "../../domain/Trigger.ts"
import type { Storage } from "../../services/Storage.ts"

/** Of runs, executors or triggers, as they came up. */
class Names<Id extends number> {
  private readonly kind: string
  private readonly ids: Array<Id> = []
  private readonly known = new Map<number, string>()

  constructor(kind: string) {
    this.kind = kind
  }

  get count(): number {
    return this.ids.length
  }

  of(id: number): string {
    const known = this.known.get(id)
    if (known !== undefined) return known
    const name = `${this.kind} ${this.ids.length}`
    this.known.set(id, name)
    this.ids.push(id as Id)
    return name
  }

  id(name: string): Id {
    return this.ids[Number(name.slice(this.kind.length + 1))]!
  }
}

/** Run ids of our time are above, instants in milliseconds are below. */
const leastRunId = 1e13

export class Side {
  readonly storage: Storage["Service"]
  readonly runs = new Names<RunId>("run")
  readonly executors = new Names<Incarnation>("executor")
  readonly triggers = new Names<TriggerId>("trigger")

  constructor(storage: Storage["Service"]) {
    this.storage = storage
  }

  run(name: string): RunId {
    return this.runs.id(name)
  }

  /** With this side's ids where `text` has names of runs. */
  real<A extends string>(text: A): A {
    return text.replace(/run \d+/g, (name) => `${this.run(name)}`) as A
  }

  /** What this side has answered, with names for ids, as plain data that can be compared. */
  named(value: unknown, key = ""): unknown {
    if (typeof value === "number") return this.numberOf(value, key)
    if (typeof value === "string") {
      return value.replace(/\d{14,16}/g, (id) => this.runs.of(Number(id)))
    }
    if (Array.isArray(value)) return value.map((each) => this.named(each, key))
    if (typeof value !== "object" || value === null) return value
    if (DateTime.isDateTime(value)) return DateTime.toEpochMillis(value)
    if (Option.isOption(value)) {
      return Option.isSome(value) ? { some: this.named(value.value, key) } : "none"
    }
    return Object.fromEntries(
      Object.entries(value).filter(([, each]) => each !== undefined)
        .sort(([a], [b]) => a < b ? -1 : 1)
        .map(([name, each]) => [name, this.named(each, name)]),
    )
  }

  private numberOf(value: number, key: string): unknown {
    if (value >= leastRunId) return this.runs.of(value)
    if (key === "incarnation" || key === "lost") return this.executors.of(value)
    return key === "trigger" ? this.triggers.of(value) : value
  }
}
