/** The storage in one SQLite file: the default of one machine. See `Storage` for the laws. */
import { Storage } from "../../core/services/Storage.ts"
import type { Database } from "./Database.ts"
import * as SqliteAnswers from "./SqliteAnswers.ts"
import * as SqliteAudit from "./SqliteAudit.ts"
import * as SqliteCalendars from "./SqliteCalendars.ts"
import * as SqliteExecutors from "./SqliteExecutors.ts"
import * as SqliteHistory from "./SqliteHistory.ts"
import * as SqliteOutbox from "./SqliteOutbox.ts"
import * as SqliteLogs from "./SqliteLogs.ts"
import * as SqlitePermits from "./SqlitePermits.ts"
import * as SqlitePlacements from "./SqlitePlacements.ts"
import * as SqliteRuns from "./SqliteRuns.ts"
import * as SqliteTasks from "./SqliteTasks.ts"
import * as SqliteTransfer from "./SqliteTransfer.ts"
import * as SqliteTriggers from "./SqliteTriggers.ts"

/**
 * The processes that share a file are on one machine, whose clock is therefore the storage clock;
 * it is captured where the file is opened, so that callers may have clocks that differ (S2).
 */
export const make = (db: Database): Storage["Service"] =>
  Storage.of({
    technology: "sqlite",
    tasks: SqliteTasks.make(db),
    calendars: SqliteCalendars.make(db),
    triggers: SqliteTriggers.make(db),
    runs: SqliteRuns.make(db),
    placements: SqlitePlacements.make(db),
    executors: SqliteExecutors.make(db),
    outbox: SqliteOutbox.make(db),
    logs: SqliteLogs.make(db),
    history: SqliteHistory.make(db),
    transfer: SqliteTransfer.make(db),
    permits: SqlitePermits.make(db),
    audit: SqliteAudit.make(db),
    answers: SqliteAnswers.make(db),
    now: db.read("now", db.now),
  })
