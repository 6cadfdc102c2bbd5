/**
 * Whoever comes late with a stretch that begins before the cursor of its trigger moves that over
 * nothing: see T5. Where the cursor goes from is compared with the first slot of the item, not the last.
 */
export default [
  `DO $do$
   DECLARE
     was text := pg_get_functiondef('fire_slots'::regproc);
     moved_by_last text := 'judgement IN (0, 3) AND t.cursor <= n.last)';
   BEGIN
     IF strpos(was, moved_by_last) = 0 THEN
       RAISE EXCEPTION 'fire_slots is not as it was made';
     END IF;
     EXECUTE replace(was, moved_by_last,
       'judgement IN (0, 3) AND t.cursor <= coalesce(n.since, n.slot))');
   END $do$`,
]
