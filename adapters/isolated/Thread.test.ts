import { assert, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const isDeno = "Deno" in globalThis

it("no thread compiles anew what other threads share", () => {
  const folder = mkdtempSync(join(tmpdir(), "belfry-thread-"))
  try {
    const log = join(folder, "v8.log")
    const fixture = fileURLToPath(new URL("./thread.fixture.ts", import.meta.url))
    const flags = ["--log-code", `--logfile=${log}`, "--no-logfile-per-isolate"]
    execFileSync(
      process.execPath,
      isDeno ? ["run", "-A", `--v8-flags=${flags}`, fixture] : [...flags, fixture],
    )
    const compiled = readFileSync(log, "utf8").match(/(?<=^code-creation,.*,)[^,]+(?=,0x)/gm) ?? []
    assert.isAbove(compiled.length, 1000)
    assert.notInclude(compiled, "wasm-to-js")
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
