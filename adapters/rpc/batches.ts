/** Keeps what is sent within the bounds that the other end sets. */
import { charsOf, type Told } from "../../core/services/LogStorage.ts"
import type { Grant, Report } from "../../core/services/RunStorage.ts"
import { batchBytesMax, batchMax } from "./ExecutorRpcs.ts"

type Item = Report | Grant | Told

const sizeOf = (item: Item): number => {
  // Numbers, names and tags.
  const rest = 100
  if ("lines" in item) return rest * (1 + item.lines.length) + charsOf(item)
  if ("payload" in item) return rest + item.payload.length
  if ("failure" in item) {
    const { error, message, stack } = item.failure
    return rest + message.length + (stack?.length ?? 0) + (error?.length ?? 0)
  }
  return rest + ("result" in item ? item.result?.length ?? 0 : 0)
}

/** How many of `items`, from `start`, one message may carry: at least one. */
export const fit = (items: ReadonlyArray<Item>, start = 0): number => {
  let bytes = 0
  for (let i = start; i < items.length; i++) {
    bytes += sizeOf(items[i]!)
    if (i > start && (bytes > batchBytesMax || i - start === batchMax)) return i - start
  }
  return items.length - start
}

/** `items` in order, cut into batches. */
export const inBatches = <A extends Item>(
  items: ReadonlyArray<A>,
): ReadonlyArray<ReadonlyArray<A>> => {
  const batches: Array<ReadonlyArray<A>> = []
  for (let start = 0; start < items.length;) {
    const end = start + fit(items, start)
    batches.push(start === 0 && end === items.length ? items : items.slice(start, end))
    start = end
  }
  return batches
}
