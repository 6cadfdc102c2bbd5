/** Who has begun an order that is given under a key. */
export const beginners = "ALTER TABLE answer ADD COLUMN beginner TEXT"
