/**
 * How many runs wait for a lane, ready or at their gates, is counted four times a second while they are
 * submitted, however many there are for other lanes.
 */
export default [
  // Narrow, and of few keys: those that wait for one lane stand in one entry, many to a page.
  `CREATE INDEX blocked_by_lane ON blocked (lane)`,

  // RunStorage.backlog. A plan made while hardly anybody waited would read all that do.
  `CREATE FUNCTION waiting_in(lanes text[], at_most int) RETURNS int LANGUAGE plpgsql STABLE
   SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
   DECLARE
     of_lane int;
     waiting int := 0;
   BEGIN
     FOR of_lane IN SELECT l.id FROM lane l WHERE l.name = ANY (lanes) LOOP
       EXIT WHEN waiting >= at_most;
       waiting := waiting + (SELECT count(*) FROM (
         SELECT FROM ready r WHERE r.lane = of_lane LIMIT at_most - waiting) counted);
       waiting := waiting + (SELECT count(*) FROM (
         SELECT FROM blocked b WHERE b.lane = of_lane LIMIT at_most - waiting) counted);
     END LOOP;
     RETURN waiting;
   END $$`,
]
