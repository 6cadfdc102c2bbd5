/** What is handed over may have its hooks left: `conclusion` knows a mark of that, and a cancelled one. */
export const notified = `
CREATE TABLE concluded (
  run      INTEGER PRIMARY KEY,
  fence    INTEGER NOT NULL,
  state    TEXT    NOT NULL
    CONSTRAINT state_is_concluded CHECK (state IN ('Succeeded', 'Failed', 'TimedOut', 'Cancelled')),
  phase    TEXT    NOT NULL
    CONSTRAINT phase_is_known CHECK (phase IN ('rollingBack', 'cleaning', 'handedOver', 'finishing')),
  result   TEXT,
  failure  TEXT
) STRICT;
INSERT INTO concluded SELECT * FROM conclusion;
DROP TABLE conclusion;
ALTER TABLE concluded RENAME TO conclusion;
`
