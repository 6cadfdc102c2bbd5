/** Locks and their fences, as they are transferred. */
import type { Fence, LockKey } from "../../../core/domain/Lease.ts"
import type { Of } from "../../../core/domain/StateRecord.ts"
import type { Row } from "../Pg.ts"
import { insert } from "./insert.ts"
import { each, sort } from "./Sort.ts"

interface LockRow extends Row {
  readonly key: LockKey
  readonly holder: string
  readonly fence: Fence
  readonly ends_in: number
}

const selectLocks = `
  SELECT key, holder, fence::float8 AS fence,
    greatest(0, expires_at - clock())::float8 AS ends_in
  FROM lock WHERE key > $1 ORDER BY key LIMIT $2`

const lockOf = ({ ends_in, fence, holder, key }: LockRow): Of<"Lock"> => ({
  _tag: "Lock",
  key,
  holder,
  fence,
  endsInMillis: ends_in,
})

export const locks = sort<"Lock", LockRow>({
  select: selectLocks,
  first: [""],
  placeOf: ({ key }) => [key],
  recordsOf: each(lockOf),
  add: (ask, all) =>
    insert(
      ask,
      "lock",
      { key: "text", holder: "text", fence: "bigint" },
      all.map(({ endsInMillis, fence, holder, key }) => ({
        key,
        holder,
        fence,
        ends_in: endsInMillis,
      })),
      { more: { ends_in: "bigint" }, also: { expires_at: "clock() + x.ends_in" } },
    ),
})
