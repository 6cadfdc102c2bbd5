/** Who is told how runs end, what they are told, and what triggers that follow a task made of it. */
export const outbox = `
-- ends: a bit for each, as finals are numbered. Numbers are never given twice.
CREATE TABLE subscription (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  namespace  TEXT    NOT NULL,
  consumer   TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  partition  INTEGER NOT NULL,
  kind       INTEGER NOT NULL,
  ends       INTEGER NOT NULL,
  missed     INTEGER NOT NULL DEFAULT 0,
  CONSTRAINT one_subscription_per_name UNIQUE (namespace, consumer, name)
) STRICT;
CREATE INDEX subscription_kind ON subscription (kind);

CREATE TABLE outbox (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  subscription  INTEGER NOT NULL,
  consumer      TEXT    NOT NULL,
  partition     INTEGER NOT NULL,
  run           INTEGER NOT NULL,
  state         INTEGER NOT NULL,
  fence         INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  at            INTEGER NOT NULL,
  held_until    INTEGER NOT NULL DEFAULT 0,
  hand          INTEGER NOT NULL DEFAULT 0,
  failure       TEXT
) STRICT;
CREATE INDEX outbox_waiting ON outbox (consumer, partition, held_until, id);
CREATE INDEX outbox_run ON outbox (run, subscription, id);

-- The records of events. run is absent for one that was not fired.
CREATE TABLE followed (
  trigger      INTEGER NOT NULL,
  event        INTEGER NOT NULL,
  run          INTEGER,
  after        INTEGER NOT NULL,
  state        INTEGER NOT NULL,
  depth        INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  recorded_at  INTEGER NOT NULL,
  reason       TEXT,
  PRIMARY KEY (trigger, event),
  CONSTRAINT fired_or_not CHECK ((run IS NULL) = (reason IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX followed_run ON followed (run) WHERE run IS NOT NULL;
`
