/** `submit` refuses a deadline that is up before its run is due, as `Deadline.flaw` does: it could only expire. */
import { retold } from "./retold.ts"

export default [
  retold("submit(text, jsonb, jsonb)", [
    "     late := coalesce(late, delay +",
    `     IF late <= delay THEN
       PERFORM submit_refuse('deadlineMillis',
         format('it is %s ms from now, and the run is due in %s ms', late, delay),
         'Use one that comes after the delay, or none');
     END IF;
     late := coalesce(late, delay +`,
  ]),
]
