/**
 * What really happened, written down outside the product, in the world's own time.
 *
 * The checkers read it and the final state; the product's own history is never believed,
 * but replayed (R28).
 */
import type { GateKey } from "../domain/Blocking.ts"
import type { Change } from "../domain/Change.ts"
import type { Conclusion } from "../domain/Conclusion.ts"
import type { Fence } from "../domain/Lease.ts"
import type { StateName } from "../domain/Run.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Misfire, Passed, Schedule, WhileRunning } from "../domain/Trigger.ts"

/** A grant of a run, by the number that names it for ever. */
interface Granted {
  readonly run: RunId
  readonly fence: Fence
}

/** How a run will end, and what is left to do before that. */
type Concluded = Pick<Conclusion, "state" | "phase">

export type HookName = "prepare" | "rollback" | "clean" | "summary"

export type Order = "cancel" | "suspend" | "resume" | "revive" | "notify" | "rollback"

export type Entry =
  & { readonly at: number }
  & (
    /** Somebody asks for a run, perhaps not for the first time. `isOther`: the key names another. */
    | {
      readonly kind: "sent"
      readonly request: string
      readonly task: string
      readonly delayMillis: number
      readonly isKeyed: boolean
      readonly isOther: boolean
      readonly deadlineMillis?: number
    }
    | {
      readonly kind: "acknowledged"
      readonly run: RunId
      readonly task: string
      readonly state: string
      readonly request: string
      readonly isOther: boolean
    }
    /** `why`: the tag of the error. No answer is none. */
    | { readonly kind: "refused"; readonly request: string; readonly why: string }
    /** `placedWith`: whom a run of a routed task was placed with; `concluded`: what was, and is left of it. */
    | ({
      readonly kind: "granted"
      readonly incarnation: number
      readonly placedWith?: number
      readonly concluded?: Concluded
    } & Granted)
    /** A report was carried out. `delayMillis`: of a retry. */
    | ({
      readonly kind: "settled"
      readonly answer: string
      readonly report: string
      readonly delayMillis?: number
      /** How a rollback went that was asked for. */
      readonly rollback?: string
      /** Of a run that was handed over: what became of it. */
      readonly state?: StateName
    } & Granted)
    /** An executor has beaten, or joined, for a lease of so long. */
    | {
      readonly kind: "beat"
      readonly incarnation: number
      readonly isAlive: boolean
      readonly ttlMillis?: number
    }
    /** A start was marked, or a conclusion kept. */
    | ({
      readonly kind: "marked"
      readonly what: "start" | "conclusion"
      readonly concluded?: Concluded
    } & Granted)
    /** How far a run has come was kept, as somebody said who has held it. */
    | ({ readonly kind: "progressed"; readonly incarnation: number } & Granted)
    /** Storage took the grant back from a lost holder, or from one that did not know of it. */
    /** `isUnknown`: since its holder had said that it did not know of it. `state`: what became of it. */
    | ({
      readonly kind: "freed"
      readonly isUnknown?: true
      readonly state: StateName | undefined
    } & Granted)
    /** An executor has left, and holds nothing from then on. */
    | { readonly kind: "left"; readonly incarnation: number }
    /** It was decided about whoever waits at these gates. */
    | { readonly kind: "decided"; readonly gates: ReadonlyArray<GateKey> }
    | { readonly kind: "admitted"; readonly run: RunId; readonly state: string }
    /** A slot was fired, by whoever came first with it. `delayMillis`: its run is due so much later. */
    | {
      readonly kind: "fired"
      readonly trigger: number
      readonly slot: number
      readonly run: RunId
      readonly delayMillis: number
    }
    /** Somebody came with a slot that had its record. */
    | { readonly kind: "passed"; readonly trigger: number; readonly slot: number }
    /** A step that was asked for has been done: what it goes past, and the slot it fires, or does not. */
    | {
      readonly kind: "stepped"
      readonly trigger: number
      readonly passed?: Passed
      readonly slot?: number
      readonly isSkipped?: true
    }
    /** A trigger has this rule from now on. */
    | {
      readonly kind: "turned"
      readonly trigger: string
      readonly schedule: Schedule
      readonly misfire: Misfire
      readonly graceMillis?: number
      readonly whileRunning?: WhileRunning
    }
    /** A trigger is paused from now on, or is not any more. */
    | { readonly kind: "paused"; readonly trigger: string; readonly isPaused: boolean }
    /** A trigger is no more, until somebody puts it again. */
    | { readonly kind: "removed"; readonly trigger: string }
    /** A run of a trigger was asked for by hand. `delayMillis`: it is due so much later. */
    | {
      readonly kind: "asked"
      readonly trigger: number
      readonly what: "manual" | "backfill"
      readonly request: string
      /** Of a backfill. */
      readonly slot?: number
      readonly delayMillis: number
      readonly answer: string
      readonly run?: RunId
    }
    /** What somebody was told who has asked. */
    | {
      readonly kind: "told"
      readonly trigger: string
      readonly request: string
      readonly slot?: number
      readonly answer: string
      readonly run?: RunId
    }
    /** A calendar has these days from now on. */
    | {
      readonly kind: "recalled"
      readonly calendar: string
      readonly holidays: ReadonlyArray<string>
    }
    /** Whoever looks after lost executors has looked. */
    | { readonly kind: "swept" }
    /** A term, which its fence names, has begun, goes on for so long again, or has ended. */
    | {
      readonly kind: "locked" | "renewed"
      readonly key: string
      readonly fence: number
      readonly process: string
      readonly ttlMillis: number
    }
    | { readonly kind: "unlocked"; readonly key: string; readonly fence: number }
    /** A process does what only those do who hold its duty. */
    | { readonly kind: "led"; readonly process: string; readonly what: string }
    /** What a breaker let through, and its phase with that: as it is ordered, or by itself. */
    | {
      readonly kind: "permitted"
      readonly breaker: string
      readonly key?: string
      readonly isOrdered: boolean
      readonly count: number
      readonly phase: string
      readonly epoch: number
    }
    | ({
      readonly kind: "started"
      readonly process: string
      readonly task: string
      /** What it shares with those that it may have to wait for. */
      readonly gate: string | undefined
      readonly attempt: number
      readonly slot: number | undefined
    } & Granted)
    | ({ readonly kind: "ended"; readonly how: "succeeded" | "failed" | "interrupted" } & Granted)
    /** `sentAt`: when it was given; it is written down when the answer came. */
    | {
      readonly kind: "ordered"
      readonly order: Order
      readonly run: RunId
      readonly answer: string
      readonly sentAt: number
    }
    /** Somebody has said how a run ended that was handed over; what became of it. */
    | {
      readonly kind: "notified"
      readonly run: RunId
      readonly notice: "Succeeded" | "Failed"
      readonly answer: string
      readonly state: StateName
    }
    /** A run was to be cancelled. `isStopping`: whoever holds it was asked to stop. */
    | ({
      readonly kind: "cancelled"
      readonly answer: string
      readonly state: StateName
      readonly isStopping: boolean
    } & Granted)
    /** Its time was up. */
    | { readonly kind: "expired"; readonly run: RunId; readonly state: StateName }
    /** A hook of a run was called. `ended`: what it was told of how the attempt ended. */
    | ({
      readonly kind: "hooked"
      readonly process: string
      readonly what: HookName
      readonly ended?: string
    } & Granted)
    /** A run that had failed goes on, or its children do, as that was ordered. */
    | { readonly kind: "revived"; readonly run: RunId }
    /** A rollback was asked for of a run in this state, that had failed with this. */
    | {
      readonly kind: "rolledBack"
      readonly run: RunId
      readonly answer: string
      readonly state: StateName
      readonly tag: string | undefined
    }
    /** What a run did is being undone, since it was asked for; and it was. */
    | ({ readonly kind: "undoing"; readonly process: string } & Granted)
    | ({ readonly kind: "undone" } & Granted)
    /** An actor has this state at the begin of a message. */
    | ({ readonly kind: "read"; readonly state: number } & Granted)
    /** A group is paused from now on, or is not any more. */
    | { readonly kind: "grouped"; readonly group: string; readonly isPaused: boolean }
    /** All runs of a group were cancelled that were there when it was asked for. */
    | { readonly kind: "disbanded"; readonly group: string; readonly sentAt: number }
    /** A change of a run was carried out, or was not, as it was asked for. */
    | ({ readonly kind: "changed"; readonly run: RunId; readonly answer: string } & Change)
    /** `until`: when it is over. */
    | {
      readonly kind: "fault"
      readonly what: string
      readonly process: string
      readonly until: number
    }
    /** A run was put into a state. */
    | { readonly kind: "moved"; readonly run: RunId; readonly to: StateName }
    /** A run as somebody saw it who only looks now and then, if it had changed. */
    | ({
      readonly kind: "seen"
      readonly state: StateName
      /** It is running, and its executor is gone. */
      readonly isHeldByNobody: boolean
    } & Granted)
    /** The gates that somebody waits at and may pass. */
    | { readonly kind: "open"; readonly gates: ReadonlyArray<GateKey> }
  )

type Entering<E> = E extends unknown ? Omit<E, "at"> : never

export class Ledger {
  readonly entries: Array<Entry> = []
  private readonly now: () => number
  private byKind: Map<string, ReadonlyArray<Entry>> | undefined

  constructor(now: () => number) {
    this.now = now
  }

  write(entry: Entering<Entry>): void {
    this.entries.push({ at: this.now(), ...entry } as Entry)
    this.byKind = undefined
  }

  /** Takes out what was written after the first `count` entries. */
  cut(count: number): ReadonlyArray<Entry> {
    this.byKind = undefined
    return this.entries.splice(count)
  }

  of<K extends Entry["kind"]>(kind: K): ReadonlyArray<Extract<Entry, { readonly kind: K }>> {
    this.byKind ??= Map.groupBy(this.entries, (entry) => entry.kind)
    return (this.byKind.get(kind) ?? []) as never
  }
}
