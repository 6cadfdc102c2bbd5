// Runs the Deno that npm installed for this platform, or else the machine's own.
// The `deno` package itself is no dependency: its lock needs the packages of every platform, and
// registries do not always have them.
import { spawn, spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import { join } from "node:path"

const wanted = "2.9"
const require = createRequire(import.meta.url)

const installed = () => {
  const suffix = process.platform === "linux" ? "-glibc" : ""
  try {
    const manifest = require.resolve(
      `@deno/${process.platform}-${process.arch}${suffix}/package.json`,
    )
    return join(manifest, "..", process.platform === "win32" ? "deno.exe" : "deno")
  } catch {
    return "deno"
  }
}

const deno = installed()
const { stdout } = spawnSync(deno, ["eval", "console.log(Deno.version.deno)"], { encoding: "utf8" })
if (!stdout?.startsWith(wanted)) {
  console.error(
    stdout ? `This is Deno ${stdout.trim()}, not ${wanted}.` : "There is no Deno here.",
    `Install Deno ${wanted}, so that \`deno\` is on the PATH; on Linux x64 \`npm ci\` brings it.`,
  )
  process.exit(1)
}
const child = spawn(deno, process.argv.slice(2), { stdio: "inherit" })
// It decides how it ends; from a terminal it hears of the interrupt itself.
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
process.on("SIGINT", () => {})
child.on("exit", (code) => process.exit(code ?? 1))
