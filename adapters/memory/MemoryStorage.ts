/** The storage in memory: the reference for every law, on Effect's clock, fit for simulation. */
import { Clock, Effect } from "effect"
import { Storage } from "../../core/services/Storage.ts"
import * as MemoryAudit from "./MemoryAudit.ts"
import * as MemoryCalendars from "./MemoryCalendars.ts"
import * as MemoryExecutors from "./MemoryExecutors.ts"
import * as MemoryHistory from "./MemoryHistory.ts"
import * as MemoryOutbox from "./MemoryOutbox.ts"
import * as MemoryLogs from "./MemoryLogs.ts"
import * as MemoryPermits from "./MemoryPermits.ts"
import * as MemoryPlacements from "./MemoryPlacements.ts"
import * as MemoryRuns from "./MemoryRuns.ts"
import type { MemoryState } from "./MemoryState.ts"
import * as MemoryTasks from "./MemoryTasks.ts"
import * as MemoryTransfer from "./MemoryTransfer.ts"
import * as MemoryTriggers from "./MemoryTriggers.ts"

/** The clock is captured here, where the storage is made: callers may have clocks that differ. */
export const make = (state: MemoryState): Effect.Effect<Storage["Service"]> =>
  Effect.map(Clock.Clock, (clock) => {
    const now = () => clock.currentTimeMillisUnsafe()
    const tasks = MemoryTasks.make(state)
    return Storage.of({
      technology: "memory",
      tasks,
      calendars: MemoryCalendars.make(state, now),
      triggers: MemoryTriggers.make(state, now),
      runs: MemoryRuns.make(state, now),
      placements: MemoryPlacements.make(state, now),
      executors: MemoryExecutors.make(state, tasks, now),
      outbox: MemoryOutbox.make(state, now),
      logs: MemoryLogs.make(state, now),
      history: MemoryHistory.make(state, now),
      transfer: MemoryTransfer.make(state, now),
      permits: MemoryPermits.make(state, now),
      audit: MemoryAudit.make(state, now),
      now: Effect.sync(now),
    })
  })
