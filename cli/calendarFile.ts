/** A calendar as a JSON file: `{ "rest": [], "holidays": [], "workdays": [] }`. */
import { Effect, Result, Schema } from "effect"
import { readFileSync } from "node:fs"
import * as Calendar from "../core/domain/Calendar.ts"
import { standard } from "../core/domain/Namespace.ts"
import { Problem } from "./Problem.ts"

const dates = Schema.optionalKey(Schema.Array(Schema.String))
const decode = Schema.decodeUnknownResult(
  Schema.fromJsonString(Schema.Struct({ rest: dates, holidays: dates, workdays: dates })),
)

const hint = "belfry calendar put office office.json"
const example = `{"rest":["SAT","SUN"],"holidays":["2031-10-01"],"workdays":["2031-09-28"]}`

export const read = (
  file: string,
): Effect.Effect<Pick<Calendar.Calendar, "rest" | "holidays" | "workdays">, Problem> =>
  Effect.suspend(() => {
    const refuse = (what: string, fix: string) =>
      Effect.fail(new Problem({ kind: "usage", what, fix, hint }))
    let text: string
    try {
      text = readFileSync(file, "utf8")
    } catch {
      return refuse(
        `there is no file ${file} that can be read`,
        `name a JSON file, as with ${example}`,
      )
    }
    const days = decode(text)
    if (Result.isFailure(days)) {
      return refuse(
        `${file} is not a calendar: ${days.failure.message.split("\n")[0]}`,
        `write lists of dates, as in ${example}`,
      )
    }
    const made = Calendar.make({ ...days.success, namespace: standard, name: "file" })
    if (Result.isFailure(made)) {
      const { field, reason, remedy } = made.failure
      return refuse(`${file}: ${field}: ${reason}`, remedy)
    }
    const { holidays, rest, workdays } = made.success
    return Effect.succeed({ rest, holidays, workdays })
  })
