import { availableParallelism } from "node:os"
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import { defineConfig } from "vitest/config"

const report = process.env["BELFRY_TEST_REPORT"]

/** The folder of PostgreSQL 15's programs: Debian's, or one in the path. */
const postgres15 = ["/usr/lib/postgresql/15/bin", ...(process.env["PATH"] ?? "").split(delimiter)]
  .filter((place) => existsSync(join(place, "postgres")))
  .find((place) => / 15\./.test(execFileSync(join(place, "postgres"), ["--version"]).toString()))

// The oldest that is supported, beside the newest, which comes with the packages. Under Deno the
// tests are of the runtime, and one database will do.
const isDeno = "Deno" in globalThis
if (postgres15 === undefined && !isDeno) {
  console.warn("PostgreSQL 15 is not on this machine: its adapter is tested on 18 alone")
}

export default defineConfig({
  test: {
    exclude: ["**/node_modules/**"],
    // Most of a test is waiting, for a clock, a disk or a server; one worker less than there are
    // processors, as usual, would leave half of two idle.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    projects: [
      {
        extends: true,
        test: {
          name: "all",
          include: ["{core,adapters,cluster,cli,promise,testing,bench}/**/*.test.ts", "*.test.ts"],
          globalSetup: ["adapters/postgres/TestDatabase.setup.ts"],
        },
      },
      ...(postgres15 === undefined || isDeno ? [] : [{
        extends: true as const,
        test: {
          name: "postgres 15",
          include: [
            "adapters/postgres/{Pg*,agreement,clock,concurrent,migrations}.test.ts",
            "adapters/postgres/{pairs,postgres,sessions,submit}.test.ts",
          ],
          globalSetup: ["adapters/postgres/TestDatabase.setup.ts"],
          env: { BELFRY_TEST_POSTGRES: postgres15 },
        },
      }]),
    ],
  },
})
