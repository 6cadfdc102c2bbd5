/**
 * The rank of a run that must begin by a deadline is that deadline, if it is earlier than the end of
 * the patience of its level: wherever a run becomes ready, and wherever it is looked for. Runs that
 * wait already stay where they are, and are found there.
 */

import { retold } from "./retold.ts"

/** Lane.rank of the run `x`. Of one that is not careful no deadline is looked for. */
const rankOf = (x: string, readyAt = "at", attempt = `${x}.attempt`): string =>
  `least(${readyAt} + patience[${x}.level + 1],
           CASE WHEN ${x}.is_careful AND ${attempt} = 0
             THEN (SELECT d.expires_at FROM deadline d WHERE d.run_id = ${x}.run_id) END)`

const admitted = (signature: string, x: string): string =>
  retold(signature, [`at + patience[${x}.level + 1]`, rankOf(x)])

export default [
  admitted("admit(uuid[], int, bigint[])", "g"),
  admitted("admit(uuid[], int, bigint[])", "waiting"),
  admitted("admit_latest(uuid[], bigint[])", "latest"),
  admitted("admit_touching(text, uuid[], text[], boolean[], int, bigint[])", "waiting"),
  admitted("admit_sharing(text[], int[], int, bigint[])", "waiting"),
  retold(
    "recover(int, bigint[])",
    ["at + patience[level + 1]", rankOf("told", "at", "told.attempt - (NOT told.is_attempt)::int")],
  ),
  retold(
    "take_waiting(run, bigint[], boolean)",
    [
      "DELETE FROM ready q WHERE q.run_id = it.id AND",
      `DELETE FROM ready q WHERE q.lane = it.lane AND q.level = it.level
       AND q.rank = (SELECT d.expires_at FROM deadline d WHERE d.run_id = it.id)
       AND q.run_id = it.id AND (q.attempt = 0 OR NOT is_unbegun)
       RETURNING q.fence, q.attempt, q.crashes, q.is_careful, q.gate, true
       INTO fence, attempt, crashes, is_careful, gate, was_admitted;
     IF FOUND THEN RETURN; END IF;
     DELETE FROM ready q WHERE q.run_id = it.id AND`,
    ],
  ),
  retold(
    "resume(bigint, bigint[])",
    [
      "CASE WHEN was.fence = 0 THEN it.due_at ELSE at END + patience[it.level + 1]",
      rankOf("was", "CASE WHEN was.fence = 0 THEN it.due_at ELSE at END"),
    ],
  ),
  // A run that a trigger has made just now.
  retold(
    "set_deadline(bigint, bigint, bigint[])",
    [
      "UPDATE ready q SET is_careful = true",
      "UPDATE ready q SET is_careful = true, rank = least(q.rank, r.created_at + late)",
    ],
  ),
  retold(
    "submit(text, jsonb, jsonb)",
    [
      "ms + patience[level_of + 1], new_id",
      "least(ms + patience[level_of + 1], ms + late), new_id",
    ],
  ),
]
