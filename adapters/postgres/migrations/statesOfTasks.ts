/** What tasks keep from one run to the next. */
export default [
  `CREATE TABLE state (
     task int NOT NULL REFERENCES task,
     key text NOT NULL,
     value text NOT NULL,
     CONSTRAINT one_state_per_key PRIMARY KEY (task, key))`,
]
