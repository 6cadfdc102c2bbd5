/** What limits of tasks, and breakers, have let pass. */
export const permits = `
CREATE TABLE permit (
  namespace  TEXT NOT NULL,
  kind       TEXT NOT NULL,
  name       TEXT NOT NULL,
  cell       TEXT NOT NULL,
  PRIMARY KEY (namespace, kind, name)
) STRICT, WITHOUT ROWID;
`
