/**
 * By which run a slot is held up: the latest of a slot before those by hand and of events, which are found by
 * themselves. Who held up the latest slots is known by them alone, once its own is further back.
 */
export default [
  `CREATE OR REPLACE FUNCTION running_of(of_trigger int) RETURNS bigint LANGUAGE sql STABLE AS $$
     WITH latest AS (SELECT s.run_id, s.running FROM slot s
       WHERE s.trigger = of_trigger ORDER BY s.slot DESC LIMIT 32)
     SELECT candidate.run_id FROM (
       SELECT 0 AS source, run_id FROM latest
       UNION
       SELECT 0, running FROM latest
       UNION
       (SELECT 1, a.run_id FROM asked a WHERE a.trigger = of_trigger ORDER BY a.slot DESC LIMIT 32)
       UNION
       (SELECT 1, f.run_id FROM followed f WHERE f.trigger = of_trigger ORDER BY f.event DESC LIMIT 32)
     ) candidate
     WHERE candidate.run_id IS NOT NULL AND is_under_way(candidate.run_id)
     ORDER BY candidate.source, candidate.run_id DESC LIMIT 1 $$`,
]
