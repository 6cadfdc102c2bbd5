/** What limits of tasks, and breakers, have let pass. */
export default [
  `CREATE TABLE permit (
     namespace int NOT NULL REFERENCES namespace,
     revision int NOT NULL,
     kind text NOT NULL,
     name text NOT NULL,
     cell text NOT NULL,
     CONSTRAINT one_cell_per_name PRIMARY KEY (namespace, kind, name)) WITH (fillfactor = 50)`,

  // PermitStorage's step, of what was decided about the cells as they were read: how many were kept,
  // all or none. They are locked by name, so that two who want the same two do not wait for each other.
  `CREATE FUNCTION keep_permits(in_namespace int, kinds text[], names text[], known int[],
     next text[])
   RETURNS int LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     same int;
   BEGIN
     -- Empty, it is a cell that nothing was kept in yet.
     INSERT INTO permit (namespace, revision, kind, name, cell)
     SELECT in_namespace, 0, u.kind, u.name, ''
     FROM unnest(kinds, names, known) AS u(kind, name, known) WHERE u.known = 0
     ORDER BY u.kind, u.name ON CONFLICT DO NOTHING;
     WITH locked AS (
       SELECT p.revision = u.known AS is_same
       FROM unnest(kinds, names, known) AS u(kind, name, known)
       JOIN permit p ON p.namespace = in_namespace AND p.kind = u.kind AND p.name = u.name
       ORDER BY p.kind, p.name FOR UPDATE OF p)
     SELECT count(*) INTO same FROM locked WHERE is_same;
     IF same < cardinality(kinds) THEN RETURN 0; END IF;
     UPDATE permit p SET revision = p.revision + 1, cell = u.cell
     FROM unnest(kinds, names, next) AS u(kind, name, cell)
     WHERE p.namespace = in_namespace AND p.kind = u.kind AND p.name = u.name;
     RETURN same;
   END $$`,
]
