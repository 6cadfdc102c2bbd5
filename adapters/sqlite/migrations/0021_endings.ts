/**
 * What executors leave to be said of their runs (E9), by when. What was said of a run by then makes it
 * void, so it is looked for when it is time and not before: a settle has nothing to do with it.
 */
export const endings = `
CREATE TABLE ending (
  incarnation INTEGER NOT NULL,
  run         INTEGER NOT NULL,
  fence       INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  report      TEXT    NOT NULL,
  PRIMARY KEY (incarnation, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX ending_at ON ending (at);
ALTER TABLE executor ADD COLUMN endings_number INTEGER NOT NULL DEFAULT 0;
`
