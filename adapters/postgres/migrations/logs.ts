/** What runs say of themselves, apart from the rows of those that say nothing. */
export default [
  `CREATE TABLE progress (
     run_id bigint CONSTRAINT one_progress PRIMARY KEY,
     at bigint NOT NULL,
     fence int NOT NULL,
     sequence int NOT NULL,
     value text NOT NULL) WITH (fillfactor = 50)`,

  // Lines as they came, some to a row. chars: of the run's lines up to these.
  `CREATE TABLE log (
     run_id bigint NOT NULL,
     at bigint NOT NULL,
     fence int NOT NULL,
     first int NOT NULL,
     last int NOT NULL,
     chars int NOT NULL,
     is_cut boolean NOT NULL DEFAULT false,
     lines text NOT NULL,
     CONSTRAINT lines_come_once PRIMARY KEY (run_id, fence, first),
     CONSTRAINT lines_are_numbered CHECK (last >= first))`,
]
