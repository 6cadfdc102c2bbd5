/**
 * What is done when the clock of the machine was set, or the machine has slept: see
 * `core/domain/ClockStep.ts` for what a step is.
 *
 * A step of an hour forward would end every lease at once, one back would keep the dead alive for an
 * hour. So whoever was here before the step gets a whole ttl from now, within which the living beat
 * again, and whoever was lost before it stays lost. Each process that shares the file notices the step
 * by itself, so it is done more than once: what ends within a ttl from now may be a lease of after the
 * step, and is none that was lost before.
 *
 * What executors have left to be said of their runs they leave again with their next beat, so that is
 * just forgotten.
 */
import type { Transaction } from "./Database.ts"

/** `before` is what the clock would say now without the step. */
export const settle = ({ db, now }: Transaction, before: number): void => {
  db.run(
    `UPDATE executor SET standing = 'lost'
     WHERE standing IN ('live', 'draining') AND ends_at <= ?1
       AND (ends_at <= ?2 OR ends_at > ?2 + ttl_millis)`,
    before,
    now,
  )
  db.run(
    "UPDATE executor SET ends_at = ? + ttl_millis WHERE standing IN ('live', 'draining')",
    now,
  )
  db.run(
    "UPDATE lock SET expires_at = ?1 WHERE expires_at > ?1 + ttl_millis AND expires_at <= ?2",
    now,
    before,
  )
  db.run("UPDATE lock SET expires_at = ? + ttl_millis WHERE expires_at > ?", now, before)
  db.run("DELETE FROM ending")
}
