/** Cells of limits, breakers and groups, as they are transferred. */
import { Effect } from "effect"
import type { Of } from "../../../core/domain/StateRecord.ts"
import type { Ask, Row } from "../Pg.ts"
import { addNamespaces, insert, ofNamespace } from "./insert.ts"
import { each, sort } from "./Sort.ts"

interface PermitRow extends Row, Omit<Of<"Permit">, "_tag"> {
  readonly of: number
}

/** An empty cell is one that nothing was kept in yet. */
const selectPermits = `
  SELECT p.namespace AS of, n.name AS namespace, p.kind, p.name, p.cell
  FROM permit p JOIN namespace n ON n.id = p.namespace
  WHERE (p.namespace, p.kind, p.name) > ($1::int, $2, $3) AND p.cell <> ''
  ORDER BY p.namespace, p.kind, p.name LIMIT $4`

const permitOf = ({ cell, kind, name, namespace }: PermitRow): Of<"Permit"> => ({
  _tag: "Permit",
  namespace,
  kind,
  name,
  cell,
})

const add = Effect.fnUntraced(function* (ask: Ask, all: ReadonlyArray<Of<"Permit">>) {
  yield* addNamespaces(ask, all.map(({ namespace }) => namespace))
  yield* insert(
    ask,
    "permit",
    { kind: "text", name: "text", cell: "text" },
    all.map(({ cell, kind, name, namespace }) => ({ namespace_name: namespace, kind, name, cell })),
    {
      more: { namespace_name: "text" },
      also: { namespace: "n.id", revision: "1" },
      from: ofNamespace,
    },
  )
})

export const permits = sort<"Permit", PermitRow>({
  select: selectPermits,
  first: ["0", "", ""],
  placeOf: ({ kind, name, of }) => [`${of}`, kind, name],
  recordsOf: each(permitOf),
  add,
})
