/** How far triggers have come in the sources that they tail, and what became of the entries. */
export const tails = `
-- source: which it is, as Tailing.keyOf says; the position is of no other.
CREATE TABLE tail (
  trigger        INTEGER PRIMARY KEY,
  source         TEXT    NOT NULL,
  position       TEXT,
  fired          INTEGER NOT NULL DEFAULT 0,
  passed         INTEGER NOT NULL DEFAULT 0,
  skipped        INTEGER NOT NULL DEFAULT 0,
  moved_at       INTEGER,
  up_to          INTEGER,
  failure        TEXT,
  failing_since  INTEGER
) STRICT;

-- nth: of the entries of the trigger that were taken or skipped.
CREATE TABLE tailed (
  trigger   INTEGER NOT NULL,
  nth       INTEGER NOT NULL,
  run       INTEGER,
  at        INTEGER NOT NULL,
  position  TEXT    NOT NULL,
  reason    TEXT,
  PRIMARY KEY (trigger, nth),
  CONSTRAINT fired_or_not CHECK ((run IS NULL) = (reason IS NOT NULL))
) STRICT, WITHOUT ROWID;
`
