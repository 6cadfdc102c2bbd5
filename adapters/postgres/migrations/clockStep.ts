/**
 * What is done when the clock of the database was set: see `core/domain/ClockStep.ts`.
 *
 * `steady_clock()` is `clock()` without the steps that were settled, so it goes on as if nothing had
 * happened once a step is settled, and differs from what a process expects of it before. Every
 * process may notice; the number sees to it that one of them settles.
 *
 * Whoever has slept sees a step forward too. If somebody has seen the clock go evenly since then, there
 * was none, and leases that ended in good order meanwhile must not come back.
 */
export default [
  `CREATE TABLE clock_step (
     number int PRIMARY KEY,
     total bigint NOT NULL,
     even_at bigint NOT NULL)`,
  `CREATE UNIQUE INDEX one_clock_step ON clock_step ((true))`,
  `INSERT INTO clock_step (number, total, even_at) VALUES (0, 0, 0)`,

  `CREATE FUNCTION steady_clock() RETURNS bigint LANGUAGE sql VOLATILE AS
   $$ SELECT clock() - total FROM clock_step $$`,

  // What was written before the step keeps what was left of it then, be it nothing. What was written
  // since, by whoever came after the step, stays as it is. The step is measured, and so known to some
  // milliseconds only: forward, the line between the two is drawn half-way.
  `CREATE FUNCTION settle_clock_step(seen int, step bigint) RETURNS boolean
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     ms bigint := clock();
   BEGIN
     UPDATE clock_step SET number = number + 1, total = total + step, even_at = ms
       WHERE number = seen AND (step < 0 OR even_at <= ms - step / 2);
     IF NOT FOUND THEN RETURN false; END IF;
     UPDATE executor SET beat_at = beat_at + step WHERE standing < 2
       AND CASE WHEN step > 0 THEN beat_at <= ms - step / 2 ELSE beat_at > ms END;
     UPDATE lock SET expires_at = expires_at + step
       WHERE CASE WHEN step > 0 THEN expires_at <= ms AND expires_at > ms - step
         ELSE expires_at > ms END;
     UPDATE waiter SET expires_at = ms + 60000;
     RETURN true;
   END $$`,
]
