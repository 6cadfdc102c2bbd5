/** Who has begun an order that is given under a key. */
export default ["ALTER TABLE answer ADD COLUMN beginner text"]
