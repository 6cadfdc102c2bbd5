/**
 * How the runs of routed tasks are placed. It lies beside them, so that the rows of all others stay
 * as they are.
 */
export const placements = `
-- How a run was placed last, as JSON. bound_to: it is a part, and has but this executor.
CREATE TABLE placed (
  run        INTEGER PRIMARY KEY,
  bound_to   INTEGER,
  at         INTEGER,
  placement  TEXT,
  CONSTRAINT placement_has_time CHECK ((at IS NULL) = (placement IS NULL))
) STRICT;

-- By namespace, how many decisions were applied; by lane, what the last one has to be remembered by.
CREATE TABLE fleet (
  namespace  TEXT    PRIMARY KEY,
  revision   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE remembered (
  lane   TEXT PRIMARY KEY,
  value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The lanes of routed tasks, which are few among all; a selector may have such a sign too.
CREATE INDEX lane_routed ON lane (name) WHERE instr(name, '@') > 0 AND instr(name, '?') = 0;
`
