/**
 * Rollbacks on demand. What has ended goes on as what is revived does, with a conclusion from the start:
 * that it has failed, and is to be rolled back.
 */
import { remade, retold } from "./retold.ts"

const lock = (gate: string) =>
  `pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || ${gate}::text, 0))`

/**
 * As Rollback.askedOf. As text: what it fails with may hold what no jsonb can, and within its texts each
 * quote is escaped.
 */
const isAsked = (failure: string) =>
  `coalesce(strpos(${failure}, '"causes":[{"tag":"RollbackAsked",') > 0, false)`

const ofOutcome =
  "CASE was.state WHEN 1 THEN 'Failed' WHEN 2 THEN 'TimedOut' ELSE 'Quarantined' END"
const ofAnyOutcome = "(ARRAY['Succeeded', 'Failed', 'TimedOut', 'Cancelled', 'Discarded', " +
  "'Quarantined', 'Expired'])[was.state + 1]"

export default [
  // What was granted and has ended + RollBack → Blocked, Ready. Succeeded + Reopen → Awaiting.
  remade(
    "revive_ended(bigint, bigint[], text, text)",
    [
      ", OUT answer text",
      ", is_undoing boolean DEFAULT false, of_note text DEFAULT NULL, " +
      "of_failure text DEFAULT NULL, OUT answer text",
    ],
    ["AND state IN (1, 2, 5) RETURNING", "AND (is_undoing OR state IN (1, 2, 5)) RETURNING"],
    ["AND state = 1 RETURNING", "AND state IN (0, 1) RETURNING"],
    [ofOutcome, ofAnyOutcome],
    [
      "       INSERT INTO journal (run_id, at, claimed_at,",
      `       IF is_undoing THEN
         INSERT INTO journal (run_id, at, kind, attempt, fence, asked_by, detail)
         VALUES (each, at, 'RollbackAsked', was.attempt, was.fence, by_whom, of_note);
       END IF;
       INSERT INTO journal (run_id, at, claimed_at,`,
    ],
    [
      "was.failure, by_whom,\n",
      "coalesce(of_failure, was.failure),\n" +
      "         CASE WHEN NOT is_undoing THEN by_whom END,\n",
    ],
  ),

  // As Rollback.answer says. A second one at once waits for the first, and finds what that has left.
  `CREATE FUNCTION roll_back(of_run bigint, patience bigint[], prefix text, by_whom text,
     of_note text, asked text, concluded text, OUT answer text, OUT gates text[], OUT lanes int[])
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
   DECLARE
     was outcome%ROWTYPE;
     before conclusion%ROWTYPE;
     of_parent bigint;
   BEGIN
     gates := '{}';
     lanes := '{}';
     PERFORM 1 FROM run WHERE id = of_run;
     IF NOT FOUND THEN RETURN; END IF;
     PERFORM 1 FROM child WHERE parent = of_run LIMIT 1;
     IF FOUND THEN
       answer := 'parent';
       RETURN;
     END IF;
     of_parent := (SELECT parent FROM child WHERE run_id = of_run);
     IF of_parent IS NOT NULL THEN
       PERFORM ${lock("gate_id(prefix || of_parent)")};
     END IF;
     SELECT * INTO was FROM outcome WHERE run_id = of_run FOR UPDATE;
     SELECT * INTO before FROM conclusion WHERE run_id = of_run;
     answer := CASE
       WHEN was.run_id IS NULL
         THEN CASE WHEN ${isAsked("before.failure")} THEN 'confirmed' ELSE 'refused' END
       WHEN starts_with(was.failure, '{"tag":"RolledBack",') AND ${isAsked("was.failure")}
         THEN 'confirmed'
       WHEN was.fence = 0 OR was.state = 6 THEN 'unbegun'
       WHEN was.state = 0 AND EXISTS (SELECT FROM outbox WHERE run_id = of_run) THEN 'untold' END;
     IF answer IS NOT NULL THEN RETURN; END IF;
     INSERT INTO conclusion (run_id, fence, state, phase, result, failure)
       VALUES (of_run, was.fence, 1, 0, coalesce(was.result, before.result), concluded)
       ON CONFLICT ON CONSTRAINT one_conclusion DO UPDATE SET fence = excluded.fence,
         state = excluded.state, phase = excluded.phase, result = excluded.result,
         failure = excluded.failure;
     SELECT r.answer, r.gates, r.lanes INTO answer, gates, lanes
       FROM revive_ended(of_run, patience, prefix, by_whom, true, of_note, asked) r;
   END $$`,

  // As Conclusion.resultOf.
  retold("recover(int, bigint[])", [
    "c.result, c.failure, c.state IS NOT NULL",
    "CASE WHEN c.state = 0 THEN c.result END AS result, c.failure, c.state IS NOT NULL",
  ]),
]
