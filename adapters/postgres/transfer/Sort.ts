import { Effect, Option, Stream } from "effect"
import type { Of, StateRecord } from "../../../core/domain/StateRecord.ts"
import type { StorageUnavailable } from "../../../core/services/StorageUnavailable.ts"
import { pageMax } from "../../../core/services/TransferStorage.ts"
import type { Ask, Row } from "../Pg.ts"

/** Records of one sort: how they leave a database, a page at a time, and how they come into one. */
export interface Sort {
  readonly exported: (ask: Ask) => Stream.Stream<StateRecord, StorageUnavailable>
  /** In order, at most `pageMax` of them. */
  readonly add: (
    ask: Ask,
    records: ReadonlyArray<StateRecord>,
  ) => Effect.Effect<void, StorageUnavailable>
}

/** `select` takes where to go on after, as `placeOf` tells it of the last row, and how many. */
export const sort = <Tag extends StateRecord["_tag"], R extends Row>(options: {
  readonly select: string
  readonly first: ReadonlyArray<string>
  readonly placeOf: (row: R) => ReadonlyArray<string>
  readonly recordsOf: (
    rows: ReadonlyArray<R>,
    ask: Ask,
  ) => Effect.Effect<ReadonlyArray<Of<Tag>>, StorageUnavailable>
  readonly add: (
    ask: Ask,
    records: ReadonlyArray<Of<Tag>>,
  ) => Effect.Effect<void, StorageUnavailable>
}): Sort => ({
  exported: (ask) =>
    Stream.paginate(
      options.first,
      Effect.fnUntraced(function* (after: ReadonlyArray<string>) {
        const rows = yield* ask<R>(options.select, [...after, pageMax])
        const isLast = rows.length < pageMax
        const next = isLast ? Option.none() : Option.some(options.placeOf(rows.at(-1)!))
        return [yield* options.recordsOf(rows, ask), next] as const
      }),
    ),
  add: (ask, records) => options.add(ask, records as ReadonlyArray<Of<Tag>>),
})

/** Where each row is a record. */
export const each = <R, A>(recordOf: (row: R) => A) => (rows: ReadonlyArray<R>) =>
  Effect.sync(() => rows.map(recordOf))
