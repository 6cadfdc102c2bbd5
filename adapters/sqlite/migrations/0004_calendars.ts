/** Calendars, and which of them a trigger names. */
export const calendars = `
CREATE TABLE calendar (
  namespace   TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  definition  TEXT    NOT NULL,
  revision    INTEGER NOT NULL CONSTRAINT revision_is_positive CHECK (revision > 0),
  PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

ALTER TABLE trigger ADD COLUMN calendar TEXT;
CREATE INDEX trigger_calendar ON trigger (namespace, calendar)
  WHERE calendar IS NOT NULL AND is_removed = 0;
`
