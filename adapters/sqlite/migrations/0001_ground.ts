/**
 * A run is written once, at submit. Its state is the table it stands in: `scheduled`, `blocked`,
 * `ready`, `lease`, or `outcome` once it has ended. The happy path adds one run and one outcome,
 * and lets one ready and one lease row come and go.
 *
 * Instants are milliseconds since 1970 by the storage clock. Constraints repeat what the domain
 * promises, and are named after it.
 */
export const ground = `
-- The last run id given, under 'run'; the number of the last hint given, under 'hint'.
CREATE TABLE meta (
  key    TEXT    PRIMARY KEY,
  value  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('run', 0), ('hint', 0);

-- Names that stand in many rows are numbered. Rows are never changed or deleted.
CREATE TABLE kind (
  id         INTEGER PRIMARY KEY,
  namespace  TEXT    NOT NULL,
  task       TEXT    NOT NULL,
  CONSTRAINT one_number_per_task UNIQUE (namespace, task)
) STRICT;
CREATE TABLE lane (
  id    INTEGER PRIMARY KEY,
  name  TEXT    NOT NULL,
  CONSTRAINT one_number_per_lane UNIQUE (name)
) STRICT;

CREATE TABLE task (
  namespace   TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  definition  TEXT    NOT NULL,
  revision    INTEGER NOT NULL CONSTRAINT revision_is_positive CHECK (revision > 0),
  PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
  id               INTEGER PRIMARY KEY,
  kind             INTEGER NOT NULL,
  lane             INTEGER NOT NULL,
  level            INTEGER NOT NULL CONSTRAINT level_is_known CHECK (level BETWEEN 0 AND 2),
  created_at       INTEGER NOT NULL,
  delay_millis     INTEGER NOT NULL,
  is_at_most_once  INTEGER NOT NULL,
  crashes_max      INTEGER NOT NULL,
  gate             TEXT,
  gate_places      INTEGER,
  gate_when_full   TEXT,
  trigger          INTEGER,
  slot             INTEGER,
  idempotency_key  TEXT,
  payload          TEXT    NOT NULL,
  CONSTRAINT gate_is_whole CHECK (
    (gate IS NULL) = (gate_places IS NULL) AND (gate IS NULL) = (gate_when_full IS NULL)
  )
) STRICT;
CREATE INDEX run_kind ON run (kind);

CREATE TABLE idempotency (
  namespace  TEXT    NOT NULL,
  key        TEXT    NOT NULL,
  run        INTEGER NOT NULL,
  PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE scheduled (
  run         INTEGER PRIMARY KEY,
  kind        INTEGER NOT NULL,
  due_at      INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  crashes     INTEGER NOT NULL,
  fence       INTEGER NOT NULL,
  settled     INTEGER NOT NULL,
  is_careful  INTEGER NOT NULL,
  gate        TEXT
) STRICT;
CREATE INDEX scheduled_due ON scheduled (due_at);
CREATE INDEX scheduled_kind ON scheduled (kind);
-- A run between attempts keeps its place; one that was never granted has none yet.
CREATE INDEX scheduled_gate ON scheduled (gate) WHERE gate IS NOT NULL AND fence > 0;

-- A run waits at a gate only before its first grant, so all its numbers are zero.
CREATE TABLE blocked (
  gate   TEXT    NOT NULL,
  level  INTEGER NOT NULL,
  turn   INTEGER NOT NULL,
  run    INTEGER NOT NULL,
  kind   INTEGER NOT NULL,
  PRIMARY KEY (gate, level, turn),
  CONSTRAINT one_place_to_wait UNIQUE (run)
) STRICT, WITHOUT ROWID;
CREATE INDEX blocked_kind ON blocked (kind, run);

CREATE TABLE ready (
  lane        INTEGER NOT NULL,
  level       INTEGER NOT NULL,
  rank        INTEGER NOT NULL,
  run         INTEGER NOT NULL,
  kind        INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  crashes     INTEGER NOT NULL,
  fence       INTEGER NOT NULL,
  settled     INTEGER NOT NULL,
  is_careful  INTEGER NOT NULL,
  is_late     INTEGER NOT NULL,
  due_at      INTEGER,
  gate        TEXT,
  PRIMARY KEY (lane, level, rank, run)
) STRICT, WITHOUT ROWID;
-- The rank of a run that was ready from its submit follows from the run; any other is found here.
CREATE UNIQUE INDEX ready_late ON ready (run) WHERE is_late = 1;
CREATE INDEX ready_gate ON ready (gate) WHERE gate IS NOT NULL;

-- due_at is empty while it is the run's own; so it is in ready and outcome.
CREATE TABLE lease (
  run            INTEGER PRIMARY KEY,
  incarnation    INTEGER NOT NULL,
  loop           INTEGER NOT NULL,
  round          INTEGER NOT NULL,
  kind           INTEGER NOT NULL,
  attempt        INTEGER NOT NULL CONSTRAINT attempt_is_counted CHECK (attempt > 0),
  crashes        INTEGER NOT NULL,
  fence          INTEGER NOT NULL CONSTRAINT grant_is_fenced CHECK (fence > 0),
  settled        INTEGER NOT NULL CONSTRAINT grant_is_unsettled CHECK (settled < fence),
  is_careful     INTEGER NOT NULL,
  is_started     INTEGER NOT NULL,
  is_cancelling  INTEGER NOT NULL,
  claimed_at     INTEGER NOT NULL,
  due_at         INTEGER,
  gate           TEXT
) STRICT;
CREATE INDEX lease_incarnation ON lease (incarnation);
CREATE INDEX lease_gate ON lease (gate) WHERE gate IS NOT NULL;
CREATE INDEX lease_cancelling ON lease (incarnation) WHERE is_cancelling = 1;

-- state: 0 Succeeded, 1 Failed, 2 TimedOut, 3 Cancelled, 4 Discarded, 5 Quarantined.
CREATE TABLE outcome (
  run          INTEGER PRIMARY KEY,
  kind         INTEGER NOT NULL,
  state        INTEGER NOT NULL CONSTRAINT state_is_final CHECK (state BETWEEN 0 AND 5),
  attempt      INTEGER NOT NULL,
  crashes      INTEGER NOT NULL,
  fence        INTEGER NOT NULL,
  settled      INTEGER NOT NULL,
  is_careful   INTEGER NOT NULL,
  incarnation  INTEGER,
  claimed_at   INTEGER,
  due_at       INTEGER,
  finished_at  INTEGER NOT NULL,
  result       TEXT,
  failure      TEXT
) STRICT;
CREATE INDEX outcome_unusual ON outcome (kind, state, run) WHERE state <> 0;

-- What is not the happy path.
CREATE TABLE journal (
  id       INTEGER PRIMARY KEY,
  run      INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  kind     TEXT    NOT NULL,
  attempt  INTEGER NOT NULL,
  fence    INTEGER NOT NULL,
  detail   TEXT,
  failure  TEXT
) STRICT;
CREATE INDEX journal_run ON journal (run);

-- How many runs of a kind are in a state; written with the rows it counts, for those who look on.
CREATE TABLE tally (
  kind   INTEGER NOT NULL,
  state  TEXT    NOT NULL,
  runs   INTEGER NOT NULL CONSTRAINT tally_agrees CHECK (runs >= 0),
  PRIMARY KEY (kind, state)
) STRICT, WITHOUT ROWID;

-- A removed trigger keeps its number and its slots, so that no slot can fire again.
CREATE TABLE trigger (
  id          INTEGER PRIMARY KEY,
  namespace   TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  partition   INTEGER NOT NULL,
  definition  TEXT    NOT NULL,
  revision    INTEGER NOT NULL CONSTRAINT revision_is_positive CHECK (revision > 0),
  is_paused   INTEGER NOT NULL,
  is_removed  INTEGER NOT NULL,
  cursor      INTEGER,
  CONSTRAINT one_trigger_per_name UNIQUE (namespace, name)
) STRICT;
CREATE INDEX trigger_due ON trigger (cursor)
  WHERE cursor IS NOT NULL AND is_paused = 0 AND is_removed = 0;

CREATE TABLE slot (
  trigger          INTEGER NOT NULL,
  slot             INTEGER NOT NULL,
  through          INTEGER NOT NULL CONSTRAINT stretch_is_forward CHECK (through >= slot),
  outcome          TEXT    NOT NULL
    CONSTRAINT outcome_is_known CHECK (outcome IN ('fired', 'skipped', 'coalesced')),
  run              INTEGER,
  reason           TEXT,
  lateness_millis  INTEGER NOT NULL,
  PRIMARY KEY (trigger, slot),
  CONSTRAINT fired_has_run CHECK (outcome <> 'fired' OR run IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: an incarnation's number is never used again.
CREATE TABLE executor (
  incarnation  INTEGER PRIMARY KEY AUTOINCREMENT,
  namespace    TEXT    NOT NULL,
  name         TEXT    NOT NULL,
  standing     TEXT    NOT NULL
    CONSTRAINT standing_is_known CHECK (standing IN ('live', 'draining', 'left', 'lost')),
  capacity     INTEGER NOT NULL,
  labels       TEXT    NOT NULL,
  tasks        TEXT    NOT NULL,
  ttl_millis   INTEGER NOT NULL,
  joined_at    INTEGER NOT NULL,
  beat_at      INTEGER NOT NULL,
  -- When it left or was lost; while it is here, when it will be lost unless it beats.
  ends_at      INTEGER NOT NULL,
  -- 0 once it is gone and all it held is freed.
  may_hold     INTEGER NOT NULL
) STRICT;
CREATE INDEX executor_namespace ON executor (namespace, ends_at);
CREATE INDEX executor_may_hold ON executor (standing, ends_at) WHERE may_hold = 1;

-- Rows are never deleted: the last fence of a key must outlive its lease.
CREATE TABLE lock (
  key         TEXT    PRIMARY KEY,
  holder      TEXT    NOT NULL,
  fence       INTEGER NOT NULL CONSTRAINT grant_is_fenced CHECK (fence > 0),
  ttl_millis  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The latest hint for each topic, by which other processes are woken.
CREATE TABLE hint (
  topic   TEXT    PRIMARY KEY,
  number  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX hint_number ON hint (number);
`
