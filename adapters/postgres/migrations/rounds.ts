/** Who took an event last, and in which round, so that it is handed out again to whoever had no answer. */
export default [
  `ALTER TABLE outbox ADD COLUMN taker bigint, ADD COLUMN round int`,
  `CREATE INDEX outbox_taken ON outbox (taker, round) WHERE taker IS NOT NULL`,
]
