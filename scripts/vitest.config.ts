import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import base from "../vitest.config.ts"

/** What needs a registry and minutes, so it is no part of `npm test`. */
const { projects: _, ...test } = base.test ?? {}
export default defineConfig({
  test: {
    ...test,
    root: fileURLToPath(new URL("..", import.meta.url)),
    include: ["scripts/*.test.ts"],
    globalSetup: [],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})
