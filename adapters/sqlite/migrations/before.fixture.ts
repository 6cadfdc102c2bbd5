/** Files as the versions before a step of the schema left them. */
import { Effect } from "effect"
import { DatabaseSync } from "node:sqlite"
import { freshFile } from "../fresh.fixture.ts"
import { steps } from "./mod.ts"

/** A file of the version before this step, with what these statements put into it. */
export const fileBefore = (step: string, statements: string) =>
  Effect.map(freshFile, (file) => {
    const version = steps.indexOf(step)
    const before = new DatabaseSync(file)
    for (const each of steps.slice(0, version)) before.exec(each)
    before.exec(`PRAGMA application_id = 0x426c6679; PRAGMA user_version = ${version}`)
    before.exec(statements)
    before.close()
    return file
  })
