/**
 * Triggers that have records, in the order of their numbers, each with the age of the class of these: a page
 * at a time, since mostly none could leave, and one statement for each would cost more than it finds. Those
 * that never fired, as most that are asleep, are stepped over: a look at each of 100,000 took 0.2 s.
 */
import * as Retention from "../../core/domain/Retention.ts"
import type { Connection } from "./Connection.ts"

/** A trigger, and when the earliest of its records may leave. */
export interface Holder {
  readonly id: number
  /** What was written up to here may leave. */
  readonly over: number
  /** Or sooner than it may; `Infinity` if there is none but what stands for such as have left. */
  readonly leavesAt: number
}

/** Who is asked from ever later numbers on, of one snapshot. */
export type NextHolder = (from: number) => Holder | undefined

const window = 100

/** Which class they are of is only asked where it matters: it takes most of the time. */
const retentionOfTrigger = `
  SELECT json_extract(task.definition, '$.policy.retention') AS retention
  FROM trigger JOIN task ON task.namespace = trigger.namespace
    AND task.name = json_extract(trigger.definition, '$.task')
  WHERE trigger.id = ?`

/** `earliest` tells when the earliest record, in `table`, of the trigger `holder.id` was written. */
export const of = (table: "slot" | "followed", earliest: string) => {
  const page = `
    WITH RECURSIVE holder (id) AS (
      SELECT min(trigger) FROM ${table} WHERE trigger >= ?
      UNION ALL
      SELECT (SELECT min(trigger) FROM ${table} WHERE trigger > holder.id)
      FROM holder WHERE holder.id IS NOT NULL LIMIT ${window})
    SELECT id, (${earliest}) AS earliest FROM holder WHERE id IS NOT NULL`
  return (at: Connection, now: number): NextHolder => {
    let read: ReadonlyArray<{ readonly id: number; readonly earliest: number | null }> = []
    let next = 0
    const ageOf = (id: number, earliest: number) => {
      if (earliest > now - Retention.leastMillis) return Retention.leastMillis
      const row = at.get<{ retention: Retention.Retention | null }>(retentionOfTrigger, id)
      return Retention.millis[row?.retention ?? Retention.usual]
    }
    return (from) => {
      while (next < read.length && read[next]!.id < from) next++
      if (next === read.length) {
        read = at.all(page, from)
        next = 0
      }
      const row = read[next]
      if (row === undefined) return undefined
      const { earliest, id } = row
      if (earliest === null) return { id, over: now, leavesAt: Infinity }
      const age = ageOf(id, earliest)
      return { id, over: now - age, leavesAt: earliest + age }
    }
  }
}
