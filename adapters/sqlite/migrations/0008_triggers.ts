/** Versions of triggers, what was asked for by hand, and the audit of slots. */
export const triggers = `
ALTER TABLE trigger ADD COLUMN is_permanent INTEGER NOT NULL DEFAULT 0;
CREATE INDEX trigger_permanent ON trigger (partition) WHERE is_permanent = 1;

ALTER TABLE slot ADD COLUMN revision INTEGER;
-- The run that was under way, for which the slot was skipped or its run failed.
ALTER TABLE slot ADD COLUMN running INTEGER;

-- In force for the slots from 'since' on. Without a definition the trigger was removed.
CREATE TABLE trigger_version (
  trigger     INTEGER NOT NULL,
  revision    INTEGER NOT NULL,
  since       INTEGER NOT NULL,
  definition  TEXT,
  calendar    TEXT,
  PRIMARY KEY (trigger, revision)
) STRICT, WITHOUT ROWID;
INSERT INTO trigger_version
SELECT id, trigger.revision, coalesce(cursor, unixepoch() * 1000), trigger.definition,
  calendar.definition
FROM trigger LEFT JOIN calendar
  ON calendar.namespace = trigger.namespace AND calendar.name = trigger.calendar
WHERE is_removed = 0;

-- kind: 0 manual, 1 backfill. The key is the request of the one and the slot of the other.
CREATE TABLE asked (
  trigger   INTEGER NOT NULL,
  kind      INTEGER NOT NULL CONSTRAINT kind_is_known CHECK (kind IN (0, 1)),
  key       TEXT    NOT NULL,
  slot      INTEGER NOT NULL,
  run       INTEGER NOT NULL,
  revision  INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  request   TEXT    NOT NULL,
  asked_by  TEXT,
  PRIMARY KEY (trigger, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX asked_slot ON asked (trigger, slot);
CREATE INDEX asked_at ON asked (at);

-- One row. 'until' is empty between passes.
CREATE TABLE audit (
  step   INTEGER NOT NULL,
  since  INTEGER NOT NULL,
  until  INTEGER,
  after  INTEGER NOT NULL
) STRICT;
-- Triggers that are judged from another instant than the others.
CREATE TABLE audit_open (
  trigger  INTEGER PRIMARY KEY,
  since    INTEGER NOT NULL
) STRICT;
CREATE TABLE audit_finding (
  id        INTEGER PRIMARY KEY,
  trigger   INTEGER NOT NULL,
  kind      TEXT    NOT NULL,
  slot      INTEGER NOT NULL,
  through   INTEGER NOT NULL,
  found_at  INTEGER NOT NULL,
  CONSTRAINT found_once UNIQUE (trigger, kind, slot)
) STRICT;
`
