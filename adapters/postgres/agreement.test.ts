import { type Duration, Effect } from "effect"
import * as AgreementContract from "../../core/contract/AgreementContract.ts"
import * as RunId from "../../core/domain/RunId.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Memory from "../memory/mod.ts"
import { elapse, layer, stopClock, TestStorage } from "./TestStorage.ts"

/** What one sequence leaves behind. Names stay, since an adapter remembers their numbers. */
const rows = [
  "run",
  "scheduled",
  "blocked",
  "ready",
  "lease",
  "parked",
  "outcome",
  "journal",
  "child",
  "deadline",
  "level_set",
  "checkpoint",
  "conclusion",
  "ending",
  "progress",
  "log",
  "idempotency",
  "slot",
  "tail",
  "tailed",
  "trigger",
  "calendar",
  "executor",
  "permit",
  "share",
]

/** One statement, which costs much less than to truncate so many tables. */
const forget = `WITH ${rows.map((table) => `"${table}s" AS (DELETE FROM "${table}")`).join(", ")}
  UPDATE task SET revision = 0, definition = NULL WHERE revision > 0`

/** Ids follow the clock with a sweep, to within a second; here at once, as those of the reference do. */
const idsFollow = TestStorage.use(({ sql }) =>
  sql.unsafe(
    `SELECT setval('run_id', wanted, false)::text
     FROM run_id, (SELECT (clock() - ${RunId.millisOf(0 as RunId.RunId)}) * ${
      RunId.floor(1) - RunId.floor(0)
    } AS wanted) w WHERE last_value < wanted`,
  )
)

const empty = Effect.gen(function* () {
  yield* stopClock
  yield* idsFollow
  const { sql } = yield* TestStorage
  yield* sql.unsafe(forget)
  return yield* Storage
})

/** Under Deno, and on the oldest PostgreSQL, as many as show that nothing there is different. */
const isOther = "Deno" in globalThis || process.env["BELFRY_TEST_POSTGRES"] !== undefined

const elapseForIds = (duration: Duration.Duration) => Effect.andThen(elapse(duration), idsFollow)

AgreementContract.suite("postgres", layer, elapseForIds, {
  runner: "live",
  reference: Memory.layer,
  empty,
  sequences: isOther ? 100 : 1000,
})
