/**
 * Runs from SQL of tasks with any policy: they wait where `Waiting.place` says. A submit may name a
 * deadline, and who asks for it, as any other does. What a policy says that is not known here, such as
 * a later strategy of routing, is still refused.
 */
import * as Asked from "../../../core/domain/Asked.ts"
import * as Lane from "../../../core/domain/Lane.ts"
import { prefix as sharing } from "../../../core/domain/Share.ts"
import { prefix as touching } from "../../../core/domain/Touching.ts"
import { retold } from "./retold.ts"

const deadlineMax = 366 * 86_400_000

const routings = [
  "Any",
  "First",
  "Last",
  "Fixed",
  "RoundRobin",
  "Random",
  "LeastLoaded",
  "ResourceAware",
  "ConsistentHash",
  "LeastRecentlyUsed",
  "LeastFrequentlyUsed",
  "Failover",
  "BusyOver",
  "Broadcast",
  "Sharded",
]

const quoted = (texts: ReadonlyArray<string>) => texts.map((text) => `'${text}'`).join(", ")

const isRouted = (policy: string) =>
  `CASE WHEN ${policy} -> 'routing' IS NULL THEN ${policy} -> 'resources' IS NOT NULL
         ELSE ${policy} #>> '{routing,_tag}' <> 'Any' END`

const unknownHere = (field: string, what: string) =>
  `PERFORM submit_refuse('task', format('its ${field} "%s" is not known here', ${what}),
           'Submit it by the SDK or the API, or bring the schema up to date');`

/** As JavaScript sorts them, by halves of surrogate pairs: those stand before what is put behind here. */
const inOrder = (name: string) =>
  `regexp_replace(${name}, '([\\uE000-\\uFFFF])', chr(1114111) || '\\1', 'g') COLLATE "C"`

export default [
  // Made in the transaction of a caller, it would keep everybody else waiting.
  `INSERT INTO lane (name)
   SELECT n.name || ':' || t.name || '@' FROM task t JOIN namespace n ON n.id = t.namespace
   WHERE t.definition IS NOT NULL AND ${isRouted("(t.definition::jsonb -> 'policy')")}
   ON CONFLICT DO NOTHING`,

  retold(
    "submit_text(jsonb, text, int)",
    ["field = 'idempotencyKey')", "field IN ('idempotencyKey', 'by'))"],
    [
      "CASE field WHEN 'idempotencyKey' THEN '1 to'",
      "CASE WHEN field IN ('idempotencyKey', 'by') THEN '1 to'",
    ],
  ),
  retold("submit_number(jsonb, text, bigint, text)", [
    "given < 0 OR",
    "given < (field = 'deadlineMillis')::int OR",
  ]),

  retold(
    "submit(text, jsonb, jsonb)",
    [
      "     late bigint;\n",
      `     late bigint;
     by_whom text;
     scope text;
     is_routed boolean;\n`,
    ],
    ["'level', 'blockingKey')", "'level', 'blockingKey', 'deadlineMillis', 'by')"],
    ["level and blockingKey')", "level, blockingKey, deadlineMillis and by')"],
    [
      "     delay := coalesce(",
      `     by_whom := submit_text(options, 'by', 256);
     late := submit_number(options, 'deadlineMillis', ${deadlineMax},
       'Give whole milliseconds, 1 to ${deadlineMax}');
     delay := coalesce(`,
    ],
    [
      "'breaker', 'group')",
      "'breaker', 'group', 'crashesWithinMillis', 'blockingScope',\n" +
      "         'routing', 'resources', 'touches')",
    ],
    [
      "late := delay + (policy ->> 'deadlineMillis')::bigint;",
      "late := coalesce(late, delay + (policy ->> 'deadlineMillis')::bigint);",
    ],
    // What is not known of it.
    [
      "     blocking := policy -> 'blocking';\n",
      `     scope := policy ->> 'blockingScope';
     IF scope NOT IN ('task', 'key', 'executor') THEN
       ${unknownHere("blockingScope", "scope")}
     END IF;
     IF policy -> 'routing' IS NOT NULL
       AND (policy #>> '{routing,_tag}' IN (${quoted(routings)})) IS NOT TRUE
     THEN
       ${unknownHere("routing", "coalesce(policy #>> '{routing,_tag}', policy ->> 'routing')")}
     END IF;
     is_routed := ${isRouted("policy")};
     blocking := policy -> 'blocking';\n`,
    ],
    // Its gate.
    [
      "gate_key := concat_ws(':', ns, submit.task, blocking_key);",
      `gate_key := CASE blocking ->> '_tag'
         WHEN 'Fair' THEN '${sharing}' || ns || ':' || submit.task || ' '
           || coalesce(blocking -> 'weights' ->> coalesce(blocking_key, ''), '1') || ' '
           || coalesce(blocking_key, '')
         ELSE concat_ws(':', ns, submit.task,
           CASE WHEN scope IS DISTINCT FROM 'task' THEN blocking_key END)
         END;`,
    ],
    [
      "WHEN 'Fifo' THEN 1 WHEN 'Discard' THEN 1\n",
      `WHEN 'Fifo' THEN 1 WHEN 'Discard' THEN 1
         WHEN 'Replace' THEN -1 WHEN 'Latest' THEN -2 WHEN 'Fair' THEN (blocking ->> 'limit')::int\n`,
    ],
    [
      "     IF policy #> '{group,limit}' IS NOT NULL THEN",
      `     IF scope = 'executor' THEN
       gate_key := NULL;
       gate_size := NULL;
       is_gate_to_discard := NULL;
     END IF;
     IF policy -> 'touches' <> '{}' THEN
       SELECT '${touching}' || ns || ' '
           || string_agg(t.thing || '=' || t.how, ',' ORDER BY ${inOrder("t.thing")}),
         CASE WHEN bool_or(t.how = 'exclusive') THEN 1 ELSE 100000 END, false,
         min(t.how) FILTER (WHERE t.how NOT IN ('shared', 'exclusive'))
         INTO gate_key, gate_size, is_gate_to_discard, unknown
         FROM jsonb_each_text(policy -> 'touches') AS t(thing, how);
       IF unknown IS NOT NULL THEN
         ${unknownHere("touches", "unknown")}
       END IF;
     END IF;
     IF policy #> '{group,limit}' IS NOT NULL THEN`,
    ],
    // Its lane, and the gate that is always open.
    [
      `submit.task || coalesce('${Lane.mark}' || (policy ->> 'selector'), '');`,
      `submit.task || CASE WHEN is_routed THEN '@'
       ELSE coalesce('${Lane.mark}' || (policy ->> 'selector'), '') END;
     IF is_routed AND gate_key IS NULL THEN
       gate_key := concat_ws(':', lane_name, blocking_key);
       gate_size := 1000000000;
       is_gate_to_discard := false;
     END IF;`,
    ],
    [
      "     IF late IS NOT NULL THEN\n",
      `     IF by_whom IS NOT NULL THEN
       INSERT INTO journal (run_id, at, fence, attempt, kind, detail)
       VALUES (new_id, ms, 0, 0, '${Asked.kind}', '${Asked.textOf({ by: "" })}' || by_whom);
     END IF;
     IF late IS NOT NULL THEN\n`,
    ],
  ),
]
