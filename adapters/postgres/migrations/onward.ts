/**
 * What lies before the cursor of a trigger does not fire, though its record be gone: see
 * `Trigger.isBehind`. The function has one case more, and is otherwise as it was.
 */
export default [
  `DO $do$
   DECLARE
     was text := pg_get_functiondef('fire_slots'::regproc);
     case_of_records text := 'WHEN (SELECT s.through FROM slot s';
   BEGIN
     IF strpos(was, case_of_records) = 0 THEN
       RAISE EXCEPTION 'fire_slots is not as it was made';
     END IF;
     EXECUTE replace(was, case_of_records,
       'WHEN CASE WHEN t.cursor IS NULL THEN NOT t.is_permanent
             ELSE coalesce(u.since, u.slot) < t.cursor END THEN 3
           ' || case_of_records);
   END $do$`,
]
