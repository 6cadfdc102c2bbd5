/**
 * Hooks of what was handed over. A conclusion may be a mark: the run is handed over, or about to be, its
 * hooks are still to come, and this is how it ends if nobody notifies. What ends it for those outside
 * makes the mark a conclusion, and the run ready once more, for its hooks.
 */
import { remade, retold } from "./retold.ts"

const pinned = "SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off"

const isMarked = (run: string, fence: string): string =>
  `EXISTS (SELECT FROM conclusion c WHERE c.run_id = ${run} AND c.phase = 2 AND c.fence = ${fence})`

/** What is to be known of it, whether it was held or parked. */
const known = "fence, attempt, crashes, claimed_at, incarnation, level, gate"

const left = (of: string): string => known.split(", ").map((column) => `${of}.${column}`).join(", ")

export default [
  // phase: 0 to be undone, 1 to be cleaned, 2 a mark, 3 whatever its task does after an outcome.
  `ALTER TABLE conclusion
     DROP CONSTRAINT known_phase,
     DROP CONSTRAINT concluded_state,
     ADD CONSTRAINT known_phase CHECK (phase BETWEEN 0 AND 3),
     ADD CONSTRAINT concluded_state CHECK (state BETWEEN 0 AND 3)`,

  // Awaiting or Running + Notify, Expire, Cancel, its hooks left → Ready; of a row taken from where it
  // was. It has begun, so no deadline counts any more.
  `CREATE FUNCTION leave_hooks(of_run bigint, at bigint, patience bigint[], of_kind text,
     by_whom text, of_state int, of_result text, of_failure text, of_fence int, of_attempt int,
     of_crashes int, claimed_at bigint, incarnation int, of_level int, of_gate uuid)
   RETURNS int LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     of_lane int := (SELECT r.lane FROM run r WHERE r.id = of_run);
   BEGIN
     DELETE FROM deadline d WHERE d.run_id = of_run;
     UPDATE conclusion c SET state = of_state, phase = 3, result = of_result, failure = of_failure
       WHERE c.run_id = of_run;
     INSERT INTO journal (run_id, at, claimed_at, incarnation, kind, attempt, fence, failure,
       asked_by, detail)
     VALUES (of_run, at, claimed_at, incarnation, of_kind, of_attempt, of_fence, of_failure, by_whom,
       'its hooks are left');
     INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
     VALUES (of_lane, of_level, at + coalesce(patience[of_level + 1], 0), of_run, of_attempt - 1,
       of_crashes, of_fence, true, of_gate);
     RETURN of_lane;
   END $$`,

  // As before; and of what has a conclusion it is known how it ends. Whoever makes a mark has the lease
  // locked, so the mark is looked for when the lease is ours.
  remade(
    "notify_run(bigint, boolean, text, text, text)",
    [
      ", OUT answer text, OUT is_freed boolean)",
      ", patience bigint[] DEFAULT NULL, OUT answer text, OUT is_freed boolean, OUT lane_id int)",
    ],
    [
      `         RETURNING fence, attempt, crashes, claimed_at, incarnation, gate, false AS is_cancelling
         INTO was;
       IF NOT FOUND THEN
         DELETE FROM lease`,
      `         RETURNING ${known}, false AS is_cancelling INTO was;
       IF NOT FOUND THEN
         PERFORM 1 FROM conclusion WHERE run_id = of_run AND phase <> 2;
         IF FOUND THEN
           answer := coalesce((SELECT CASE kind WHEN 'Notified' THEN 'duplicate' END FROM journal
             WHERE run_id = of_run AND kind IN ('Notified', 'Revived') ORDER BY id DESC LIMIT 1),
             'ended');
           RETURN;
         END IF;
         DELETE FROM lease`,
    ],
    [
      "RETURNING fence, attempt, crashes, claimed_at, incarnation, gate, is_cancelling INTO was;",
      `RETURNING ${known}, is_cancelling INTO was;`,
    ],
    [
      `       IF FOUND THEN
         INSERT INTO outcome`,
      `       IF FOUND AND ${isMarked("of_run", "was.fence")} THEN
         lane_id := leave_hooks(of_run, at, patience, 'Notified', by_whom,
           (NOT is_success)::int, of_result, of_failure, ${left("was")});
         answer := 'applied';
         RETURN;
       END IF;
       IF was.fence IS NOT NULL THEN
         INSERT INTO outcome`,
    ],
  ),

  remade(
    "cancel(bigint, bigint[], text)",
    [", OUT is_parent boolean)", ", OUT is_parent boolean, OUT lanes int[])"],
    ["     holders := '{}';", "     holders := '{}';\n     lanes := '{}';"],
    [
      "     FOR round IN 1..100 LOOP\n",
      `     PERFORM 1 FROM conclusion WHERE run_id = of_run AND phase = 3;
     IF FOUND THEN
       -- As Conclusion.isFinishing.
       PERFORM 1 FROM parked WHERE run_id = of_run
         UNION ALL SELECT 1 FROM outcome WHERE run_id = of_run;
       IF NOT FOUND THEN
         answer := 'requested';
         RETURN;
       END IF;
     END IF;
     FOR round IN 1..100 LOOP\n`,
    ],
    ["SELECT c.holders FROM child k", "SELECT c.holders, c.lanes FROM child k"],
    [
      "           holders := holders || each.holders;",
      "           holders := holders || each.holders;\n           lanes := lanes || each.lanes;",
    ],
    [
      "           RETURNING fence, attempt, crashes, claimed_at, incarnation INTO numbers;",
      `           RETURNING ${known} INTO numbers;
         IF numbers.fence IS NOT NULL AND ${isMarked("of_run", "numbers.fence")} THEN
           lanes := ARRAY[leave_hooks(of_run, at, patience, 'CancelAsked', by_whom, 3, NULL, NULL,
             ${left("numbers")})];
           answer := 'requested';
           RETURN;
         END IF;`,
    ],
    [
      `         RETURNING incarnation, attempt, fence INTO numbers;
       IF FOUND THEN`,
      `         RETURNING ${known} INTO numbers;
       IF FOUND AND ${isMarked("of_run", "numbers.fence")} THEN
         DELETE FROM lease WHERE incarnation = numbers.incarnation AND run_id = of_run;
         lanes := ARRAY[leave_hooks(of_run, at, patience, 'CancelAsked', by_whom, 3, NULL, NULL,
           ${left("numbers")})];
         answer := 'requested';
         RETURN;
       END IF;
       IF numbers.fence IS NOT NULL THEN`,
    ],
  ),

  remade(
    "expire(int, bigint[], text, text)",
    [", gate_key text)", ", gate_key text, lane_id int)"],
    [
      "     RETURN QUERY\n     WITH x AS (",
      `     FOR numbers IN SELECT p.* FROM parked p
       WHERE p.awaits_until <= at AND ${isMarked("p.run_id", "p.fence")}
       ORDER BY p.awaits_until LIMIT most - ended FOR UPDATE OF p SKIP LOCKED
     LOOP
       DELETE FROM parked p WHERE p.run_id = numbers.run_id;
       ended := ended + 1;
       run := numbers.run_id;
       state := NULL;
       gate_key := NULL;
       lane_id := leave_hooks(numbers.run_id, at, patience, 'Unnotified', NULL, 2, NULL, unnotified,
         ${left("numbers")});
       RETURN NEXT;
     END LOOP;
     RETURN QUERY
     WITH x AS (`,
    ],
    [
      "FROM parked silent WHERE silent.awaits_until <= at\n",
      `FROM parked silent WHERE silent.awaits_until <= at
           AND NOT ${isMarked("silent.run_id", "silent.fence")}\n`,
    ],
    [
      "(SELECT r.gate FROM run r WHERE r.id = x.run_id) END\n     FROM x;",
      "(SELECT r.gate FROM run r WHERE r.id = x.run_id) END,\n       NULL::int\n     FROM x;",
    ],
  ),

  // A mark is no conclusion: nobody knows whether it was handed over.
  retold(
    "recover(int, bigint[])",
    [
      "WHERE conclusion.run_id = f.run_id OFFSET 0) c",
      "WHERE conclusion.run_id = f.run_id\n         AND conclusion.phase <> 2 OFFSET 0) c",
    ],
    ["WHEN 2 THEN 'TimedOut' END", "WHEN 2 THEN 'TimedOut' WHEN 3 THEN 'Cancelled' END"],
    [
      "     noted AS (",
      `     unmarked AS (
       DELETE FROM conclusion x WHERE x.phase = 2 AND x.run_id = ANY (ARRAY(
         SELECT freed.run_id FROM freed))),
     noted AS (`,
    ],
  ),
]
