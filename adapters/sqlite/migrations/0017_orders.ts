/** Who gave the orders that a run took. */
export const orders = "ALTER TABLE journal ADD COLUMN asked_by TEXT"
