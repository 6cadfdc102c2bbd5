/**
 * Runs that wait for something outside: suspended, handed over, or parents of children. They stand in
 * `parked`. What only such runs have lies in tables beside, so that what a plain run reads and writes
 * is as it was.
 *
 * A child passes the gate of its parent, and `gather` is what `admit` is to the parent behind it: it
 * decides under the gate's lock, from rows. Whoever gives a child another try holds that lock too.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const pinned = "SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off"

const lock = (gate: string) =>
  `pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || ${gate}::text, 0))`

const statements = [
  // kind: 0 suspended, 1 handed over, 2 a parent. gate: set while it holds its place.
  `CREATE TABLE parked (
     run_id bigint CONSTRAINT parked_once PRIMARY KEY,
     since bigint NOT NULL,
     awaits_until bigint,
     claimed_at bigint,
     lane int NOT NULL,
     incarnation int,
     fence int NOT NULL,
     level smallint NOT NULL,
     attempt smallint NOT NULL,
     crashes smallint NOT NULL,
     kind smallint NOT NULL,
     is_careful boolean NOT NULL,
     gate uuid)`,
  `CREATE INDEX parked_holds_place ON parked (gate) WHERE gate IS NOT NULL`,
  `CREATE INDEX parked_until ON parked (awaits_until) WHERE awaits_until IS NOT NULL`,
  `CREATE INDEX parked_parent ON parked (run_id) WHERE kind = 2`,

  `CREATE TABLE child (
     parent bigint NOT NULL,
     run_id bigint NOT NULL CONSTRAINT one_parent UNIQUE,
     nth int NOT NULL,
     count int NOT NULL,
     CONSTRAINT one_child_per_index PRIMARY KEY (parent, nth))`,

  // Until when a run must have begun. The row goes when it has, or when the time is up.
  `CREATE TABLE deadline (
     run_id bigint CONSTRAINT one_deadline PRIMARY KEY,
     expires_at bigint NOT NULL)`,
  `CREATE INDEX deadline_in_order ON deadline (expires_at)`,

  `CREATE TABLE checkpoint (
     run_id bigint CONSTRAINT one_checkpoint PRIMARY KEY,
     value text NOT NULL)`,

  // A run that gave its place back waits at its gate again, with the numbers it had.
  `ALTER TABLE blocked
     ADD COLUMN fence int NOT NULL DEFAULT 0,
     ADD COLUMN attempt smallint NOT NULL DEFAULT 0,
     ADD COLUMN crashes smallint NOT NULL DEFAULT 0`,

  `ALTER TABLE lease ADD COLUMN is_suspending boolean NOT NULL DEFAULT false`,
  `DROP INDEX lease_to_stop`,
  `CREATE INDEX lease_to_stop ON lease (incarnation) WHERE is_cancelling OR is_suspending`,

  `ALTER TABLE outcome DROP CONSTRAINT final_state,
     ADD CONSTRAINT final_state CHECK (state BETWEEN 0 AND 6)`,

  `CREATE OR REPLACE FUNCTION holders(of_gate uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
     SELECT (SELECT count(*) FROM ready WHERE gate = of_gate)
          + (SELECT count(*) FROM lease WHERE gate = of_gate)
          + (SELECT count(*) FROM parked WHERE gate = of_gate)
          + (SELECT count(*) FROM scheduled WHERE gate = of_gate AND fence > 0) $$`,

  // As before, and what is parked may hold a place, and what waits may have numbers.
  `CREATE OR REPLACE FUNCTION admit(gates uuid[], most int, patience bigint[])
   RETURNS TABLE (run bigint, lane_id int, is_admitted boolean) LANGUAGE plpgsql VOLATILE
   ${pinned} AS $$
   DECLARE
     of_gate uuid;
     waiting record;
     holder bigint;
     held bigint;
     decided int := 0;
     at bigint;
   BEGIN
     SELECT array_agg(each ORDER BY each) INTO gates
       FROM (SELECT DISTINCT each FROM unnest(gates) each) known;
     FOREACH of_gate IN ARRAY coalesce(gates, '{}') LOOP
       PERFORM ${lock("of_gate")};
     END LOOP;
     at := clock();
     FOREACH of_gate IN ARRAY coalesce(gates, '{}') LOOP
       held := (SELECT count(*) FROM ready WHERE gate = of_gate)
         + (SELECT count(*) FROM lease WHERE gate = of_gate)
         + (SELECT count(*) FROM parked WHERE gate = of_gate)
         + (SELECT count(*) FROM scheduled WHERE gate = of_gate AND fence > 0);
       WHILE decided < most LOOP
         SELECT * INTO waiting FROM blocked WHERE gate = of_gate ORDER BY level, turn LIMIT 1;
         EXIT WHEN NOT FOUND OR (held >= waiting.places AND NOT waiting.is_discarding);
         DELETE FROM blocked WHERE run_id = waiting.run_id;
         -- Someone has cancelled it between the two statements.
         CONTINUE WHEN NOT FOUND;
         decided := decided + 1;
         run := waiting.run_id;
         lane_id := waiting.lane;
         is_admitted := held < waiting.places;
         IF is_admitted THEN
           INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
           VALUES (waiting.lane, waiting.level, at + patience[waiting.level + 1], waiting.run_id,
             waiting.attempt, waiting.crashes, waiting.fence, waiting.is_careful, of_gate);
           held := held + 1;
         ELSE
           SELECT run_id INTO holder FROM (
             SELECT run_id FROM lease WHERE gate = of_gate UNION ALL
             SELECT run_id FROM ready WHERE gate = of_gate UNION ALL
             SELECT run_id FROM parked WHERE gate = of_gate UNION ALL
             SELECT run_id FROM scheduled WHERE gate = of_gate AND fence > 0) holding LIMIT 1;
           INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported,
             failure)
           VALUES (waiting.run_id, at, waiting.fence, 4, waiting.attempt, waiting.crashes, false,
             json_build_object('tag', 'Discarded',
               'message', 'busy with run ' || coalesce(holder::text, 'that has just ended'))::text);
         END IF;
         RETURN NEXT;
       END LOOP;
     END LOOP;
   END $$`,

  // Awaiting + Gather: ends each parent whose children have ended, as FanIn.verdict says.
  `CREATE FUNCTION gather(keys text[], parents bigint[])
   RETURNS TABLE (run bigint, state int) LANGUAGE plpgsql VOLATILE
   ${pinned} AS $$
   DECLARE
     each record;
     ends record;
     it parked%ROWTYPE;
   BEGIN
     FOR each IN SELECT DISTINCT gate_id(key) AS gate, parent FROM unnest(keys, parents) u(key, parent)
       ORDER BY 1
     LOOP
       PERFORM ${lock("each.gate")};
       -- Scalar queries, since no plan can make of them a join with all of history.
       CONTINUE WHEN EXISTS (SELECT FROM child c WHERE c.parent = each.parent
         AND (SELECT o.run_id FROM outcome o WHERE o.run_id = c.run_id) IS NULL);
       DELETE FROM parked p WHERE p.run_id = each.parent AND p.kind = 2 RETURNING * INTO it;
       CONTINUE WHEN NOT FOUND;
       SELECT count(*) AS total, count(*) FILTER (WHERE o.state <> 0) AS unsuccessful,
           count(*) FILTER (WHERE o.state NOT IN (0, 3)) AS failed INTO ends
         FROM child c CROSS JOIN LATERAL (
           SELECT outcome.state FROM outcome WHERE outcome.run_id = c.run_id OFFSET 0) o
         WHERE c.parent = each.parent;
       run := each.parent;
       state := CASE WHEN ends.failed > 0 THEN 1 WHEN ends.unsuccessful > 0 THEN 3 ELSE 0 END;
       INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported, failure)
       VALUES (run, clock(), it.fence, gather.state, it.attempt, it.crashes, false,
         CASE WHEN gather.state = 1 THEN json_build_object('tag', 'ChildrenFailed', 'message',
           ends.unsuccessful || ' of ' || ends.total || ' children did not succeed')::text END);
       RETURN NEXT;
     END LOOP;
   END $$`,

  // The parent, and each child as Run.submitted says: Scheduled or Blocked. nth: -1 for the parent.
  `CREATE FUNCTION submit_family(of_task int, of_lane int, of_level smallint, of_payload text,
     of_namespace int, of_key text, of_digest text, prefix text, of_places int,
     tasks int[], lanes int[], levels smallint[], payloads text[], at_most_onces boolean[],
     crashes_maxes smallint[], delays bigint[], deadlines bigint[])
   RETURNS TABLE (run bigint, nth int, is_new boolean) LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     of_parent bigint := nextval('run_id');
     at bigint := clock();
     gate_key text := prefix || of_parent;
   BEGIN
     IF of_key IS NOT NULL THEN
       INSERT INTO idempotency (namespace, key, run_id, digest)
       VALUES (of_namespace, of_key, of_parent, decode(of_digest, 'base64'))
       ON CONFLICT ON CONSTRAINT one_run_per_key DO NOTHING;
       IF NOT FOUND THEN
         RETURN QUERY SELECT i.run_id, -1, false FROM idempotency i
           WHERE i.namespace = of_namespace AND i.key = of_key;
         RETURN;
       END IF;
     END IF;
     INSERT INTO run (id, created_at, due_at, task, lane, level, payload, is_at_most_once,
       crashes_max, idempotency_key)
     VALUES (of_parent, at, at, of_task, of_lane, of_level, of_payload, false, 0, of_key);
     INSERT INTO parked (run_id, since, lane, fence, level, attempt, crashes, kind, is_careful)
     VALUES (of_parent, at, of_lane, 0, of_level, 0, 0, 2, false);
     RETURN QUERY
     WITH s AS MATERIALIZED (
       SELECT nextval('run_id') AS id, u.*, u.is_at_most_once OR u.deadline IS NOT NULL AS is_careful
       FROM unnest(tasks, lanes, levels, payloads, at_most_onces, crashes_maxes, delays, deadlines)
         WITH ORDINALITY AS u(task, lane, level, payload, is_at_most_once, crashes_max, delay,
           deadline, n)),
     r AS (
       INSERT INTO run (id, created_at, due_at, task, lane, level, payload, is_at_most_once,
         crashes_max, gate, gate_places, is_gate_discarding, idempotency_key)
       SELECT id, at, at + delay, task, lane, level, payload, is_at_most_once, crashes_max,
         gate_key, of_places, false, of_parent || '.' || (n - 1) || '/' || cardinality(tasks) FROM s),
     k AS (
       INSERT INTO child (parent, run_id, nth, count)
       SELECT of_parent, id, n - 1, cardinality(tasks) FROM s),
     d AS (
       INSERT INTO deadline (run_id, expires_at)
       SELECT id, at + deadline FROM s WHERE deadline IS NOT NULL),
     c AS (
       INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
       SELECT at + delay, id, lane, 0, level, 0, 0, is_careful, gate_id(gate_key)
       FROM s WHERE delay > 0),
     b AS (
       INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
       SELECT gate_id(gate_key), id, id, lane, of_places, level, is_careful, false
       FROM s WHERE delay = 0)
     SELECT s.id, s.n::int - 1, true FROM s
     UNION ALL SELECT of_parent, -1, true;
   END $$`,

  // Takes a run out of wherever it waits for its due time, its gate, its lane or a resume; none if it
  // does not, or has begun and must not have. was_admitted: it held its place, if it has a gate.
  `CREATE FUNCTION take_waiting(it run, patience bigint[], is_unbegun boolean,
     OUT fence int, OUT attempt smallint, OUT crashes smallint, OUT is_careful boolean,
     OUT gate uuid, OUT was_admitted boolean)
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   BEGIN
     DELETE FROM scheduled s WHERE s.run_id = it.id AND (s.attempt = 0 OR NOT is_unbegun)
       RETURNING s.fence, s.attempt, s.crashes, s.is_careful, s.gate, s.fence > 0
       INTO fence, attempt, crashes, is_careful, gate, was_admitted;
     IF FOUND THEN RETURN; END IF;
     DELETE FROM blocked b WHERE b.run_id = it.id AND (b.attempt = 0 OR NOT is_unbegun)
       RETURNING b.fence, b.attempt, b.crashes, b.is_careful, b.gate, false
       INTO fence, attempt, crashes, is_careful, gate, was_admitted;
     IF FOUND THEN RETURN; END IF;
     DELETE FROM ready q WHERE q.lane = it.lane AND q.level = it.level
       AND q.rank = it.due_at + patience[it.level + 1] AND q.run_id = it.id
       AND (q.attempt = 0 OR NOT is_unbegun)
       RETURNING q.fence, q.attempt, q.crashes, q.is_careful, q.gate, true
       INTO fence, attempt, crashes, is_careful, gate, was_admitted;
     IF FOUND THEN RETURN; END IF;
     DELETE FROM ready q WHERE q.run_id = it.id AND (q.fence > 0 OR q.gate IS NOT NULL)
       AND (q.attempt = 0 OR NOT is_unbegun)
       RETURNING q.fence, q.attempt, q.crashes, q.is_careful, q.gate, true
       INTO fence, attempt, crashes, is_careful, gate, was_admitted;
   END $$`,

  `DROP FUNCTION cancel(bigint, bigint[])`,

  // What waits or is parked + Cancel → Cancelled, Running + Cancel → Running, cancelling; of a parent
  // its children. A run moves on while it is looked for, but only so often between two statements.
  `CREATE FUNCTION cancel(of_run bigint, patience bigint[],
     OUT answer text, OUT holders int[], OUT is_parent boolean)
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     it run%ROWTYPE;
     numbers record;
     each record;
     at bigint := clock();
   BEGIN
     is_parent := false;
     holders := '{}';
     SELECT * INTO it FROM run WHERE id = of_run;
     IF NOT FOUND THEN RETURN; END IF;
     FOR round IN 1..100 LOOP
       PERFORM 1 FROM parked WHERE run_id = of_run AND kind = 2;
       IF FOUND THEN
         FOR each IN SELECT c.holders FROM child k
           CROSS JOIN LATERAL cancel(k.run_id, patience) c WHERE k.parent = of_run
         LOOP
           holders := holders || each.holders;
         END LOOP;
         is_parent := true;
         answer := 'requested';
         RETURN;
       END IF;
       SELECT * INTO numbers FROM take_waiting(it, patience, false);
       IF numbers.fence IS NULL THEN
         DELETE FROM parked WHERE run_id = of_run AND kind < 2
           RETURNING fence, attempt, crashes INTO numbers;
       END IF;
       IF numbers.fence IS NOT NULL THEN
         INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported)
         VALUES (of_run, at, numbers.fence, 3, numbers.attempt, numbers.crashes, false);
         answer := 'confirmed';
         RETURN;
       END IF;
       UPDATE lease SET is_cancelling = true, is_suspending = false
         WHERE incarnation = ANY (holding()) AND run_id = of_run
         RETURNING incarnation, attempt, fence INTO numbers;
       IF FOUND THEN
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         VALUES (of_run, at, 'CancelAsked', numbers.attempt, numbers.fence);
         answer := 'requested';
         holders := ARRAY[numbers.incarnation];
         RETURN;
       END IF;
       PERFORM 1 FROM outcome WHERE run_id = of_run;
       IF FOUND THEN
         answer := 'ended';
         RETURN;
       END IF;
     END LOOP;
     RAISE EXCEPTION 'run % moves faster than it can be cancelled', of_run USING ERRCODE = '40001';
   END $$`,

  // What waits + Suspend → Suspended, Running + Suspend → Running, suspending.
  `CREATE FUNCTION suspend(of_run bigint, patience bigint[],
     OUT answer text, OUT holder int, OUT is_freed boolean)
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     it run%ROWTYPE;
     numbers record;
     at bigint := clock();
   BEGIN
     is_freed := false;
     SELECT * INTO it FROM run WHERE id = of_run;
     IF NOT FOUND THEN RETURN; END IF;
     FOR round IN 1..100 LOOP
       SELECT * INTO numbers FROM take_waiting(it, patience, false);
       IF numbers.fence IS NOT NULL THEN
         INSERT INTO parked (run_id, since, lane, fence, level, attempt, crashes, kind, is_careful,
           gate)
         VALUES (of_run, at, it.lane, numbers.fence, it.level, numbers.attempt, numbers.crashes, 0,
           numbers.is_careful,
           CASE WHEN numbers.was_admitted AND it.gate_places = 1 THEN numbers.gate END);
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         VALUES (of_run, at, 'Suspended', numbers.attempt, numbers.fence);
         is_freed := NOT numbers.was_admitted OR it.gate_places > 1;
         answer := 'confirmed';
         RETURN;
       END IF;
       UPDATE lease SET is_suspending = true
         WHERE incarnation = ANY (holding()) AND run_id = of_run AND NOT is_cancelling
         RETURNING incarnation, attempt, fence INTO numbers;
       IF FOUND THEN
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         VALUES (of_run, at, 'SuspendAsked', numbers.attempt, numbers.fence);
         answer := 'requested';
         holder := numbers.incarnation;
         RETURN;
       END IF;
       answer := (SELECT CASE kind WHEN 0 THEN 'confirmed' ELSE 'refused' END
         FROM parked WHERE run_id = of_run);
       answer := coalesce(answer, (SELECT 'refused' FROM lease
           WHERE incarnation = ANY (holding()) AND run_id = of_run),
         (SELECT 'ended' FROM outcome WHERE run_id = of_run));
       IF answer IS NOT NULL THEN RETURN; END IF;
     END LOOP;
     RAISE EXCEPTION 'run % moves faster than it can be suspended', of_run USING ERRCODE = '40001';
   END $$`,

  // Suspended + Resume → Scheduled, Blocked or Ready. A run that was never granted has the rank it
  // had, by which it is found.
  `CREATE FUNCTION resume(of_run bigint, patience bigint[],
     OUT answer text, OUT lane_id int, OUT is_freed boolean)
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     it run%ROWTYPE;
     was parked%ROWTYPE;
     at bigint := clock();
   BEGIN
     is_freed := false;
     SELECT * INTO it FROM run WHERE id = of_run;
     IF NOT FOUND THEN RETURN; END IF;
     DELETE FROM parked WHERE run_id = of_run AND kind = 0 RETURNING * INTO was;
     IF NOT FOUND THEN
       answer := coalesce(
         (SELECT 'refused' FROM lease
           WHERE incarnation = ANY (holding()) AND run_id = of_run AND is_suspending),
         (SELECT 'ended' FROM outcome WHERE run_id = of_run),
         'confirmed');
       RETURN;
     END IF;
     answer := 'confirmed';
     INSERT INTO journal (run_id, at, kind, attempt, fence)
     VALUES (of_run, at, 'Resumed', was.attempt, was.fence);
     IF was.fence = 0 AND it.due_at > at THEN
       INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
       VALUES (it.due_at, of_run, it.lane, 0, it.level, was.attempt, was.crashes, was.is_careful,
         gate_id(it.gate));
     ELSIF it.gate IS NOT NULL AND was.gate IS NULL THEN
       INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding,
         attempt, crashes, fence)
       VALUES (gate_id(it.gate), nextval('run_id'), of_run, it.lane, it.gate_places, it.level,
         was.is_careful, it.is_gate_discarding, was.attempt, was.crashes, was.fence);
       is_freed := true;
     ELSE
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
       VALUES (it.lane, it.level,
         CASE WHEN was.fence = 0 THEN it.due_at ELSE at END + patience[it.level + 1],
         of_run, was.attempt, was.crashes, was.fence, was.is_careful, was.gate);
       lane_id := it.lane;
     END IF;
   END $$`,

  // Awaiting or Running + Notify → Succeeded, Failed; a failure of one cancelling → Cancelled. Between
  // the two looks it may have been handed over, so it is looked for again.
  `CREATE FUNCTION notify_run(of_run bigint, is_success boolean, of_result text, of_failure text,
     OUT answer text, OUT is_freed boolean)
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     was record;
     at bigint := clock();
   BEGIN
     is_freed := false;
     PERFORM 1 FROM run WHERE id = of_run;
     IF NOT FOUND THEN RETURN; END IF;
     FOR round IN 1..3 LOOP
       DELETE FROM parked WHERE run_id = of_run AND kind = 1
         RETURNING fence, attempt, crashes, claimed_at, incarnation, gate, false AS is_cancelling
         INTO was;
       IF NOT FOUND THEN
         DELETE FROM lease WHERE incarnation = ANY (holding()) AND run_id = of_run
           RETURNING fence, attempt, crashes, claimed_at, incarnation, gate, is_cancelling INTO was;
       END IF;
       IF FOUND THEN
         INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt,
           crashes, is_reported, result, failure)
         VALUES (of_run, at, was.claimed_at, was.incarnation, was.fence,
           CASE WHEN is_success THEN 0 WHEN was.is_cancelling THEN 3 ELSE 1 END,
           was.attempt, was.crashes, false, of_result, of_failure);
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         VALUES (of_run, at, 'Notified', was.attempt, was.fence);
         is_freed := was.gate IS NOT NULL;
         answer := 'applied';
         RETURN;
       END IF;
       PERFORM 1 FROM outcome WHERE run_id = of_run;
       IF FOUND THEN
         answer := coalesce((SELECT CASE kind WHEN 'Notified' THEN 'duplicate' END FROM journal
           WHERE run_id = of_run AND kind IN ('Notified', 'Revived') ORDER BY id DESC LIMIT 1),
           'ended');
         RETURN;
       END IF;
     END LOOP;
     answer := 'refused';
   END $$`,

  // Failed, TimedOut or Quarantined + Revive → Blocked, Ready; of a parent its children that are so.
  // Failed + Reopen → Awaiting for the parent of what was revived.
  `CREATE FUNCTION revive(of_run bigint, patience bigint[], prefix text,
     OUT answer text, OUT gates text[], OUT lanes int[])
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     it run%ROWTYPE;
     was outcome%ROWTYPE;
     of_parent bigint;
     of_gate uuid;
     each bigint;
     at bigint;
   BEGIN
     gates := '{}';
     lanes := '{}';
     PERFORM 1 FROM run WHERE id = of_run;
     IF NOT FOUND THEN RETURN; END IF;
     of_parent := coalesce((SELECT parent FROM child WHERE run_id = of_run),
       (SELECT parent FROM child WHERE parent = of_run LIMIT 1));
     IF of_parent IS NOT NULL THEN
       of_gate := gate_id(prefix || of_parent);
       PERFORM ${lock("of_gate")};
     END IF;
     PERFORM 1 FROM outcome WHERE run_id = of_run;
     IF NOT FOUND THEN
       answer := 'confirmed';
       RETURN;
     END IF;
     answer := 'refused';
     at := clock();
     FOR each IN SELECT run_id FROM child WHERE parent = of_run
       UNION ALL SELECT of_run WHERE of_parent IS DISTINCT FROM of_run
     LOOP
       DELETE FROM outcome WHERE run_id = each AND state IN (1, 2, 5) RETURNING * INTO was;
       CONTINUE WHEN NOT FOUND;
       answer := 'confirmed';
       SELECT * INTO it FROM run WHERE id = each;
       INSERT INTO journal (run_id, at, claimed_at, kind, attempt, fence, failure, detail)
       VALUES (each, at, was.claimed_at, 'Revived', was.attempt, was.fence, was.failure,
         CASE WHEN NOT was.is_reported THEN 'its holder had not said how it ended' END);
       IF it.gate IS NOT NULL THEN
         INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding,
           attempt, crashes, fence)
         VALUES (gate_id(it.gate), nextval('run_id'), each, it.lane, it.gate_places, it.level, true,
           it.is_gate_discarding, was.attempt, 0, was.fence);
         gates := gates || it.gate;
       ELSE
         INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
         VALUES (it.lane, it.level, at + patience[it.level + 1], each, was.attempt, 0, was.fence,
           true);
         lanes := lanes || it.lane;
       END IF;
     END LOOP;
     IF answer = 'refused' OR of_parent IS NULL THEN RETURN; END IF;
     DELETE FROM outcome WHERE run_id = of_parent AND state = 1 RETURNING * INTO was;
     IF FOUND THEN
       SELECT * INTO it FROM run WHERE id = of_parent;
       INSERT INTO parked (run_id, since, lane, fence, level, attempt, crashes, kind, is_careful)
       VALUES (of_parent, at, it.lane, was.fence, it.level, was.attempt, was.crashes, 2, false);
       INSERT INTO journal (run_id, at, kind, attempt, fence, failure)
       VALUES (of_parent, at, 'Reopened', was.attempt, was.fence, was.failure);
     END IF;
   END $$`,

  // Past its deadline, and not begun + Expire → Expired. Past what it awaits at most + Expire →
  // TimedOut. A deadline stays until its run is seen to have begun or ended.
  `CREATE FUNCTION expire(most int, patience bigint[], too_late text, unnotified text)
   RETURNS TABLE (run bigint, state int, gate_key text)
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     due record;
     it run%ROWTYPE;
     numbers record;
     at bigint := clock();
     ended int := 0;
   BEGIN
     FOR due IN SELECT d.run_id FROM deadline d WHERE d.expires_at <= at
       ORDER BY d.expires_at LIMIT most FOR UPDATE SKIP LOCKED
     LOOP
       SELECT * INTO it FROM run r WHERE r.id = due.run_id;
       state := NULL;
       SELECT * INTO numbers FROM take_waiting(it, patience, true);
       IF numbers.fence IS NULL THEN
         DELETE FROM parked p WHERE p.run_id = due.run_id AND p.kind = 0 AND p.attempt = 0
           RETURNING p.fence, p.crashes INTO numbers;
       END IF;
       IF numbers.fence IS NOT NULL THEN
         state := 6;
       ELSE
         DELETE FROM lease l WHERE l.incarnation = ANY (holding()) AND l.run_id = due.run_id
           AND NOT l.is_start_marked AND l.attempt = 1
           RETURNING l.fence, l.crashes, l.is_cancelling INTO numbers;
         IF FOUND THEN state := CASE WHEN numbers.is_cancelling THEN 3 ELSE 6 END; END IF;
       END IF;
       IF state IS NULL THEN
         DELETE FROM deadline d WHERE d.run_id = due.run_id AND (
           EXISTS (SELECT FROM outcome o WHERE o.run_id = due.run_id)
           OR EXISTS (SELECT FROM lease l
             WHERE l.incarnation = ANY (holding()) AND l.run_id = due.run_id)
           OR EXISTS (SELECT FROM parked p WHERE p.run_id = due.run_id)
           OR EXISTS (SELECT FROM scheduled s WHERE s.run_id = due.run_id AND s.attempt > 0)
           OR EXISTS (SELECT FROM blocked b WHERE b.run_id = due.run_id AND b.attempt > 0)
           OR EXISTS (SELECT FROM ready q WHERE q.run_id = due.run_id AND q.attempt > 0
             AND (q.fence > 0 OR q.gate IS NOT NULL)));
         CONTINUE;
       END IF;
       DELETE FROM deadline d WHERE d.run_id = due.run_id;
       INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported, failure)
       VALUES (due.run_id, at, numbers.fence, expire.state, 0, numbers.crashes, false,
         CASE expire.state WHEN 6 THEN too_late END);
       ended := ended + 1;
       run := due.run_id;
       gate_key := it.gate;
       RETURN NEXT;
     END LOOP;
     RETURN QUERY
     WITH x AS (
       DELETE FROM parked p WHERE p.run_id = ANY (ARRAY(
         SELECT silent.run_id FROM parked silent WHERE silent.awaits_until <= at
         ORDER BY silent.awaits_until LIMIT most - ended FOR UPDATE SKIP LOCKED))
       RETURNING *),
     o AS (
       INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt,
         crashes, is_reported, failure)
       SELECT x.run_id, at, x.claimed_at, x.incarnation, x.fence, 2, x.attempt, x.crashes, false,
         unnotified FROM x)
     SELECT x.run_id, 2,
       CASE WHEN x.gate IS NOT NULL THEN (SELECT r.gate FROM run r WHERE r.id = x.run_id) END
     FROM x;
   END $$`,

  // As before, and what was to be put down is. state: NULL ready, -1 suspended.
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
         f.crashes + (f.is_start_marked
           AND NOT f.is_cancelling AND NOT r.is_at_most_once)::int AS crashed,
         CASE
           WHEN f.is_cancelling THEN 3
           WHEN NOT f.is_start_marked THEN NULL
           WHEN r.is_at_most_once THEN 1
           WHEN f.crashes + 1 > r.crashes_max THEN 5
         END AS final
       FROM freed f
       CROSS JOIN LATERAL (SELECT * FROM run WHERE run.id = f.run_id OFFSET 0) r
       LEFT JOIN executor e ON e.incarnation = f.incarnation),
     noted AS (
       INSERT INTO journal (run_id, at, kind, attempt, fence, claimed_at, detail)
       SELECT run_id, at, 'Lost', attempt, fence, claimed_at,
         holder || CASE standing WHEN 2 THEN ' is left' ELSE ' is lost' END FROM told, now),
     ended AS (
       INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt,
         crashes, is_reported, failure)
       SELECT run_id, at, claimed_at, incarnation, fence, final, attempt, crashed, false,
         CASE WHEN final <> 3 THEN json_build_object('tag', 'ExecutorLost', 'message',
           holder || ' was lost')::text END
       FROM told, now WHERE final IS NOT NULL),
     put_down AS (
       INSERT INTO parked (run_id, since, lane, fence, level, attempt, crashes, kind, is_careful,
         gate)
       SELECT run_id, at, lane, fence, level, attempt - (NOT is_start_marked)::int, crashed, 0, true,
         CASE WHEN places = 1 THEN gate END
       FROM told, now WHERE final IS NULL AND is_suspending),
     again AS (
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
       SELECT lane, level, at + patience[level + 1], run_id,
         attempt - (NOT is_start_marked)::int, crashed, fence, true, gate
       FROM told, now WHERE final IS NULL AND NOT is_suspending)
     SELECT 1, run_id, CASE WHEN final IS NULL AND is_suspending THEN -1 ELSE final END, lane,
       CASE WHEN final IS NOT NULL OR is_suspending AND places > 1 THEN key END FROM told;
   END $$`,
]

export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) yield* sql.unsafe(statement).unprepared
})
