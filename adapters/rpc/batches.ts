/** Keeps what is sent within the bounds that the other end sets. */
import type { Grant, Report } from "../../core/services/RunStorage.ts"
import { batchBytesMax, batchMax } from "./ExecutorRpcs.ts"

const sizeOf = (item: Report | Grant): number => {
  // Numbers, names and tags.
  const rest = 100
  if ("payload" in item) return rest + item.payload.length
  if ("failure" in item) {
    const { error, message, stack } = item.failure
    return rest + message.length + (stack?.length ?? 0) + (error?.length ?? 0)
  }
  return rest + ("result" in item ? item.result?.length ?? 0 : 0)
}

/** How many of `items`, from `start`, one message may carry: at least one. */
export const fit = (items: ReadonlyArray<Report | Grant>, start = 0): number => {
  let bytes = 0
  for (let i = start; i < items.length; i++) {
    bytes += sizeOf(items[i]!)
    if (i > start && (bytes > batchBytesMax || i - start === batchMax)) return i - start
  }
  return items.length - start
}

/** `reports` in order, cut into batches. */
export const inBatches = (
  reports: ReadonlyArray<Report>,
): ReadonlyArray<ReadonlyArray<Report>> => {
  const batches: Array<ReadonlyArray<Report>> = []
  for (let start = 0; start < reports.length;) {
    const end = start + fit(reports, start)
    batches.push(start === 0 && end === reports.length ? reports : reports.slice(start, end))
    start = end
  }
  return batches
}
