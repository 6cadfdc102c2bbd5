/** How runs will end, once that is known and something is left to do. */
const pinned = "SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off"

export default [
  // state: as of outcomes. phase: 0 to be undone, 1 to be cleaned. fence: of who has concluded it.
  `CREATE TABLE conclusion (
     run_id bigint CONSTRAINT one_conclusion PRIMARY KEY,
     fence int NOT NULL,
     state smallint NOT NULL CONSTRAINT concluded_state CHECK (state BETWEEN 0 AND 2),
     phase smallint NOT NULL CONSTRAINT known_phase CHECK (phase IN (0, 1)),
     result text,
     failure text)`,

  // As before, and a run of which it is known how it will end does not fail by the loss of its holder:
  // Running + Lose, concluded → Ready, or as concluded.
  `CREATE OR REPLACE FUNCTION recover(most int, patience bigint[])
   RETURNS TABLE (kind int, id bigint, state int, lane_id int, gate_key text)
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     gone int[];
   BEGIN
     RETURN QUERY
     WITH lost AS (
       UPDATE executor SET standing = 3 WHERE incarnation = ANY (ARRAY(
         SELECT e.incarnation FROM executor e WHERE e.standing < 2 AND e.beat_at + e.ttl <= clock()
         ORDER BY 1 FOR UPDATE SKIP LOCKED)) RETURNING incarnation)
     SELECT 0, incarnation::bigint, NULL::int, NULL::int, NULL::text FROM lost;
     gone := ARRAY(SELECT h FROM unnest(holding()) h WHERE NOT EXISTS (
       SELECT FROM executor e WHERE e.incarnation = h AND e.standing < 2));
     IF gone = '{}' THEN RETURN; END IF;
     RETURN QUERY
     WITH now AS MATERIALIZED (SELECT clock() AS at),
     freed AS (
       DELETE FROM lease WHERE ctid = ANY (ARRAY(
         SELECT l.ctid FROM lease l WHERE l.incarnation = ANY (gone)
         ORDER BY l.incarnation, l.run_id LIMIT most FOR UPDATE SKIP LOCKED))
       RETURNING *),
     told AS MATERIALIZED (
       SELECT f.*, e.name AS holder, e.standing, r.gate AS key, r.gate_places AS places,
         c.result, c.failure, c.state IS NOT NULL AS is_concluded,
         f.is_start_marked AND c.state IS NULL AS is_attempt,
         f.crashes + (c.state IS NOT NULL OR f.is_start_marked
           AND NOT f.is_cancelling AND NOT r.is_at_most_once)::int AS crashed,
         CASE
           WHEN c.state IS NOT NULL
             THEN CASE WHEN f.is_cancelling OR f.crashes + 1 > r.crashes_max THEN c.state END
           WHEN f.is_cancelling THEN 3
           WHEN NOT f.is_start_marked THEN NULL
           WHEN r.is_at_most_once THEN 1
           WHEN f.crashes + 1 > r.crashes_max THEN 5
         END AS final
       FROM freed f
       CROSS JOIN LATERAL (SELECT * FROM run WHERE run.id = f.run_id OFFSET 0) r
       LEFT JOIN LATERAL (SELECT * FROM conclusion WHERE conclusion.run_id = f.run_id OFFSET 0) c
         ON true
       LEFT JOIN executor e ON e.incarnation = f.incarnation),
     noted AS (
       INSERT INTO journal (run_id, at, kind, attempt, fence, claimed_at, detail)
       SELECT run_id, at, 'Lost', attempt, fence, claimed_at,
         holder || CASE standing WHEN 2 THEN ' is left' ELSE ' is lost' END FROM told, now),
     ended AS (
       INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt,
         crashes, is_reported, result, failure)
       SELECT run_id, at, claimed_at, incarnation, fence, final, attempt, crashed, false, result,
         CASE WHEN is_concluded THEN failure
           WHEN final <> 3 THEN json_build_object('tag', 'ExecutorLost', 'message',
             holder || ' was lost')::text END
       FROM told, now WHERE final IS NOT NULL),
     put_down AS (
       INSERT INTO parked (run_id, since, lane, fence, level, attempt, crashes, kind, is_careful,
         gate)
       SELECT run_id, at, lane, fence, level, attempt - (NOT is_attempt)::int, crashed, 0, true,
         CASE WHEN places <= 1 THEN gate END
       FROM told, now WHERE final IS NULL AND is_suspending),
     again AS (
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
       SELECT lane, level, at + patience[level + 1], run_id,
         attempt - (NOT is_attempt)::int, crashed, fence, true, gate
       FROM told, now WHERE final IS NULL AND NOT is_suspending)
     SELECT 1, run_id, CASE WHEN final IS NULL AND is_suspending THEN -1 ELSE final END, lane,
       CASE WHEN final IS NOT NULL OR is_suspending AND places > 1 THEN key END FROM told;
   END $$`,

  // As before, and what was concluded of the try before is forgotten.
  `ALTER FUNCTION revive(bigint, bigint[], text) RENAME TO revive_ended`,
  `CREATE FUNCTION revive(of_run bigint, patience bigint[], prefix text,
     OUT answer text, OUT gates text[], OUT lanes int[])
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   BEGIN
     DELETE FROM conclusion WHERE run_id = ANY (ARRAY(
       SELECT o.run_id FROM outcome o WHERE o.state IN (1, 2, 5) AND o.run_id = ANY (ARRAY(
         SELECT of_run UNION ALL SELECT c.run_id FROM child c WHERE c.parent = of_run))));
     SELECT * INTO answer, gates, lanes FROM revive_ended(of_run, patience, prefix);
   END $$`,
]
