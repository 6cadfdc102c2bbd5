/**
 * Who waits at a gate passes by `Blocking.order`. The rank follows from turn and level, in the numbers
 * of `Blocking.rank` as they are, so those who wait already have theirs. What is found by its run, as
 * mostly happens, is found by that alone.
 */
export const gateRanks = `
CREATE TABLE blocked_next (
  run         INTEGER PRIMARY KEY,
  gate        TEXT    NOT NULL,
  level       INTEGER NOT NULL,
  turn        INTEGER NOT NULL,
  rank        INTEGER NOT NULL GENERATED ALWAYS AS (
    turn / 4096 + 1735689600000 + CASE level
      WHEN 0 THEN 0 WHEN 1 THEN 60000 WHEN 2 THEN 600000 WHEN 3 THEN 3600000 ELSE 21600000 END
  ) STORED,
  kind        INTEGER NOT NULL,
  attempt     INTEGER NOT NULL DEFAULT 0,
  crashes     INTEGER NOT NULL DEFAULT 0,
  fence       INTEGER NOT NULL DEFAULT 0,
  settled     INTEGER NOT NULL DEFAULT 0,
  is_careful  INTEGER
) STRICT;
INSERT INTO blocked_next
    (run, gate, level, turn, kind, attempt, crashes, fence, settled, is_careful)
  SELECT run, gate, level, turn, kind, attempt, crashes, fence, settled, is_careful FROM blocked;
DROP TABLE blocked;
ALTER TABLE blocked_next RENAME TO blocked;
CREATE UNIQUE INDEX blocked_in_order ON blocked (gate, rank, turn);
CREATE INDEX blocked_kind ON blocked (kind, run);
`
