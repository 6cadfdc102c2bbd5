/**
 * When a task is due, as `Task.schedule` takes it.
 *
 * ```ts
 * import { Trigger } from "belfry"
 *
 * export const nightly = Trigger.cron("0 3 * * *", { zone: "Europe/Berlin" })
 * export const often = Trigger.every("90 seconds")
 * export const once = Trigger.at(new Date("2031-01-01T00:00:00Z"))
 * ```
 */
import { Duration } from "effect"
import type { Misfire, Schedule } from "../domain/Trigger.ts"

/** Five to seven fields, `L`, `W`, `#` and nicknames; in UTC unless a zone is named. */
export const cron = (expression: string, options: { readonly zone?: string } = {}): Schedule => ({
  _tag: "Cron",
  expression,
  zone: options.zone ?? "UTC",
})

/** At this distance, counted from when the trigger was stored. */
export const every = (interval: Duration.Input): Schedule => ({
  _tag: "Every",
  millis: Duration.toMillis(Duration.fromInputUnsafe(interval)),
})

/** Once. */
export const at = (instant: Date): Schedule => ({ _tag: "At", at: instant.getTime() })

/** Slots that nobody fired in time are skipped. */
export const skip: Misfire = { _tag: "Skip" }

/** The latest slot that nobody fired in time still fires, for all before it. */
export const once: Misfire = { _tag: "Once" }

/** The latest `max` slots that nobody fired in time still fire. */
export const all = (max: number): Misfire => ({ _tag: "All", max })
