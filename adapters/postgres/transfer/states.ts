/** What actors remember, as it is transferred. */
import { Effect } from "effect"
import type { Of } from "../../../core/domain/StateRecord.ts"
import { type Ask, type Row, texts } from "../Pg.ts"
import { addNamespaces, insert, ofNamespace } from "./insert.ts"
import { each, sort } from "./Sort.ts"

interface StateRow extends Row, Omit<Of<"State">, "_tag"> {
  readonly of: number
}

const selectStates = `
  SELECT s.task AS of, n.name AS namespace, t.name AS task, s.key, s.value
  FROM state s JOIN task t ON t.id = s.task JOIN namespace n ON n.id = t.namespace
  WHERE (s.task, s.key) > ($1::int, $2) ORDER BY s.task, s.key LIMIT $3`

const stateRecordOf = ({ key, namespace, task, value }: StateRow): Of<"State"> => ({
  _tag: "State",
  namespace,
  task,
  key,
  value,
})

const add = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"State">>) {
  yield* addNamespaces(ask, all.map(({ namespace }) => namespace))
  // Nobody may have defined it, and its runs may have left.
  yield* ask(
    `INSERT INTO task (namespace, name)
     SELECT DISTINCT n.id, u.task FROM unnest($1::text[], $2::text[]) AS u(namespace, task)
     JOIN namespace n ON n.name = u.namespace ON CONFLICT DO NOTHING`,
    [texts(all.map(({ namespace }) => namespace)), texts(all.map(({ task }) => task))],
  )
  yield* insert(
    ask,
    "state",
    { key: "text", value: "text" },
    all.map(({ key, namespace, task, value }) => ({
      namespace_name: namespace,
      task_name: task,
      key,
      value,
    })),
    {
      more: { namespace_name: "text", task_name: "text" },
      also: { task: "t.id" },
      from: `${ofNamespace} JOIN task t ON t.namespace = n.id AND t.name = x.task_name`,
    },
  )
})

export const states = sort<"State", StateRow>({
  select: selectStates,
  first: ["0", ""],
  placeOf: ({ key, of }) => [`${of}`, key],
  recordsOf: each(stateRecordOf),
  add,
})
