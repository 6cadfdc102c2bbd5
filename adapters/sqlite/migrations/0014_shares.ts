/** The queues of keys that share places, each with the virtual time at which its next run goes. */
export const shares = `
CREATE TABLE share (
  gate  TEXT    PRIMARY KEY,
  pool  TEXT    NOT NULL,
  tag   INTEGER NOT NULL,
  turn  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX share_order ON share (pool, tag, turn);
`
