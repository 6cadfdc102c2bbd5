/** How far triggers have come in the sources that they tail, and what became of the entries. */
export default [
  // source: which it is, as Tailing.keyOf says; the position is of no other.
  `CREATE TABLE tail (
     fired bigint NOT NULL DEFAULT 0,
     passed bigint NOT NULL DEFAULT 0,
     skipped bigint NOT NULL DEFAULT 0,
     moved_at bigint,
     up_to bigint,
     failing_since bigint,
     trigger int CONSTRAINT one_tail_per_trigger PRIMARY KEY,
     source text NOT NULL,
     position text,
     failure text) WITH (fillfactor = 50)`,

  // nth: of the entries of the trigger that were taken or skipped.
  `CREATE TABLE tailed (
     nth bigint NOT NULL,
     run_id bigint,
     at bigint NOT NULL,
     trigger int NOT NULL,
     position text NOT NULL,
     reason text,
     CONSTRAINT entry_is_recorded_once PRIMARY KEY (trigger, nth),
     CONSTRAINT fired_or_not CHECK ((run_id IS NULL) = (reason IS NOT NULL)))`,

  // A trigger that tails a source has a row; put with another source, it begins anew.
  `CREATE FUNCTION attach_tail(of_trigger int, of_source text) RETURNS boolean
   LANGUAGE plpgsql VOLATILE AS $$
   BEGIN
     INSERT INTO tail (trigger, source) VALUES (of_trigger, of_source)
     ON CONFLICT ON CONSTRAINT one_tail_per_trigger DO UPDATE SET source = excluded.source,
       position = NULL, moved_at = NULL, up_to = NULL, failure = NULL, failing_since = NULL
     WHERE tail.source <> excluded.source;
     RETURN true;
   END $$`,

  // TriggerStorage.tail. Of two that read from one position the later finds it moved. An entry
  // without a reason makes a run. The first row has no item.
  // verdict: 0 taken, 3 behind, 4 stale.
  `CREATE FUNCTION take_entries(of_trigger int, of_revision int, of_from text, of_to text,
     of_passed int, ended_ago bigint, of_failure text, records_max int, positions text[],
     reasons text[], tasks int[], lanes int[], levels smallint[], payloads text[],
     at_most_onces boolean[], crashes_maxes smallint[], delays bigint[], gates text[], places int[],
     discards boolean[], patience bigint[], deadlines bigint[])
   RETURNS TABLE (verdict int, item int, run bigint)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
   DECLARE
     ms bigint;
     kept tail%ROWTYPE;
     fires int;
   BEGIN
     PERFORM 1 FROM trigger g WHERE g.id = of_trigger AND g.revision = of_revision
       AND NOT g.is_paused AND NOT g.is_removed FOR SHARE;
     IF FOUND THEN SELECT * INTO kept FROM tail t WHERE t.trigger = of_trigger FOR UPDATE; END IF;
     IF kept.trigger IS NULL THEN
       RETURN QUERY SELECT 4, NULL::int, NULL::bigint;
       RETURN;
     END IF;
     IF kept.position IS DISTINCT FROM of_from THEN
       RETURN QUERY SELECT 3, NULL::int, NULL::bigint;
       RETURN;
     END IF;
     ms := clock();
     fires := (SELECT count(*) FROM unnest(reasons) r WHERE r IS NULL);
     UPDATE tail t SET position = of_to, fired = t.fired + fires,
       passed = t.passed + of_passed, skipped = t.skipped + cardinality(positions) - fires,
       moved_at = CASE WHEN of_to IS DISTINCT FROM of_from THEN ms ELSE t.moved_at END,
       up_to = CASE WHEN ended_ago IS NULL THEN t.up_to ELSE greatest(t.up_to, ms - ended_ago) END,
       failure = of_failure,
       failing_since = CASE WHEN of_failure IS NOT NULL THEN coalesce(t.failing_since, ms) END
     WHERE t.trigger = of_trigger;
     verdict := 0;
     RETURN NEXT;
     IF cardinality(positions) = 0 THEN RETURN; END IF;
     DELETE FROM tailed t WHERE t.trigger = of_trigger
       AND t.nth <= kept.fired + kept.skipped + cardinality(positions) - records_max;
     FOR item, run IN
       WITH numbered AS MATERIALIZED (
         SELECT u.*, CASE WHEN u.reason IS NULL THEN nextval('run_id') END AS new_id
         FROM unnest(positions, reasons, tasks, lanes, levels, payloads, at_most_onces,
           crashes_maxes, delays, gates, places, discards) WITH ORDINALITY
           AS u(position, reason, task, lane, level, payload, is_at_most_once, crashes_max,
             delay, gate, gate_places, is_gate_discarding, nth)),
       recorded AS (
         INSERT INTO tailed (trigger, nth, run_id, at, position, reason)
         SELECT of_trigger, kept.fired + kept.skipped + n.nth, n.new_id, ms, n.position, n.reason
         FROM numbered n),
       created AS MATERIALIZED (SELECT * FROM numbered WHERE new_id IS NOT NULL),
       runs AS (
         INSERT INTO run (id, created_at, due_at, slot, task, lane, trigger, gate_places, level,
           crashes_max, is_at_most_once, is_gate_discarding, payload, gate)
         SELECT new_id, ms, ms + delay, ms, task, lane, of_trigger, gate_places, level, crashes_max,
           is_at_most_once, is_gate_discarding, payload, gate FROM created),
       readied AS (
         INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
         SELECT lane, level, ms + patience[level + 1], new_id, 0, 0, 0, is_at_most_once
         FROM created WHERE delay = 0 AND gate IS NULL),
       later AS (
         INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful,
           gate)
         SELECT ms + delay, new_id, lane, 0, level, 0, 0, is_at_most_once, gate_id(gate)
         FROM created WHERE delay > 0),
       waiting AS (
         INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
         SELECT gate_id(gate), new_id, new_id, lane, gate_places, level, is_at_most_once,
           is_gate_discarding
         FROM created WHERE delay = 0 AND gate IS NOT NULL)
       SELECT n.nth::int - 1, n.new_id FROM numbered n WHERE n.new_id IS NOT NULL ORDER BY n.nth
     LOOP
       IF deadlines[item + 1] IS NOT NULL THEN
         PERFORM set_deadline(run, deadlines[item + 1], patience);
       END IF;
       RETURN NEXT;
     END LOOP;
   END $$`,
]
