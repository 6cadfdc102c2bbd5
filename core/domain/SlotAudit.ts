/**
 * Whether each slot that was due has its one record: the versions of a trigger say what was due, its
 * records what became of it.
 *
 * It looks at each record once and at no slot that a record covers, so a stretch of a million slots
 * costs as much as one. The audit that stands in the product, and the simulation, both ask it.
 */
import { Schema } from "effect"
import type { Calendar } from "./Calendar.ts"
import { isByEvent, lastSlots, type Schedule, slotAfter } from "./Trigger.ts"

export const FindingKind = Schema.Literals([
  /** A slot was due and the trigger went on past it without a record. */
  "missing",
  /** Two records cover the same slot. */
  "double",
  /** A record of a slot that no version of the trigger has. */
  "unexpected",
  /** A slot is due, its trigger is not paused, and nobody fires it. */
  "overdue",
])
export type FindingKind = typeof FindingKind.Type

/** What is wrong with one slot, or with a stretch of them up to `through`. */
export interface Finding {
  readonly kind: FindingKind
  readonly slot: number
  readonly through: number
}

/** A rule, in force for the slots from `since` up to the `since` of the version after. */
export interface Version {
  readonly since: number
  /** None: the trigger was removed. */
  readonly schedule: Schedule | undefined
  readonly calendar: Calendar | undefined
}

export interface Record {
  readonly slot: number
  readonly through: number
  /** Others made up this one when they left by their age; it ends where they did. */
  readonly isGathered: boolean
}

export interface Account {
  /** In order. */
  readonly versions: ReadonlyArray<Version>
  /** Those that cover a slot in the window, in order. */
  readonly records: ReadonlyArray<Record>
  /** The first slot without a record. */
  readonly cursor: number | undefined
  readonly isPaused: boolean
}

/** How long a slot may wait for its planner before it counts as overdue, besides its grace. */
export const patienceMillis = 60_000

/** So many findings of one trigger are told of at once. */
export const findingsMax = 100

export interface Judgement {
  readonly findings: ReadonlyArray<Finding>
  /** The first slot that was not judged, as it is due and has no record yet; judge from there next. */
  readonly open: number | undefined
  readonly records: number
}

/** What is wrong with the slots in [`from`, `until`]. */
export const judge = (account: Account, from: number, until: number): Judgement => {
  const { cursor, isPaused, records } = account
  const findings: Array<Finding> = []
  const open = cursor !== undefined && cursor <= until ? cursor : undefined
  const end = open === undefined ? until : open - 1
  for (const finding of [...missing(account, from, end), ...surplus(account, from, until)]) {
    if (findings.length === findingsMax) break
    findings.push(finding)
  }
  if (open !== undefined && !isPaused && open <= until - patienceMillis) {
    findings.push({ kind: "overdue", slot: open, through: open })
  }
  return {
    findings,
    open: open === undefined ? undefined : Math.max(open, from),
    records: records.length,
  }
}

function* missing(
  { records, versions }: Account,
  from: number,
  until: number,
): Generator<Finding> {
  let next = 0
  for (const [at, { calendar, schedule, since }] of versions.entries()) {
    const last = Math.min(until, (versions[at + 1]?.since ?? Infinity) - 1)
    if (schedule === undefined || schedule._tag === "Permanent") continue
    // It has no slots, but events or entries, each with a record of its own kind.
    if (isByEvent(schedule)) continue
    let slot = slotAfter(schedule, Math.max(since, from) - 1, calendar)
    while (slot !== undefined && slot <= last) {
      while (next < records.length && records[next]!.through < slot) next++
      const record = records[next]
      if (record !== undefined && record.slot <= slot) {
        slot = slotAfter(schedule, record.through, calendar)
        continue
      }
      const before = Math.min(last, (record?.slot ?? Infinity) - 1)
      const through = lastSlots(schedule, slot, before, 1, calendar)[0] ?? slot
      yield { kind: "missing", slot, through }
      slot = slotAfter(schedule, through, calendar)
    }
  }
}

function* surplus({ records, versions }: Account, from: number, until: number): Generator<Finding> {
  const earliest = versions[0]?.since ?? Infinity
  let through = -Infinity
  for (const record of records) {
    if (record.slot <= through) yield { kind: "double", ...spanOf(record) }
    through = Math.max(through, record.through)
    // What came before the versions that are kept cannot be judged.
    if (record.slot < Math.max(from, earliest) || record.slot > until || record.isGathered) continue
    if (!isOf(versions, record.slot) || !isOf(versions, record.through)) {
      yield { kind: "unexpected", ...spanOf(record) }
    }
  }
}

const spanOf = ({ slot, through }: Record) => ({ slot, through })

/**
 * Whether any version has this slot. Not only the one that is in force for it: a storage clock that is
 * set back lets a later version begin before slots that the one before it has used.
 */
const isOf = (versions: ReadonlyArray<Version>, slot: number): boolean =>
  versions.some(({ calendar, schedule }) =>
    schedule !== undefined &&
    (schedule._tag === "Permanent" || slotAfter(schedule, slot - 1, calendar) === slot)
  )
