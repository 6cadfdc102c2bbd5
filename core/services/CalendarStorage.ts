/**
 * Keeps calendars, and the triggers that name them in step with them.
 *
 * - **C1 latest.** The calendar last put under a name is the one that is found, whole.
 * - **C2 revision.** A calendar that differs from the kept one raises its revision by one, one that
 *   is equal changes nothing.
 * - **C3 named, kept.** A calendar is not removed while a trigger names it, not even one that is
 *   paused.
 * - **C4 followed.** A changed calendar raises the revision of each trigger that names it, and moves
 *   its cursor as `Turn.recalled` says, in the same step: what a planner decided by the old one is
 *   stale (T4).
 */
import type { Effect, Option } from "effect"
import type { Calendar, CalendarName } from "../domain/Calendar.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Refused } from "../domain/Refused.ts"
import type { StorageUnavailable } from "./StorageUnavailable.ts"

export interface KeptCalendar {
  readonly calendar: Calendar
  readonly revision: number
}

export interface CalendarStorage {
  readonly put: (calendar: Calendar) => Effect.Effect<KeptCalendar, StorageUnavailable>

  readonly find: (
    namespace: Namespace,
    name: CalendarName,
  ) => Effect.Effect<Option.Option<KeptCalendar>, StorageUnavailable>

  /** By name, without their dates. */
  readonly list: (
    namespace: Namespace,
  ) => Effect.Effect<
    ReadonlyArray<{ readonly name: CalendarName; readonly revision: number }>,
    StorageUnavailable
  >

  /** Whether there was such a calendar; refused while a trigger names it. */
  readonly remove: (
    namespace: Namespace,
    name: CalendarName,
  ) => Effect.Effect<boolean, Refused | StorageUnavailable>
}
