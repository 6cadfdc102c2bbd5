/** What orders were answered that are given under a key. */
export default [
  `CREATE TABLE answer (
     begun_at bigint NOT NULL,
     key text NOT NULL,
     digest text NOT NULL,
     answer text,
     CONSTRAINT one_answer_per_key PRIMARY KEY (key))`,
  `CREATE INDEX answer_begun ON answer (begun_at)`,
]
