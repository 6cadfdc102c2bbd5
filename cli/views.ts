/** What the API shows, as JSON: the same shapes that REST has. */
import { Schema } from "effect"
import * as Views from "../cluster/api/Views.ts"

const encoder = <T>(schema: Schema.Codec<T, unknown>) =>
  Schema.encodeSync(Schema.toCodecJson(schema)) as (value: T) => unknown

export const runJson = encoder(Views.Run)
export const runSummaryJson = encoder(Views.RunSummary)
export const runPageJson = encoder(Views.RunPage)
export const eventsJson = encoder(Views.Events)
export const executionsJson = encoder(Views.Executions)
export const logJson = encoder(Views.Log)
export const progressJson = encoder(Views.RunProgress)
export const resizedJson = encoder(Views.Resized)
export const whyJson = encoder(Views.Why)
export const cancelledJson = encoder(Views.Cancelled)
export const orderedJson = encoder(Views.Ordered)
export const triggerListJson = encoder(Views.TriggerList)
export const triggerJson = encoder(Views.Trigger)
export const triggerWithSlotsJson = encoder(Views.TriggerWithSlots)
export const slotJson = encoder(Views.Slot)
export const triggerVersionsJson = encoder(Views.TriggerVersions)
export const triggerVersionJson = encoder(Views.TriggerVersion)
export const backfilledJson = encoder(Views.Backfilled)
export const slotAuditJson = encoder(Views.SlotAudit)
export const slotFindingJson = encoder(Views.SlotFinding)
export const previewJson = encoder(Views.Preview)
export const calendarJson = encoder(Views.CalendarView)
export const calendarListJson = encoder(Views.CalendarList)
export const listedCalendarJson = encoder(Views.ListedCalendar)
export const breakerJson = encoder(Views.Breaker)
export const breakerListJson = encoder(Views.BreakerList)
export const taskListJson = encoder(Views.TaskList)
export const taskJson = encoder(Views.Task)
export const executorListJson = encoder(Views.ExecutorList)
export const lockListJson = encoder(Views.LockList)
export const heldLockJson = encoder(Views.HeldLock)
export const statusJson = encoder(Views.Status)
