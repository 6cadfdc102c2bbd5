/**
 * The laws of a source, kept by a file; and what becomes of one that is moved, cut or torn.
 *
 * Tried, and caught: a line that is not whole is taken; a file that was moved aside is not let rest;
 * nothing is told of what is gone; one that was cut is read on where it was.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as SourceContract from "../../core/contract/SourceContract.ts"
import type { Entry } from "../../core/services/Source.ts"
import { lines, type LinesOptions } from "./Lines.ts"

const freshPath: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "belfry-lines-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true })),
).pipe(Effect.map((folder) => join(folder, "app.log")))

const json = (numbers: ReadonlyArray<number>) =>
  numbers.map((n) => `${JSON.stringify({ n })}\n`).join("")

SourceContract.suite(
  "file",
  Layer.empty,
  Effect.map(freshPath, (path) => {
    writeFileSync(path, "")
    return {
      source: lines(path, { as: "json" }),
      append: (...numbers: ReadonlyArray<number>) =>
        Effect.sync(() => appendFileSync(path, json(numbers))),
    }
  }),
  { runner: "live" },
)

const shown = (entries: ReadonlyArray<Entry>) =>
  entries.map((entry) =>
    "flaw" in entry ? entry.flaw : (entry.value as { readonly line: string }).line
  )

/** Nobody has written to it for a while. */
const age = (path: string, seconds: number) => {
  const at = new Date(new Date().getTime() - seconds * 1000)
  utimesSync(path, at, at)
}

describe("lines of a file", () => {
  const test = (
    title: string,
    then: (
      path: string,
      read: (
        after: string,
      ) => Effect.Effect<{ entries: ReadonlyArray<string>; to: string }, unknown>,
    ) => Effect.Effect<void, unknown>,
    options: LinesOptions = {},
  ) =>
    it.live(title, () =>
      Effect.gen(function* () {
        const path = yield* freshPath
        const reader = yield* lines(path, options).open
        yield* then(path, (after) =>
          Effect.map(SourceContract.readAll(reader, after), ({ entries, to }) => ({
            entries: shown(entries),
            to,
          })))
      }).pipe(Effect.scoped))

  test(
    "come without their ends, and a line that is not whole comes when it is",
    (path, read) =>
      Effect.gen(function* () {
        writeFileSync(path, "one\r\n\ntwo\nthr")
        const first = yield* read("")
        assert.deepEqual(first.entries, ["one", "", "two"])
        appendFileSync(path, "ee\n")
        assert.deepEqual((yield* read(first.to)).entries, ["three"])
      }),
  )

  test(
    "go on in a file that was moved aside, and then in the new one",
    (path, read) =>
      Effect.gen(function* () {
        writeFileSync(path, "one\n")
        const first = yield* read("")
        appendFileSync(path, "two\nthr")
        renameSync(path, `${path}.1`)
        writeFileSync(path, "four\n")
        const second = yield* read(first.to)
        assert.deepEqual(second.entries, ["two"], "somebody may be writing to it yet")
        appendFileSync(`${path}.1`, "ee\nlast")
        age(`${path}.1`, 60)
        const third = yield* read(second.to)
        assert.deepEqual(third.entries, ["three", "last", "four"])
        appendFileSync(path, "five\n")
        assert.deepEqual((yield* read(third.to)).entries, ["five"])
      }),
  )

  test(
    "go on through several that were moved aside meanwhile",
    (path, read) =>
      Effect.gen(function* () {
        writeFileSync(path, "one\n")
        const first = yield* read("")
        renameSync(path, `${path}.2`)
        age(`${path}.2`, 300)
        writeFileSync(`${path}.1`, "two\n")
        age(`${path}.1`, 200)
        writeFileSync(path, "three\n")
        assert.deepEqual((yield* read(first.to)).entries, ["two", "three"])
      }),
  )

  test(
    "go on in the copy of a file that was cut, and then from its beginning",
    (path, read) =>
      Effect.gen(function* () {
        writeFileSync(path, "one\ntwo\n")
        const first = yield* read("")
        appendFileSync(path, "three\n")
        copyFileSync(path, `${path}.1`)
        age(`${path}.1`, 60)
        truncateSync(path)
        appendFileSync(path, "four\n")
        assert.deepEqual((yield* read(first.to)).entries, ["three", "four"])
      }),
  )

  test(
    "say that something is gone when the file they were in is",
    (path, read) =>
      Effect.gen(function* () {
        writeFileSync(path, "one\ntwo\n")
        const first = yield* read("")
        writeFileSync(path, "another beginning\n")
        const second = yield* read(first.to)
        assert.match(second.entries[0]!, /^what came after byte 8 is gone/)
        assert.deepEqual(second.entries.slice(1), ["another beginning"])
        assert.deepEqual((yield* read(second.to)).entries, [])
      }),
  )

  test(
    "say of a line that is too long that it is, and go on after it",
    (path, read) =>
      Effect.gen(function* () {
        writeFileSync(path, `one\n${"x".repeat(3_000_000)}\ntwo\n`)
        const { entries } = yield* read("")
        assert.deepEqual(entries, ["one", "a line has more than 1048576 bytes", "two"])
      }),
  )

  test("fail while there is no such file", (path, read) =>
    Effect.gen(function* () {
      const failed = yield* Effect.flip(read(""))
      assert.match(String(failed), /there is no such file/)
      writeFileSync(path, "one\n")
      assert.deepEqual((yield* read("")).entries, ["one"])
    }))

  test("say of a line that is not JSON that it is not", (path, read) =>
    Effect.gen(function* () {
      writeFileSync(path, '{"line":"one"}\nnonsense\n\n{"line":"two"}\n')
      const { entries } = yield* read("")
      assert.deepEqual([entries[0], entries[2], entries.length], ["one", "two", 3])
      assert.match(entries[1]!, /^it is not JSON/)
    }), { as: "json" })
})
