import { assert, describe, it } from "@effect/vitest"
import { readFileSync, writeFileSync } from "node:fs"
import * as Run from "./Run.ts"
import * as RunDiagram from "./RunDiagram.fixture.ts"
import { statesOf, vocabularies, without, Word, wordOf, words, wordsOf } from "./Vocabulary.ts"

const page = new URL("../../docs/states.md", import.meta.url)

describe("docs/states.md", () => {
  it("is drawn from the table: to draw it anew, set REDRAW=1", () => {
    const text = readFileSync(page, "utf8")
    const redrawn = RunDiagram.redrawn(text)
    if (process.env["REDRAW"] === "1") writeFileSync(page, redrawn)
    else assert.strictEqual(text, redrawn)
    for (const part of [RunDiagram.mermaid(), RunDiagram.table(), RunDiagram.vocabularyTable()]) {
      assert.include(redrawn, part)
    }
  })
})

describe("RunDiagram", () => {
  it("reaches every state from a submit", () => {
    const reached = new Set<string>(["Scheduled", "Blocked", "Ready", "Awaiting"])
    const edges = RunDiagram.edges()
    for (let size = 0; size < reached.size;) {
      size = reached.size
      for (const { from, to } of edges) if (reached.has(from)) reached.add(to)
    }
    assert.deepStrictEqual([...reached].sort(), [...Run.StateName.literals].sort())
  })

  it("leaves every state that is not final", () => {
    const left = new Set(
      RunDiagram.edges().filter(({ from, to }) => from !== to).map((e) => e.from),
    )
    for (const state of Run.StateName.literals) {
      if (!Run.isFinal(state)) assert.isTrue(left.has(state), state)
    }
  })
})

describe("Vocabulary", () => {
  it("finds our states by their words, and every state by one", () => {
    for (const vocabulary of vocabularies) {
      for (const state of Run.StateName.literals) {
        assert.include(statesOf(wordOf(state, vocabulary), vocabulary), state)
      }
      for (const word of without[vocabulary]) assert.deepEqual(statesOf(word, vocabulary), [])
    }
    assert.deepStrictEqual(
      [...Word.literals].sort(),
      [...new Set(vocabularies.flatMap(wordsOf))].sort(),
    )
    assert.deepStrictEqual(Object.keys(words).sort(), [...Run.StateName.literals].sort())
  })
})
