/** Who had the grants of a run before the last. */
export const holders = "ALTER TABLE journal ADD COLUMN incarnation INTEGER"
