/**
 * At gates, too, deadlines count, by the order of the task: so the rank is what `Blocking.rank` says
 * when a run comes there, and no longer follows from turn and level alone. Who waits with a deadline
 * gets the rank that it would have got; all others keep theirs.
 */
const longest = 21_600_000

export const gateOrders = `
CREATE TABLE blocked_next (
  run         INTEGER PRIMARY KEY,
  gate        TEXT    NOT NULL,
  level       INTEGER NOT NULL,
  turn        INTEGER NOT NULL,
  rank        INTEGER NOT NULL,
  kind        INTEGER NOT NULL,
  attempt     INTEGER NOT NULL DEFAULT 0,
  crashes     INTEGER NOT NULL DEFAULT 0,
  fence       INTEGER NOT NULL DEFAULT 0,
  settled     INTEGER NOT NULL DEFAULT 0,
  is_careful  INTEGER
) STRICT;
INSERT INTO blocked_next
    (run, gate, level, turn, rank, kind, attempt, crashes, fence, settled, is_careful)
  SELECT b.run, b.gate, b.level, b.turn,
    coalesce(
      CASE WHEN late.at IS NULL THEN NULL
        ELSE CASE task.definition ->> '$.policy.order'
          WHEN 'age' THEN NULL
          WHEN 'deadline' THEN min(b.turn / 4096 + 1735689600000 + ${longest}, late.at)
          ELSE CASE WHEN run.gate_places > 1 THEN min(b.rank, late.at) END END END,
      b.rank),
    b.kind, b.attempt, b.crashes, b.fence, b.settled, b.is_careful
  FROM blocked b
  JOIN run ON run.id = b.run
  JOIN kind ON kind.id = b.kind
  LEFT JOIN task ON task.namespace = kind.namespace AND task.name = kind.task
  LEFT JOIN deadline late ON late.run = b.run AND b.attempt = 0;
DROP TABLE blocked;
ALTER TABLE blocked_next RENAME TO blocked;
CREATE UNIQUE INDEX blocked_in_order ON blocked (gate, rank, turn);
CREATE INDEX blocked_kind ON blocked (kind, run);
`
