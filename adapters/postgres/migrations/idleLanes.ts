/** Whether anybody waits is asked once a second of many lanes, which mostly are empty. */
export default [
  // Those of the lanes in which a run is ready. A plan made while `ready` was empty would read all of
  // it, once others have a backlog there.
  `CREATE FUNCTION lanes_with_runs(of_lanes int[]) RETURNS int[] LANGUAGE plpgsql STABLE
   SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
   BEGIN
     RETURN ARRAY(SELECT u.lane FROM unnest(of_lanes) AS u(lane)
       CROSS JOIN LATERAL (SELECT FROM ready WHERE lane = u.lane LIMIT 1) r);
   END $$`,
]
