/** The way of a thread that beats to the file of its executor, for tests. */
import { Layer } from "effect"
import * as Direct from "../direct/mod.ts"
import * as Sqlite from "../sqlite/mod.ts"

export default Direct.layer.pipe(
  Layer.provide(Sqlite.layer({ file: process.env["BELFRY_TEST_FILE"]! })),
)
