/**
 * What was missing from the history of a run: that it passed its gate, how it had ended before it was
 * revived, and the grant that had come too late to begin. (That a start was marked is written by the
 * statement that marks it.) The functions are otherwise as they were.
 */
import { retold } from "./retold.ts"

/** Blocked + Admit → Ready, of the row at hand. */
const noted = (row: string) => `
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         VALUES (${row}.run_id, at, 'Admitted', ${row}.attempt, ${row}.fence);`

const afterReady = (row: string, indent: string, gate: string) => {
  const last = `${row}.attempt, ${row}.crashes, ${row}.fence, ${row}.is_careful, ${gate});`
  return [indent + last, indent + last + noted(row)] as const
}

/** As an outcome numbers them. */
const ofOutcome =
  "CASE was.state WHEN 1 THEN 'Failed' WHEN 2 THEN 'TimedOut' ELSE 'Quarantined' END"

export default [
  retold(
    "admit(uuid[], int, bigint[])",
    [
      "g.is_careful, g.gate FROM gone g)",
      `g.is_careful, g.gate FROM gone g),
       noted AS (
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         SELECT g.run_id, at, 'Admitted', g.attempt, g.fence FROM gone g)`,
    ],
    afterReady("waiting", "             ", "of_gate"),
  ),
  retold(
    "admit_latest(uuid[], bigint[])",
    afterReady("latest", "           ", "of_gate"),
  ),
  retold(
    "admit_touching(text, uuid[], text[], boolean[], int, bigint[])",
    afterReady("waiting", "           ", "waiting.gate"),
  ),
  retold(
    "admit_sharing(text[], int[], int, bigint[])",
    afterReady("waiting", "           ", "waiting.gate"),
  ),

  // What is revived goes on as another try, and how the one before it ended is told from now on.
  retold(
    "revive_ended(bigint, bigint[], text)",
    [
      "       INSERT INTO journal (run_id, at, claimed_at, kind, attempt, fence, failure, detail)",
      `       INSERT INTO journal (run_id, at, kind, attempt, fence, failure)
       VALUES (each, was.finished_at, ${ofOutcome}, was.attempt, was.fence, was.failure);
       INSERT INTO journal (run_id, at, claimed_at, kind, attempt, fence, failure, detail)`,
    ],
    [
      "       INSERT INTO journal (run_id, at, kind, attempt, fence, failure)\n       VALUES (of_parent,",
      `       INSERT INTO journal (run_id, at, kind, attempt, fence, failure)
       VALUES (of_parent, was.finished_at, ${ofOutcome}, was.attempt, was.fence, was.failure);
       INSERT INTO journal (run_id, at, kind, attempt, fence, failure)\n       VALUES (of_parent,`,
    ],
  ),

  // What was handed over was granted before.
  retold(
    "cancel(bigint, bigint[])",
    [
      "SELECT * INTO numbers FROM take_waiting(it, patience, false);",
      `SELECT t.*, NULL::bigint AS claimed_at, NULL::int AS incarnation INTO numbers
         FROM take_waiting(it, patience, false) t;`,
    ],
    [
      "RETURNING fence, attempt, crashes INTO numbers;",
      "RETURNING fence, attempt, crashes, claimed_at, incarnation INTO numbers;",
    ],
    [
      `INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported)
         VALUES (of_run, at, numbers.fence, 3, numbers.attempt, numbers.crashes, false);`,
      `INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt,
           crashes, is_reported)
         VALUES (of_run, at, numbers.claimed_at, numbers.incarnation, numbers.fence, 3,
           numbers.attempt, numbers.crashes, false);`,
    ],
  ),

  // As `Conclusion.lossOf` says it.
  retold(
    "recover(int, bigint[])",
    [
      "c.state IS NOT NULL AS is_concluded,",
      "c.state IS NOT NULL AS is_concluded, c.state AS concluded,",
    ],
    [
      "' is left' ELSE ' is lost' END FROM told, now)",
      `' is left' ELSE ' is lost' END
           || coalesce(', having concluded ' || CASE concluded WHEN 0 THEN 'Succeeded'
             WHEN 1 THEN 'Failed' WHEN 2 THEN 'TimedOut' END, '') FROM told, now)`,
    ],
  ),

  retold(
    "expire(int, bigint[], text, text)",
    [
      "SELECT * INTO numbers FROM take_waiting(it, patience, true);",
      `SELECT t.*, NULL::bigint AS claimed_at, NULL::int AS incarnation INTO numbers
         FROM take_waiting(it, patience, true) t;`,
    ],
    [
      "RETURNING p.fence, p.crashes INTO numbers;",
      "RETURNING p.fence, p.crashes, NULL::bigint AS claimed_at, NULL::int AS incarnation INTO numbers;",
    ],
    [
      "RETURNING l.fence, l.crashes, l.is_cancelling INTO numbers;",
      "RETURNING l.fence, l.crashes, l.is_cancelling, l.claimed_at, l.incarnation INTO numbers;",
    ],
    [
      `INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported, failure)
       -- Only what is cancelled keeps the attempt of its grant.
       VALUES (due.run_id, at, numbers.fence,`,
      `INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt,
         crashes, is_reported, failure)
       -- Only what is cancelled keeps the attempt of its grant.
       VALUES (due.run_id, at, numbers.claimed_at, numbers.incarnation, numbers.fence,`,
    ],
  ),
]
