/**
 * Runs that wait for something outside: suspended, handed over, or parents of children. They stand in
 * `parked`. What only such runs have lies beside them, so that the rows of all others stay as they are.
 */
export const states = `
-- gate is set while the run holds its place. awaits_until: when one handed over has timed out.
CREATE TABLE parked (
  run           INTEGER PRIMARY KEY,
  kind          INTEGER NOT NULL,
  state         TEXT    NOT NULL CONSTRAINT state_is_parked CHECK (state IN ('Awaiting', 'Suspended')),
  is_parent     INTEGER NOT NULL,
  is_admitted   INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  crashes       INTEGER NOT NULL,
  fence         INTEGER NOT NULL,
  settled       INTEGER NOT NULL,
  is_careful    INTEGER NOT NULL,
  since         INTEGER NOT NULL,
  awaits_until  INTEGER,
  incarnation   INTEGER,
  claimed_at    INTEGER,
  gate          TEXT
) STRICT;
CREATE INDEX parked_kind ON parked (kind, state, run);
CREATE INDEX parked_gate ON parked (gate) WHERE gate IS NOT NULL;
CREATE INDEX parked_until ON parked (awaits_until) WHERE awaits_until IS NOT NULL;
CREATE INDEX parked_parent ON parked (run) WHERE is_parent = 1;

CREATE TABLE child (
  parent  INTEGER NOT NULL,
  nth     INTEGER NOT NULL,
  count   INTEGER NOT NULL,
  run     INTEGER NOT NULL,
  PRIMARY KEY (parent, nth),
  CONSTRAINT one_parent UNIQUE (run)
) STRICT, WITHOUT ROWID;

-- Until when a run must have begun. The row goes when it has, or the time is up.
CREATE TABLE deadline (
  run  INTEGER PRIMARY KEY,
  at   INTEGER NOT NULL
) STRICT;
CREATE INDEX deadline_at ON deadline (at);

CREATE TABLE checkpoint (
  run    INTEGER PRIMARY KEY,
  value  TEXT    NOT NULL
) STRICT;

-- A run that gave its place back waits at its gate again, with the numbers it had.
ALTER TABLE blocked ADD COLUMN attempt    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blocked ADD COLUMN crashes    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blocked ADD COLUMN fence      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blocked ADD COLUMN settled    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blocked ADD COLUMN is_careful INTEGER;

ALTER TABLE lease ADD COLUMN is_suspending INTEGER NOT NULL DEFAULT 0;
DROP INDEX lease_cancelling;
CREATE INDEX lease_to_stop ON lease (incarnation) WHERE is_cancelling = 1 OR is_suspending = 1;

-- state: 6 Expired, besides those before.
CREATE TABLE outcome_next (
  run          INTEGER PRIMARY KEY,
  kind         INTEGER NOT NULL,
  state        INTEGER NOT NULL CONSTRAINT state_is_final CHECK (state BETWEEN 0 AND 6),
  attempt      INTEGER NOT NULL,
  crashes      INTEGER NOT NULL,
  fence        INTEGER NOT NULL,
  settled      INTEGER NOT NULL,
  is_careful   INTEGER NOT NULL,
  incarnation  INTEGER,
  claimed_at   INTEGER,
  due_at       INTEGER,
  finished_at  INTEGER NOT NULL,
  result       TEXT,
  failure      TEXT
) STRICT;
INSERT INTO outcome_next SELECT * FROM outcome;
DROP TABLE outcome;
ALTER TABLE outcome_next RENAME TO outcome;
CREATE INDEX outcome_unusual ON outcome (kind, state, run) WHERE state <> 0;
`
