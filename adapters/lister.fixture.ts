/** Lists all runs of a storage in pages, and says how long that took and what room. For `lists.test.ts`. */
import { Effect } from "effect"
import { writeSync } from "node:fs"
import { standard } from "../core/domain/Namespace.ts"
import type { RunId } from "../core/domain/RunId.ts"
import { Storage } from "../core/services/Storage.ts"
import { storageAt } from "./executor.fixture.ts"

export interface Listed {
  readonly runs: number
  /** Of the fastest pass for a page. */
  readonly millis: number
  readonly grownBytes: number
}

if (import.meta.main) {
  const [, , address = "", how = ""] = process.argv
  const pages = Effect.gen(function* () {
    const { runs } = yield* Storage
    let count = 0
    let pageCount = 0
    let before: RunId | undefined
    for (;;) {
      const page = yield* runs.list({
        namespace: standard,
        limit: 500,
        ...(before !== undefined && { before }),
        ...(how === "brief" && { isBrief: true }),
      })
      if (page.length === 0) return { count, pageCount }
      count += page.length
      pageCount++
      before = page.at(-1)!.id
    }
  })
  const program = Effect.gen(function* () {
    yield* Storage.use(({ runs }) => runs.list({ namespace: standard, limit: 1, isBrief: true }))
    const { rss } = process.memoryUsage()
    let millis = Infinity
    let runs = 0
    let most = rss
    for (let nth = 0; nth < 5; nth++) {
      const began = performance.now()
      const { count, pageCount } = yield* pages
      millis = Math.min(millis, (performance.now() - began) / pageCount)
      runs = count
      most = Math.max(most, process.memoryUsage().rss)
    }
    const listed: Listed = { runs, millis, grownBytes: most - rss }
    writeSync(1, `${JSON.stringify(listed)}\n`)
  })
  await Effect.runPromise(Effect.provide(program, storageAt(address)))
}
