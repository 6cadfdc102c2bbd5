/**
 * What runs say of themselves, and how they will end, apart from the rows of those that say nothing;
 * how it goes with an executor, and what is wished of its pool.
 */
export const logs = `
CREATE TABLE progress (
  run       INTEGER PRIMARY KEY,
  fence     INTEGER NOT NULL,
  sequence  INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  value     TEXT    NOT NULL
) STRICT;

-- Lines as they came, some to a row. chars: of the run's lines up to these.
CREATE TABLE log (
  run     INTEGER NOT NULL,
  fence   INTEGER NOT NULL,
  first   INTEGER NOT NULL,
  last    INTEGER NOT NULL CONSTRAINT lines_are_numbered CHECK (last >= first),
  at      INTEGER NOT NULL,
  chars   INTEGER NOT NULL,
  is_cut  INTEGER NOT NULL DEFAULT 0,
  lines   TEXT    NOT NULL,
  PRIMARY KEY (run, fence, first)
) STRICT;

-- fence: of whoever has concluded it.
CREATE TABLE conclusion (
  run      INTEGER PRIMARY KEY,
  fence    INTEGER NOT NULL,
  state    TEXT    NOT NULL
    CONSTRAINT state_is_concluded CHECK (state IN ('Succeeded', 'Failed', 'TimedOut')),
  phase    TEXT    NOT NULL
    CONSTRAINT phase_is_known CHECK (phase IN ('rollingBack', 'cleaning')),
  result   TEXT,
  failure  TEXT
) STRICT;

ALTER TABLE executor ADD COLUMN vitals TEXT;
ALTER TABLE executor ADD COLUMN sizes TEXT;
`
