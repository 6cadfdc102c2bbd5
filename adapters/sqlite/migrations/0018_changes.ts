/** How often operators have changed a run. */
export const changes = "ALTER TABLE level_set ADD COLUMN changes INTEGER NOT NULL DEFAULT 1"
