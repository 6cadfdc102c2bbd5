/**
 * For how long what has ended is kept. It is told by age and never by number, so that a task that
 * runs often does not push out the history of one that runs rarely; and by class, so that a storage
 * may keep what leaves together in one place.
 */
import { Schema } from "effect"

export const Retention = Schema.Literals(["7 days", "30 days", "365 days"])
export type Retention = typeof Retention.Type

const day = 86_400_000

/** Unless the task's policy says otherwise. */
export const usual: Retention = "30 days"

export const millis: Readonly<Record<Retention, number>> = {
  "7 days": 7 * day,
  "30 days": 30 * day,
  "365 days": 365 * day,
}

/** Of the class that is kept for the shortest time. */
export const leastMillis: number = Math.min(...Object.values(millis))

/** An idempotency key names its run for so long after the submit, and until the run has ended. */
export const keyMillis = 7 * day
