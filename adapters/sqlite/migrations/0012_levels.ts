/**
 * Two more levels, below the three that there were. A constraint is part of its table, so the table of
 * runs is copied, once; how many levels there are is the domain's to say from now on.
 */
export const levels = `
CREATE TABLE run_next (
  id               INTEGER PRIMARY KEY,
  kind             INTEGER NOT NULL,
  lane             INTEGER NOT NULL,
  level            INTEGER NOT NULL CONSTRAINT level_is_counted CHECK (level >= 0),
  created_at       INTEGER NOT NULL,
  delay_millis     INTEGER NOT NULL,
  is_at_most_once  INTEGER NOT NULL,
  crashes_max      INTEGER NOT NULL,
  gate             TEXT,
  gate_places      INTEGER,
  gate_when_full   TEXT,
  trigger          INTEGER,
  slot             INTEGER,
  idempotency_key  TEXT,
  payload          TEXT    NOT NULL,
  CONSTRAINT gate_is_whole CHECK (
    (gate IS NULL) = (gate_places IS NULL) AND (gate IS NULL) = (gate_when_full IS NULL)
  )
) STRICT;
INSERT INTO run_next SELECT * FROM run;
DROP TABLE run;
ALTER TABLE run_next RENAME TO run;
CREATE INDEX run_kind ON run (kind);
`
