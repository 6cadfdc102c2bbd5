/**
 * `docs/capabilities.md` leaves no row out, and names only tests that there are.
 *
 * A test's name stands in its file as it is written there, so that of a row of tests is a template.
 */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"

interface Row {
  readonly id: string
  readonly state: string
  readonly proofs: ReadonlyArray<string>
}

/** How many rows each of the founding documents has. */
const counts: Readonly<Record<string, number>> = { J: 26, A: 39, G: 28, Q: 49, N: 38 }

const text = (file: string) => readFileSync(file, "utf8")

/** The cells of the rows of all tables of a page that begin with a word like `pattern`. */
const rowsOf = (page: string, pattern: RegExp) =>
  text(page).split("\n")
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
    .filter(([first = ""]) => pattern.test(first))

const rows: ReadonlyArray<Row> = rowsOf("docs/capabilities.md", /^[JAGQN]\d+$/).map(
  ([id = "", _, state = "", proofs = ""]) => ({
    id,
    state,
    proofs: proofs === "" ? [] : proofs.replaceAll("&#124;", "|").split("<br>"),
  }),
)

const titles = (file: string): ReadonlySet<string> =>
  new Set(
    [
      ...text(file).matchAll(
        /(?<![\w.$])(?:it|test)(?:\.\w+)*\(\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)/g,
      ),
    ]
      .map(([, plain, template]) => (plain ?? template ?? "").replaceAll('\\"', '"')),
  )

const none = (stray: ReadonlyArray<string>) => assert.deepStrictEqual(stray, [])

describe("the table of capabilities", () => {
  it("has every row, once, in order", () =>
    assert.deepStrictEqual(
      rows.map(({ id }) => id),
      Object.entries(counts).flatMap(([letter, count]) =>
        Array.from({ length: count }, (_, at) => `${letter}${at + 1}`)
      ),
    ))

  it("says of each how much of it there is, and shows what there is", () =>
    none(
      rows.filter(({ proofs, state }) =>
        !/^(yes|later|part: .+)$/.test(state) || (state === "later") !== (proofs.length === 0)
      ).map(({ id, state }) => `${id}: ${state}`),
    ))

  it("names tests that there are", () =>
    none(rows.flatMap(({ id, proofs }) =>
      proofs.filter((proof) => {
        const [, file = "", title = ""] = /^`([^`]+)`: (.+)$/.exec(proof) ?? []
        return !existsSync(file) || !titles(file).has(title)
      }).map((proof) => `${id}: ${proof}`)
    )))
})

describe("the glossary", () => {
  it("has our word for each word of those who come from Celery", () => {
    const theirs =
      "Task Worker Broker Backend TaskID TaskName TaskType TaskWorker TaskScheduler TaskConsole DistributeLock TaskQueue"
    assert.deepStrictEqual(
      rowsOf("docs/words.md", /^(Task|Worker|Broker|Backend|DistributeLock)[A-Z]?\w*$/)
        .filter((row) => row.length === 3).map(([word]) => word),
      theirs.split(" "),
    )
  })
})
