/** Calendars, and which of them a trigger names. */
export default [
  `CREATE TABLE calendar (
     namespace int NOT NULL REFERENCES namespace,
     revision int NOT NULL,
     name text NOT NULL,
     definition text NOT NULL,
     CONSTRAINT one_calendar_per_name PRIMARY KEY (namespace, name))`,

  `ALTER TABLE trigger ADD COLUMN calendar text`,
  `CREATE INDEX trigger_calendar ON trigger (namespace, calendar)
   WHERE calendar IS NOT NULL AND NOT is_removed`,

  // CalendarStorage.put, of what was decided about the calendar and the triggers as they were read;
  // NULL when they are not so any more. Whoever puts a trigger that names the calendar has locked its
  // row, so none is added between the two looks here.
  `CREATE FUNCTION put_calendar(in_namespace int, wanted text, content text, known int, ids int[],
     revisions int[], cursors bigint[], nexts bigint[])
   RETURNS int LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     kept int;
   BEGIN
     IF known = 0 THEN
       INSERT INTO calendar (namespace, revision, name, definition)
       VALUES (in_namespace, 1, wanted, content) ON CONFLICT DO NOTHING RETURNING revision INTO kept;
       RETURN kept;
     END IF;
     PERFORM 1 FROM calendar c
     WHERE c.namespace = in_namespace AND c.name = wanted AND c.revision = known FOR UPDATE;
     IF NOT FOUND THEN RETURN NULL; END IF;
     PERFORM 1 FROM trigger t
     WHERE t.namespace = in_namespace AND t.calendar = wanted AND NOT t.is_removed
     ORDER BY t.id FOR UPDATE;
     IF EXISTS (
       SELECT FROM trigger t LEFT JOIN unnest(ids, revisions, cursors) AS u(id, revision, cursor)
         ON u.id = t.id AND u.revision = t.revision AND u.cursor IS NOT DISTINCT FROM t.cursor
       WHERE t.namespace = in_namespace AND t.calendar = wanted AND NOT t.is_removed AND u.id IS NULL)
     THEN RETURN NULL; END IF;
     UPDATE trigger t SET revision = t.revision + 1, cursor = u.next
     FROM unnest(ids, nexts) AS u(id, next)
     WHERE t.id = u.id AND t.calendar = wanted AND NOT t.is_removed;
     UPDATE calendar c SET definition = content, revision = known + 1
     WHERE c.namespace = in_namespace AND c.name = wanted;
     RETURN known + 1;
   END $$`,

  // CalendarStorage.remove: the trigger that names it, '' when it was removed, NULL without one.
  `CREATE FUNCTION remove_calendar(in_namespace int, wanted text)
   RETURNS text LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     naming text;
   BEGIN
     PERFORM 1 FROM calendar c WHERE c.namespace = in_namespace AND c.name = wanted FOR UPDATE;
     IF NOT FOUND THEN RETURN NULL; END IF;
     SELECT t.name INTO naming FROM trigger t
     WHERE t.namespace = in_namespace AND t.calendar = wanted AND NOT t.is_removed
     ORDER BY t.name COLLATE "C" LIMIT 1;
     IF FOUND THEN RETURN naming; END IF;
     DELETE FROM calendar c WHERE c.namespace = in_namespace AND c.name = wanted;
     RETURN '';
   END $$`,
]
