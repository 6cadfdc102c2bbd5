/** The storage in memory: the reference for every law, on Effect's clock, fit for simulation. */
import { Clock, Effect } from "effect"
import { Storage } from "../../core/services/Storage.ts"
import * as MemoryAnswers from "./MemoryAnswers.ts"
import * as MemoryAudit from "./MemoryAudit.ts"
import * as MemoryCalendars from "./MemoryCalendars.ts"
import * as MemoryClock from "./MemoryClock.ts"
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
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const ofLeases = yield* MemoryClock.ofLeases(state)
    const now = () => clock.currentTimeMillisUnsafe()
    const tasks = MemoryTasks.make(state)
    return Storage.of({
      technology: "memory",
      tasks,
      calendars: MemoryCalendars.make(state, now),
      triggers: MemoryTriggers.make(state, now),
      runs: MemoryRuns.make(state, now, ofLeases),
      placements: MemoryPlacements.make(state, ofLeases),
      executors: MemoryExecutors.make(state, tasks, ofLeases),
      outbox: MemoryOutbox.make(state, now),
      logs: MemoryLogs.make(state, now),
      history: MemoryHistory.make(state, now),
      transfer: MemoryTransfer.make(state, ofLeases),
      permits: MemoryPermits.make(state, now),
      audit: MemoryAudit.make(state, now),
      answers: MemoryAnswers.make(state, now),
      now: Effect.sync(now),
    })
  })
