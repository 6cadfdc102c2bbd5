/** A key is found by its run, which is about as old as the key is. */
export default [`CREATE INDEX idempotency_by_run ON idempotency (run_id)`]
