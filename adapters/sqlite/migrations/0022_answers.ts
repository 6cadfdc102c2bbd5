/** What orders were answered that are given under a key. */
export const answers = `
CREATE TABLE answer (
  key      TEXT    NOT NULL PRIMARY KEY,
  digest   TEXT    NOT NULL,
  begun_at INTEGER NOT NULL,
  answer   TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_begun ON answer (begun_at);
`
