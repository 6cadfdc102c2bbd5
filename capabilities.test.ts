/**
 * `docs/capabilities.md` and `docs/proof.md` leave no row out, and name only tests that there are.
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

const rowsIn = (page: string, pattern: RegExp): ReadonlyArray<Row> =>
  rowsOf(page, pattern).map(([id = "", _, state = "", proofs = ""]) => ({
    id,
    state,
    proofs: proofs === "" ? [] : proofs.replaceAll("&#124;", "|").split("<br>"),
  }))

/** So many rows of each letter, in order. */
const numbered = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts).flatMap(([letter, count]) =>
    Array.from({ length: count }, (_, at) => `${letter}${at + 1}`)
  )

const rows = rowsIn("docs/capabilities.md", /^[JAGQN]\d+$/)

const titles = (file: string): ReadonlySet<string> =>
  new Set(
    [
      ...text(file).matchAll(
        /(?<![\w.$])(?:it|test|plain)(?:\.\w+)*\(\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)/g,
      ),
    ]
      .map(([, plain, template]) => (plain ?? template ?? "").replaceAll('\\"', '"')),
  )

/** Proofs that name no test. */
const strayIn = (rows: ReadonlyArray<Row>) =>
  rows.flatMap(({ id, proofs }) =>
    proofs.filter((proof) => {
      const [, file = "", title = ""] = /^`([^`]+)`: (.+)$/.exec(proof) ?? []
      return !existsSync(file) || !titles(file).has(title)
    }).map((proof) => `${id}: ${proof}`)
  )

const none = (stray: ReadonlyArray<string>) => assert.deepStrictEqual(stray, [])

describe("the table of capabilities", () => {
  it("has every row, once, in order", () =>
    assert.deepStrictEqual(rows.map(({ id }) => id), numbered(counts)))

  it("says of each how much of it there is, and shows what there is", () =>
    none(
      rows.filter(({ proofs, state }) =>
        !/^(yes|later|part: .+)$/.test(state) || (state === "later") !== (proofs.length === 0)
      ).map(({ id, state }) => `${id}: ${state}`),
    ))

  it("names tests that there are", () => none(strayIn(rows)))
})

describe("the table of proofs", () => {
  const proven = rowsIn("docs/proof.md", /^[ILB]\d+$/)

  it("has every row, once, in order", () =>
    assert.deepStrictEqual(proven.map(({ id }) => id), numbered({ I: 26, L: 5, B: 68 })))

  it("says of each how much of it there is, and shows what there is", () =>
    none(
      proven.filter(({ proofs, state }) =>
        !/^(yes|later: .+|part: .+)$/.test(state) ||
        state.startsWith("later") !== (proofs.length === 0)
      ).map(({ id, state }) => `${id}: ${state}`),
    ))

  it("names tests that there are, of which one has the number of the row in its name", () => {
    none(strayIn(proven))
    none(
      proven.filter(({ id, proofs }) =>
        proofs.length > 0 && !proofs.some((proof) => new RegExp(`: .*\\b${id}\\b`).test(proof))
      ).map(({ id }) => id),
    )
  })
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
