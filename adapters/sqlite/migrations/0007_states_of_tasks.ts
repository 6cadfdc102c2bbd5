/** What tasks keep from one run to the next. */
export const statesOfTasks = `
CREATE TABLE state (
  namespace  TEXT NOT NULL,
  task       TEXT NOT NULL,
  key        TEXT NOT NULL,
  value      TEXT NOT NULL,
  PRIMARY KEY (namespace, task, key)
) STRICT, WITHOUT ROWID;
`
