import { assert, it } from "@effect/vitest"
import { read } from "./plans.ts"

it("names the tables that a plan reads from end to end", () => {
  const plan = read(
    "Limit\n  ->  LockRows\n        ->  Sort\n              ->  Seq Scan on ready\n",
  )
  assert.deepInclude(plan, { sequential: ["ready"], sorts: true })
})

it("does not take the order of the answer for a sort of the queue", () => {
  const plan = read("Sort\n  Sort Key: id\n  ->  Index Scan using ready_pkey on ready\n")
  assert.deepInclude(plan, { sequential: [], sorts: false })
})
