/** Who had the grants of a run before the last: of a loss, and of what was revived. */
import { retold } from "./retold.ts"

export default [
  `ALTER TABLE journal ADD COLUMN incarnation int`,
  retold(
    "recover(int, bigint[])",
    ["attempt, fence, claimed_at, detail)", "attempt, fence, claimed_at, incarnation, detail)"],
    ["'Lost', attempt, fence, claimed_at,", "'Lost', attempt, fence, claimed_at, incarnation,"],
  ),
  retold(
    "revive_ended(bigint, bigint[], text)",
    [
      "(run_id, at, claimed_at, kind, attempt, fence, failure, detail)",
      "(run_id, at, claimed_at, incarnation, kind, attempt, fence, failure, detail)",
    ],
    ["VALUES (each, at, was.claimed_at,", "VALUES (each, at, was.claimed_at, was.incarnation,"],
  ),
]
