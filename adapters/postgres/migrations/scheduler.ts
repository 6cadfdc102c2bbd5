/**
 * The tables of a scheduler.
 *
 * A run is written once, in `run`, and never updated. Where it stands is told by the table that has
 * a narrow row of it: `scheduled`, `blocked`, `ready` or `lease`; a final run has a row in `outcome`.
 * Every change of state takes one such row away and adds another in the same statement, so at any
 * snapshot a run stands in one place.
 *
 * - Instants are milliseconds since 1970 as `clock()` tells them, and only `clock()` is asked.
 * - Rows are narrow and their columns ordered by size, since bytes written are what a claim costs.
 * - There are no foreign keys on what a claim writes; names are interned and never deleted.
 * - A gate is named by a digest of its key; its holders are the rows that carry it, never a counter.
 */
import * as RunId from "../../../core/domain/RunId.ts"

const perMilli = RunId.floor(1) - RunId.floor(0)

export default [
  `CREATE FUNCTION clock() RETURNS bigint LANGUAGE sql VOLATILE AS
   $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$`,

  `CREATE FUNCTION gate_id(key text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS
   $$ SELECT encode(substring(sha256(convert_to(key, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid $$`,

  // Ids order submits that do not overlap, so a session may not keep a supply of its own.
  `CREATE SEQUENCE run_id AS bigint CACHE 1`,

  `CREATE TABLE namespace (
     id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     name text NOT NULL CONSTRAINT one_id_per_namespace UNIQUE)`,

  // A task is known as soon as a run names it, and defined later, or never.
  `CREATE TABLE task (
     id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     namespace int NOT NULL REFERENCES namespace,
     name text NOT NULL,
     revision int NOT NULL DEFAULT 0,
     definition text,
     CONSTRAINT one_id_per_task UNIQUE (namespace, name),
     CONSTRAINT defined_has_revision CHECK ((definition IS NULL) = (revision = 0)))`,

  `CREATE TABLE lane (
     id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     name text NOT NULL CONSTRAINT one_id_per_lane UNIQUE)`,

  `CREATE TABLE run (
     id bigint CONSTRAINT run_is_one PRIMARY KEY,
     created_at bigint NOT NULL,
     due_at bigint NOT NULL,
     slot bigint,
     task int NOT NULL,
     lane int NOT NULL,
     trigger int,
     gate_places int,
     level smallint NOT NULL,
     crashes_max smallint NOT NULL,
     is_at_most_once boolean NOT NULL,
     is_gate_discarding boolean,
     payload text NOT NULL,
     idempotency_key text,
     gate text,
     CONSTRAINT slot_has_trigger CHECK ((slot IS NULL) = (trigger IS NULL)),
     CONSTRAINT gate_is_whole CHECK (num_nulls(gate, gate_places, is_gate_discarding) IN (0, 3)))`,
  // On an expression, so that it cannot be taken for a look-up by id alone, which a planner that
  // believes the table empty has been seen to do: it then reads the whole index for each run.
  `CREATE INDEX run_by_task ON run (task, (-id))`,

  `CREATE TABLE ready (
     rank bigint NOT NULL,
     run_id bigint NOT NULL,
     lane int NOT NULL,
     fence int NOT NULL,
     level smallint NOT NULL,
     attempt smallint NOT NULL,
     crashes smallint NOT NULL,
     is_careful boolean NOT NULL,
     gate uuid,
     CONSTRAINT ready_in_order PRIMARY KEY (lane, level, rank, run_id))`,
  // The rank of a run that is new and not gated follows from its due time, so such a run is found by
  // the primary key; only the others need a way of their own.
  `CREATE INDEX ready_by_run ON ready (run_id) WHERE fence > 0 OR gate IS NOT NULL`,
  `CREATE INDEX ready_holds_place ON ready (gate) WHERE gate IS NOT NULL`,

  `CREATE TABLE scheduled (
     due_at bigint NOT NULL,
     run_id bigint NOT NULL CONSTRAINT scheduled_once UNIQUE,
     lane int NOT NULL,
     fence int NOT NULL,
     level smallint NOT NULL,
     attempt smallint NOT NULL,
     crashes smallint NOT NULL,
     is_careful boolean NOT NULL,
     gate uuid,
     CONSTRAINT scheduled_in_order PRIMARY KEY (due_at, run_id))`,
  // Before its first grant a run holds no place.
  `CREATE INDEX scheduled_holds_place ON scheduled (gate) WHERE gate IS NOT NULL AND fence > 0`,

  // Only runs that were never granted wait at a gate, so they carry no numbers.
  `CREATE TABLE blocked (
     gate uuid NOT NULL,
     turn bigint NOT NULL,
     run_id bigint NOT NULL CONSTRAINT blocked_once UNIQUE,
     lane int NOT NULL,
     places int NOT NULL,
     level smallint NOT NULL,
     is_careful boolean NOT NULL,
     is_discarding boolean NOT NULL,
     CONSTRAINT blocked_in_order PRIMARY KEY (gate, level, turn))`,

  `CREATE TABLE lease (
     run_id bigint CONSTRAINT one_holder PRIMARY KEY,
     claimed_at bigint NOT NULL,
     lane int NOT NULL,
     incarnation int NOT NULL,
     round int NOT NULL,
     fence int NOT NULL,
     loop smallint NOT NULL,
     level smallint NOT NULL,
     attempt smallint NOT NULL,
     crashes smallint NOT NULL,
     is_careful boolean NOT NULL,
     is_start_marked boolean NOT NULL,
     is_cancelling boolean NOT NULL,
     gate uuid)`,
  `CREATE INDEX lease_by_holder ON lease (incarnation)`,
  `CREATE INDEX lease_to_stop ON lease (incarnation) WHERE is_cancelling`,
  `CREATE INDEX lease_holds_place ON lease (gate) WHERE gate IS NOT NULL`,

  // state: as `rows.ts` numbers them. is_reported: its holder said so, with this fence.
  `CREATE TABLE outcome (
     run_id bigint CONSTRAINT one_outcome PRIMARY KEY,
     finished_at bigint NOT NULL,
     claimed_at bigint,
     incarnation int,
     fence int NOT NULL,
     state smallint NOT NULL CONSTRAINT final_state CHECK (state BETWEEN 0 AND 5),
     attempt smallint NOT NULL,
     crashes smallint NOT NULL,
     is_reported boolean NOT NULL,
     result text,
     failure text)`,
  `CREATE INDEX outcome_not_succeeded ON outcome (state, run_id) WHERE state <> 0`,

  `CREATE TABLE journal (
     run_id bigint NOT NULL,
     id bigint GENERATED ALWAYS AS IDENTITY,
     at bigint NOT NULL,
     claimed_at bigint,
     fence int NOT NULL,
     attempt smallint NOT NULL,
     kind text NOT NULL,
     detail text,
     failure text,
     PRIMARY KEY (run_id, id))`,

  `CREATE TABLE idempotency (
     namespace int NOT NULL,
     key text NOT NULL,
     run_id bigint NOT NULL,
     digest bytea NOT NULL,
     CONSTRAINT one_run_per_key PRIMARY KEY (namespace, key))`,

  `CREATE TABLE trigger (
     id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     namespace int NOT NULL REFERENCES namespace,
     name text NOT NULL,
     cursor bigint,
     revision int NOT NULL,
     partition smallint NOT NULL,
     is_paused boolean NOT NULL DEFAULT false,
     is_removed boolean NOT NULL DEFAULT false,
     definition text NOT NULL,
     CONSTRAINT one_id_per_trigger UNIQUE (namespace, name))`,
  `CREATE INDEX trigger_due ON trigger (partition, cursor) WHERE NOT is_paused AND NOT is_removed`,

  // outcome: 0 fired, 1 skipped, 2 coalesced.
  `CREATE TABLE slot (
     slot bigint NOT NULL,
     through bigint NOT NULL,
     run_id bigint,
     lateness bigint NOT NULL,
     trigger int NOT NULL,
     outcome smallint NOT NULL,
     reason text,
     CONSTRAINT slot_is_recorded_once PRIMARY KEY (trigger, slot),
     CONSTRAINT stretch_goes_forward CHECK (slot <= through),
     CONSTRAINT fired_has_run CHECK (outcome <> 0 OR run_id IS NOT NULL))`,

  // standing: 0 live, 1 draining, 2 left, 3 lost. Rows stay, since outcomes name their executor.
  `CREATE TABLE executor (
     incarnation int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     namespace int NOT NULL REFERENCES namespace,
     beat_at bigint NOT NULL,
     joined_at bigint NOT NULL,
     ttl int NOT NULL,
     capacity int NOT NULL,
     standing smallint NOT NULL DEFAULT 0,
     name text NOT NULL,
     labels text NOT NULL,
     tasks text[] NOT NULL DEFAULT '{}') WITH (fillfactor = 50)`,
  `CREATE INDEX executor_here ON executor (namespace) WHERE standing < 2`,

  `CREATE TABLE lock (
     key text PRIMARY KEY,
     holder text NOT NULL,
     fence bigint NOT NULL,
     expires_at bigint NOT NULL)`,

  // Who is to be told of a topic. Its loss costs a poll, so it is not worth a flush.
  `CREATE UNLOGGED TABLE waiter (
     topic text NOT NULL,
     listener text NOT NULL,
     expires_at bigint NOT NULL,
     PRIMARY KEY (topic, listener))`,

  // The incarnations that hold a run, by leaps over the index: a sweep asks twice a second, and
  // there may be a hundred thousand leases.
  `CREATE FUNCTION holding() RETURNS int[] LANGUAGE plpgsql STABLE
   SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
   DECLARE
     known int[] := '{}';
     latest int := 0;
   BEGIN
     LOOP
       SELECT incarnation INTO latest FROM lease WHERE incarnation > latest
         ORDER BY incarnation LIMIT 1;
       EXIT WHEN NOT FOUND;
       known := known || latest;
     END LOOP;
     RETURN known;
   END $$`,

  `CREATE FUNCTION holders(of_gate uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
     SELECT (SELECT count(*) FROM ready WHERE gate = of_gate)
          + (SELECT count(*) FROM lease WHERE gate = of_gate)
          + (SELECT count(*) FROM scheduled WHERE gate = of_gate AND fence > 0) $$`,

  // Blocking.decide, for the first waiting run of each gate, until one has to wait. The gates are
  // locked first, one by one in the order of their ids, and every statement after that sees what
  // was committed under the lock before it, since a volatile function takes a snapshot each time.
  // Without that, two admits that count the same holders would both admit.
  `CREATE FUNCTION admit(gates uuid[], most int, patience bigint[])
   RETURNS TABLE (run bigint, lane_id int, is_admitted boolean) LANGUAGE plpgsql VOLATILE
   SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
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
       PERFORM pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || of_gate::text, 0));
     END LOOP;
     at := clock();
     FOREACH of_gate IN ARRAY coalesce(gates, '{}') LOOP
       held := (SELECT count(*) FROM ready WHERE gate = of_gate)
         + (SELECT count(*) FROM lease WHERE gate = of_gate)
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
             0, 0, 0, waiting.is_careful, of_gate);
           held := held + 1;
         ELSE
           SELECT run_id INTO holder FROM (
             SELECT run_id FROM lease WHERE gate = of_gate UNION ALL
             SELECT run_id FROM ready WHERE gate = of_gate UNION ALL
             SELECT run_id FROM scheduled WHERE gate = of_gate AND fence > 0) holding LIMIT 1;
           INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported,
             failure)
           VALUES (waiting.run_id, at, 0, 4, 0, 0, false, json_build_object('tag', 'Discarded',
             'message', 'busy with run ' || coalesce(holder::text, 'that has just ended'))::text);
         END IF;
         RETURN NEXT;
       END LOOP;
     END LOOP;
   END $$`,

  // Scheduled, Blocked and Ready + Cancel → Cancelled, Running + Cancel → Running, cancelling. A run
  // moves on while it is looked for, but only so often between two statements.
  `CREATE FUNCTION cancel(of_run bigint, patience bigint[], OUT answer text, OUT holder int)
   LANGUAGE plpgsql VOLATILE
   SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
   DECLARE
     it run%ROWTYPE;
     numbers record;
     at bigint := clock();
   BEGIN
     SELECT * INTO it FROM run WHERE id = of_run;
     IF NOT FOUND THEN RETURN; END IF;
     FOR round IN 1..100 LOOP
       DELETE FROM scheduled WHERE run_id = of_run RETURNING attempt, crashes, fence INTO numbers;
       IF NOT FOUND THEN
         DELETE FROM blocked WHERE run_id = of_run
           RETURNING 0::smallint AS attempt, 0::smallint AS crashes, 0 AS fence INTO numbers;
       END IF;
       IF NOT FOUND THEN
         DELETE FROM ready WHERE lane = it.lane AND level = it.level
           AND rank = it.due_at + patience[it.level + 1] AND run_id = of_run
           RETURNING attempt, crashes, fence INTO numbers;
       END IF;
       IF NOT FOUND THEN
         DELETE FROM ready WHERE run_id = of_run AND (fence > 0 OR gate IS NOT NULL)
           RETURNING attempt, crashes, fence INTO numbers;
       END IF;
       IF FOUND THEN
         INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported)
         VALUES (of_run, at, numbers.fence, 3, numbers.attempt, numbers.crashes, false);
         answer := 'confirmed';
         RETURN;
       END IF;
       UPDATE lease SET is_cancelling = true WHERE run_id = of_run
         RETURNING incarnation, attempt, fence, claimed_at INTO numbers;
       IF FOUND THEN
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         VALUES (of_run, at, 'CancelAsked', numbers.attempt, numbers.fence);
         answer := 'requested';
         holder := numbers.incarnation;
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

  // Running + Lose, after those incarnations were marked lost that have not beaten for their ttl.
  // kind: 0 an incarnation found lost, 1 a run freed.
  `CREATE FUNCTION recover(most int, patience bigint[])
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
       SELECT f.*, e.name AS holder, e.standing, r.gate AS key, f.crashes + (f.is_start_marked
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
     again AS (
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
       SELECT lane, level, at + patience[level + 1], run_id,
         attempt - (NOT is_start_marked)::int, crashed, fence, true, gate
       FROM told, now WHERE final IS NULL)
     SELECT 1, run_id, final, lane, CASE WHEN final IS NOT NULL THEN key END FROM told;
   END $$`,

  // TriggerStorage.fire for items of different triggers. Their rows are locked first, and what is
  // decided after that sees every record that was written under that lock before; the key of `slot`
  // is what makes a second record impossible all the same.
  // verdict: 0 fired or recorded, 1 nothing to do, 2 not due, 3 already, 4 stale.
  `CREATE FUNCTION fire(ids int[], revisions int[], froms bigint[], throughs bigint[],
     outcomes smallint[], slots bigint[], nexts bigint[], tasks int[], lanes int[], levels smallint[],
     payloads text[], at_most_onces boolean[], crashes_maxes smallint[], delays bigint[],
     gates text[], places int[], discards boolean[], patience bigint[])
   RETURNS TABLE (item int, verdict int, run bigint, millis bigint, lane_id int)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
   BEGIN
     PERFORM 1 FROM trigger WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
     RETURN QUERY
     WITH now AS MATERIALIZED (SELECT clock() AS ms),
     judged AS MATERIALIZED (
       SELECT u.*, coalesce(u.slot, u.through) AS last, now.ms,
         CASE
           WHEN t.id IS NULL OR t.revision <> u.revision OR t.is_paused OR t.is_removed THEN 4
           WHEN coalesce(u.slot, u.through) IS NULL THEN 1
           WHEN coalesce(u.slot, u.through) > now.ms THEN 2
           WHEN (SELECT s.through FROM slot s
             WHERE s.trigger = u.id AND s.slot <= coalesce(u.slot, u.through)
             ORDER BY s.slot DESC LIMIT 1) >= coalesce(u.since, u.slot) THEN 3
           ELSE 0
         END AS judgement
       FROM now, unnest(ids, revisions, froms, throughs, outcomes, slots, nexts, tasks, lanes, levels,
         payloads, at_most_onces, crashes_maxes, delays, gates, places, discards) WITH ORDINALITY
         AS u(id, revision, since, through, outcome, slot, next, task, lane, level, payload,
           is_at_most_once, crashes_max, delay, gate, gate_places, is_gate_discarding, nth)
       LEFT JOIN trigger t ON t.id = u.id),
     numbered AS MATERIALIZED (
       SELECT j.*, CASE WHEN judgement = 0 AND j.slot IS NOT NULL THEN nextval('run_id') END AS new_id
       FROM judged j ORDER BY nth),
     fired AS (
       INSERT INTO slot (trigger, slot, through, outcome, run_id, lateness)
       SELECT n.id, n.slot, n.slot, 0, new_id, ms - n.slot FROM numbered n WHERE new_id IS NOT NULL
       ON CONFLICT ON CONSTRAINT slot_is_recorded_once DO NOTHING RETURNING run_id),
     created AS MATERIALIZED (
       SELECT * FROM numbered WHERE new_id IN (SELECT fired.run_id FROM fired)),
     passed AS (
       INSERT INTO slot (trigger, slot, through, outcome, run_id, reason, lateness)
       SELECT n.id, n.since, n.through, n.outcome, CASE n.outcome WHEN 2 THEN new_id END,
         CASE n.outcome WHEN 1 THEN 'misfired' END, ms - n.through
       FROM numbered n WHERE judgement = 0 AND n.since IS NOT NULL),
     moved AS (
       UPDATE trigger t SET cursor = n.next FROM numbered n
       WHERE t.id = n.id AND judgement IN (0, 3) AND t.cursor <= n.last),
     runs AS (
       INSERT INTO run (id, created_at, due_at, slot, task, lane, trigger, gate_places, level,
         crashes_max, is_at_most_once, is_gate_discarding, payload, gate)
       SELECT new_id, ms, ms + delay, c.slot, task, lane, c.id, gate_places, level, crashes_max,
         is_at_most_once, is_gate_discarding, payload, gate FROM created c),
     readied AS (
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
       SELECT lane, level, ms + patience[level + 1], new_id, 0, 0, 0, is_at_most_once
       FROM created WHERE delay = 0 AND gate IS NULL),
     later AS (
       INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
       SELECT ms + delay, new_id, lane, 0, level, 0, 0, is_at_most_once, gate_id(gate)
       FROM created WHERE delay > 0),
     waiting AS (
       INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
       SELECT gate_id(gate), new_id, new_id, lane, gate_places, level, is_at_most_once,
         is_gate_discarding
       FROM created WHERE delay = 0 AND gate IS NOT NULL)
     SELECT nth::int - 1, judgement, new_id,
       CASE judgement WHEN 2 THEN last - ms ELSE ms - last END, lane
     FROM numbered;
   END $$`,

  // Moves the ids on to the clock. Whoever moves them holds the lock; ids are taken meanwhile, which
  // is why it only leaps over a distance that nobody covers between two lines of this function.
  `CREATE FUNCTION advance_run_ids(epoch_floor bigint, per_milli bigint) RETURNS void
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     wanted bigint := clock() * per_milli + epoch_floor;
   BEGIN
     IF (SELECT last_value FROM run_id) + 1000 * per_milli < wanted
       AND pg_try_advisory_xact_lock(hashtextextended(current_schema() || ' run_id', 0))
     THEN
       PERFORM setval('run_id', wanted) FROM run_id WHERE last_value + 1000 * per_milli < wanted;
     END IF;
   END $$`,

  `SELECT setval('run_id', clock() * ${perMilli} + ${RunId.floor(0)}, false)`,
]
