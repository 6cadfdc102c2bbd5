/**
 * Installs the peers on first use. They are a package of their own, with their own lock, because
 * nobody who installs or tests Belfry should have to download its competitors.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL(".", import.meta.url))
const stamp = fileURLToPath(
  new URL("node_modules/.lock-sha256", import.meta.url),
)

/** Installs when nothing is there yet, or the lock is another one than what is installed. */
export const install = (): void => {
  const lock = createHash("sha256")
    .update(readFileSync(new URL("package-lock.json", import.meta.url)))
    .digest("hex")
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return
  process.stderr.write(
    "Installing the peers to measure against (bench/package-lock.json) …\n",
  )
  const { error, status } = spawnSync("npm", [
    "ci",
    "--prefix",
    folder,
    "--no-audit",
    "--no-fund",
  ], {
    cwd: folder,
    // Standard output belongs to the report.
    stdio: ["ignore", 2, 2],
  })
  if (error !== undefined || status !== 0) {
    throw new Error(
      `npm ci in bench/ failed: ${error?.message ?? `exit code ${status}`}`,
    )
  }
  writeFileSync(stamp, lock)
}

if (import.meta.main) install()
