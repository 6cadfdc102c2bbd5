/** Where tests keep a database of their own, for as long as the scope lasts. */
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const freshFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true })),
)

export const freshFile = Effect.map(freshFolder, (folder) => join(folder, "belfry.db"))
