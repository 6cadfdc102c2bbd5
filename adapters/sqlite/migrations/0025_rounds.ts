/** Who took an event last, and in which round, so that it is handed out again to whoever had no answer. */
export const rounds = `
ALTER TABLE outbox ADD COLUMN taker INTEGER;
ALTER TABLE outbox ADD COLUMN round INTEGER;
CREATE INDEX outbox_taken ON outbox (taker, round) WHERE taker IS NOT NULL;
`
