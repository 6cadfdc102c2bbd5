import { defineConfig } from "vitest/config"

const report = process.env["BELFRY_TEST_REPORT"]

export default defineConfig({
  test: {
    include: ["{core,adapters,cluster,cli,promise,testing,bench}/**/*.test.ts", "*.test.ts"],
    exclude: ["**/node_modules/**"],
    globalSetup: ["adapters/postgres/TestDatabase.setup.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
  },
})
