/** A statement may change a row only once, so what it is given names no run twice. */
import type { RunId } from "../../core/domain/RunId.ts"

/** `all` in order, in parts that name no run twice. Mostly one part. */
export const partsByRun = <A extends { readonly run: RunId }>(
  all: ReadonlyArray<A>,
): ReadonlyArray<ReadonlyArray<A>> => {
  const parts: Array<Array<A>> = []
  const seen = new Map<RunId, number>()
  for (const each of all) {
    const part = seen.get(each.run) ?? 0
    seen.set(each.run, part + 1)
    ;(parts[part] ??= []).push(each)
  }
  return parts
}
