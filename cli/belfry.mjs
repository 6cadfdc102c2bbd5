#!/usr/bin/env node
// The `belfry` command. Plain JavaScript of any version, so that it can say what it needs.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import * as module from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const required = 24

/** The Node that npm installs beside us, script-free, one package per platform. */
const ownNode = () => {
  const { resolve } = module.createRequire(import.meta.url)
  for (const kind of ["node", "node-bin"]) {
    try {
      const home = dirname(resolve(`${kind}-${process.platform}-${process.arch}/package.json`))
      const node = join(home, "bin", process.platform === "win32" ? "node.exe" : "node")
      if (existsSync(node)) return node
    } catch {
      // Not installed.
    }
  }
}

/** Runs the same command again on `node`, and ends as it ends. */
const runOn = (node) => {
  // Over the channel the other process notices when this one is killed.
  const child = spawn(node, process.argv.slice(1), {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  })
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
  child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)))
}

if (Number(process.versions.node.split(".")[0]) >= required) {
  module.enableCompileCache?.()
  const here = dirname(fileURLToPath(import.meta.url))
  // The published package has JavaScript, a checkout has the sources.
  await import(existsSync(join(here, "main.js")) ? "./main.js" : "./main.ts")
} else {
  const node = ownNode()
  if (node !== undefined) runOn(node)
  else {
    console.error(
      `belfry needs Node ${required} or newer, and this is ${process.version} (${process.execPath}).\n` +
        `  Fix  install Node ${required}, or let npm install the one of this package: npm ci --include=optional`,
    )
    process.exit(1)
  }
}
