import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { asHere, word } from "./started.ts"

const root = mkdtempSync(join(tmpdir(), "belfry-started-"))
const project = join(root, "project", "deep")
const bin = join(root, "bin")
const other = join(root, "other")

beforeAll(() => {
  for (const folder of [join(root, "project", "node_modules", ".bin"), bin]) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, "belfry"), "")
  }
  for (const folder of [project, other]) mkdirSync(folder, { recursive: true })
})
afterAll(() => rmSync(root, { recursive: true }))

describe("how a command is started", () => {
  const entry = join(root, "checkout", "belfry.mjs")

  it("is by its name where a shell finds it", () => {
    assert.strictEqual(word({ env: { PATH: `/none:${bin}` }, folder: project, entry }), "belfry")
  })

  it("is by npx in a project, wherever in it, and whatever npm has put on the path", () => {
    assert.strictEqual(word({ env: { PATH: "/none" }, folder: project, entry }), "npx belfry")
    const env = { PATH: bin, npm_command: "run-script" }
    assert.strictEqual(word({ env, folder: project, entry }), "npx belfry")
    assert.strictEqual(word({ env: { npm_command: "exec" }, folder: other, entry }), "npx belfry")
  })

  it("is by its file elsewhere", () => {
    assert.strictEqual(word({ env: {}, folder: other, entry }), "node ../checkout/belfry.mjs")
    const spaced = join(root, "a checkout", "belfry.mjs")
    assert.strictEqual(
      word({ env: {}, folder: other, entry: spaced }),
      'node "../a checkout/belfry.mjs"',
    )
  })

  it("is written so in whole commands, and nowhere else", () => {
    const where = { env: {}, folder: project, entry }
    assert.strictEqual(
      asHere("rand > token && belfry server --sqlite belfry.db", where),
      "rand > token && npx belfry server --sqlite belfry.db",
    )
    assert.strictEqual(asHere("belfry run events 17", where), "npx belfry run events 17")
  })
})
