/** A key is found by its run, which is about as old as the key is. */
export const history = `
CREATE INDEX idempotency_run ON idempotency (run);
`
