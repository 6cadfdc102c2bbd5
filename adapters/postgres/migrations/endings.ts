/**
 * What executors leave to be said of their runs (E9), by when. What was said of a run by then makes it
 * void, so it is looked for when it is time and not before: a settle has nothing to do with it.
 *
 * `at` is by `steady_clock()`, so that no step of the clock moves it.
 */
export default [
  `CREATE TABLE ending (
     incarnation int NOT NULL,
     run_id bigint NOT NULL,
     fence int NOT NULL,
     at bigint NOT NULL,
     report text NOT NULL,
     CONSTRAINT one_ending PRIMARY KEY (incarnation, run_id))`,
  `CREATE INDEX ending_at ON ending (at)`,
  `ALTER TABLE executor ADD COLUMN endings_number int NOT NULL DEFAULT 0`,
]
