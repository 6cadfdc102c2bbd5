/** Levels that operators have set, of runs that were submitted with another. */
export const levelsSet = `
CREATE TABLE level_set (
  run    INTEGER PRIMARY KEY,
  level  INTEGER NOT NULL CONSTRAINT known_level CHECK (level BETWEEN 0 AND 4)
) STRICT;
`
