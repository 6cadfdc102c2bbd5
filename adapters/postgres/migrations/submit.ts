/**
 * `submit(task, payload, options)`: a run from SQL, in the transaction of whoever calls it.
 *
 * It does what `Scheduler.submit` does with the stored definition of the task, and writes the rows
 * that `RunStorage.submit` writes; a test compares both. What it does not know of a policy it
 * refuses, rather than leave it out. A waiter that arms itself between this call and the commit
 * would not be seen by it, so everybody is notified; PostgreSQL does so at the commit.
 *
 * It runs with the rights of its owner, so that a role needs no rights on the tables to submit, and
 * nobody but the owner may call it until told.
 */
import * as Lane from "../../../core/domain/Lane.ts"

const patience = "'{0,60000,600000}'::bigint[]"
const delayMax = 10 * 365 * 86_400_000
const payloadBytesMax = 256 * 1024

/** PostgreSQL counts a character beyond U+FFFF once, JavaScript twice. */
const textLength = (text: string) =>
  `(length(${text}) + length(regexp_replace(${text}, '[^\\U00010000-\\U0010FFFF]', '', 'g')))`

export default [
  `CREATE FUNCTION submit_refuse(field text, reason text, remedy text) RETURNS void
   LANGUAGE plpgsql AS $$
   BEGIN
     RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', COLUMN = field,
       MESSAGE = format('belfry refused %s: %s', field, reason), HINT = remedy;
   END $$`,

  `CREATE FUNCTION submit_text(options jsonb, field text, most int) RETURNS text
   LANGUAGE plpgsql AS $$
   DECLARE
     given text := options ->> field;
     size int := ${textLength("given")};
   BEGIN
     IF given IS NULL THEN RETURN NULL; END IF;
     IF jsonb_typeof(options -> field) <> 'string' THEN
       PERFORM submit_refuse(field, 'it is no text', 'Give it in quotes');
     END IF;
     IF size > most OR (size = 0 AND field = 'idempotencyKey') THEN
       PERFORM submit_refuse(field, format('it has %s characters', size),
         format('Use %s %s characters', CASE field WHEN 'idempotencyKey' THEN '1 to' ELSE 'at most' END,
           most));
     END IF;
     RETURN given;
   END $$`,

  `CREATE FUNCTION submit_number(options jsonb, field text, most bigint, remedy text) RETURNS bigint
   LANGUAGE plpgsql AS $$
   DECLARE
     given numeric;
   BEGIN
     IF options ->> field IS NULL THEN RETURN NULL; END IF;
     IF jsonb_typeof(options -> field) <> 'number' THEN
       PERFORM submit_refuse(field, 'it is no number', remedy);
     END IF;
     given := (options ->> field)::numeric;
     IF given < 0 OR given > most OR given <> trunc(given) THEN
       PERFORM submit_refuse(field, format('%s is not allowed', given), remedy);
     END IF;
     RETURN given;
   END $$`,

  // The text of a payload may be none that jsonb can hold.
  `CREATE FUNCTION submit_is_json(kept text, given jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
   BEGIN
     RETURN kept::jsonb = given;
   EXCEPTION WHEN data_exception THEN
     RETURN false;
   END $$`,

  `CREATE FUNCTION submit(task text, payload jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
   RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER
   SET search_path FROM CURRENT SET enable_seqscan = off SET jit = off AS $$
   DECLARE
     patience CONSTANT bigint[] := ${patience};
     ns text;
     ns_id int;
     task_id int;
     lane_id int;
     lane_name text;
     defined text;
     policy jsonb;
     unknown text;
     level_of smallint;
     delay bigint;
     once_key text;
     blocking_key text;
     blocking jsonb;
     gate_key text;
     gate_size int;
     is_gate_to_discard boolean;
     is_once boolean;
     text_of text := submit.payload::text;
     same bytea;
     known record;
     new_id bigint;
     ms bigint;
   BEGIN
     IF submit.task IS NULL OR submit.task !~ '^[A-Za-z0-9][A-Za-z0-9._/-]{0,126}$' THEN
       PERFORM submit_refuse('task', 'it is no name of a task', 'A task name has 1 to 127 '
         'characters: letters, digits, ''.'', ''_'', ''/'' or ''-'', the first a letter or digit');
     END IF;
     IF text_of IS NULL THEN
       PERFORM submit_refuse('payload', 'it is NULL', 'Give JSON; {} if there is nothing to say');
     END IF;
     IF octet_length(text_of) > ${payloadBytesMax} THEN
       PERFORM submit_refuse('payload', format('its JSON takes %s bytes, more than %s',
         octet_length(text_of), ${payloadBytesMax}),
         'Keep the data elsewhere and submit where it is');
     END IF;
     options := coalesce(submit.options, '{}');
     IF jsonb_typeof(options) <> 'object' THEN
       PERFORM submit_refuse('options', 'it is no JSON object', 'Write {"delayMillis": 1000}');
     END IF;
     SELECT name INTO unknown FROM jsonb_object_keys(options) AS name
       WHERE name NOT IN ('namespace', 'idempotencyKey', 'delayMillis', 'level', 'blockingKey')
       LIMIT 1;
     IF FOUND THEN
       PERFORM submit_refuse('options', format('"%s" is none of them', unknown),
         'There are namespace, idempotencyKey, delayMillis, level and blockingKey');
     END IF;
     ns := coalesce(submit_text(options, 'namespace', 63), 'default');
     once_key := submit_text(options, 'idempotencyKey', 512);
     blocking_key := submit_text(options, 'blockingKey', 512);
     delay := coalesce(submit_number(options, 'delayMillis', ${delayMax},
       'Give whole milliseconds, 0 to ${delayMax}'), 0);
     level_of := submit_number(options, 'level', 2, 'Use 0 (urgent), 1 (usual) or 2 (can wait)');

     SELECT n.id, t.id, t.definition INTO ns_id, task_id, defined
       FROM namespace n JOIN task t ON t.namespace = n.id
       WHERE n.name = ns AND t.name = submit.task AND t.definition IS NOT NULL;
     IF NOT FOUND THEN
       RAISE EXCEPTION USING ERRCODE = 'no_data_found', COLUMN = 'task',
         MESSAGE = format('there is no task "%s" in the namespace "%s"', submit.task, ns),
         HINT = 'A task is known once an executor has served it; see "belfry task list"';
     END IF;
     policy := defined::jsonb -> 'policy';
     SELECT name INTO unknown FROM jsonb_object_keys(policy) AS name
       WHERE name NOT IN ('retry', 'timeoutMillis', 'blocking', 'delivery', 'crashesMax', 'level',
         'selector', 'retention')
       LIMIT 1;
     IF FOUND THEN
       PERFORM submit_refuse('task', format('its policy "%s" is not known here', unknown),
         'Submit it by the SDK or the API, or bring the schema up to date');
     END IF;
     level_of := coalesce(level_of, (policy ->> 'level')::smallint);
     is_once := policy ->> 'delivery' = 'at-most-once';
     blocking := policy -> 'blocking';
     IF blocking IS NOT NULL THEN
       gate_key := concat_ws(':', ns, submit.task, blocking_key);
       gate_size := CASE blocking ->> '_tag'
         WHEN 'Concurrent' THEN (blocking ->> 'limit')::int WHEN 'Fifo' THEN 1 WHEN 'Discard' THEN 1
         END;
       is_gate_to_discard := blocking ->> '_tag' = 'Discard';
       IF gate_size IS NULL THEN
         PERFORM submit_refuse('task', format('its blocking "%s" is not known here',
           blocking ->> '_tag'), 'Submit it by the SDK or the API, or bring the schema up to date');
       END IF;
     END IF;
     lane_name := ns || ':' || submit.task || coalesce('${Lane.mark}' || (policy ->> 'selector'), '');
     -- The lane of a task is made when it is defined, lest others wait for this transaction.
     LOOP
       SELECT l.id INTO lane_id FROM lane l WHERE l.name = lane_name;
       EXIT WHEN FOUND;
       INSERT INTO lane (name) VALUES (lane_name) ON CONFLICT DO NOTHING;
     END LOOP;

     new_id := nextval('run_id');
     IF once_key IS NOT NULL THEN
       -- One byte longer than what is made of the text of a payload: these are compared as JSON.
       same := '\\x00'::bytea || sha256(convert_to(submit.task || chr(1) || text_of, 'UTF8'));
       LOOP
         INSERT INTO idempotency (namespace, key, run_id, digest)
           VALUES (ns_id, once_key, new_id, same)
           ON CONFLICT ON CONSTRAINT one_run_per_key DO NOTHING;
         EXIT WHEN FOUND;
         SELECT i.run_id, i.digest, r.task, r.payload INTO known
           FROM idempotency i LEFT JOIN run r ON r.id = i.run_id
           WHERE i.namespace = ns_id AND i.key = once_key;
         -- It expired between the two statements, and is free again.
         CONTINUE WHEN NOT FOUND;
         IF known.digest = same
           OR (known.task = task_id AND submit_is_json(known.payload, submit.payload))
         THEN RETURN known.run_id; END IF;
         RAISE EXCEPTION USING ERRCODE = 'unique_violation', COLUMN = 'idempotencyKey',
           CONSTRAINT = 'one_run_per_key', MESSAGE = format(
             'the idempotency key "%s" was used for run %s, which has another task or payload',
             once_key, known.run_id),
           HINT = 'Use a key of its own for each request';
       END LOOP;
     END IF;

     ms := clock();
     INSERT INTO run (id, created_at, due_at, task, lane, level, payload, is_at_most_once,
       crashes_max, idempotency_key, gate, gate_places, is_gate_discarding)
     VALUES (new_id, ms, ms + delay, task_id, lane_id, level_of, text_of, is_once,
       (policy ->> 'crashesMax')::smallint, once_key, gate_key, gate_size, is_gate_to_discard);
     -- As Run.submitted says: due later → Scheduled, else gated → Blocked, else Ready.
     IF delay > 0 THEN
       INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
       VALUES (ms + delay, new_id, lane_id, 0, level_of, 0, 0, is_once, gate_id(gate_key));
     ELSIF gate_key IS NOT NULL THEN
       INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
       VALUES (gate_id(gate_key), new_id, new_id, lane_id, gate_size, level_of, is_once, is_gate_to_discard);
       PERFORM pg_notify(current_schema() || '_submit', 'g' || gate_key);
     ELSE
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
       VALUES (lane_id, level_of, ms + patience[level_of + 1], new_id, 0, 0, 0, is_once);
       PERFORM pg_notify(current_schema() || '_submit', 'l' || lane_id);
     END IF;
     RETURN new_id;
   END $$`,
  `REVOKE ALL ON FUNCTION submit(text, jsonb, jsonb) FROM PUBLIC`,
]
