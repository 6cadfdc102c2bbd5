/**
 * What the standing audit of slots reads and keeps.
 *
 * A pass looks at the slots of a window, trigger by trigger in the order of their numbers, and a
 * page at a time; where it is is kept, so whoever holds the duty goes on where the last one ended.
 *
 * - **A1 whole.** A page has each trigger once, removed ones too, with what bears on the window as it
 *   was at one instant: the versions, the records, the cursor.
 * - **A2 together.** Findings, the place, and where a trigger is to be judged from the next time are
 *   kept in one step; of two passes that come to the same place one is kept.
 * - **A3 bounded.** At most `findingsMax` findings are kept, the latest; one that is found again is
 *   kept once.
 * - **A4 own namespace.** Findings are told of within a namespace.
 */
import type { Effect } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import type { Account, Finding, FindingKind } from "../domain/SlotAudit.ts"
import type { TriggerId, TriggerName } from "../domain/Trigger.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export const findingsMax = 1000

/** Of one trigger and window at most so many records are read; the rest waits for the next pass. */
export const recordsMax = 5000

/** Where the audit is. Instants are milliseconds since 1970, by the storage clock. */
export interface AuditPlace {
  /** Rises with each step that is kept. */
  readonly step: number
  /** Slots before it were judged. */
  readonly from: number
  /** The end of the window that is being judged; `undefined` between passes. */
  readonly until: number | undefined
  /** The last trigger of it that was judged. */
  readonly after: TriggerId
}

export interface Audited {
  readonly trigger: TriggerId
  readonly namespace: Namespace
  readonly name: TriggerName
  /** Where it is to be judged from. */
  readonly from: number
  /** Up to here at most, since it has more records than were read. */
  readonly until: number
  readonly account: Account
}

export interface Page {
  readonly triggers: ReadonlyArray<Audited>
  /** The last trigger of the page; `undefined` at the end of the pass. */
  readonly last: TriggerId | undefined
}

/** What a step has come to. */
export interface Judged {
  readonly findings: ReadonlyArray<Finding & { readonly trigger: TriggerId }>
  /** Those that are to be judged from another instant than the next window's begin. */
  readonly open: ReadonlyArray<{ readonly trigger: TriggerId; readonly from: number }>
  /** The triggers that the step looked at: what is not `open` any more is forgotten. */
  readonly looked: ReadonlyArray<TriggerId>
}

export interface KeptFinding extends Finding {
  readonly name: TriggerName
  readonly kind: FindingKind
  readonly foundAt: number
}

export interface AuditStorage {
  /** And the storage clock. The first one begins now. */
  readonly place: Effect.Effect<
    { readonly now: number; readonly place: AuditPlace },
    StorageUnavailable
  >

  readonly page: (
    place: AuditPlace & { readonly until: number },
    limit: number,
  ) => Effect.Effect<Page, StorageUnavailable>

  /** Whether it was kept: nobody else has made this step. */
  readonly keep: (
    place: AuditPlace,
    judged: Judged,
  ) => Effect.Effect<boolean, StorageUnavailable>

  /** The latest first. */
  readonly findings: (
    namespace: Namespace,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<KeptFinding>, StorageUnavailable>
}
