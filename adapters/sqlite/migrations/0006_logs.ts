/** What runs say of themselves, apart from the rows of those that say nothing. */
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
`
